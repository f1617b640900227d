"The resnet page's functions: what the page has no room for."
import random

import fastai.torch_core
import pytest
import torch
import torch.nn.functional as F
from fastai.callback.training import ShortEpochCallback
from fastai.vision.core import PILImage
from PIL import Image
from torch import nn

from fastbook_ch4 import resnet
from fastbook_ch4.data import mnist_sample
from fastbook_ch4.resnet import (
    FastConv2d,
    InMemoryDL,
    fast_convs,
    fused_adam,
    resnet_learner,
    small_conv,
    timed_fit,
)


@pytest.fixture
def device_default():
    "Put fastai's choice of device back, whatever a test made of it."
    before = fastai.torch_core.defaults.use_cuda
    yield
    fastai.torch_core.defaults.use_cuda = before


@pytest.fixture(scope="module")
def path(): return mnist_sample("standin", verbose=False)


@pytest.fixture
def few(tmp_path):
    "A folder in the layout, with 6 training and 4 validation images of each digit."
    for half, n in (("train", 6), ("valid", 4)):
        for digit in "37":
            (tmp_path / half / digit).mkdir(parents=True)
            for i in range(n):
                ink = torch.randint(0, 256, (28, 28), dtype=torch.uint8).numpy()
                Image.fromarray(ink).save(tmp_path / half / digit / f"{i}.png")
    return tmp_path


# Convolutions

@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels_last", [False, True])
def test_small_conv_is_the_convolution_with_its_gradients(shape, stride, channels_last):
    x, weight = torch.randn(3, 5, *shape, dtype=torch.double), torch.randn(4, 5, 3, 3, dtype=torch.double)
    if channels_last: x, weight = (o.contiguous(memory_format=torch.channels_last) for o in (x, weight))
    x.requires_grad_(); weight.requires_grad_()
    ours, stock = small_conv(x, weight, stride), F.conv2d(x, weight, stride=stride, padding=1)
    push = torch.randn_like(stock)
    torch.testing.assert_close(ours, stock, rtol=0, atol=1e-12)
    for a, b in zip(torch.autograd.grad(ours, (x, weight), push), torch.autograd.grad(stock, (x, weight), push)):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_small_conv_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="3x2; expected at most 2x2"):
        small_conv(torch.zeros(1, 1, 3, 2), torch.zeros(1, 1, 3, 3))
    with pytest.raises(ValueError, match="expected \\[o, c, 3, 3\\]"):
        small_conv(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 5, 5))


@pytest.mark.parametrize("conv", [
    nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(3, 6, 3, padding=1, stride=2), nn.Conv2d(3, 6, 7, padding=3, stride=2),
    nn.Conv2d(3, 6, 1), nn.Conv2d(3, 6, 5, padding=2, bias=False), nn.Conv2d(3, 6, 3, padding=1, groups=3),
    nn.Conv2d(3, 6, 3, padding=2, dilation=2), nn.Conv2d(3, 6, 3, padding=1, padding_mode="reflect"),
    nn.Conv2d(3, 6, (3, 1), padding=(1, 0)), nn.Conv2d(3, 6, 3, padding=1, stride=(1, 2)),
    nn.Conv2d(3, 6, 3, padding="same"),
])
@pytest.mark.parametrize("side", [2, 5])
@pytest.mark.parametrize("gray", [False, True])
def test_fast_convs_change_no_result(conv, side, gray):
    "Whatever the convolution is, the model gives what it gave: a plain one fast, an unusual one as before."
    x = torch.randn(4, 1, side, side).expand(-1, 3, -1, -1) if gray else torch.randn(4, 3, side, side)
    before, model = conv(x), nn.Sequential(conv)
    torch.testing.assert_close(fast_convs(model)(x), before, rtol=1e-4, atol=1e-5)


def test_fast_convs_keep_parameters_and_names():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))
    before = {k: v.data_ptr() for k, v in model.state_dict().items()}
    assert {k: v.data_ptr() for k, v in fast_convs(fast_convs(model)).state_dict().items()} == before
    assert isinstance(model[0], FastConv2d)


# Loader

def test_in_memory_gives_fastais_batches(path):
    learn, stock = resnet_learner(path), resnet_learner(path, fast=False)
    for o in (learn, stock): o.dls.train.rng = random.Random(1)
    stock.dls.train.fake_l.num_workers = 0
    for (xa, ya), (xb, yb), _ in zip(learn.dls.train, stock.dls.train, range(3)):
        assert torch.equal(xa, xb) and torch.equal(ya, yb)
    assert len(learn.dls.train) == len(stock.dls.train) and len(learn.dls.valid) == len(stock.dls.valid)


def test_every_image_once_an_epoch(few):
    learn = resnet_learner(few, bs=4)
    seen = torch.cat([y for _, y in learn.dls.valid])
    assert seen.tolist().count(0) == 4 and seen.tolist().count(1) == 4
    assert [len(y) for _, y in learn.dls.train] == [4, 4, 4]


def test_predict_show_and_get_preds_work_with_images_in_memory(few):
    learn = resnet_learner(few, bs=4)
    with learn.no_bar(), learn.no_logging():
        preds, targets = learn.get_preds()
        scores = learn.predict(PILImage.create(learn.dls.valid_ds.items[0]))[2]
    assert preds.shape == (8, 2) and sorted(targets.tolist()) == [0] * 4 + [1] * 4
    torch.testing.assert_close(scores, preds[0], rtol=1e-4, atol=1e-5)
    assert isinstance(learn.dls.valid, InMemoryDL)


def test_a_file_that_is_no_28x28_png_is_named(few):
    Image.new("L", (27, 28)).save(few / "train" / "3" / "wide.png")
    learn = resnet_learner(few, bs=4)
    with pytest.raises(ValueError, match=r"wide.png is a 27x28 image"): learn.dls.train.one_batch()


def test_another_picture_format_is_named(few):
    Image.new("L", (28, 28)).save(few / "train" / "3" / "extra.jpg")
    learn = resnet_learner(few, bs=4)
    with pytest.raises(ValueError, match=r"extra.jpg is no .png file"): learn.dls.train.one_batch()


def test_batch_of_one_is_refused(few):
    with pytest.raises(ValueError, match="bs is 1; expected 2 or more"): resnet_learner(few, bs=1)


# Optimiser

def test_fused_adam_leaves_biases_and_norms_without_weight_decay():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    opt = fused_adam([list(model.parameters())], lr=.1)
    opt.set_hypers(wd=.3, lr=.2, mom=.8)
    assert [(len(o["params"]), o["weight_decay"], o["lr"], o["betas"]) for o in opt.opt.param_groups] == [
        (1, .3, .2, (.8, .99)), (3, 0., .2, (.8, .99))]


# Training and its faults

def test_same_seed_same_weights(path):
    ends = []
    for _ in range(2):
        learn = resnet_learner(path, bs=8, seed=5)
        timed_fit(learn, 1, .01, cbs=[ShortEpochCallback(pct=1e-9)])
        ends.append(learn.model[1][-1].weight.detach().clone())
    assert torch.equal(*ends)


def test_timed_fit_runs_whole_epochs(few):
    run = timed_fit(resnet_learner(few, bs=4), 2, .001, one_cycle=True)
    assert run.call == "fit_one_cycle(2, 0.001)" and 0 <= run.accuracy <= 1 and run.seconds > 0
    with pytest.raises(ValueError, match="epochs is 0"): timed_fit(resnet_learner(few, bs=4), 0)


def test_loss_that_is_no_number_stops_the_run(few):
    with pytest.raises(FloatingPointError, match=r"epoch 1, batch \d of 3 \(training\): the loss is (nan|inf)"):
        timed_fit(resnet_learner(few, bs=4), 3, 1e38)


def test_an_error_that_is_not_the_gpus_is_not_swallowed(few, capsys):
    learn, calls = resnet_learner(few, bs=4), []
    def broken(module, x):
        calls.append(module)
        raise RuntimeError("something else")
    learn.model.register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError, match="something else"): timed_fit(learn)
    assert len(calls) == 1 and "training on the CPU" not in capsys.readouterr().out  # not tried a second time


def test_cuda_that_does_not_start_falls_back_to_cpu(few, monkeypatch, capsys, device_default):
    "A GPU is announced, but the first call of the driver fails."
    def no_driver(): raise RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later")
    fastai.torch_core.defaults.use_cuda = None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", no_driver)
    learn = resnet_learner(few, bs=4)
    assert capsys.readouterr().out == "GPU not usable (RuntimeError: CUDA error: out of memory); training on the CPU\n"
    assert timed_fit(learn, 1, .001).device == "cpu"


def test_torch_without_cuda_falls_back_too(few, monkeypatch, capsys, device_default):
    "`is_available` lies; then torch itself says that it was built without CUDA (AssertionError), or finds no driver."
    fastai.torch_core.defaults.use_cuda = None
    monkeypatch.setattr(resnet, "default_device", lambda *a: torch.device("cpu") if a else torch.device("cuda", 0))
    if torch.cuda.is_available(): pytest.skip("CUDA works here")
    learn = resnet_learner(few, bs=4)
    assert "training on the CPU" in capsys.readouterr().out and learn.dls.device.type == "cpu"


def test_out_of_memory_in_the_middle_starts_again(few, capsys, device_default):
    learn, steps = resnet_learner(few, bs=4, seed=1), []

    def full(module, x):
        steps.append(module.training)
        if len(steps) == 3:
            hook.remove()
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    hook = learn.model.register_forward_pre_hook(full)
    before = {k: v.clone() for k, v in learn.model.state_dict().items()}
    restored = []
    def note(module, _): restored.append(module[0][0].weight.detach().clone())
    learn.model.register_load_state_dict_post_hook(note)
    run = timed_fit(learn, 1, 1e-3)
    assert steps == [True] * 3 and torch.equal(restored[0], before["0.0.weight"])
    assert run.device == "cpu" and 0 <= run.accuracy <= 1
    assert all(p.isfinite().all() for p in learn.model.parameters())
    assert capsys.readouterr().out.count("training on the CPU") == 1
