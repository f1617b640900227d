"The distances and the baseline: properties for any images, and a sentence for whatever does not fit."
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import tensor

from fastbook_ch4.similarity import PixelSimilarity, ideal_digit, is_3, mnist_distance, rms_distance

DISTANCES = [mnist_distance, rms_distance]
both = pytest.mark.parametrize("distance", DISTANCES)
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@pytest.fixture
def stack(): return torch.rand(6, 28, 28, generator=torch.Generator().manual_seed(0))


@st.composite
def images(draw, count=2):
    "`count` float64 images of one size, values in -1..1."
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    return [torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1 for _ in range(count)]


# ---- what importing costs ----

def test_import_brings_in_neither_fastai_nor_matplotlib():
    code = ("import sys, fastbook_ch4.similarity; "
            "print([o for o in ('fastai', 'matplotlib', 'pandas', 'PIL') if o in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- properties of the distances ----

@both
@given(images())
@settings(max_examples=60, deadline=None)
def test_zero_on_itself_symmetric_and_never_negative(distance, pair):
    a, b = pair
    assert distance(a, a).item() == 0
    assert distance(a, b).item() == distance(b, a).item()
    assert distance(a, b).item() >= 0
    assert (distance(a, b).item() == 0) == torch.equal(a, b)


@both
@given(images(), st.floats(-100, 100))
@settings(max_examples=60, deadline=None)
def test_scaling_both_images_scales_the_distance(distance, pair, factor):
    a, b = pair
    expected = abs(factor) * distance(a, b).item()
    assert distance(a * factor, b * factor).item() == pytest.approx(expected, rel=1e-9, abs=1e-150)


@both
@given(images(), st.floats(-10, 10))
@settings(max_examples=60, deadline=None)
def test_adding_the_same_to_both_changes_nothing(distance, pair, shift):
    a, b = pair
    assert distance(a + shift, b + shift).item() == pytest.approx(distance(a, b).item(), abs=1e-12)


@both
@given(images(3))
@settings(max_examples=60, deadline=None)
def test_triangle_inequality(distance, three):
    a, b, c = three
    assert distance(a, c) <= distance(a, b) + distance(b, c) + 1e-12


@given(images())
@settings(max_examples=60, deadline=None)
def test_against_torch_and_against_each_other(pair):
    a, b = pair
    l1, l2 = mnist_distance(a, b), rms_distance(a, b)
    assert l1.item() == pytest.approx(F.l1_loss(a, b).item(), rel=1e-12)
    assert l2.item() == pytest.approx(F.mse_loss(a, b).sqrt().item(), rel=1e-12)
    assert l1 <= l2 + 1e-12 <= math.sqrt(a.numel()) * l1 + 2e-12


@given(st.integers(0, 4), st.integers(1, 4), st.sampled_from(DISTANCES))
@settings(max_examples=30, deadline=None)
def test_a_stack_equals_a_loop(n, m, distance):
    generator = torch.Generator().manual_seed(n * 10 + m)
    a, b = torch.rand(n, 1, 3, 4, generator=generator), torch.rand(m, 3, 4, generator=generator)
    expected = tensor([[distance(p[0], q).item() for q in b] for p in a]).view(n, m)
    assert distance(a, b).shape == (n, m)
    assert torch.allclose(distance(a, b), expected)


# ---- number formats, and extreme sizes ----

@both
@pytest.mark.parametrize("dtype", FLOATS)
def test_every_float_format_keeps_its_dtype(distance, dtype, stack):
    a, b = stack.to(dtype), stack.flip(0).to(dtype)
    got = distance(a, b)
    assert got.dtype == dtype
    rtol = 2e-2 if dtype == torch.bfloat16 else 2e-3
    assert torch.allclose(got.double(), distance(a.double(), b.double()), rtol=rtol)


@both
def test_mixed_formats_promote_and_arrays_are_taken(distance, stack):
    assert distance(stack.half(), stack[0].double()).dtype == torch.float64
    assert torch.equal(distance(stack.numpy(), stack[0].numpy()), distance(stack, stack[0]))


@both
def test_one_image_no_images_one_pixel(distance, stack):
    assert distance(stack[0], stack[1]).shape == ()
    assert distance(stack[:0], stack[1]).shape == (0,)
    assert distance(tensor([[3.]]), tensor([[1.]])).item() == 2


@both
def test_strided_images(distance, stack):
    assert torch.allclose(distance(stack[::2].transpose(1, 2), stack[0].T), distance(stack[::2], stack[0]))


@both
def test_gradient_flows(distance, stack):
    a = stack[:2].clone().requires_grad_()
    distance(a, stack[3]).sum().backward()
    assert torch.isfinite(a.grad).all() and (a.grad != 0).all()


@both
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_and_inf_go_through_a_distance_and_stay_in_their_image(distance, bad, stack):
    stack[2, 5, 5] = bad
    assert torch.isfinite(distance(stack, torch.zeros(28, 28))).tolist() == [True, True, False, True, True, True]


# ---- what is refused ----

@both
@pytest.mark.parametrize(("a", "b"), [
    ((1000, 28, 28), (1000,)),      # one number for each image
    ((5, 28, 28), (4, 28, 28)),     # stacks of different length
    ((5, 28, 28), (28, 1)),         # would broadcast inside the image
    ((5, 28, 28), ()),              # a number
    ((5, 784), (784,)),             # rows: the mean would swallow the images too
    ((784,), (784,)),               # a row each: there is no second axis
    ((3, 0, 0), (0, 0)),            # no pixels
])
def test_shapes_that_do_not_fit_are_named(distance, a, b):
    with pytest.raises(ValueError, match="do not broadcast") as e: distance(torch.zeros(a), torch.zeros(b))
    assert str(list(a)) in str(e.value) and str(list(b)) in str(e.value) and distance.__name__ in str(e.value)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_whole_number_images_are_refused_everywhere(dtype, stack):
    whole, ideal = (stack * 255).to(dtype), stack[0]
    model = PixelSimilarity().fit(stack, range(6))
    for call in (lambda: mnist_distance(whole, ideal), lambda: mnist_distance(ideal, whole),
                 lambda: rms_distance(whole, whole), lambda: ideal_digit(whole), lambda: is_3(whole, ideal, ideal),
                 lambda: PixelSimilarity().fit(whole, range(6)), lambda: model.predict(whole),
                 lambda: mnist_distance(whole.numpy(), ideal)):
        with pytest.raises(TypeError, match=f"{dtype}.*images / 255"): call()


def test_a_list_is_refused(stack):
    for call in (lambda: ideal_digit(list(stack)), lambda: mnist_distance(list(stack), stack[0]),
                 lambda: PixelSimilarity().fit(tuple(stack), range(6))):
        with pytest.raises(TypeError, match=r"torch\.stack"): call()


@pytest.mark.parametrize("shape", [(0, 28, 28), (28, 28), (784,), (2, 1, 28, 28), (3, 0, 28)])
def test_ideal_digit_wants_a_stack(shape):
    with pytest.raises(ValueError, match="stack of images") as e: ideal_digit(torch.zeros(shape))
    assert str(list(shape)) in str(e.value)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nan_and_inf_are_named_by_image(bad, stack):
    model = PixelSimilarity().fit(stack, range(6))
    stack[4, 3, 3] = bad
    for call in (lambda: ideal_digit(stack), lambda: is_3(stack, torch.zeros(28, 28), torch.ones(28, 28)),
                 lambda: model.predict(stack)):
        with pytest.raises(ValueError, match="image 4 is not finite"): call()
    with pytest.raises(ValueError, match="not finite"): PixelSimilarity().fit(stack, [0, 0, 1, 1, 1, 1])


# ---- ideal_digit and is_3 ----

@pytest.mark.parametrize("dtype", FLOATS)
def test_ideal_digit_of_many_equal_images_is_that_image(dtype, stack):
    image = stack[0].to(dtype)
    mean = ideal_digit(image.expand(3000, 28, 28))
    assert mean.dtype == dtype and torch.allclose(mean, image, rtol=1e-2)


def test_ideal_digit_of_one_image_and_against_numpy(stack):
    assert torch.equal(ideal_digit(stack[:1]), stack[0])
    assert np.allclose(ideal_digit(stack.numpy()), stack.numpy().mean(0), atol=1e-6)


def test_is_3_shapes_and_ties(stack):
    white, black = torch.zeros(28, 28), torch.ones(28, 28)
    assert is_3(stack[0], white, black).shape == ()
    assert is_3(stack[:0], white, black).shape == (0,)
    assert is_3(stack.view(2, 3, 28, 28), white, black).shape == (2, 3)
    assert not is_3(stack, white, white).any()  # a tie is a seven
    assert is_3(white + .4, white, black) and not is_3(white + .6, white, black)


def test_is_3_takes_the_distance():
    image, mean3, mean7 = tensor([[4., 0., 0., 0.]]), tensor([[0., 0., 0., 0.]]), tensor([[3., 2., 2., 2.]])
    assert is_3(image, mean3, mean7)                        # 1.0 against 1.75
    assert not is_3(image, mean3 - tensor([[1., 0, 0, 0]]), mean7, rms_distance)  # 2.5 against 1.80


# ---- PixelSimilarity ----

def classes(k, n=60, noise=.3, seed=0):
    "`n` noisy copies of each of `k` random patterns, shuffled."
    generator = torch.Generator().manual_seed(seed)
    patterns, labels = torch.rand(k, 7, 5, generator=generator), torch.arange(k).repeat_interleave(n)
    order = torch.randperm(len(labels), generator=generator)
    return (patterns[labels] + noise * torch.randn(k * n, 7, 5, generator=generator))[order], labels[order]


@both
@pytest.mark.parametrize("k", [1, 2, 5, 10])
def test_any_number_of_classes(distance, k):
    x, y = classes(k)
    valid_x, valid_y = classes(k, seed=0, noise=.2)
    model = PixelSimilarity(distance).fit(x, y)
    assert model.classes.tolist() == list(range(k)) and model.ideals.shape == (k, 7, 5)
    assert model.accuracy(valid_x, valid_y) > .98
    means = torch.stack([x[y == c].mean(0) for c in range(k)])
    expected = distance(valid_x[:, None], means).argmin(1)
    assert torch.equal(model.predict(valid_x), expected)


def test_two_classes_equal_is_3():
    x, y = classes(2, noise=1.)
    model = PixelSimilarity(mnist_distance).fit(x, y == 1)
    seven, three = model.ideals
    assert torch.equal(model.predict(x), is_3(x, three, seven))
    assert 0 < model.accuracy(x, y == 1) < 1


@pytest.mark.parametrize("labels", [[7, 3, 7, 3], [7., 3., 7., 3.], [[7], [3], [7], [3]], np.array([7, 3, 7, 3]),
                                    tensor([[7.], [3.], [7.], [3.]])])
def test_labels_of_any_kind_and_value(labels):
    x = tensor([[0., 0.], [1., 1.], [.1, 0.], [.9, 1.]])
    model = PixelSimilarity().fit(x, labels)
    assert model.classes.tolist() == [3, 7] and model.predict(x).tolist() == [7, 3, 7, 3]
    assert model.predict(x).dtype == torch.as_tensor(labels).dtype
    assert model.accuracy(x, [7, 3, 3, 3]) == .75


def test_rows_and_squares_agree():
    x, y = classes(4, noise=1.)
    squares, rows = PixelSimilarity().fit(x, y), PixelSimilarity().fit(x.flatten(1), y)
    assert torch.equal(squares.predict(x), rows.predict(x.flatten(1)))


def test_one_image_and_no_images():
    x, y = classes(3)
    for model, some in ((PixelSimilarity().fit(x, y), x), (PixelSimilarity().fit(x.flatten(1), y), x.flatten(1))):
        assert model.predict(some[0]).shape == () and model.predict(some[0]) == model.predict(some[:1])[0]
        assert model.predict(some[:0]).shape == (0,)
        assert model.accuracy(some[0], y[0]) in (0., 1.)
        with pytest.raises(ValueError, match="no images"): model.accuracy(some[:0], y[:0])


def test_a_tie_goes_to_the_lower_label():
    model = PixelSimilarity().fit(tensor([[[1.]], [[0.]]]), [9, 4])
    assert model.predict(tensor([[[.5]]])).tolist() == [4]


@pytest.mark.parametrize("dtype", FLOATS)
def test_formats(dtype):
    x, y = classes(3)
    model = PixelSimilarity().fit(x.to(dtype), y)
    assert model.accuracy(x.to(dtype), y) > .95
    assert model.accuracy(x.double(), y) > .95


def test_fit_again_forgets():
    x, y = classes(3)
    model = PixelSimilarity().fit(x, y).fit(x[:, :2], y + 5)
    assert model.classes.tolist() == [5, 6, 7] and model.ideals.shape == (3, 2, 5)


def test_misuse_is_said_in_a_sentence():
    x, y = classes(3)
    model = PixelSimilarity()
    with pytest.raises(RuntimeError, match="call fit"): model.predict(x)
    with pytest.raises(ValueError, match="180 images and 179 labels"): model.fit(x, y[1:])
    with pytest.raises(ValueError, match="180 images and 540 labels"): model.fit(x, F.one_hot(y))
    with pytest.raises(TypeError, match="labels must be numbers"): model.fit(x, ["3"] * len(x))
    with pytest.raises(ValueError, match="label 2 is not finite"): model.fit(x[:3], [0., 1., math.nan])
    for bad in (x[:0], x[0, 0], x[None]):
        with pytest.raises(ValueError, match="fit needs images"): model.fit(bad, y[:len(bad)])
    assert model.ideals is None
    model.fit(x, y)
    for bad in (x[:, :6], x.flatten(1), x[None], x[0, 0]):
        with pytest.raises(ValueError, match=r"predict got shape .*\[7, 5\]"): model.predict(bad)
    with pytest.raises(ValueError, match="180 images and 3 labels"): model.accuracy(x, y[:3])
