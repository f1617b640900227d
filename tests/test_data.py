"The data page's promises: order, pixels, the kept copy, the stand-in, labels."
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from fastbook_ch4 import data
from fastbook_ch4.data import COUNTS, Sample, cache_dir, is_mnist, is_standin, load_digits, load_sample, mnist_sample


def empty_cache(tmp_path, monkeypatch):
    "An empty cache of the test's own, and nothing that names other data."
    monkeypatch.setenv("FASTBOOK_CH4_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FASTAI_HOME", str(tmp_path / "fastai"))
    monkeypatch.delenv("FASTBOOK_CH4_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def cache(tmp_path, monkeypatch): return empty_cache(tmp_path, monkeypatch)


def draw(folder, n, top=True, seed=0, old=True):
    "`n` images with ink in the upper or lower half; `old`: as if made long ago, so that they may be kept."
    folder.mkdir(parents=True, exist_ok=True)
    images = np.zeros((n, 28, 28), np.uint8)
    ink = np.random.default_rng(seed).integers(0, 256, (n, 14, 28), np.uint8)
    images[:, :14 if top else None][:, -14:] = ink
    for i, im in enumerate(images): Image.fromarray(im).save(folder / f"{i}.png")
    if old: age(folder)
    return torch.from_numpy(images)[sorted(range(n), key=lambda i: f"{i}.png")]


def age(folder):
    for file in (*folder.iterdir(), folder): os.utime(file, (1e9, 1e9))


def layout(folder, n=20):
    "MNIST_SAMPLE's layout with `n` images a class: threes with ink in the upper half, sevens in the lower."
    for split in ("train", "valid"):
        for digit in "37": draw(folder / split / digit, n, digit == "3", len(split) * 10 + int(digit))
    return folder


def shelf(folder): return data._shelf(os.path.realpath(folder))


# ---- reading a folder

def test_pixels_and_order_are_the_books(tmp_path):
    images = draw(tmp_path / "a", 25)
    by_the_book = [torch.tensor(np.array(Image.open(o))) for o in sorted((tmp_path / "a").iterdir())]
    for kept in (True, False):
        assert torch.equal(load_digits(tmp_path / "a", cache=kept), torch.stack(by_the_book))
    assert torch.equal(load_digits(str(tmp_path / "a")), images)


def test_hidden_and_other_files_are_skipped_and_capital_endings_are_not(tmp_path):
    images = draw(tmp_path / "a", 3)
    (tmp_path / "a" / "._0.png").write_bytes(b"\0\5\x16\7 AppleDouble")
    (tmp_path / "a" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "a" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "a" / "notes.txt").write_text("a three?")
    (tmp_path / "a" / "2.png").rename(tmp_path / "a" / "2.PNG")
    assert torch.equal(load_digits(tmp_path / "a"), images)


def test_long_png_files_are_read_whole(tmp_path):
    from PIL.PngImagePlugin import PngInfo
    info = PngInfo()
    info.add_text("story", "once upon a time " * 20_000)
    Image.new("L", (28, 28), 7).save(tmp_path / "0.png", pnginfo=info)
    assert (tmp_path / "0.png").stat().st_size > 1 << 16
    assert load_digits(tmp_path).unique().tolist() == [7]


# ---- the kept copy

def test_a_kept_copy_is_used_and_is_the_readers_to_change(cache, tmp_path, monkeypatch):
    images = draw(tmp_path / "a", 500)
    assert torch.equal(load_digits(tmp_path / "a"), images)
    monkeypatch.setattr(data, "_read_pngs", lambda *_: pytest.fail("read the PNG files again"))
    first = load_digits(tmp_path / "a")
    assert torch.equal(first, images) and first.dtype == torch.uint8 and first.shape == (500, 28, 28)
    first.zero_()
    assert torch.equal(load_digits(tmp_path / "a"), images)


def test_nothing_is_written_beside_the_readers_images(cache, tmp_path):
    draw(tmp_path / "a", 500)
    before = sorted(o.name for o in tmp_path.rglob("*") if cache not in o.parents)
    load_digits(tmp_path / "a")
    assert shelf(tmp_path / "a").is_file() and cache in shelf(tmp_path / "a").parents
    assert sorted(o.name for o in tmp_path.rglob("*") if cache not in o.parents and o != cache) == before


def test_small_folders_and_cache_false_are_not_kept(cache, tmp_path):
    draw(tmp_path / "few", 499)
    draw(tmp_path / "many", 500)
    load_digits(tmp_path / "few")
    load_digits(tmp_path / "many", cache=False)
    assert not cache.exists()


@pytest.mark.parametrize("change", ["in place", "replaced", "added", "removed", "renamed", "in place, times set back"])
def test_a_changed_folder_is_read_again(cache, tmp_path, change):
    folder = tmp_path / "a"
    before = draw(folder, 500)
    load_digits(folder)
    new = Image.new("L", (28, 28), 99)
    if change.startswith("in place"): new.save(folder / "0.png")
    if change == "replaced":
        new.save(tmp_path / "new.png")
        os.replace(tmp_path / "new.png", folder / "0.png")
    if change == "added": new.save(folder / "-.png")
    if change == "removed": (folder / "0.png").unlink()
    if change == "renamed": (folder / "0.png").rename(folder / "z.png")
    if change.endswith("set back"): os.utime(folder / "0.png", (1e9, 1e9))  # its size still tells
    after = load_digits(folder)
    assert len(after) == 500 + (change == "added") - (change == "removed")
    assert not torch.equal(after, before)


def test_a_folder_in_the_prepared_copy_is_read_again_when_a_file_comes_or_goes(cache):
    folder = cache / "archive-x" / "train" / "3"
    draw(folder, 500)
    assert len(load_digits(folder)) == 500 and shelf(folder).is_file()
    (folder / "0.png").unlink()
    assert len(load_digits(folder)) == 499


def test_a_folder_that_changes_right_now_is_not_kept(cache, tmp_path):
    draw(tmp_path / "a", 500, old=False)
    load_digits(tmp_path / "a")
    assert not shelf(tmp_path / "a").exists()


def test_another_folder_in_the_same_place_is_read_again(cache, tmp_path):
    draw(tmp_path / "a", 500, seed=1)
    load_digits(tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    images = draw(tmp_path / "a", 500, seed=2)
    assert torch.equal(load_digits(tmp_path / "a"), images)


def test_the_shelf_does_not_grow_for_ever(cache, tmp_path):
    (cache / "pixels").mkdir(parents=True)
    for i in range(80):
        (cache / "pixels" / f"{i}.pixels").write_bytes(b"x")
        os.utime(cache / "pixels" / f"{i}.pixels", (1e9 + i, 1e9 + i))
    draw(tmp_path / "a", 500)
    load_digits(tmp_path / "a")
    kept = {o.name for o in (cache / "pixels").glob("*.pixels")}
    assert len(kept) == 64 and shelf(tmp_path / "a").name in kept and "79.pixels" in kept and "0.pixels" not in kept


# ---- four tensors

def test_load_sample_is_the_books_arithmetic(cache, tmp_path):
    root = layout(tmp_path / "d")
    sample = load_sample(root, verbose=False)
    threes, sevens = (load_digits(root / "train" / d).float() / 255 for d in "37")
    assert torch.equal(sample.train_x, torch.cat([threes, sevens]).view(-1, 784))
    assert torch.equal(sample.train_y, torch.tensor([1.] * 20 + [0.] * 20)[:, None])
    assert all(o.dtype == torch.float32 and o.is_contiguous() for o in sample)
    assert sample.train_x.data_ptr() % 64 == 0
    swapped = load_sample(root, ("7", "3"), verbose=False)
    assert torch.equal(swapped.train_x, torch.cat([sevens, threes]).view(-1, 784))
    assert isinstance(sample, Sample)


def test_every_pixel_value_is_divided_exactly(tmp_path):
    ramp = torch.arange(784).remainder(256).to(torch.uint8).view(1, 28, 28)
    assert torch.equal(data._as_rows([ramp])[0], torch.arange(784).remainder(256).float() / 255)


def test_numbers_as_digits(cache, tmp_path):
    root = layout(tmp_path / "d")
    assert torch.equal(load_sample(root, (7, 3), verbose=False).train_x, load_sample(root, "73", verbose=False).train_x)


def test_the_environment_names_the_data_and_path_wins(cache, tmp_path, monkeypatch, capsys):
    one, two = layout(tmp_path / "one"), layout(tmp_path / "two")
    monkeypatch.setenv("FASTBOOK_CH4_DATA", str(one))
    assert mnist_sample() == one
    assert capsys.readouterr().out == "digits: one (FASTBOOK_CH4_DATA)\n"
    assert mnist_sample(two, verbose=False) == two
    assert capsys.readouterr().out == ""


def test_fastais_whole_copy_is_taken(cache, tmp_path, monkeypatch, capsys):
    root = layout(tmp_path / "fastai" / "data" / "mnist_sample", 3)
    monkeypatch.setattr(data, "COUNTS", dict.fromkeys(COUNTS, 3))
    assert mnist_sample() == root
    assert capsys.readouterr().out == "digits: MNIST_SAMPLE, fastai's copy\n"


def test_a_user_without_a_home_has_a_cache(monkeypatch):
    for name in ("FASTBOOK_CH4_CACHE", "XDG_CACHE_HOME"): monkeypatch.delenv(name, raising=False)
    def none(): raise RuntimeError("Could not determine home directory.")
    monkeypatch.setattr(data.Path, "home", none)
    assert cache_dir().is_absolute() and cache_dir().name == "fastbook_ch4"


# ---- the stand-in

def test_standin_is_much_like_mnist():
    sample = load_sample("standin", verbose=False)
    assert [len(o) for o in sample] == [12000, 12000, 2000, 2000]
    assert sample.train_x.mean().item() == pytest.approx(.13, abs=.01)
    mean3, mean7 = sample.train_x[:6000].mean(0), sample.train_x[6000:].mean(0)
    truth = sample.valid_y[:, 0].bool()
    for power, accuracy in ((1, .946), (2, .955)):  # L1, RMSE
        to3, to7 = ((sample.valid_x - mean).abs().pow(power).mean(1) for mean in (mean3, mean7))
        assert ((to3 < to7) == truth).float().mean().item() == pytest.approx(accuracy, abs=.01)
    x, y = sample.train_x[::8].numpy(), sample.train_y[::8, 0].numpy()
    linear = LogisticRegression(C=.01, max_iter=200).fit(x, y)
    assert .94 < linear.score(sample.valid_x.numpy(), truth.numpy()) < .99


def test_standin_is_marked_and_not_mnist(tmp_path):
    root = mnist_sample("standin", verbose=False)
    assert is_standin(root) and not is_mnist(load_sample(root, verbose=False)) and not is_standin(tmp_path)


def test_standin_comes_out_the_same_twice(tmp_path):
    def bytes_of(name, **k):
        data._make_standin(tmp_path / name, counts=(60, 10), **k)
        return {(o.parts[-3:-1] if o.suffix == ".png" else "", o.name): o.read_bytes()
                for o in (tmp_path / name).rglob("*.*")}
    first = bytes_of("a")
    assert len(first) == 141
    assert first == bytes_of("b") and first != bytes_of("c", seed=43)


def test_no_original_serves_both_halves(tmp_path, monkeypatch):
    seen, nothing = [], torch.zeros(1, 28, 28, dtype=torch.uint8)
    monkeypatch.setattr(data, "_standin_images", lambda originals, n, generator: seen.append(originals) or nothing)
    data._make_standin(tmp_path / "s")
    for train, valid in (seen[:2], seen[2:]):
        originals = {o.numpy().tobytes() for o in train}
        assert originals and not originals & {o.numpy().tobytes() for o in valid}


# ---- MNIST itself, where it is at hand

def test_mnist_is_recognised_in_any_order_of_files():
    sample = load_sample(verbose=False)
    if not is_mnist(sample): pytest.skip("these data are not MNIST")
    assert {name: len(load_digits(mnist_sample(verbose=False) / name)) for name in COUNTS} == COUNTS
    again = load_sample(verbose=False, cache=False)
    assert all(torch.equal(a, b) for a, b in zip(sample, again))
    again.train_x[0, 400] += 1 / 255
    assert not is_mnist(again)
