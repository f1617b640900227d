"Page 08: the stock net on folders; a GPU that fails, simulated, and what is no GPU's fault; the stored runs."
import csv
from importlib import resources
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.torch_core import defaults
from PIL import Image

from fastbook_ch4 import resnet
from fastbook_ch4.resnet import resnet_learner

CPU, FULL = torch.device("cpu"), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB\nand a second line")

@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "A few images: bars that lie are threes, bars that stand are sevens."
    root, draw = tmp_path_factory.mktemp("bars"), np.random.default_rng(0)
    for half, n in (("train", 16), ("valid", 8)):
        for digit in "37":
            (target := root / half / digit).mkdir(parents=True)
            for i in range(n):
                (image := draw.integers(0, 60, (28, 28), np.uint8))[8 + i % 8:12 + i % 8] = 255
                Image.fromarray(image if digit == "3" else image.T.copy()).save(target / f"{i}.png")
    return root

@pytest.fixture(autouse=True)
def the_device_of_this_machine(monkeypatch): monkeypatch.setattr(defaults, "use_cuda", False)

def let_it_find(monkeypatch, device):  # or fail, until it asks for the CPU
    monkeypatch.setattr(resnet, "default_device", Mock(side_effect=[device, CPU]))

def fit(learn, *args, call="fit"):
    with learn.no_bar(), learn.no_logging(): getattr(learn, call)(*args)
    return learn

def test_the_net_and_its_labels(folder):
    learn = resnet_learner(folder, bs=8)
    assert sum(p.numel() for p in learn.model.parameters()) == 11_704_896
    assert learn.dls.vocab.o2i == {"3": 0, "7": 1} and learn.dls.train.shuffle and learn.loss_func is torch.nn.functional.cross_entropy
    xb, yb = (o.as_subclass(torch.Tensor) for o in learn.dls.valid.one_batch())
    assert xb.shape == (8, 3, 28, 28) and torch.equal(xb[:, 0], xb[:, 2]) and 0 <= xb.min() and xb.max() == 1
    assert torch.equal(xb[:, 0].mean(2).std(1) > xb[:, 0].mean(1).std(1), yb == 0)  # bars that lie: rows differ more

@pytest.mark.parametrize("call", ["fit", "fit_one_cycle"])
def test_a_small_fit_ends_in_numbers_and_follows_its_rates(folder, call):
    torch.manual_seed(0)
    learn = fit(resnet_learner(folder, bs=8), 1, .01, call=call)
    assert np.isfinite(learn.recorder.values).all()
    rates, momentum = learn.recorder.lrs, learn.opt.hypers[-1]["mom"]
    if call == "fit": assert set(rates) == {.01} and momentum == .9
    else: assert (rates[0], max(rates)) == pytest.approx((.01 / 25, .01)) and momentum > .9

def test_images_that_are_no_numbers_stop_with_the_sentence(folder):
    learn = resnet_learner(folder, bs=8)
    spoil = Callback(before_batch=lambda o: setattr(o.learn, "xb", (o.xb[0] * float("nan"),)))
    with pytest.raises(FloatingPointError, match=r"^epoch 1, training batch 1: the loss is nan; "): fit(learn, 1, .1, None, spoil)

@pytest.mark.parametrize("broken", [RuntimeError("CUDA error: no kernel image\nmore"), FULL], ids=["broken", "full"])
def test_a_device_that_cannot_even_begin(folder, monkeypatch, capsys, broken):
    let_it_find(monkeypatch, broken)
    fit(learn := resnet_learner(folder, bs=8), 1, .01)
    assert capsys.readouterr().out.splitlines()[1:] == [f"the GPU is not usable ({str(broken).splitlines()[0]}); training on the CPU"]
    assert learn.dls.device == CPU and np.isfinite(learn.recorder.values).all()

def test_a_device_that_is_full_at_the_first_step(folder, monkeypatch, capsys):
    let_it_find(monkeypatch, torch.device("meta"))  # all works there, but for this:
    monkeypatch.setattr(torch.optim.Adam, "step", Mock(side_effect=FULL))
    learn = resnet_learner(folder, bs=8)
    assert "the GPU is not usable (CUDA out of memory" in capsys.readouterr().out
    assert learn.dls.device == CPU and all(p.device == CPU for p in learn.model.parameters())

def test_other_errors_are_raised(folder, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(resnet, "vision_learner", Mock(side_effect=RuntimeError("a shape is wrong")))
    with pytest.raises(FileNotFoundError, match="no folders train and valid"): resnet_learner(tmp_path)
    with pytest.raises(RuntimeError, match="a shape is wrong"): resnet_learner(folder)
    assert "GPU" not in capsys.readouterr().out

def test_the_stored_runs_and_their_figures():
    lines = (resources.files("fastbook_ch4") / "runs/resnet.csv").read_text().splitlines()
    assert lines[0].startswith("# python benchmarks/resnet_runs.py") and lines[1] == "call,seed,accuracy"
    runs = {(o["call"], int(o["seed"])): float(o["accuracy"]) for o in csv.DictReader(lines[1:])}
    wrong = {call: sorted(2038 * (1 - v) for (c, _), v in runs.items() if c == call) for call in ("fit", "fit_one_cycle")}
    assert len(runs) == len(lines) - 2 == sum(map(len, wrong.values()))
    assert all(abs(o - round(o)) < .01 for row in wrong.values() for o in row)
    assert wrong["fit_one_cycle"][-1] < 20 and wrong["fit"][-1] > 100  # one tight, one wide

def test_the_figures_of_the_page_without_its_training(mnist):
    learn = resnet_learner()
    assert len(learn.dls.train_ds) == 12_396 and len(learn.dls.valid_ds) == 2038 and len(learn.dls.train) == 193
    images = mnist.valid_x[0].expand(1, 3, -1).view(1, 3, 28, 28)
    sides = [images.shape[2]] + [(images := layer(images)).shape[2] for layer in learn.model.eval()[0]]
    assert sides == [28, 14, 14, 14, 7, 7, 4, 2, 1]
