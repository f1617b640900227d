"14,434 PNG files to tensors: the book's line, the first time with load_digits, and later, from the kept pixels."
import io
import os

import common
import numpy as np
import torch
from fastai.vision.all import Image, Path, tensor
from PIL.PngImagePlugin import PngImageFile

from fastbook_ch4 import data
from fastbook_ch4.data import is_mnist, load_digits, load_sample, mnist_sample


def main():
    quick = common.arguments(__doc__).quick
    path = Path(mnist_sample(verbose=False))
    folders = [path / split / digit for split in ("train", "valid") for digit in "37"]

    def book(): return [torch.stack([tensor(Image.open(o)) for o in folder.ls().sorted()]) for folder in folders]

    def book_floats():
        threes, sevens, valid_threes, valid_sevens = (o.float() / 255 for o in book())
        return [torch.cat(o).view(-1, 28 * 28) for o in ([threes, sevens], [valid_threes, valid_sevens])]

    def first(): return [load_digits(folder, cache=False) for folder in folders]
    def later(): return [load_digits(folder) for folder in folders]
    def later_floats(): return load_sample(path, verbose=False)
    def only_sum(): return [pixels.numpy().reshape(-1).view(np.uint64).sum() for pixels in alone]
    def only_divide(): return [pixels.float().div_(255) for pixels in alone]
    later()  # from here on the pixels are kept
    alone, shelves = later(), [data._shelf(str(folder.resolve())) for folder in folders]
    def only_files():
        "Each file read, and no more."
        for folder in folders:
            for name in sorted(os.listdir(folder)): data._bytes_of(f"{folder}/{name}")
    def only_decode():
        "Each file read and decoded, and no more: no check, no tensor."
        for folder in folders:
            for name in sorted(os.listdir(folder)): PngImageFile(io.BytesIO(data._bytes_of(f"{folder}/{name}"))).load()
    def only_read(): return [np.fromfile(shelf, np.uint8) for shelf in shelves]

    inner = {"later": 10, "later_floats": 5, "only_read": 10, "only_sum": 10, "only_divide": 5}
    ways = {f.__name__: f for f in (book, first, only_files, only_decode, later, only_read, only_sum, book_floats,
                                later_floats, only_divide)}
    times, results = common.alternate(ways, 1 if quick else 7, inner)
    middle = {name: sorted(o)[len(o) // 2] for name, o in times.items()}

    def same(name): return all(torch.equal(a, b) for a, b in zip(results["book"], results[name]))
    count, real = sum(len(o) for o in alone), is_mnist(results["later_floats"])
    what = f"{count:,} images{'' if real else ' of the stand-in'}, files in memory"
    common.row("PNG files to a uint8 tensor, first time", times["book"], times["first"], 2, same("first"),
               f"{what}; one process, Pillow's own PNG reader; both list the folders too",
               f"reading the files takes {1000 * middle['only_files']:.0f} ms of our {1000 * middle['first']:.0f}, "
               f"Pillow's decoding another {1000 * (middle['only_decode'] - middle['only_files']):.0f}: these alone "
               f"are {middle['book'] / middle['only_decode']:.2f} times; a second process would take 0.2 s to start, "
               "more than it saves")
    floor = middle["book"] / middle["only_read"]
    common.row("PNG files to a uint8 tensor, later", times["book"], times["later"], 500, same("later"),
               f"{what}; from the kept pixels, checked against the folder",
               f"of our {1000 * middle['later']:.1f} ms, reading the kept 11 MB takes {1000 * middle['only_read']:.1f} "
               f"({floor:.0f} times), adding up their bytes {1000 * middle['only_sum']:.1f}, the rest asks the folders "
               "whether anything changed; that is memory's speed, and the aim was set where the stock way took 2.1 s; "
               "a memory map would do without that copy, but where another process replaces the file on a network "
               "drive, it ends the kernel")
    (x, valid_x), sample = results["book_floats"], results["later_floats"]
    floor = middle["book_floats"] / middle["only_divide"]
    common.row("PNG files to float32 rows with labels, later", times["book_floats"], times["later_floats"], 30,
               torch.equal(x, sample.train_x) and torch.equal(valid_x, sample.valid_x),
               f"{what}; load_sample, labels checked too",
               f"torch's own division into new memory alone takes {1000 * middle['only_divide']:.1f} ms, "
               f"{floor:.0f} times")


if __name__ == "__main__": main()
