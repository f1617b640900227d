"The roller coaster: held against torch, the ten losses that the book prints, and what page 03 says about its gorge."
import math
import re

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbook_ch4.rollercoaster import apply_step, descend, mse, quadratic, rollercoaster

PRINTED = [5435.53662109375, 1577.4495849609375, 847.3780517578125, 709.22265625, 683.0757446289062,
           678.12451171875, 677.1839599609375, 677.0025024414062, 676.96435546875, 676.9537353515625]
number = st.floats(-100, 100, width=32)

def cases(*given_): return lambda test: settings(deadline=None, max_examples=40)(given(*given_)(test))

def start():  # the parameters of page and book: the draws after the noise
    torch.randn(20, generator=(g := torch.Generator().manual_seed(42)))
    return torch.randn(3, generator=g).requires_grad_()

def columns(t): return torch.stack([t**2, t, torch.ones_like(t)], 1).double()

@cases(st.integers(1, 50), st.integers(0, 2**31))
def test_the_draws_are_those_of_torch_and_its_generator_stays_untouched(n, seed):
    torch.manual_seed(seed)
    expected = torch.randn(n) * 3 + .75 * (torch.arange(n).float() - 9.5)**2 + 1
    before = torch.get_rng_state()
    time, speed = rollercoaster(n, seed=seed)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(speed, expected) and torch.equal(time, torch.arange(n).float())

@pytest.mark.parametrize("seed", [0, 42])
def test_without_noise_it_is_the_parabola(seed):
    time, speed = rollercoaster(30, 0., seed)
    torch.testing.assert_close(speed, quadratic(time, torch.tensor([.75, -14.25, 68.6875])), atol=1e-3, rtol=1e-5)

@cases(st.lists(number, min_size=1, max_size=20), st.tuples(number, number, number))
def test_quadratic_is_the_polynomial_of_python_floats(times, params):
    a, b, c = params
    for got, t in zip(quadratic(torch.tensor(times), torch.tensor(params)).tolist(), times):
        assert got == pytest.approx(a * t * t + b * t + c, abs=1e-5 * (abs(a) * t * t + abs(b * t) + abs(c) + 1))

@cases(st.lists(st.tuples(number, number), min_size=1, max_size=30))
def test_mse_is_torchs(pairs): torch.testing.assert_close(mse(*torch.tensor(pairs).T), F.mse_loss(*torch.tensor(pairs).T))

@pytest.mark.parametrize("a, b", [((20,), (20, 1)), ((1,), (20,)), ((20, 1), (1, 20))])
def test_shapes_that_would_broadcast_are_refused_and_both_named(a, b):
    with pytest.raises(ValueError, match=re.escape(f"{list(a)} and {list(b)}")): mse(torch.zeros(a), torch.zeros(b))

@cases(st.tuples(number, number, number), st.integers(0, 2**31), st.floats(1e-6, 3e-5))
def test_a_step_is_the_one_worked_by_hand(params, seed, lr):
    time, speed = rollercoaster(seed=seed)
    x, before = columns(time), torch.tensor(params).double()
    error = x @ before - speed
    (p := torch.tensor(params)).requires_grad_()
    assert apply_step(p, time, speed, lr) == pytest.approx(error.square().mean().item(), rel=1e-4)
    torch.testing.assert_close(p.detach().double(), before - lr * 2 / 20 * x.T @ error, rtol=1e-4, atol=1e-3)
    assert p.grad is None and p.is_leaf

def test_several_steps_are_those_of_torchs_sgd():
    time, speed = rollercoaster()
    ours, theirs, expected = start(), start(), []
    opt = torch.optim.SGD([theirs], lr=1e-5)
    for _ in range(8):
        opt.zero_grad()
        (loss := F.mse_loss(quadratic(time, theirs), speed)).backward()
        opt.step()
        expected.append(loss.item())
    assert descend(time, speed, ours, steps=8) == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(ours, theirs)

def test_the_ten_losses_that_the_book_prints():
    assert descend(*rollercoaster(), start(), steps=11) == pytest.approx([25823.80859375, *PRINTED], rel=1e-6)

def test_they_lose_to_a_constant_and_scaled_time_beats_a_million_steps():
    time, speed = rollercoaster()
    constant = mse(speed.mean().expand(20), speed).item()
    scaled = descend((time - 9.5) / 9.5, speed, start(), lr=.5, steps=51)[-1]
    best = torch.linalg.lstsq(x := columns(time), speed.double()[:, None]).solution[:, 0]
    million = torch.linalg.matrix_power(torch.eye(3) - 1e-5 * 2 / 20 * x.T @ x, 10**6) @ (start().detach() - best)
    assert 7.305 < scaled < 7.34 < mse(x @ (best + million), speed.double()) < constant < PRINTED[-1]

def test_the_largest_curvature_sets_the_limit_of_the_rate():
    time, speed = rollercoaster()
    hessian = torch.func.hessian(lambda p: mse(quadratic(time, p), speed))(torch.zeros(3)).double()
    limit = 2 / torch.linalg.eigvalsh(hessian)[-1].item()
    below, above = (descend(time, speed, start(), lr=limit * o, steps=40) for o in (.98, 1.02))
    assert limit == pytest.approx(3.54e-5, rel=1e-3) and below[-1] < below[0] and above[-1] > above[0]

def test_a_run_that_diverges_stops_and_names_the_step_and_the_rate():
    with pytest.raises(FloatingPointError, match=r"^step 25: the loss is inf; try a learning rate below 0\.0001$"):
        descend(*rollercoaster(), start(), lr=1e-4, steps=100)
    (data := rollercoaster())[1][3] = math.nan
    with pytest.raises(FloatingPointError, match=r"^step 0: the loss is nan"): descend(*data, start())
