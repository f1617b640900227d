"Page 06: six lines and two loops against torch's and fastai's own, to the bit; what is silent, and what speaks."
import pytest
import torch
from fastai.callback.tracker import TerminateOnNaNCallback
from fastai.data.load import DataLoader
from fastai.learner import DataLoaders, Learner
from fastai.optimizer import SGD
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fastbook_ch4.data import Sample
from fastbook_ch4.learner import BasicOptim, StopOnNaN, linear_learner, mnist_dls, train_model
from fastbook_ch4.linear import batch_accuracy, mnist_loss
from fastbook_ch4.sgd import dataloaders, train_epoch, validate_epoch

NAN, OPTIMISERS = float("nan"), (BasicOptim, torch.optim.SGD, SGD)

@pytest.fixture(scope="module")
def few(sample): return Sample(*(o[::n].contiguous() for o, n in zip(sample, (20, 20, 4, 4))))

def model_of(seed=0):
    torch.manual_seed(seed)
    return nn.Linear(784, 1)

def weights_of(model): return torch.cat([p.detach().flatten() for p in model.parameters()])

def fit(learn, *args, **kwargs):
    with learn.no_bar(), learn.no_logging(): learn.fit(*args, **kwargs)
    return learn

def fitted(dls, *args, seed=0, **kwargs):
    torch.manual_seed(seed)
    return fit(linear_learner(dls), *args, **kwargs)

def spoil(x, row): return x.index_fill(0, torch.tensor(row), NAN)

@settings(deadline=None, max_examples=25)
@given(lr=st.sampled_from([0., .125, .5, 1., 2.]), rough=st.floats(.001, 3), steps=st.integers(1, 5), seed=st.integers(0, 99))
def test_basicoptim_is_torchs_sgd(lr, rough, steps, seed):
    def end(make, lr):
        torch.manual_seed(seed)
        net, x = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1)), torch.randn(8, 5)
        opt = make(net.parameters(), lr=lr)
        for _ in range(steps):
            net(x).tanh().mean().backward()
            opt.step()
            opt.zero_grad()
        return weights_of(net)
    exact = [end(make, lr) for make in OPTIMISERS]  # times a power of two is exact: nothing is rounded twice
    assert torch.equal(exact[0], exact[1]) and torch.equal(exact[0], exact[2])
    torch.testing.assert_close(end(BasicOptim, rough), end(torch.optim.SGD, rough), rtol=1e-4, atol=1e-5)

def test_an_optimiser_of_another_model_is_silent_in_the_libraries_and_loud_in_ours(few):
    dl, valid_dl = dataloaders(few, bs=64)
    for make in OPTIMISERS[1:]:
        model = model_of(1)
        train_model(model, make(model_of(0).parameters(), lr=1.), dl, valid_dl, 2)
        assert torch.equal(weights_of(model), weights_of(model_of(1)))
    with pytest.raises(TypeError): train_model(model_of(1), BasicOptim(model_of(0).parameters(), 1.), dl, valid_dl, 2)

def test_five_ways_end_in_the_same_bits_and_report_two_accuracies(few):
    (dl, valid_dl), hand, accs = dataloaders(few, bs=40), model_of(), []
    for _ in range(4):
        train_epoch(hand, .5, list(hand.parameters()), dl)
        accs.append(validate_epoch(hand, valid_dl))
    for make in OPTIMISERS:
        model = model_of()
        assert train_model(model, make(model.parameters(), lr=.5), dl, valid_dl, 4) == accs
        assert torch.equal(weights_of(model), weights_of(hand))
    learn = fitted(mnist_dls(few, bs=40), 4, lr=.5)
    assert torch.equal(weights_of(learn.model), weights_of(hand))
    assert learn.recorder.values[-1][2] == pytest.approx(batch_accuracy(hand(few.valid_x), few.valid_y).item())

def test_linear_learner_on_our_batches_is_linear_learner_on_fastais_own_loaders(few):
    stock = DataLoaders(*(DataLoader(list(zip(x, y)), batch_size=64) for x, y in (few[:2], few[2:])))
    a, b = (fitted(dls, 3, lr=.1) for dls in (stock, mnist_dls(few, bs=64)))
    assert torch.equal(weights_of(a.model), weights_of(b.model)) and a.recorder.values == b.recorder.values

def test_train_model_names_the_epoch_in_which_it_breaks(few):
    (dl, valid_dl), model = dataloaders(few, bs=64), model_of()
    passes = iter([dl, dl, [(xb * NAN, yb) for xb, yb in dl]])

    class Breaking: __iter__ = lambda self: iter(next(passes))
    with pytest.raises(FloatingPointError, match=r"^epoch 3: the loss is nan; try a smaller learning rate"):
        train_model(model, BasicOptim(model.parameters(), 1.), Breaking(), valid_dl, 9)
    assert weights_of(model).isfinite().all()
    nn.init.zeros_(model.weight)  # a step too large for float32
    with pytest.raises(FloatingPointError, match=r"^epoch 1: the loss is nan"):
        train_model(model, SGD(model.parameters(), lr=1e38), [(xb * 1e3, yb) for xb, yb in dl], valid_dl, 9)

def test_what_a_learner_does_with_our_batches(few):
    learn = linear_learner(mnist_dls(few, bs=64, shuffle=True))
    with learn.no_bar(): (loss, acc), (preds, targets) = fit(learn, 2, lr=.5).validate(), learn.get_preds(dl=learn.dls.valid)
    assert torch.equal(targets, few.valid_y) and torch.allclose(preds, learn.model(few.valid_x))
    assert [loss, acc] == pytest.approx([f(preds, targets).item() for f in (mnist_loss, batch_accuracy)], rel=1e-5)

def test_stop_on_nan_names_epoch_and_batch_in_time_and_fastais_own_is_silent_and_late(few):
    dls = mnist_dls(few._replace(train_x=spoil(few.train_x, 130)), bs=64)
    learn = linear_learner(dls)
    with pytest.raises(FloatingPointError, match=r"^epoch 1, training batch 3: the loss is nan; [^\n]*$"): fit(learn, 5, lr=1.)
    assert weights_of(learn.model).isfinite().all()
    silent = fit(Learner(dls, model_of(), mnist_loss, opt_func=SGD, cbs=TerminateOnNaNCallback()), 5, lr=1.)
    assert weights_of(silent.model).isnan().all() and not silent.recorder.values
    with pytest.raises(FloatingPointError, match=r"^epoch 1, validation batch 2: the loss is nan"):
        fitted(mnist_dls(few._replace(valid_x=spoil(few.valid_x, 70)), bs=64), 5, lr=.1)
    batch = torch.ones(4, 1), torch.full((4, 1), 3.)  # this loss grows until it overflows
    learn = Learner(DataLoaders([batch] * 10, [batch]), nn.Linear(1, 1), nn.functional.mse_loss, opt_func=SGD, cbs=StopOnNaN())
    with pytest.raises(FloatingPointError, match=r"^epoch [2-9], training batch \d+: the loss is inf"): fit(learn, 9, lr=5.)

def test_the_figures_of_the_page(mnist):
    dls = mnist_dls(mnist)
    learn = fitted(dls, 1, lr=1.)  # threes first, then sevens: it calls everything a three
    by_batch = [round(batch_accuracy(learn.model(xb), yb).item(), 4) for xb, yb in dls.valid]
    two = validate_epoch(learn.model, dls.valid), round(learn.recorder.values[0][2], 4)
    assert by_batch == [1, 1, 1, .9453, 0, 0, 0, 0] and two == (.4932, .4956)
    sevens, model, means = mnist.valid_x[mnist.valid_y[:, 0] == 0], model_of(), []
    for batch in [*dls.train] * 2:
        train_epoch(model, 1., list(model.parameters()), [batch])
        means.append(round(model(sevens).mean().item(), 1))
    assert [means[i] for i in (0, 48, 93, 95)] == [8.6, 7.6, 2.7, -5.7]  # up in one step, stuck, and down the cliff
    mixed = [fitted(mnist_dls(mnist, shuffle=True), 1, lr=1., seed=o).recorder.values[0][2] for o in range(3)]
    assert min(mixed) > .968 and max(mixed) < .973

def test_what_a_reader_would_try_on_a_learner_works():
    x, y = torch.rand(20, 784), torch.randint(0, 2, (20, 1)).float()
    learn = linear_learner(mnist_dls(Sample(x, y, x[:9], y[:9]), bs=6))
    with learn.no_bar():
        preds, targets = learn.get_preds()
    assert preds.shape == (9, 1) and torch.equal(targets, y[:9])
    assert torch.equal(learn.dls.one_batch()[0], x[:6])
