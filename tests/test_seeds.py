"Many models at once against single runs, and what happens with bad input."
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fastbook_ch4 import seeds as module
from fastbook_ch4.data import Sample
from fastbook_ch4.seeds import linear_starts, spread, train_columns, train_models, train_net_seeds, train_seeds
from fastbook_ch4.sgd import dataloaders, init_params, linear, train_epoch, validate_epoch


def make_sample(n, m, size, seed, dark=0.):
    "Random images; a share `dark` of the pixels is 0 in every training image, but not in validation."
    g = torch.Generator().manual_seed(seed)
    def images(k): return torch.rand(k, size, generator=g) * (torch.rand(k, size, generator=g) > .4)
    def labels(k): return torch.randint(2, (k, 1), generator=g).float()
    train_x = images(n) * (torch.rand(size, generator=g) >= dark)
    return Sample(train_x, labels(n), images(m), labels(m))


def single_run(sample, model, params, epochs, lr, bs):
    "Accuracies of one model by page 04's functions, and how near its scores ever came to the border."
    dl, valid_dl = dataloaders(sample, bs=bs)
    accs, margin = [], math.inf
    for _ in range(epochs):
        train_epoch(model, lr, params, dl)
        accs.append(validate_epoch(model, valid_dl))
        with torch.no_grad(): margin = min(margin, model(sample.valid_x).abs().min().item())
    return torch.tensor(accs), margin


samples = st.builds(make_sample, n=st.integers(1, 40), m=st.integers(1, 12), size=st.integers(1, 9),
                    seed=st.integers(0, 10_000), dark=st.sampled_from([0., .3, 1.]))


@settings(max_examples=60, deadline=None)
@given(sample=samples, seeds=st.lists(st.integers(0, 2**40), min_size=1, max_size=5), epochs=st.integers(1, 4),
       lr=st.sampled_from([0., .05, 1., 3.]), bs=st.integers(1, 50))
def test_train_seeds_is_many_single_runs(sample, seeds, epochs, lr, bs):
    size = sample.train_x.shape[1]
    accs = train_seeds(sample, seeds, epochs, lr, bs)
    assert accs.shape == (epochs, len(seeds)) and accs.dtype == torch.float32
    weights, bias = linear_starts(seeds, size)
    assert torch.equal(train_columns(sample, weights, bias, epochs, lr, bs), accs)
    for k, seed in enumerate(seeds):
        torch.manual_seed(seed)
        w, b = init_params((size, 1)), init_params(1)
        single, margin = single_run(sample, lambda xb, w=w, b=b: linear(xb, w, b), (w, b), epochs, lr, bs)
        assert torch.allclose(weights[:, k:k + 1], w.detach(), atol=1e-5)
        assert torch.allclose(bias[k], b.detach(), atol=1e-5)
        if margin > 1e-4: assert torch.allclose(accs[:, k], single, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(sample=samples, seeds=st.lists(st.integers(0, 2**40), min_size=1, max_size=5), epochs=st.integers(1, 3),
       hidden=st.integers(1, 4), bs=st.integers(1, 50), chunk=st.integers(1, 6))
def test_train_net_seeds_is_many_single_runs(sample, seeds, epochs, hidden, bs, chunk):
    size = sample.train_x.shape[1]
    def make(): return nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, 1))
    accs = train_net_seeds(sample, seeds, epochs, .5, bs, hidden, chunk=chunk)
    by_vmap = train_models(sample, seeds, make, epochs, .5, bs)
    for k, seed in enumerate(seeds):
        torch.manual_seed(seed)
        net = make()
        single, margin = single_run(sample, net, list(net.parameters()), epochs, .5, bs)
        if margin > 1e-4:
            assert torch.allclose(accs[:, k], single, atol=1e-5)
            assert torch.allclose(by_vmap[:, k], single, atol=1e-5)


tiny = make_sample(60, 20, 8, 1)


def test_a_column_does_not_depend_on_its_neighbours():
    alone, together = train_seeds(tiny, [7], 5), train_seeds(tiny, [3, 7, 9, 7], 5)
    assert torch.equal(alone[:, 0], together[:, 1]) and torch.equal(together[:, 1], together[:, 3])


@pytest.mark.parametrize("train", [train_seeds, train_net_seeds])
def test_a_rate_per_column(train):
    rates = [.01, 5.]
    both = train(tiny, [4, 4], 6, lr=rates)
    for k, lr in enumerate(rates): assert torch.equal(both[:, k], train(tiny, [4], 6, lr=lr)[:, 0])
    assert not torch.equal(both[:, 0], both[:, 1])
    if train is train_net_seeds: assert torch.equal(both, train(tiny, [4, 4], 6, lr=rates, chunk=1))


@pytest.mark.parametrize("train", [train_seeds, train_net_seeds])
def test_shuffling_is_a_new_order_each_epoch_the_same_for_all_columns(train):
    a, b = (train(tiny, [1, 2, 3], 8, bs=7, shuffle=True, order=o) for o in (0, 1))
    assert not torch.equal(a, b) and not torch.equal(a, train(tiny, [1, 2, 3], 8, bs=7))
    assert torch.equal(a, train(tiny, [1, 2, 3], 8, bs=7, shuffle=True))
    assert torch.equal(a[:, 2:], train(tiny, [3], 8, bs=7, shuffle=True))
    if train is train_net_seeds: assert torch.equal(a, train(tiny, [1, 2, 3], 8, bs=7, shuffle=True, chunk=1))


def test_shuffled_run_equals_a_single_run_in_that_order():
    weights, bias = linear_starts([5], 8)
    w, b = weights.clone().requires_grad_(), bias.clone().requires_grad_()
    train_columns(tiny, weights, bias, epochs=3, bs=16, shuffle=True, order=9)
    generator = torch.Generator().manual_seed(9)
    for _ in range(3):
        rows = torch.randperm(60, generator=generator)
        dl = list(zip(tiny.train_x[rows].split(16), tiny.train_y[rows].split(16), strict=True))
        train_epoch(lambda xb: linear(xb, w, b), 1., (w, b), dl)
    assert torch.allclose(weights, w.detach(), atol=1e-6) and torch.allclose(bias, b.detach(), atol=1e-6)


def test_weights_of_pixels_that_are_always_dark_keep_their_start():
    sample = make_sample(60, 20, 8, 1, dark=.5)
    dark = (sample.train_x == 0).all(0)
    assert 0 < dark.sum() < 8 and (sample.valid_x[:, dark] > 0).any()
    start, bias = linear_starts([1, 2], 8)
    weights = start.clone()
    train_columns(sample, weights, bias)
    assert torch.equal(weights[dark], start[dark]) and not torch.equal(weights[~dark], start[~dark])


@pytest.mark.parametrize("call", [lambda: linear_starts([1, 2]), lambda: train_seeds(tiny, [1], 1, shuffle=True),
                                  lambda: train_net_seeds(tiny, [1], 1, shuffle=True),
                                  lambda: train_models(tiny, [1], lambda: nn.Linear(8, 1), 1)])
def test_the_random_state_of_the_caller_stays(call):
    torch.manual_seed(11)
    before = torch.get_rng_state()
    call()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_sample_is_not_changed_and_may_be_a_tuple():
    before = [o.clone() for o in tiny]
    assert torch.equal(train_seeds(tuple(tiny), [1], 2), train_seeds(tiny, [1], 2))
    train_net_seeds(tiny, [1], 2)
    assert all(torch.equal(a, b) for a, b in zip(tiny, before, strict=True))


def test_float64_images_are_trained_in_float64():
    double = Sample(*(o.double() for o in tiny))
    assert torch.allclose(train_seeds(double, [1, 2], 3), train_seeds(tiny, [1, 2], 3), atol=1e-5)
    assert train_net_seeds(double, [1, 2], 3).shape == (3, 2)


def test_the_net_starts_as_simple_net_does():
    from fastbook_ch4.nonlinearity import simple_net
    sample = make_sample(30, 10, 784, 0)
    assert torch.equal(train_net_seeds(sample, [3, 4], 3), train_models(sample, [3, 4], simple_net, 3))


def test_start_and_scale():
    assert not linear_starts([1], 5, 'zeros')[0].any()
    assert torch.allclose(linear_starts([1], 5, std=.1)[0], linear_starts([1], 5)[0] / 10)


def with_nan(half):
    x = getattr(tiny, half).clone()
    x[3, 2] = math.nan
    return tiny._replace(**{half: x})


@pytest.mark.parametrize("kwargs, says", [
    ({"seeds": []}, "seeds is empty"), ({"seeds": 5}, r"seeds is 5; expected .*range\(100\)"),
    ({"seeds": [1.5]}, "whole number"),
    ({"seeds": ["a"]}, "whole number"), ({"seeds": [2**64]}, "outside the range"), ({"epochs": 0}, "epochs is 0"),
    ({"epochs": 1.5}, "epochs is 1.5"), ({"bs": 0}, "bs is 0"), ({"bs": None}, "bs is None"),
    ({"lr": [1., 2.]}, r"lr has shape \[2\]"), ({"lr": math.nan}, "finite"), ({"lr": math.inf}, "finite"),
    ({"sample": tiny._replace(train_y=tiny.train_y[:, 0])}, r"train_y is \[60\].* column"),
    ({"sample": tiny._replace(train_x=tiny.train_x[:50])}, r"train_x is \[50, 8\] and train_y is \[60, 1\]"),
    ({"sample": tiny._replace(train_x=tiny.train_x.view(60, 2, 4))}, r"\[60, 2, 4\].* rows"),
    ({"sample": tiny._replace(valid_x=tiny.valid_x[:, :5])}, "8 pixels a row, valid_x 5"),
    ({"sample": Sample(*(o[:0] for o in tiny))}, "at least 1"),
    ({"sample": tiny._replace(valid_x=tiny.valid_x.to(torch.uint8))}, "valid_x has dtype torch.uint8"),
    ({"sample": tiny._replace(train_y=tiny.train_y * 3)}, "train_y holds .* expected 0 and 1"),
    ({"sample": with_nan("train_x")}, "train_x holds NaN or inf, first in row 3"),
    ({"sample": with_nan("valid_x")}, "valid_x holds NaN or inf, first in row 3"),
])
@pytest.mark.parametrize("train", [train_seeds, train_net_seeds, train_models])
def test_bad_input_is_named_in_one_sentence(train, kwargs, says):
    if train is train_models: kwargs = {"make": lambda: nn.Linear(8, 1)} | kwargs
    with pytest.raises(ValueError, match=says) as caught: train(**({"sample": tiny, "seeds": range(3)} | kwargs))
    assert "\n" not in str(caught.value)


def test_more_bad_input():
    with pytest.raises(ValueError, match="init is 'uniform'"): train_seeds(tiny, [1], init="uniform")
    with pytest.raises(ValueError, match="size is 0"): linear_starts([1], 0)
    with pytest.raises(ValueError, match="chunk is 0"): train_net_seeds(tiny, [1], chunk=0)
    with pytest.raises(ValueError, match="hidden is -1"): train_net_seeds(tiny, [1], hidden=-1)
    with pytest.raises(ValueError, match=r"weights is \[784, 1\] and bias is \[1\]; expected \[8, k\]"):
        train_columns(tiny, *linear_starts([1]))
    with pytest.raises(ValueError, match=r"bias is \[2\]"): train_columns(tiny, torch.zeros(8, 3), torch.zeros(2))
    with pytest.raises(ValueError, match="buffers"):
        train_models(tiny, [1], lambda: nn.Sequential(nn.Linear(8, 1), nn.BatchNorm1d(1)))
    with pytest.raises(ValueError, match="got 1 values"): spread([1.])
    with pytest.raises(ValueError, match="finite"): spread([1., math.nan])


@pytest.mark.parametrize("train, epoch", [(train_seeds, 1), (train_net_seeds, 2)])
def test_weights_that_become_infinite_stop_the_run_with_epoch_and_seed(train, epoch):
    sample = tiny._replace(train_x=tiny.train_x * 255)
    with pytest.raises(FloatingPointError, match=rf"^epoch {epoch}: the weights of 1 of 3 .*\(seed 12\)") as caught:
        train(sample, [10, 11, 12], lr=[1e-4, 1e-4, 3e38], **({"std": 1e-4} if train is train_seeds else {}))
    assert "10" not in str(caught.value)


def test_not_more_than_five_columns_are_named():
    sample = tiny._replace(train_x=tiny.train_x * 255)
    with pytest.raises(FloatingPointError, match=r"epoch 1: the weights of 8 of 9 .*\(1, 2, 3, 4, 5 and 3 more\)"):
        train_columns(sample, torch.zeros(8, 9), torch.zeros(9), lr=[1e-4] + [1e38] * 8)


def test_any_model_stops_too():
    sample = tiny._replace(train_x=tiny.train_x * 255)
    def make():
        layer = nn.Linear(8, 1)
        nn.init.zeros_(layer.weight)
        return layer
    with pytest.raises(FloatingPointError, match=r"epoch [12]: the weights of 2 of 2 .*\(seed 1, seed 2\)"):
        train_models(sample, [1, 2], make, lr=1e38)


def test_a_start_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="the start holds NaN or inf"):
        train_columns(tiny, torch.full((8, 2), math.nan), torch.zeros(2))
    with pytest.raises(ValueError, match="the start holds NaN or inf"): train_seeds(tiny, [1], std=math.inf)
    def make():
        layer = nn.Linear(8, 1)
        nn.init.constant_(layer.weight, math.inf)
        return layer
    with pytest.raises(ValueError, match="the start holds NaN or inf"): train_models(tiny, [1], make)


def test_progress_bar_for_a_person_only(monkeypatch, capsys):
    train_seeds(tiny, [1], 3)
    assert capsys.readouterr() == ("", "")
    asked = []
    def bar(steps, total, leave):
        asked.append((total, leave))
        return steps
    monkeypatch.setattr("fastprogress.progress_bar", bar)
    monkeypatch.setattr(module, "_somebody_watches", lambda: True)
    expected = train_net_seeds(tiny, range(5), 3, chunk=2)
    assert asked == [(9, False)] and expected.shape == (3, 5)
    train_seeds(tiny, [1], 3)
    assert asked[1:] == [(3, False)]


def test_who_watches(monkeypatch):
    class Shell: kernel = None
    class Kernel: _allow_stdin = True
    import IPython
    shell = Shell()
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    shell.kernel = Kernel()
    assert module._somebody_watches()
    shell.kernel._allow_stdin = False
    assert not module._somebody_watches()


def test_the_real_progress_bar_gives_the_same_accuracies(monkeypatch, capsys):
    plain = train_net_seeds(tiny, range(5), 3, chunk=2)
    monkeypatch.setattr(module, "_somebody_watches", lambda: True)
    assert torch.equal(train_net_seeds(tiny, range(5), 3, chunk=2), plain)
    weights, bias = linear_starts([1], 8)
    start = weights.clone()
    train_columns(tiny, weights, bias, 2)
    assert not torch.equal(weights, start)  # written back at the end, with a bar as well


def test_spread_against_plain_formulas():
    values = [.5, .1, .9, .3]
    got = spread(values)
    mean = sum(values) / 4
    sd = math.sqrt(sum((o - mean)**2 for o in values) / 3)
    assert got["n"] == 4 and math.isclose(got["median"], .4) and math.isclose(got["mean"], mean)
    assert math.isclose(got["sd"], sd) and math.isclose(got["se"], sd / 2) and got["low"] < got["median"] < got["high"]
