"The two pictures: what they draw, from whatever is image-like, and a sentence for what is not."
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from fastbook_ch4.pixels import pixel_grid, show_digits


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def drawn(ax): return np.asarray(ax.images[0].get_array())


def test_import_brings_in_neither_fastai_nor_matplotlib():
    code = "import sys, fastbook_ch4.pixels; print([o for o in ('fastai', 'matplotlib') if o in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- pixel_grid ----

def test_every_number_stands_in_its_square():
    image = torch.arange(12, dtype=torch.uint8).view(3, 4)
    ax = pixel_grid(image)
    assert {(o.get_position()[1], o.get_position()[0]): o.get_text() for o in ax.texts} == {
        (r, c): str(image[r, c].item()) for r in range(3) for c in range(4)}
    assert (drawn(ax) == image.numpy()).all()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("column", "row")
    low, high = ax.get_ylim()
    assert low > high  # rows go down


def test_numbers_can_be_read_on_dark_and_on_light():
    ink = {o.get_text(): o.get_color() for o in pixel_grid(torch.tensor([[0, 255]])).texts}
    assert ink == {"0": "black", "255": "white"}
    ink = {o.get_text(): o.get_color() for o in pixel_grid(torch.tensor([[0, 255]]), cmap="gray").texts}
    assert ink == {"0": "white", "255": "black"}


@pytest.mark.parametrize(("image", "limits"), [
    (torch.ones(2, 2), (0, 1)), (torch.ones(2, 2, dtype=torch.uint8), (0, 255)),
    (torch.ones(2, 2, dtype=torch.bool), (0, 1)),
    (np.ones((2, 2), dtype=np.uint8), (0, 255)), (np.ones((2, 2)), (0, 1)), (Image.new("L", (2, 2), 1), (0, 255)),
    (torch.ones(2, 2, dtype=torch.bfloat16), (0, 1)), (torch.ones(2, 2, dtype=torch.half, requires_grad=True), (0, 1)),
    ([[1, 1], [1, 1]], (0, 255))])
def test_anything_image_like(image, limits):
    ax = pixel_grid(image)
    assert (drawn(ax) == 1).all() and ax.images[0].get_clim() == limits


def test_limits_numbers_axes_and_rows():
    fig, ax = plt.subplots()
    assert pixel_grid(torch.zeros(784), numbers=False, limits=(-1, 1), ax=ax) is ax
    assert drawn(ax).shape == (28, 28) and not ax.texts and ax.images[0].get_clim() == (-1, 1)
    assert plt.get_fignums() == [fig.number]


def test_nan_and_inf_are_written_not_hidden():
    ax = pixel_grid(torch.tensor([[float("nan"), float("inf"), .5]]))
    assert [o.get_text() for o in ax.texts] == ["nan", "inf", "0.50"]


@pytest.mark.parametrize("shape", [(3, 28, 28), (0, 28), (5,), ()])
def test_pixel_grid_wants_one_image(shape):
    with pytest.raises(ValueError, match="one image") as e: pixel_grid(torch.zeros(shape))
    assert str(list(shape)) in str(e.value) and not plt.get_fignums()


def test_too_many_numbers():
    with pytest.raises(ValueError, match="224x224 numbers are too many"): pixel_grid(torch.zeros(224, 224))
    assert drawn(pixel_grid(torch.zeros(224, 224), numbers=False)).shape == (224, 224)


# ---- show_digits ----

@pytest.mark.parametrize(("n", "cols", "grid"), [(1, 10, (1, 1)), (3, 10, (1, 3)), (10, 5, (2, 5)), (11, 5, (3, 5))])
def test_as_many_pictures_as_images(n, cols, grid):
    images = torch.rand(n, 8, 6)
    fig = show_digits(images, cols=cols, titles=range(n), title="all")
    assert len(fig.axes) == n and fig.axes[0].get_gridspec().get_geometry() == grid
    for ax, image, i in zip(fig.axes, images, range(n), strict=True):
        assert np.array_equal(drawn(ax), image.numpy()) and ax.get_title() == str(i)
    assert fig.get_suptitle() == "all"


@pytest.mark.parametrize("images", [torch.rand(3, 784), torch.rand(3, 28, 28), list(torch.rand(3, 28, 28)),
                                    np.ones((3, 28, 28)), [Image.new("L", (28, 28))] * 3])
def test_rows_stacks_and_lists(images):
    fig = show_digits(images)
    assert [drawn(ax).shape for ax in fig.axes] == [(28, 28)] * 3


def test_one_image_alone_and_a_mean_keeps_its_gray():
    fig = show_digits(torch.full((28, 28), .5))
    assert len(fig.axes) == 1 and fig.axes[0].images[0].get_clim() == (0, 1)


@pytest.mark.parametrize("shape", [(0, 28, 28), (401, 28, 28), (1, 1, 28, 28), (5,), (3, 0, 28)])
def test_show_digits_wants_a_stack(shape):
    with pytest.raises(ValueError, match="1 to 400 images") as e: show_digits(torch.zeros(shape))
    assert str(list(shape)) in str(e.value) and not plt.get_fignums()


def test_titles_and_columns_must_fit():
    with pytest.raises(ValueError, match="2 titles for 3 images"): show_digits(torch.zeros(3, 28, 28), titles="ab")
    with pytest.raises(ValueError, match="cols is 0"): show_digits(torch.zeros(3, 28, 28), cols=0)
    assert not plt.get_fignums()


def test_the_input_is_left_alone():
    images = torch.rand(2, 28, 28)
    before = images.clone()
    show_digits(images, titles="ab")
    pixel_grid(images[0])
    assert torch.equal(images, before)
