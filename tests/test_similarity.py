"The distances against torch's own, their properties for any images, and the figures of page 02."
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import tensor

from fastbook_ch4.similarity import ideal_digit, is_3, mnist_distance, rms_distance
from pages import PAGES, code_cells, read

both = pytest.mark.parametrize("distance", [mnist_distance, rms_distance])
quick = settings(max_examples=60, deadline=None)

@st.composite
def images(draw, count=2):
    "`count` float64 images of one size, values in -1..1."
    rows, columns, seed = (draw(st.integers(*o)) for o in ((1, 5), (1, 5), (0, 2**32 - 1)))
    return torch.rand(count, rows, columns, generator=torch.manual_seed(seed), dtype=torch.float64) * 2 - 1

@given(images())
@quick
def test_distances_are_the_losses_of_torch(pair):
    a, b = pair
    assert torch.allclose(mnist_distance(a, b), F.l1_loss(a, b), rtol=1e-12)
    assert torch.allclose(rms_distance(a, b), F.mse_loss(a, b).sqrt(), rtol=1e-12)
    assert mnist_distance(a, b) <= rms_distance(a, b) + 1e-12

@both
@given(images(3), st.floats(-100, 100))
@quick
def test_distances_are_metrics_and_scale(distance, three, k):
    a, b, c = three
    assert distance(a, a) == 0 < distance(a, b) and distance(a, b) == distance(b, a)
    assert distance(a, c) <= distance(a, b) + distance(b, c) + 1e-12
    assert torch.allclose(distance(a * k, b * k), abs(k) * distance(a, b), rtol=1e-9, atol=1e-150)

@both
def test_a_stack_equals_a_loop(distance):
    a, b = torch.rand(4, 3, 5), torch.rand(2, 3, 5)
    assert torch.allclose(distance(a[:, None], b), tensor([[distance(p, q) for q in b] for p in a]))

def test_bytes_are_refused_by_torch():
    raw = torch.randint(0, 256, (4, 28, 28), dtype=torch.uint8)
    for f, *ideals in ((ideal_digit,), (mnist_distance, raw[0]), (rms_distance, raw[0]), (is_3, raw[0], raw[1])):
        with pytest.raises(RuntimeError, match="dtype"): f(raw, *ideals)

@given(images(5))
@quick
def test_no_other_picture_is_nearer_to_all_than_their_ideal(stack):
    ideal, other = ideal_digit(stack), ideal_digit(stack) + .1 * torch.rand_like(stack[0])
    assert rms_distance(stack, ideal).square().sum() <= rms_distance(stack, other).square().sum()

def test_is_3_takes_ties_for_sevens_and_uses_its_distance():
    white, black = torch.zeros(28, 28), torch.ones(28, 28)
    assert not is_3(black, white, white)
    assert is_3(torch.stack([white + .4, white + .6]), white, black).tolist() == [True, False]
    spot, plain = tensor([[3., 0., 0., 0.]]), tensor([[1., 1., 1., 1.]])  # 3/4 and 3/2 against 1 and 1
    assert is_3(torch.zeros(1, 4), spot, plain) and not is_3(torch.zeros(1, 4), spot, plain, rms_distance)

@given(images(8))
@quick
def test_rms_is_one_weight_per_pixel(stack):
    (mean3, mean7), x = stack[:2], stack[2:]
    score = (x * (mean3 - mean7)).sum((-1, -2)) - (mean3.square() - mean7.square()).sum() / 2
    assert (((score > 0) == is_3(x, mean3, mean7, rms_distance)) | (score.abs() < 1e-12)).all()

def test_figures(mnist):
    train, valid, label = mnist.train_x.view(-1, 28, 28), mnist.valid_x.view(-1, 28, 28), mnist.valid_y[:, 0] == 1
    ideals = [ideal_digit(train[mnist.train_y[:, 0] == o]) for o in (1, 0)]
    def right(distance, shift=0, axis=-1): return is_3(valid.roll(shift, axis), *ideals, distance) == label
    count = {o: [right(o)[label == c].sum().item() for c in (True, False)] for o in (mnist_distance, rms_distance)}
    assert count == {mnist_distance: [926, 1013], rms_distance: [968, 1001]}
    for (three, seven), classes, every in zip(count.values(), (.9511, .9661), (.9514, .9661)):
        assert round((three / 1010 + seven / 1028) / 2, 4) == classes and round((three + seven) / 2038, 4) == every
    assert right(rms_distance, 4).sum() == 1617  # of 2038: 0.7934
    assert right(rms_distance, -4, -2).sum() == 340  # 0.1668
    assert not is_3(torch.zeros(28, 28), *ideals)

def test_checks_of_the_page_say_what_is_missing():
    page = {"torch": torch, "a_3": torch.rand(28, 28)}
    exec("\n".join(c.source for c in code_cells(read(PAGES[2])) if c.source.startswith("def check_")), page)
    def near(*at): return lambda a, b: torch.stack([rms_distance(a, b.roll(o, (-2, -1))) for o in at]).amin(0)
    for check, f, said in (
            ("biggest", lambda a: a, "it stops"), ("biggest", rms_distance, "which of the 784"),
            ("biggest", lambda a, b: a, "not [5, 28, 28]"), ("biggest", lambda a, b: a.sum((1, 2)), "b and a"),
            ("biggest", lambda a, b: (a - b).abs().flatten(1).max(1).values, "right"),
            ("nudged", rms_distance, "to the right"), ("nudged", near((0, 0), (0, 1)), "all the diagonals"),
            ("nudged", near(*[(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]), "right")):
        assert said in page[f"check_{check}"](f), said
