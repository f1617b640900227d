"The speed page's functions: what the page has no room for."
import copy

import pytest
import torch
import torch.nn.functional as F
from fastai.torch_core import set_seed
from fastai.vision.learner import create_vision_model
from torch import nn
from torchvision.models import resnet18

from fastbook_ch4.data import mnist_sample
from fastbook_ch4.resnet import fast_convs, resnet_learner
from fastbook_ch4.speed import quick_learner, trim, untrim


@pytest.fixture(scope="module")
def net():
    set_seed(0)
    return create_vision_model(resnet18, 2, pretrained=False).double().train()


def images(n, side, gray=True):
    x = torch.rand(n, 1 if gray else 3, side, side, dtype=torch.double)
    return x.expand(-1, 3, -1, -1) if gray else x


def loss_of(model, x, y):
    model.zero_grad()
    set_seed(3)  # for dropout
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    return loss.item()


@pytest.mark.parametrize("side", [14, 20, 24, 28, 32, 56])
@pytest.mark.parametrize("gray", [True, False])
def test_trimmed_net_has_the_stock_loss_and_gradients(net, side, gray):
    "Any side: gradients of all weights in use to 1e-12, and exactly 0 for those that were thrown out."
    x, y = images(6, side, gray), torch.randint(0, 2, (6,))
    small = trim(copy.deepcopy(net), side)
    assert abs(loss_of(net, x, y) - loss_of(small, x, y)) < 1e-12
    grads = {name: p.grad for name, p in net.named_parameters()}
    full = copy.deepcopy(net)
    with torch.no_grad():
        for p in full.parameters(): p.zero_()
        for p in small.parameters(): p.copy_(p.grad)
    for name, p in untrim(small, full).named_parameters():
        torch.testing.assert_close(p, grads[name], rtol=1e-12, atol=1e-12 * grads[name].abs().max().item())


def test_fast_convs_have_the_stock_gradients(net):
    x, y = images(6, 28), torch.randint(0, 2, (6,))
    fast = fast_convs(copy.deepcopy(net))
    assert abs(loss_of(net, x, y) - loss_of(fast, x, y)) < 1e-12
    for p, q in zip(net.parameters(), fast.parameters()):
        torch.testing.assert_close(q.grad, p.grad, rtol=1e-12, atol=1e-12 * p.grad.abs().max().item())


def test_trim_and_untrim_are_a_round_trip(net):
    other = create_vision_model(resnet18, 2, pretrained=False).double()
    small = trim(copy.deepcopy(net))
    x = images(4, 28)
    with torch.no_grad(): torch.testing.assert_close(untrim(small, other).eval()(x), net.eval()(x), rtol=0, atol=1e-12)
    net.train()


@pytest.mark.parametrize(("side", "left"), [(28, 4758080), (14, None), (224, 11704896)])
def test_only_idle_weights_go(net, side, left):
    n = sum(p.numel() for p in trim(copy.deepcopy(net), side).parameters())
    assert n == left if left else n < 4758080


def test_shrink_is_the_mean_of_2x2_pixels(net):
    x = images(4, 28)
    halves = F.avg_pool2d(x[:, :1], 2).expand(-1, 3, -1, -1)
    small = trim(copy.deepcopy(net), 28, shrink=2).eval()
    with torch.no_grad():
        torch.testing.assert_close(small(x), net.eval()(halves.contiguous()), rtol=0, atol=1e-12)
        torch.testing.assert_close(small(x.contiguous()), small(x), rtol=0, atol=1e-12)  # three channels stored
    net.train()


def test_trimmed_weights_train_and_mode_is_kept(net):
    assert trim(copy.deepcopy(net).eval()).training is False
    small = trim(copy.deepcopy(net).train())
    assert small.training and all(p.requires_grad for p in small.parameters())


def test_unusual_convolutions_stay_as_they_are():
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1, groups=2, bias=False),
                          nn.Conv2d(6, 6, 3, padding=2, dilation=2, bias=False),
                          nn.Conv2d(6, 6, 5, padding=2, bias=False),
                          nn.Conv2d(6, 6, 3, padding=1, padding_mode="replicate", bias=False),
                          nn.Conv2d(6, 4, 3, padding=1, stride=(1, 2), bias=False)).double()
    x = torch.rand(2, 3, 2, 2).double()
    before, kinds = model(x), [type(m) for m in model]
    torch.testing.assert_close(trim(model, 2)(x), before, rtol=0, atol=1e-12)
    assert [type(m) for m in model][1:] == kinds[1:]


def test_what_cannot_be_trimmed_is_named(net):
    small = trim(copy.deepcopy(net))
    with pytest.raises(ValueError, match="trimmed before"): trim(small)
    with pytest.raises(ValueError, match="no convolution"): trim(nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(KeyError): untrim(small, nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="shrink is 3; expected 1, 2 or 4"): quick_learner(shrink=3)


def test_quick_learner_starts_like_resnet_learner():
    path = mnist_sample("standin", verbose=False)
    quick, stock = quick_learner(path, seed=4), resnet_learner(path, seed=4, fast=False)
    xb = stock.dls.valid.one_batch()[0].as_subclass(torch.Tensor)[:8]
    quick.model.cpu(); stock.model.cpu()
    with torch.no_grad():
        torch.testing.assert_close(quick.model.eval()(xb.cpu()), stock.model.eval()(xb.cpu()), rtol=1e-3, atol=1e-4)
