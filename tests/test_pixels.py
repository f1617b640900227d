"The exercises of pages 00 and 01 say what is missing, and `right` when it is right."
import pytest
import torch

from pages import PAGES, code_cells, read


@pytest.fixture
def page(sample):
    "What a reader has at hand: the names of both pages, their small functions as they stand there."
    images, is_three = sample.train_x.view(-1, 28, 28), sample.train_y[:, 0] == 1
    names = {"torch": torch, "valid_y": sample.valid_y, "threes": images[is_three], "sevens": images[~is_three]}
    for cell in code_cells(read(PAGES[0])) + code_cells(read(PAGES[1])):
        if cell.source.startswith(("def check_", "def one_pixel")): exec(cell.source, names)
    return names

def test_always_seven(page):
    check, share = page["check_always_seven"], page["valid_y"].mean().item()
    assert check(1 - share) == check((page["valid_y"] == 0).float().mean()) == "right"
    assert "Not yet" in check(.9) and (share == .5 or "always three" in check(share))

def test_the_pixel_of_the_page_is_the_best_and_some_speak_for_sevens(page):
    one_pixel, check = page["one_pixel"], page["check_seven_pixel"]
    share = {(r, c): one_pixel(r, c).item() for r in range(4, 24) for c in range(4, 24)}
    assert max(share, key=share.get) == (13, 13)
    assert check(9, 11).startswith("right") and one_pixel(17, 15) < .35
    assert check(13, 13).endswith("for a three") and check(0, 0).endswith("not tell you much")

def test_the_share_of_the_page(mnist, page): assert page["one_pixel"](13, 13) == pytest.approx(.8797, abs=5e-5)

def test_frame(page):
    check, framed = page["check_frame"], page["threes"].clone()
    assert check(framed[:, 1:]).startswith("the shape is now")
    for name, edge in (("top", framed[:, 0]), ("bottom", framed[:, -1]), ("left", framed[:, :, 0]), ("right", framed[:, :, -1])):
        assert name in check(framed)
        edge[:] = 1
    assert check(framed) == "right"
    framed[:, 1] = 1
    assert check(framed) == "something inside the frame has changed"
