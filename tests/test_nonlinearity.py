"""What page 06 has no room for: merging any linear layers, bad input, the network against its formula."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fastbook_ch4.data import Sample
from fastbook_ch4.learner import BasicOptim, mnist_dls, train_model
from fastbook_ch4.nonlinearity import collapse_linear, net_learner, simple_net


@settings(deadline=None, max_examples=60)
@given(sizes=st.lists(st.integers(1, 40), min_size=2, max_size=6), seed=st.integers(0, 999),
       biases=st.lists(st.booleans(), min_size=5, max_size=5))
def test_collapse_linear_is_the_composition(sizes, biases, seed):
    torch.manual_seed(seed)
    layers = [nn.Linear(a, b, bias=bias) for a, b, bias in zip(sizes, sizes[1:], biases, strict=False)]
    one, x = collapse_linear(*layers), torch.randn(7, sizes[0])
    assert (one.in_features, one.out_features) == (sizes[0], sizes[-1])
    assert len(list(one.parameters())) == 2
    torch.testing.assert_close(one(x), nn.Sequential(*layers)(x), atol=2e-6, rtol=1e-5)


@settings(deadline=None, max_examples=20)
@given(cut=st.integers(1, 3), seed=st.integers(0, 99))
def test_collapsing_in_two_goes_is_collapsing_at_once(cut, seed):
    torch.manual_seed(seed)
    layers = [nn.Linear(6, 6) for _ in range(4)]
    twice = collapse_linear(collapse_linear(*layers[:cut]), collapse_linear(*layers[cut:]))
    torch.testing.assert_close(twice.weight, collapse_linear(*layers).weight, atol=1e-6, rtol=1e-5)


def test_collapse_linear_of_one_layer_is_a_copy():
    layer = nn.Linear(3, 2)
    one = collapse_linear(layer)
    assert torch.equal(one.weight, layer.weight) and torch.equal(one.bias, layer.bias)
    nn.init.zeros_(one.weight)
    assert layer.weight.abs().sum() > 0  # another memory: the original is left alone


def test_collapse_linear_keeps_the_dtype():
    assert collapse_linear(nn.Linear(3, 2).double(), nn.Linear(2, 1).double()).weight.dtype == torch.float64


@pytest.mark.parametrize("layers, error, words", [
    ((), ValueError, "no layers"),
    ((nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1)), TypeError, "layer 1 is a ReLU"),
    ((nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 1))), TypeError, "layer 1 is a Sequential"),
    ((3,), TypeError, "layer 0 is a int"),
    ((nn.Linear(3, 2), nn.Linear(3, 1)), ValueError, "layer 1 takes 3 numbers, but layer 0 gives 2"),
])
def test_collapse_linear_refuses(layers, error, words):
    with pytest.raises(error, match=words): collapse_linear(*layers)


def test_a_relu_cannot_be_collapsed_away():
    "If any one linear layer gave the same answers, f(x) + f(-x) = 2 f(0) would hold; with ReLU it does not."
    torch.manual_seed(0)
    net, x = simple_net(), torch.randn(50, 784)
    linear = collapse_linear(net[0], net[2])
    with torch.no_grad():
        zero = torch.zeros(1, 784)
        torch.testing.assert_close(linear(x) + linear(-x), 2 * linear(zero).expand(50, 1), atol=1e-5, rtol=1e-5)
        assert (net(x) + net(-x) - 2 * net(zero)).abs().min() > 1e-4


@settings(deadline=None, max_examples=10)
@given(hidden=st.integers(1, 64), n=st.integers(1, 9))
def test_simple_net_is_its_formula(hidden, n):
    net, x = simple_net(hidden), torch.rand(n, 784)
    w1, b1, w2, b2 = net.parameters()
    assert sum(p.numel() for p in net.parameters()) == 784 * hidden + hidden + hidden + 1
    torch.testing.assert_close(net(x), (x @ w1.T + b1).clamp_min(0) @ w2.T + b2, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("hidden", [0, -3, 2.5, None, True, "30"])
def test_simple_net_refuses(hidden):
    with pytest.raises(ValueError, match="hidden is"): simple_net(hidden)


def test_net_learner_equals_the_loop():
    g = torch.Generator().manual_seed(0)
    x = torch.rand(300, 784, generator=g)
    y = (x[:, :392].sum(1) > x[:, 392:].sum(1)).float()[:, None]
    dls = mnist_dls(Sample(x[:250], y[:250], x[250:], y[250:]), bs=50)
    torch.manual_seed(3)
    learn = net_learner(dls, hidden=8)
    with learn.no_bar(), learn.no_logging(): learn.fit(3, .1)
    torch.manual_seed(3)
    model = simple_net(8)
    train_model(model, BasicOptim(model.parameters(), .1), dls.train, dls.valid, 3)
    assert all(torch.equal(p, q) for p, q in zip(learn.model.parameters(), model.parameters(), strict=True))


def test_net_learner_stops_on_nan():
    x = torch.full((4, 784), float("nan"))
    learn = net_learner(mnist_dls(Sample(*(torch.ones(4, n) for n in (784, 1, 784, 1)))))
    learn.dls.train = [(x, torch.ones(4, 1))]
    with learn.no_bar(), learn.no_logging(), pytest.raises(FloatingPointError, match="epoch 1, batch 1 of 1"):
        learn.fit(2, .1)
