"The loop: torch's own beside it, bit for bit; batches of every size; what stops it; what the page's check says."
import math

import nbformat
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from fastbook_ch4.data import Sample
from fastbook_ch4.linear import init_params, linear, mnist_loss
from fastbook_ch4.sgd import calc_grad, dataloaders, train_epoch, validate_epoch
from pages import ROOT


@pytest.fixture
def toy():
    x = torch.rand(40, 6, generator=torch.Generator().manual_seed(0))
    return Sample(x[:30], (x[:30, :1] > .5).float(), x[30:], (x[30:, :1] > .5).float())

def start(pixels=6): return init_params((pixels, 1)), init_params(1)
def model_of(params): return lambda xb: linear(xb, *params)
def torchs_epoch(params, lr, dl):
    opt = torch.optim.SGD(params, lr=lr)
    for xb, yb in dl:
        p = torch.sigmoid(xb @ params[0] + params[1])
        torch.where(yb == 1, 1 - p, p).mean().backward()
        opt.step(); opt.zero_grad()

@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("bs", [1, 7, 30, 64])
def test_two_epochs_are_those_of_torch_bit_for_bit(toy, bs, shuffle):
    ours = start()
    theirs = [p.detach().clone().requires_grad_() for p in ours]
    dl, _ = dataloaders(toy, bs, shuffle)
    torch.manual_seed(3)
    for _ in range(2): train_epoch(model_of(ours), .5, ours, dl)
    torch.manual_seed(3)
    for _ in range(2): torchs_epoch(theirs, .5, list(dl) if shuffle else DataLoader(TensorDataset(*toy[:2]), bs))
    assert all(torch.equal(p, o) and p.grad is None for p, o in zip(ours, theirs))  # the same, and cleared

@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 50), st.booleans())
def test_an_epoch_gives_each_image_once_with_its_own_label(n, bs, shuffle):
    x = torch.arange(float(n))[:, None]
    dl, valid_dl = dataloaders(Sample(x, x * 2, x, x), bs, shuffle)
    for batches in (list(dl), list(dl)):
        assert len(batches) == len(dl) == math.ceil(n / bs) and all(len(xb) == bs for xb, _ in batches[:-1])
        assert all(torch.equal(xb * 2, yb) for xb, yb in batches)
        assert sorted(torch.cat([xb for xb, _ in batches])[:, 0].tolist()) == list(range(n))
    assert torch.equal(torch.cat([xb for xb, _ in valid_dl]), x)  # never shuffled

def test_shuffling_mixes_the_batches_anew_and_follows_the_seed():
    x = torch.arange(100.)[:, None]
    (dl, _), (still, _) = (dataloaders(Sample(x, x, x, x), 10, o) for o in (True, False))
    def epoch(): return [set(xb.flatten().tolist()) for xb, _ in dl.to("cpu")]
    first, again, second = (torch.manual_seed(o) and epoch() for o in (1, 1, 2))
    assert first == again != second and epoch() != epoch()
    assert [xb.data_ptr() for xb, _ in still] == [x[i:].data_ptr() for i in range(0, 100, 10)]  # nothing is copied

def test_gradients_are_autograds_and_pile_up(toy):
    params = start()
    loss = (torch.sigmoid(toy.train_x @ params[0] + params[1]) - toy.train_y).abs().mean()
    expected = torch.autograd.grad(loss, params)
    for times in (1, 2):
        assert calc_grad(*toy[:2], model_of(params)).item() == pytest.approx(loss.item())
        for p, e in zip(params, expected): torch.testing.assert_close(p.grad, times * e)

@pytest.mark.parametrize(("value", "where"), [(math.nan, "image"), (math.nan, "weight"), (math.inf, "weight")])
def test_a_loss_that_is_no_number_stops_before_the_step(toy, value, where):
    params = start()
    toy.train_x[3, 3] = 0.  # inf * 0 is nan
    (toy.train_x if where == "image" else params[0].data)[3] = value
    before = [p.detach().clone() for p in params]
    with pytest.raises(FloatingPointError, match=r"^the loss is nan; try a smaller learning rate[^\n]*$"):
        train_epoch(model_of(params), 1., params, [toy[:2]])
    assert all(p.detach().allclose(b, equal_nan=True) and p.grad is None for p, b in zip(params, before))

def test_validation_is_the_mean_of_the_batches_and_asks_for_no_gradient(toy):
    params = start()
    right = ((toy.valid_x @ params[0] + params[1] > 0) == (toy.valid_y == 1)).float()
    by_hand = (right[:4].mean() + right[4:8].mean() + right[8:].mean()) / 3  # 4, 4 and 2 images
    def model(xb):
        assert not torch.is_grad_enabled()
        return linear(xb, *params)
    assert validate_epoch(model, dataloaders(toy, bs=4)[1]) == round(by_hand.item(), 4)

def test_flat_weights_are_refused(toy):
    flat, (dl, valid_dl) = (init_params(6), init_params(1)), dataloaders(toy, bs=10)  # [6] for [6, 1]
    with pytest.raises(ValueError, match=r"\[10\] and \[10, 1\]"): train_epoch(model_of(flat), 1., flat, dl)
    with pytest.raises(ValueError, match=r"\[10\] and \[10, 1\]"): validate_epoch(model_of(flat), valid_dl)

def test_the_books_twenty_accuracies(mnist):
    printed = [.6883, .8314, .9017, .9227, .9349, .9438, .9501, .9535, .9564, .9594, .9618, .9613, .9638, .9643,
               .9652, .9662, .9677, .9687, .9691, .9691, .9696]  # one epoch, then the twenty
    torch.manual_seed(42)
    torch.empty(3916, dtype=torch.int32).random_(), torch.randn(1), torch.empty(349, dtype=torch.int32).random_()
    params, (dl, valid_dl), accs = start(784), dataloaders(mnist), []
    for _ in printed:
        train_epoch(model_of(params), 1., params, dl)
        accs.append(validate_epoch(model_of(params), valid_dl))
    assert accs == pytest.approx(printed, abs=.00011)

def test_the_check_of_the_page_names_what_is_missing():
    cells = nbformat.read(ROOT / "nbs/05_sgd.ipynb", 4).cells
    space = {"torch": torch, "tensor": torch.tensor, "train_epoch": train_epoch, "calc_grad": calc_grad}
    exec(next(c.source for c in cells if c.source.startswith("def check_epoch")), space)
    def epoch(sign=1, clear=True, inside=True, upto=None):
        def run(model, lr, params, dl):
            for i, (xb, yb) in enumerate(dl[:upto]):
                mnist_loss(model(xb), yb).backward()
                for p in params:
                    if inside or i == len(dl) - 1: p.data -= sign * lr * p.grad
                    if clear: p.grad = None
        return run
    said = [space["check_epoch"](o)[:14] for o in (
        lambda *_: None, epoch(-1), epoch(2), epoch(clear=False), epoch(inside=False), epoch(upto=1), epoch())]
    assert said == ["The parameters", "You walk uphil", "It moves, but ", "The second bat", "Only the last ",
                    "Only the first", "right: the sam"]
