"14,434 PNG files to tensors: the book's line, and `read_images`."
import torch
from fastai.vision.all import Image, Path, tensor

import common
from fastbook_ch4.data import is_mnist, load_sample, mnist_sample, read_images


def main():
    quick = common.arguments(__doc__).quick
    path = Path(mnist_sample())
    folders = [path / split / digit for split in ("train", "valid") for digit in "37"]

    def book(): return [torch.stack([tensor(Image.open(o)) for o in folder.ls().sorted()]) for folder in folders]
    def ours(): return [read_images(folder) for folder in folders]
    times, results = common.alternate({"book": book, "ours": ours}, 1 if quick else 7)
    same = all(torch.equal(a, b) for a, b in zip(results["book"], results["ours"]))
    real = "" if is_mnist(load_sample(path)) else " of the stand-in"
    common.row("PNG files to a uint8 tensor", times["book"], times["ours"], None, same,
               f"{sum(map(len, results['ours'])):,} images{real}, files in memory; one process, every file checked")


if __name__ == "__main__": main()
