"The roller coaster: bad input, runs that diverge, and properties over many random cases."
import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbook_ch4.rollercoaster import apply_step, descend, mse, quadratic, rollercoaster

FINITE = st.floats(-100, 100, width=32)


def start(): return torch.zeros(3).requires_grad_()


# The measurements

@pytest.mark.parametrize("n", [0, -1, 2.5, "20", None])
def test_a_bad_number_of_measurements_is_named(n):
    with pytest.raises(ValueError, match=r"n is .*expected a whole number above 0"): rollercoaster(n)


@pytest.mark.parametrize("noise", [-1., math.nan, math.inf])
def test_bad_noise_is_named(noise):
    with pytest.raises(ValueError, match=r"noise is"): rollercoaster(noise=noise)


@given(st.integers(1, 50), st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_the_draws_are_those_of_the_global_generator_which_stays_untouched(n, seed):
    torch.manual_seed(seed)
    expected = torch.randn(n) * 3 + .75 * (torch.arange(n).float() - 9.5)**2 + 1
    state = torch.get_rng_state()
    time, speed = rollercoaster(n, seed=seed)
    assert torch.equal(speed, expected) and torch.equal(time, torch.arange(n).float())
    assert torch.equal(torch.get_rng_state(), state)


def test_no_noise_is_the_parabola():
    time, speed = rollercoaster(noise=0.)
    assert torch.equal(speed, .75 * (time - 9.5)**2 + 1)


# Model and loss

@given(st.lists(FINITE, min_size=1, max_size=20), st.tuples(FINITE, FINITE, FINITE))
@settings(deadline=None, max_examples=50)
def test_quadratic_equals_a_loop(times, params):
    a, b, c = params
    out = quadratic(torch.tensor(times), torch.tensor(params))
    for got, t in zip(out.tolist(), times):
        size = abs(a) * t * t + abs(b * t) + abs(c) + 1
        assert got == pytest.approx(a * t * t + b * t + c, abs=1e-4 * size)


@given(st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=30))
@settings(deadline=None, max_examples=50)
def test_mse_is_never_negative_zero_on_itself_and_that_of_torch(pairs):
    preds, targets = torch.tensor(pairs).T
    assert mse(preds, targets) >= 0 and mse(preds, preds) == 0
    assert torch.equal(mse(preds, targets), mse(targets, preds))
    torch.testing.assert_close(mse(preds, targets), F.mse_loss(preds, targets))


@pytest.mark.parametrize("shapes", [((20,), (20, 1)), ((20,), (19,)), ((1,), (20,)), ((20, 1), (1, 20))])
def test_mse_refuses_unequal_shapes_and_names_both(shapes):
    with pytest.raises(ValueError) as e: mse(*(torch.zeros(o) for o in shapes))
    assert all(str(list(o)) in str(e.value) for o in shapes)


def test_mse_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"no predictions"): mse(torch.zeros(0), torch.zeros(0))


@pytest.mark.parametrize("n", [0, 2, 4])
def test_quadratic_wants_three_parameters(n):
    with pytest.raises(ValueError, match=rf"params are {n} numbers; expected three"):
        quadratic(torch.zeros(2), torch.zeros(n))


def test_whole_number_times_are_fine():
    time, speed = rollercoaster()
    assert apply_step(start(), time.long(), speed) == apply_step(start(), time, speed)


def test_mixed_precision_gives_the_right_number():
    assert mse(torch.tensor([1.5], dtype=torch.float64), torch.tensor([1.])).item() == .25


# Steps

def test_one_step_is_the_gradient_of_autograd():
    time, speed = rollercoaster()
    params = torch.tensor([.1, -.2, .3]).requires_grad_()
    grad, = torch.autograd.grad(F.mse_loss(quadratic(time, params), speed), params)
    expected = params.detach() - 1e-5 * grad
    loss = F.mse_loss(quadratic(time, params), speed).item()
    assert apply_step(params, time, speed) == pytest.approx(loss, rel=1e-6)
    torch.testing.assert_close(params.detach(), expected)
    assert params.grad is None and params.is_leaf


def test_the_ten_printed_losses():
    printed = [5435.53662109375, 1577.4495849609375, 847.3780517578125, 709.22265625, 683.0757446289062,
               678.12451171875, 677.1839599609375, 677.0025024414062, 676.96435546875, 676.9537353515625]
    torch.manual_seed(42)
    torch.randn(20)
    losses = descend(*rollercoaster(), torch.randn(3).requires_grad_(), steps=11)
    assert losses == pytest.approx([25823.80859375, *printed], rel=1e-6)


def test_params_without_gradient_are_refused():
    with pytest.raises(ValueError, match=r"requires_grad_"): apply_step(torch.zeros(3), *rollercoaster())


@pytest.mark.parametrize("lr", [math.nan, math.inf, -math.inf])
def test_a_learning_rate_that_is_no_number_is_refused(lr):
    params = start()
    with pytest.raises(ValueError, match=r"lr is"): descend(*rollercoaster(), params, lr=lr)
    assert (params == 0).all()


# What goes wrong in a run: it stops, says at which step and why

@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["time", "speed"])
def test_nan_or_inf_in_the_data_is_found_before_the_first_step(where, value):
    data = dict(zip(("time", "speed"), rollercoaster()))
    data[where][3] = value
    params = start()
    if where == "time":
        with torch.no_grad(): params += 1
    before = params.detach().clone()
    with pytest.raises(FloatingPointError, match=rf"stopped at step 0 of 10: .*NaN or inf in {where}"):
        descend(**data, params=params)
    assert torch.equal(params.detach(), before) and params.grad is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nan_or_inf_in_the_parameters_is_said(value):
    params = torch.tensor([0., value, 0.]).requires_grad_()
    with pytest.raises(FloatingPointError, match=r"step 0 of 10: .*NaN or inf in the parameters"):
        descend(*rollercoaster(), params)


def test_a_learning_rate_that_diverges_stops_the_run():
    torch.manual_seed(42)
    torch.randn(20)
    params = torch.randn(3).requires_grad_()
    with pytest.raises(FloatingPointError, match=r"stopped at step 25 of 40: the loss is inf: .*lr=0.0001 is too la"):
        descend(*rollercoaster(), params, lr=1e-4, steps=40)
    assert torch.isfinite(params).all()  # the last step that had a number


def test_a_larger_learning_rate_stops_earlier():
    def stopped_at(lr):
        with pytest.raises(FloatingPointError) as e: descend(*rollercoaster(), start(), lr=lr, steps=100)
        return int(str(e.value).split()[3])
    assert stopped_at(1e-2) < stopped_at(1e-3) < stopped_at(1e-4)


def test_shapes_that_would_broadcast_are_refused_in_a_run():
    time, speed = rollercoaster()
    with pytest.raises(ValueError, match=r"\[20\] and targets \[20, 1\]"): descend(time, speed[:, None], start())


def test_no_steps_no_losses():
    params = start()
    assert descend(*rollercoaster(), params, steps=0) == [] and (params == 0).all()


@given(st.integers(0, 2**31), st.floats(1e-7, 3e-5))
@settings(deadline=None, max_examples=25)
def test_below_the_limit_the_loss_never_rises(seed, lr):
    torch.manual_seed(seed)
    params = torch.randn(3).requires_grad_()
    losses = descend(*rollercoaster(seed=seed), params, lr=lr, steps=6)
    assert all(b <= a * (1 + 1e-5) for a, b in pairwise(losses))
