"""What page 05 has no room for: bad input, torch as the yardstick, broken runs, the loaders in all that fastai does."""
import math

import pytest
import torch
from fastai.learner import DataLoaders, Learner
from fastai.optimizer import SGD
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fastbook_ch4.data import Sample
from fastbook_ch4.learner import BasicOptim, StopOnNaN, linear_learner, mnist_dls, train_model
from fastbook_ch4.sgd import batch_accuracy, calc_grad, mnist_loss, validate_epoch

NAN = float("nan")


@pytest.fixture
def sample():
    "600 + 100 random images whose label is the sign of a hidden linear score, in order of the label as in the chapter."
    g = torch.Generator().manual_seed(0)
    x, w = torch.rand(700, 784, generator=g) * .1, torch.randn(784, 1, generator=g)
    y = (x @ w > (x @ w).median()).float()
    order = torch.cat([y[:600, 0].argsort(descending=True), torch.arange(600, 700)])
    x, y = x[order], y[order]
    return Sample(x[:600], y[:600], x[600:], y[600:])


def model_of(seed=0):
    torch.manual_seed(seed)
    return nn.Linear(784, 1)


def weights_of(model): return torch.cat([p.detach().flatten() for p in model.parameters()])


def quiet_fit(learn, *args, **kwargs):
    with learn.no_bar(), learn.no_logging(): learn.fit(*args, **kwargs)


# BasicOptim

@settings(deadline=None, max_examples=30)
@given(lr=st.floats(0, 10), steps=st.integers(1, 5), seed=st.integers(0, 99))
def test_basicoptim_is_torchs_sgd(lr, steps, seed):
    ends = []
    for optimiser in (BasicOptim, lambda p, lr: torch.optim.SGD(p, lr=lr), SGD):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1))
        x, opt = torch.randn(8, 5), optimiser(net.parameters(), lr)
        for _ in range(steps):
            net(x).pow(2).mean().backward()
            opt.step()
            opt.zero_grad()
        ends.append(weights_of(net))
    assert torch.equal(ends[0], ends[1]) or ends[0].isnan().any()
    assert torch.equal(ends[0], ends[2]) or ends[0].isnan().any()


def test_basicoptim_clears_and_skips_what_has_no_gradient():
    used, unused = (torch.ones(2, requires_grad=True) for _ in range(2))
    opt = BasicOptim([used, unused], lr=.5)
    used.sum().backward()
    opt.step()
    assert used.tolist() == [.5, .5] and unused.tolist() == [1, 1]
    opt.zero_grad()
    assert used.grad is None and used.requires_grad and used.is_leaf
    with pytest.raises(ValueError, match="no parameter has a gradient"): opt.step()


def test_basicoptim_takes_a_generator_once_and_for_all():
    model = nn.Linear(3, 1)
    opt = BasicOptim((p for p in model.parameters()), 1.)
    for _ in range(2):
        model(torch.ones(1, 3)).sum().backward()
        before = model.bias.item()
        opt.step()
        opt.zero_grad()
        assert model.bias.item() == pytest.approx(before - 1)


@pytest.mark.parametrize("params, lr, error, words", [
    ([], 1., ValueError, "no parameters"),
    ([torch.ones(2)], 1., ValueError, "does not require a gradient"),
    ([1.], 1., TypeError, "a parameter is a float"),
    ([torch.ones(2, requires_grad=True)], NAN, ValueError, "lr is nan"),
    ([torch.ones(2, requires_grad=True)], math.inf, ValueError, "lr is inf"),
    ([torch.ones(2, requires_grad=True)], -1., ValueError, "lr is -1"),
])
def test_basicoptim_refuses(params, lr, error, words):
    with pytest.raises(error, match=words): BasicOptim(params, lr)


# train_model

def test_train_model_is_the_plain_loop(sample):
    dls, model, plain = mnist_dls(sample, bs=64), model_of(), model_of()
    accs = train_model(model, BasicOptim(model.parameters(), .5), dls.train, dls.valid, 3)
    expected = []
    for _ in range(3):
        for xb, yb in dls.train:
            calc_grad(xb, yb, plain)
            for p in plain.parameters():
                p.data -= p.grad * .5
                p.grad = None
        expected.append(validate_epoch(plain, dls.valid))
    assert accs == expected and all(isinstance(o, float) for o in accs)
    assert torch.equal(weights_of(model), weights_of(plain))


def test_train_model_of_no_epochs_and_bad_epochs(sample):
    dls, model = mnist_dls(sample), model_of()
    before, opt = weights_of(model), BasicOptim(model.parameters(), 1.)
    assert train_model(model, opt, dls.train, dls.valid, 0) == []
    assert torch.equal(weights_of(model), before)
    for epochs in (-1, 1.5, "3", None):
        with pytest.raises(ValueError, match="epochs is"): train_model(model, opt, dls.train, dls.valid, epochs)


def test_train_model_leaves_frozen_parameters_alone(sample):
    dls, model = mnist_dls(sample, bs=64), model_of()
    model.bias.requires_grad_(False)
    bias = model.bias.clone()
    train_model(model, SGD([model.weight], lr=1.), dls.train, dls.valid, 1)
    assert torch.equal(model.bias, bias)


@pytest.mark.parametrize("value", [NAN, math.inf, -math.inf])
def test_broken_training_data_stop_train_model_with_epoch_and_batch(sample, value):
    x = sample.train_x.clone()
    x[130, 5] = value
    batches, model = list(zip(x.split(64), sample.train_y.split(64), strict=True)), model_of()
    with pytest.raises(FloatingPointError, match=r"epoch 1: .*not finite.*because batch 3 of the training data"):
        train_model(model, BasicOptim(model.parameters(), 1.), batches, mnist_dls(sample).valid, 20)


def test_data_that_break_later_name_the_later_epoch(sample):
    class Breaking:
        passes = 0

        def __iter__(self):
            self.passes += 1
            x = sample.train_x * (NAN if self.passes >= 3 else 1)
            return zip(x.split(100), sample.train_y.split(100), strict=True)
    model = model_of()
    with pytest.raises(FloatingPointError, match=r"^epoch 3: .* batch 1 of the training data"):
        train_model(model, BasicOptim(model.parameters(), .5), Breaking(), mnist_dls(sample).valid, 9)


def test_broken_validation_data_stop_train_model(sample):
    x, model = sample.valid_x.clone(), model_of()
    x[70, 0] = NAN
    valid = list(zip(x.split(50), sample.valid_y.split(50), strict=True))
    with pytest.raises(ValueError, match="batch 2 of the validation data is not finite"):
        train_model(model, BasicOptim(model.parameters(), 1.), mnist_dls(sample).train, valid, 1)


def test_weights_broken_from_the_start(sample):
    dls, model = mnist_dls(sample), model_of()
    nn.init.constant_(model.weight, math.inf)
    with pytest.raises(FloatingPointError, match=r"epoch 1: .* they were not before the first step"):
        train_model(model, BasicOptim(model.parameters(), 1.), dls.train, dls.valid, 2)


@pytest.mark.parametrize("optimiser", [BasicOptim, SGD, lambda p, lr: torch.optim.SGD(p, lr=lr)])
def test_learning_rate_that_overflows(sample, optimiser):
    dls, model = mnist_dls(sample, bs=64), model_of()
    nn.init.zeros_(model.weight)
    x = sample.train_x * 1e3  # large pixels: the first step leaves the range of float32
    batches = list(zip(x.split(64), sample.train_y.split(64), strict=True))
    with pytest.raises(FloatingPointError, match=r"^epoch 1: .*a learning rate of 1e\+38 is too high"):
        train_model(model, optimiser(model.parameters(), 1e38), batches, dls.valid, 20)


def test_learning_rate_that_saturates(sample):
    dls, model = mnist_dls(sample, bs=64), model_of()
    said = r"^epoch \d+: no weight moved, because every gradient is 0 .* of 10000 is probably too high"
    with pytest.raises(FloatingPointError, match=said):
        train_model(model, BasicOptim(model.parameters(), 1e4), dls.train, dls.valid, 50)


def test_a_solved_problem_is_no_error():
    x, y, model = torch.tensor([[1.], [-1.]]), torch.tensor([[1.], [0.]]), nn.Linear(1, 1)
    nn.init.constant_(model.weight, 200.)
    nn.init.constant_(model.bias, 0.)
    assert train_model(model, BasicOptim(model.parameters(), 1.), [(x, y)], [(x, y)], 3) == [1., 1., 1.]


def test_stale_optimiser_and_no_learning_rate(sample):
    dls, model = mnist_dls(sample), model_of(1)
    others = [optimiser(model_of(0).parameters(), lr=1.) for optimiser in (SGD, torch.optim.SGD)]
    for opt in (*others, BasicOptim(model.parameters(), 0.)):
        with pytest.raises(ValueError, match="epoch 1: no weight moved although the gradient is not 0"):
            train_model(model, opt, dls.train, dls.valid, 3)
    with pytest.raises(ValueError, match="whose parameters these are"):  # ours notices it at the first step
        train_model(model, BasicOptim(model_of(0).parameters(), 1.), dls.train, dls.valid, 3)


def test_an_iterator_is_used_up_after_one_epoch(sample):
    dls, model = mnist_dls(sample), model_of()
    with pytest.raises(ValueError, match="epoch 2: dl gave no batch"):
        train_model(model, BasicOptim(model.parameters(), 1.), iter(dls.train), dls.valid, 3)


# mnist_dls

@settings(deadline=None, max_examples=30)
@given(n=st.integers(1, 50), bs=st.integers(1, 60), shuffle=st.booleans())
def test_batches_hold_each_image_once(n, bs, shuffle):
    x = torch.arange(n).float()[:, None].expand(n, 2).contiguous()
    y = x[:, :1] % 2
    dls = mnist_dls(Sample(x, y, x, y), bs=bs, shuffle=shuffle)
    for half, ordered in ((dls.train, not shuffle), (dls.valid, True)):
        batches = list(half)
        assert len(batches) == len(half) == math.ceil(n / bs)
        assert all(len(xb) == bs for xb, _ in batches[:-1])
        xs, ys = torch.cat([xb for xb, _ in batches]), torch.cat([yb for _, yb in batches])
        assert torch.equal(xs[:, :1] % 2, ys)  # image and label stay together
        assert torch.equal(xs, x) if ordered else torch.equal(xs[:, 0].sort().values, x[:, 0])


def test_shuffle_draws_a_new_order_each_epoch_from_torchs_generator(sample):
    train = mnist_dls(sample, bs=600, shuffle=True).train
    torch.manual_seed(1)
    one, two = next(iter(train))[0], next(iter(train))[0]
    torch.manual_seed(1)
    again = next(iter(train))[0]
    assert not torch.equal(one, two) and torch.equal(one, again)


def test_moving_the_batches(sample):
    dls = mnist_dls(sample)
    assert dls.device == torch.device("cpu") and dls.to(torch.device("meta")).device.type == "meta"
    assert all(o.device.type == "meta" for half in dls for xb_yb in half for o in xb_yb)
    assert sample.train_x.device.type == "cpu"  # the sample itself stays where it is
    assert mnist_dls(sample, device="meta").one_batch()[0].device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_everything_on_cuda(sample):
    learn = linear_learner(mnist_dls(sample, bs=64, device="cuda"))
    quiet_fit(learn, 1, .5)
    assert next(learn.model.parameters()).is_cuda and learn.dls.one_batch()[0].is_cuda
    with learn.no_bar(): assert len(learn.get_preds()[0]) == 100 and len(learn.validate()) == 2


@pytest.mark.parametrize("change, error, words", [
    (lambda s: s._replace(train_x=(s.train_x * 255).byte()), TypeError, "training images and labels are torch.uint8"),
    (lambda s: s._replace(train_x=s.train_x.numpy()), TypeError, "expected tensors of floats"),
    (lambda s: s._replace(valid_y=s.valid_y.long()), TypeError, "validation .* torch.int64"),
    (lambda s: s._replace(valid_y=s.valid_y[:, 0]), ValueError, r"labels \[100\]; expected"),
    (lambda s: s._replace(train_x=s.train_x.view(-1, 28, 28)), ValueError, r"\[600, 28, 28\]"),
    (lambda s: s._replace(train_y=s.train_y[1:]), ValueError, r"labels \[599, 1\]"),
    (lambda s: s._replace(train_x=s.train_x[:0], train_y=s.train_y[:0]), ValueError, "n of 1 or more"),
    (lambda s: s._replace(train_y=s.train_y * NAN), ValueError, r"training labels hold nan or inf \(first in row 0\)"),
    (lambda s: s._replace(train_y=s.train_y * 2), ValueError, "training labels are not all 1 or 0"),
    (lambda s: s._replace(valid_x=s.valid_x.index_fill(0, torch.tensor(9), NAN)), ValueError, r"validation .* row 9"),
])
def test_mnist_dls_refuses(sample, change, error, words):
    with pytest.raises(error, match=words): mnist_dls(change(sample))


@pytest.mark.parametrize("bs", [0, -1, 2.5, True, "64"])
def test_mnist_dls_refuses_batch_sizes(sample, bs):
    with pytest.raises(ValueError, match="bs is"): mnist_dls(sample, bs=bs)


# Learner

def test_learner_equals_the_loop_and_the_stock_loader(sample):
    from fastai.data.load import DataLoader
    dls = mnist_dls(sample, bs=64)
    stock = DataLoaders(*(DataLoader(list(zip(x, y, strict=True)), batch_size=64) for x, y in (sample[:2], sample[2:])))
    ends = []
    for lr in (1., .1):
        for loaders in (dls, stock):
            torch.manual_seed(0)
            learn = linear_learner(loaders)
            quiet_fit(learn, 3, lr=lr)
            ends.append(weights_of(learn.model))
        model = model_of()
        train_model(model, BasicOptim(model.parameters(), lr), dls.train, dls.valid, 3)
        assert torch.equal(ends[-1], ends[-2]) and torch.equal(ends[-1], weights_of(model))


def test_everything_a_learner_does_with_loaders(sample, tmp_path):
    learn = linear_learner(mnist_dls(sample, bs=64, shuffle=True))
    learn.path = tmp_path
    quiet_fit(learn, 2, lr=.5)
    with learn.no_bar():
        loss, acc = learn.validate()
        preds, targets = learn.get_preds()
        train_preds, train_targets = learn.get_preds(ds_idx=0)
        inputs, *_ = learn.get_preds(with_input=True)
    assert torch.equal(targets, sample.valid_y) and torch.equal(inputs, sample.valid_x)
    assert torch.equal(train_targets, sample.train_y)  # in order, though training is shuffled
    assert acc == pytest.approx(batch_accuracy(preds, targets).item())
    assert loss == pytest.approx(mnist_loss(preds, targets).item(), rel=1e-4)
    assert len(train_preds) == 600
    learn.save("weights")
    before = weights_of(learn.model)
    nn.init.zeros_(learn.model.weight)
    learn.load("weights")
    assert torch.equal(weights_of(learn.model), before)
    assert learn.dls.train_ds[3][0].shape == (784,) and len(learn.dls.valid_ds) == 100


def test_stop_on_nan_stops_before_the_weights_are_spoiled(sample):
    x = sample.train_x.clone()
    x[130, 5] = NAN
    batches = list(zip(x.split(64), sample.train_y.split(64), strict=True))
    learn = linear_learner(DataLoaders(batches, mnist_dls(sample).valid))
    said = r"^epoch 1, batch 3 of 10 \(training\): the loss is nan, because the batch holds nan or inf$"
    with pytest.raises(FloatingPointError, match=said):
        quiet_fit(learn, 5, lr=1.)
    assert weights_of(learn.model).isfinite().all()


def test_stop_on_nan_in_validation(sample):
    x = sample.valid_x.clone()
    x[0, 0] = NAN
    learn = linear_learner(DataLoaders(mnist_dls(sample).train, [(x, sample.valid_y)]))
    with pytest.raises(FloatingPointError, match=r"^epoch 1, batch 1 of 1 \(validation\)"): quiet_fit(learn, 5, lr=.1)


def test_stop_on_nan_names_the_learning_rate_and_the_epoch():
    x, y = torch.ones(4, 1), torch.full((4, 1), 3.)
    dls, mse = DataLoaders([(x, y)] * 30, [(x, y)]), nn.functional.mse_loss
    learn = Learner(dls, nn.Linear(1, 1), opt_func=SGD, loss_func=mse, cbs=StopOnNaN())
    with pytest.raises(FloatingPointError, match=r"^epoch [1-5], batch \d+ of 30 .training.: the loss is (inf|nan)"):
        quiet_fit(learn, 5, lr=30.)


def test_stop_on_nan_lets_a_sound_run_pass(sample):
    learn = linear_learner(mnist_dls(sample))
    quiet_fit(learn, 2, lr=.1)
    assert len(learn.recorder.values) == 2 and all(math.isfinite(o) for row in learn.recorder.values for o in row)
