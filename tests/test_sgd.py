"The training loop: bad input, runs that break, and properties over many random cases."
import math
import random
import string
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastbook_ch4.data import Sample, is_mnist, load_sample
from fastbook_ch4.sgd import (
    Batches,
    batch_accuracy,
    calc_grad,
    dataloaders,
    init_params,
    linear,
    mnist_loss,
    sigmoid,
    train_epoch,
    train_linear_closed,
    validate_epoch,
)

BOTH = pytest.mark.parametrize("function", [mnist_loss, batch_accuracy])


@pytest.fixture(scope="module")
def sample(): return load_sample(verbose=False)


@pytest.fixture
def toy():
    "A small problem that a linear model can learn: 40 images of 6 pixels."
    g = torch.Generator().manual_seed(0)
    x = torch.rand(40, 6, generator=g)
    y = (x[:, :1] > x[:, 1:2]).float()
    return Sample(x[:30], y[:30], x[30:], y[30:])


def model_of(w, b): return lambda xb: linear(xb, w, b)


def test_import_brings_in_neither_fastai_nor_matplotlib():
    code = "import sys, fastbook_ch4.sgd; print([o for o in ('fastai', 'matplotlib', 'pandas') if o in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- init_params ----

@pytest.mark.parametrize("size", [0, -1, 2.5, "784", None, (), (784, 0), (784, -1), (784, 1.), [3, "1"], True, {3}])
def test_a_bad_size_is_named(size):
    with pytest.raises(ValueError, match=r"size is .*expected whole numbers above 0"): init_params(size)


@pytest.mark.parametrize("std", [-1, math.nan, math.inf])
def test_a_bad_std_is_named(std):
    with pytest.raises(ValueError, match=r"std is"): init_params(3, std)


@pytest.mark.parametrize(("size", "shape"), [(1, (1,)), ((9, 1), (9, 1)), ([2, 3], (2, 3)), (torch.Size([4]), (4,))])
def test_parameters_are_leaves_that_require_a_gradient(size, shape):
    torch.manual_seed(3)
    params = init_params(size, std=2.)
    torch.manual_seed(3)
    assert torch.equal(params, torch.randn(shape) * 2) and params.requires_grad and params.is_leaf


def test_std_scales():
    torch.manual_seed(0)
    assert init_params(10_000, .02).std().item() == pytest.approx(.02, rel=.05)
    assert (init_params(5, 0.) == 0).all()


# ---- linear ----

@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_linear_equals_a_loop(n, width, seed):
    g = torch.Generator().manual_seed(seed)
    x, w, b = torch.randn(n, width, generator=g), torch.randn(width, 1, generator=g), torch.randn(1, generator=g)
    for row, got in zip(x, linear(x, w, b), strict=True):
        products = [p * q for p, q in zip(row.tolist(), w[:, 0].tolist())]
        assert got.item() == pytest.approx(sum(products) + b.item(), abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.float64])
def test_images_of_another_type_are_refused(dtype):
    with pytest.raises(TypeError, match=rf"{dtype}.*divide by 255"):
        linear(torch.ones(2, 784).to(dtype), torch.zeros(784, 1), torch.zeros(1))


@pytest.mark.parametrize("shape", [(5, 28, 28), (784, 5), (5, 783), (783,)])
def test_images_that_are_not_flat_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected rows of 784 numbers"):
        linear(torch.zeros(shape), torch.zeros(784, 1), torch.zeros(1))


def test_one_image():
    x, w, b = torch.rand(784), torch.rand(784, 1), torch.rand(1)
    assert linear(x, w, b).shape == (1,) and linear(x[None], w, b).shape == (1, 1)
    assert linear(x, w, b).item() == pytest.approx(linear(x[None], w, b).item(), rel=1e-5)


# ---- sigmoid ----

FLOATS = hnp.arrays("float32", hnp.array_shapes(max_dims=3, max_side=6),
                    elements=st.floats(width=32, allow_nan=False, allow_infinity=True))


@given(FLOATS)
@settings(deadline=None, max_examples=100)
def test_sigmoid_stays_in_range_and_equals_torch_in_value_and_slope(values):
    x, again = (torch.from_numpy(values.copy()).requires_grad_() for _ in range(2))
    ours, theirs = sigmoid(x), torch.sigmoid(again)
    assert ((ours >= 0) & (ours <= 1)).all() and ours.shape == x.shape
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-30)
    ours.sum().backward(); theirs.sum().backward()
    assert torch.isfinite(x.grad).all()
    torch.testing.assert_close(x.grad, again.grad, rtol=1e-4, atol=1e-6)


@given(st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=30))
@settings(deadline=None, max_examples=50)
def test_sigmoid_never_falls_and_is_symmetric(values):
    x = torch.tensor(values).sort().values
    assert (sigmoid(x).diff() >= 0).all()
    torch.testing.assert_close(sigmoid(-x), 1 - sigmoid(x), rtol=0, atol=1e-6)


def test_sigmoid_takes_plain_and_whole_numbers_and_keeps_nan():
    assert sigmoid(0.).item() == .5 and sigmoid(0).item() == .5
    assert sigmoid(torch.tensor([0, 100])).tolist() == [.5, 1.]
    assert sigmoid(torch.tensor(math.nan)).isnan()
    assert sigmoid(torch.tensor(1., dtype=torch.float64)).dtype == torch.float64


# ---- mnist_loss and batch_accuracy ----

SCORES = st.lists(st.tuples(st.floats(-1e4, 1e4, width=32), st.booleans()), min_size=1, max_size=60)


def column(values, dtype=torch.float32): return torch.tensor(values, dtype=dtype)[:, None]


@given(SCORES)
@settings(deadline=None, max_examples=100)
def test_loss_is_the_mean_distance_and_stays_in_range(rows):
    preds, targets = column([p for p, _ in rows]), column([t for _, t in rows])
    loss = mnist_loss(preds, targets)
    assert loss.shape == () and 0 <= loss <= 1
    torch.testing.assert_close(loss, (preds.sigmoid() - targets).abs().mean(), rtol=1e-5, atol=1e-6)


@given(SCORES)
@settings(deadline=None, max_examples=100)
def test_accuracy_equals_a_loop(rows):
    preds, targets = column([p for p, _ in rows]), column([t for _, t in rows])
    right = sum((p > 0) == t for p, t in rows if abs(p) > 1e-6 or p == 0)
    skipped = sum(0 < abs(p) <= 1e-6 for p, _ in rows)  # float32 rounds these to exactly one half
    assert right <= round(batch_accuracy(preds, targets).item() * len(rows)) <= right + skipped


@given(SCORES)
@settings(deadline=None, max_examples=50)
def test_swapping_the_targets_mirrors_loss_and_accuracy(rows):
    preds, targets = column([p for p, _ in rows]), column([t for _, t in rows])
    assert mnist_loss(preds, 1 - targets).item() == pytest.approx(1 - mnist_loss(preds, targets).item(), abs=1e-5)
    mirrored = 1 - batch_accuracy(preds, targets).item()
    assert batch_accuracy(preds, 1 - targets).item() == pytest.approx(mirrored, abs=1e-5)


@BOTH
@pytest.mark.parametrize("shapes", [((4, 1), (4,)), ((4,), (4, 1)), ((4, 1), (3, 1)), ((4, 1), (1, 1)), ((), (1,)),
                                    ((2, 2), (4,))])
def test_unequal_shapes_are_refused_in_one_sentence_that_names_both(function, shapes):
    with pytest.raises(ValueError) as e: function(*(torch.zeros(o) for o in shapes))
    assert all(str(list(o)) in str(e.value) for o in shapes) and "\n" not in str(e.value)


@BOTH
def test_an_empty_batch_is_refused(function):
    with pytest.raises(ValueError, match=r"no predictions"): function(torch.zeros(0, 1), torch.zeros(0, 1))


@BOTH
def test_one_image_is_a_batch(function):
    sure = function(torch.tensor([[20.]]), torch.tensor([[1.]])).item()
    assert sure == pytest.approx(0 if function is mnist_loss else 1, abs=1e-6)


@BOTH
@pytest.mark.parametrize("preds", [torch.float32, torch.float64, torch.int64])
@pytest.mark.parametrize("targets", [torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool])
def test_every_mixture_of_types_gives_the_same_number(function, preds, targets):
    p, t = [3, -2, 1, -1], [1, 0, 0, 1]
    expected = function(column(p), column(t)).item()
    assert function(column(p, preds), column(t, targets)).item() == pytest.approx(expected, rel=1e-6)


def test_nan_is_no_answer():
    with pytest.raises(FloatingPointError, match=r"NaN in the predictions"):
        batch_accuracy(torch.tensor([[1.], [math.nan]]), torch.ones(2, 1))
    assert mnist_loss(torch.tensor([[math.nan]]), torch.ones(1, 1)).isnan()  # train_epoch stops at it


# ---- Batches and dataloaders ----

@given(st.integers(1, 40), st.integers(1, 50), st.booleans())
@settings(deadline=None, max_examples=60)
def test_batches_hold_every_row_once_with_its_own_label(n, bs, shuffle):
    x = torch.arange(n).float()[:, None]
    dl = Batches(x, x * 2, bs, shuffle)
    for _ in range(2):  # two epochs
        batches = list(dl)
        assert len(batches) == len(dl) == math.ceil(n / bs)
        assert all(len(xb) == bs for xb, _ in batches[:-1]) and all(torch.equal(xb * 2, yb) for xb, yb in batches)
        assert sorted(torch.cat([xb for xb, _ in batches])[:, 0].tolist()) == list(range(n))


def test_shuffling_draws_a_new_order_each_epoch_and_follows_the_seed():
    dl = Batches(torch.arange(100.)[:, None], torch.zeros(100, 1), 10, shuffle=True)
    torch.manual_seed(1); first, second = ([xb.flatten().tolist() for xb, _ in dl] for _ in range(2))
    torch.manual_seed(1); again = [xb.flatten().tolist() for xb, _ in dl]
    assert first == again and first != second
    assert [set(o) for o in first] != [set(o) for o in second]  # other batches, not other orders inside them


def test_batches_are_slices_of_the_same_memory():
    x = torch.zeros(10, 3)
    assert [xb.data_ptr() for xb, _ in Batches(x, x, 4)] == [x[i:].data_ptr() for i in (0, 4, 8)]


@pytest.mark.parametrize(("x", "y", "bs", "error", "said"), [
    (torch.zeros(3, 2), torch.zeros(4, 1), 2, ValueError, "3 images and 4 labels"),
    (torch.zeros(0, 2), torch.zeros(0, 1), 2, ValueError, "0 images"),
    (torch.zeros(3, 2), torch.zeros(3, 1), 0, ValueError, "bs is 0"),
    (torch.zeros(3, 2), torch.zeros(3, 1), 2.5, ValueError, "bs is 2.5"),
    (torch.zeros(3, 2, dtype=torch.uint8), torch.zeros(3, 1), 2, TypeError, "torch.uint8.*divide by 255"),
    (torch.tensor([[1.], [math.nan]]), torch.zeros(2, 1), 2, ValueError, "NaN or inf in the images"),
    (torch.tensor([[1.], [-math.inf]]), torch.zeros(2, 1), 2, ValueError, "NaN or inf in the images")])
def test_bad_batches_are_refused(x, y, bs, error, said):
    with pytest.raises(error, match=said): Batches(x, y, bs)


@pytest.mark.parametrize("label", [2., 7., -1., .5, math.nan])
@pytest.mark.parametrize("half", ["train_y", "valid_y"])
def test_labels_other_than_one_and_zero_are_refused(toy, half, label):
    y = getattr(toy, half).clone(); y[1] = label
    with pytest.raises(ValueError, match=r"labels other than 1 and 0"): dataloaders(toy._replace(**{half: y}))


def test_validation_is_never_shuffled(toy):
    dl, valid_dl = dataloaders(toy, bs=7, shuffle=True)
    assert dl.shuffle and not valid_dl.shuffle
    assert torch.equal(torch.cat([xb for xb, _ in valid_dl]), toy.valid_x)


# ---- calc_grad and train_epoch ----

def test_gradients_are_those_of_autograd_and_add_up(toy):
    w, b = init_params((6, 1)), init_params(1)
    loss = F.l1_loss((toy.train_x @ w + b).sigmoid(), toy.train_y)
    expected = torch.autograd.grad(loss, (w, b))
    assert calc_grad(*toy[:2], model_of(w, b)).item() == pytest.approx(loss.item(), rel=1e-6)
    for p, e in zip((w, b), expected): torch.testing.assert_close(p.grad, e, rtol=1e-4, atol=1e-7)
    calc_grad(*toy[:2], model_of(w, b))
    for p, e in zip((w, b), expected): torch.testing.assert_close(p.grad, 2 * e, rtol=1e-4, atol=1e-7)


def test_one_epoch_is_that_of_torch_sgd(toy):
    w, b = init_params((6, 1)), init_params(1)
    other = [p.detach().clone().requires_grad_() for p in (w, b)]
    opt = torch.optim.SGD(other, lr=.5)
    dl, _ = dataloaders(toy, bs=8)
    for xb, yb in dl:
        opt.zero_grad(); mnist_loss(xb @ other[0] + other[1], yb).backward(); opt.step()
    assert train_epoch(model_of(w, b), .5, (p for p in (w, b)), dl) is None  # params may be a generator
    for p, e in zip((w, b), other): torch.testing.assert_close(p, e, rtol=1e-6, atol=1e-7)
    assert all(p.is_leaf and p.requires_grad and not (p.grad is not None and p.grad.any()) for p in (w, b))


def test_a_gradient_left_by_somebody_else_does_no_harm(toy):
    w, b = init_params((6, 1)), init_params(1)
    clean = [p.detach().clone().requires_grad_() for p in (w, b)]
    calc_grad(*toy[:2], model_of(w, b))
    dl, _ = dataloaders(toy, bs=8)
    train_epoch(model_of(w, b), 1., (w, b), dl)
    train_epoch(model_of(*clean), 1., clean, dl)
    assert torch.equal(w, clean[0]) and torch.equal(b, clean[1])


def test_it_learns(toy):
    w, b = (torch.zeros(o).requires_grad_() for o in ((6, 1), (1,)))
    dl, valid_dl = dataloaders(toy, bs=8, shuffle=True)
    torch.manual_seed(0)
    for epoch in range(60): train_epoch(model_of(w, b), 5., (w, b), dl, epoch)
    assert validate_epoch(model_of(w, b), dl) > .9 and validate_epoch(model_of(w, b), valid_dl) > .75
    assert w[0] > 0 > w[1]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["images", "labels"])
def test_nan_or_inf_in_a_batch_stops_before_the_weights_are_spoilt(toy, where, value):
    w, b = (torch.zeros(o).requires_grad_() for o in ((6, 1), (1,)))
    with torch.no_grad(): w += .1
    x, y = toy.train_x.clone(), toy.train_y.clone()
    (x if where == "images" else y)[17, 0] = value
    good = [p.detach().clone().requires_grad_() for p in (w, b)]
    train_epoch(model_of(*good), 1., good, list(zip(x[:16].split(8), y[:16].split(8))))
    with pytest.raises(FloatingPointError, match=rf"stopped at epoch 4, batch 2: there is NaN or inf in {where}"):
        train_epoch(model_of(w, b), 1., (w, b), list(zip(x.split(8), y.split(8))), epoch=4)
    assert torch.equal(w, good[0]) and torch.equal(b, good[1])  # two good batches, and nothing of the third
    assert w.grad is None and b.grad is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_nan_or_inf_in_the_weights_is_said(toy, which, value):
    params = [torch.zeros(6, 1), torch.zeros(1)]
    params[which][0] = value
    for p in params: p.requires_grad_()
    with pytest.raises(FloatingPointError, match=r"stopped at .*NaN or inf in the parameters"):
        train_epoch(model_of(*params), 1., params, dataloaders(toy)[0])


def test_a_learning_rate_that_diverges_is_named_with_the_epoch(toy):
    w, b = init_params((6, 1)), init_params(1)
    with pytest.raises(FloatingPointError, match=r"stopped at epoch 0, batch \d+: .*lr=1e\+42 is too large"):
        for epoch in range(20): train_epoch(model_of(w, b), 1e42, (w, b), dataloaders(toy, bs=8)[0], epoch)


def test_a_loss_that_grows_without_end_stops():
    w = torch.ones(1, 1).requires_grad_()
    x = torch.full((2, 1), 1e30)

    def runaway(xb): return (xb @ w)**2 * float("inf")
    with pytest.raises(FloatingPointError, match=r"stopped at batch 0"):
        train_epoch(runaway, 1., [w], [(x, torch.zeros(2, 1))])


@pytest.mark.parametrize("lr", [math.nan, math.inf])
def test_a_learning_rate_that_is_no_number_is_refused(toy, lr):
    w, b = init_params((6, 1)), init_params(1)
    before = w.detach().clone()
    with pytest.raises(ValueError, match=r"lr is"): train_epoch(model_of(w, b), lr, (w, b), dataloaders(toy)[0])
    assert torch.equal(w, before)


def test_a_loader_that_is_used_up_is_refused(toy):
    w, b = init_params((6, 1)), init_params(1)
    pairs = zip(toy.train_x.split(8), toy.train_y.split(8))
    train_epoch(model_of(w, b), 1., (w, b), pairs)
    with pytest.raises(ValueError, match=r"gave no batch"): train_epoch(model_of(w, b), 1., (w, b), pairs)
    with pytest.raises(ValueError, match=r"gave no batch"): validate_epoch(model_of(w, b), pairs)


def test_a_parameter_that_the_model_does_not_use_is_refused(toy):
    w, b, spare = init_params((6, 1)), init_params(1), init_params(2)
    with pytest.raises(ValueError, match=r"got no gradient"):
        train_epoch(model_of(w, b), 1., (w, b, spare), dataloaders(toy)[0])


def test_flat_weights_are_refused_in_training_and_validation(toy):
    w, b = init_params(6), init_params(1)  # [6] where [6, 1] is meant
    dl, valid_dl = dataloaders(toy)
    with pytest.raises(ValueError, match=r"\[30\] and targets \[30, 1\]"): train_epoch(model_of(w, b), 1., (w, b), dl)
    with pytest.raises(ValueError, match=r"\[10\] and targets \[10, 1\]"): validate_epoch(model_of(w, b), valid_dl)


# ---- validate_epoch ----

def test_batches_count_the_same_whatever_their_size():
    ones = torch.ones(9, 1)
    assert validate_epoch(lambda xb: xb, [(ones, ones), (ones[:1], 0 * ones[:1])]) == .5
    assert validate_epoch(lambda xb: xb, [(ones[:3], torch.tensor([[1.], [1.], [0.]]))]) == .6667


def test_validation_records_no_gradient(toy):
    w, b = init_params((6, 1)), init_params(1)

    def model(xb):
        assert not torch.is_grad_enabled()
        return linear(xb, w, b)
    assert 0 <= validate_epoch(model, dataloaders(toy)[1]) <= 1


def test_nan_in_validation_is_no_accuracy(toy):
    with pytest.raises(FloatingPointError, match=r"NaN"):
        validate_epoch(lambda xb: xb[:, :1] * math.nan, dataloaders(toy)[1])


# ---- the closed form ----

@pytest.mark.parametrize("bs", [1, 7, 30, 256])
def test_closed_form_gives_the_weights_of_the_loop(toy, bs):
    torch.manual_seed(0)
    w, b = init_params((6, 1)), init_params(1)
    loop = [p.detach().clone().requires_grad_() for p in (w, b)]
    dl, valid_dl = dataloaders(toy, bs)
    expected = []
    for _ in range(5):
        train_epoch(model_of(*loop), .7, loop, dl)
        expected.append(validate_epoch(model_of(*loop), valid_dl))
    assert train_linear_closed(toy, w, b, lr=.7, epochs=5, bs=bs) == pytest.approx(expected, abs=1e-4)
    torch.testing.assert_close(w, loop[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(b, loop[1], rtol=0, atol=1e-5)
    assert w.is_leaf and w.requires_grad and w.grad is None


@pytest.mark.parametrize(("weights", "bias", "lr", "said"), [
    ((6,), (1,), 1., r"weights have shape \[6\]"), ((6, 1), (2,), 1., r"bias \[2\]"),
    ((5, 1), (1,), 1., r"expected \[6, 1\] and \[1\]"), ((6, 1), (1,), math.nan, "lr is nan")])
def test_closed_form_refuses_what_does_not_fit(toy, weights, bias, lr, said):
    with pytest.raises(ValueError, match=said): train_linear_closed(toy, torch.zeros(weights), torch.zeros(bias), lr=lr)


def test_closed_form_refuses_broken_images(toy):
    x = toy.train_x.clone(); x[0, 0] = math.nan
    with pytest.raises(ValueError, match="NaN or inf in the images"):
        train_linear_closed(toy._replace(train_x=x), torch.zeros(6, 1), torch.zeros(1))


@pytest.mark.parametrize("start", [math.nan, math.inf])
def test_closed_form_stops_and_names_the_epoch(toy, start):
    with pytest.raises(FloatingPointError, match=r"stopped in epoch 0: .*NaN or inf in the parameters"):
        train_linear_closed(toy, torch.full((6, 1), start), torch.zeros(1))


# ---- what the chapter prints ----

def test_six_predictions_and_their_accuracy(sample):
    if not is_mnist(sample): pytest.skip("not MNIST itself")
    torch.manual_seed(42)
    torch.randn(20); torch.randn(3)
    preds = linear(sample.train_x, init_params((784, 1)), init_params(1)).detach()
    assert torch.cat([preds[:3], preds[-3:]])[:, 0].tolist() == pytest.approx(
        [20.2336, 17.0644, 15.2384, 18.3804, 23.8567, 28.6816], abs=1e-4)
    assert ((preds > 0).float() == sample.train_y).float().mean().item() == 0.4912068545818329


def test_twenty_accuracies(sample):
    if not is_mnist(sample): pytest.skip("not MNIST itself")
    printed = [.5219, .6883, .8314, .9017, .9227, .9349, .9438, .9501, .9535, .9564, .9594, .9618, .9613, .9638, .9643,
               .9652, .9662, .9677, .9687, .9691, .9691, .9696]
    torch.manual_seed(42)
    torch.empty(3916, dtype=torch.int32).random_(); torch.randn(1); torch.empty(349, dtype=torch.int32).random_()
    w, b = init_params((784, 1)), init_params(1)
    dl, valid_dl = dataloaders(sample)
    accs = [validate_epoch(model_of(w, b), valid_dl)]
    for epoch in range(21):
        train_epoch(model_of(w, b), 1., (w, b), dl, epoch)
        accs.append(validate_epoch(model_of(w, b), valid_dl))
    assert accs == pytest.approx(printed, abs=.00011)


def test_same_batches_and_weights_bit_for_bit_as_fastais_loader(sample):
    from fastai.data.load import DataLoader
    small = Sample(sample.train_x[::16], sample.train_y[::16], sample.valid_x, sample.valid_y)
    ours, _ = dataloaders(small, bs=64)
    stock = DataLoader(list(zip(small.train_x, small.train_y)), batch_size=64)
    out = []
    for dl in (ours, stock):
        torch.manual_seed(0)
        w, b = init_params((784, 1)), init_params(1)
        train_epoch(model_of(w, b), 1., (w, b), dl)
        out.append((w, b))
    assert torch.equal(out[0][0], out[1][0]) and torch.equal(out[0][1], out[1][1])


def test_the_printed_letter_batches():
    from fastai.data.load import DataLoader
    random.seed(42)
    list(DataLoader(range(15), batch_size=5, shuffle=True))
    batches = list(DataLoader(list(enumerate(string.ascii_lowercase)), batch_size=6, shuffle=True))
    assert [o.tolist() for o, _ in batches] == [[17, 18, 10, 22, 8, 14], [20, 15, 9, 13, 21, 12], [7, 25, 6, 5, 11, 23],
                                                 [1, 3, 0, 24, 19, 16], [2, 4]]
    assert "".join(c for _, letters in batches for c in letters) == "rskwioupjnvmhzgflxbdaytqce"
