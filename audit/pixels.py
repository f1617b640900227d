"""Images as numbers, broadcasting. A function takes a `Lab` and gives what it measured."""
import numpy as np
import torch
from PIL import Image
from torch import nn

from fastbook_ch4.data import read_images

from .lab import error


def levels(lab):
    bytes_ = read_images(lab.path / 'train' / '3')
    zeros = (bytes_ == 0).float().mean()
    return dict(value=[bytes_.min(), bytes_.max()], dtype=str(bytes_.dtype), background=zeros)

def size(lab): return dict(value=list(Image.open(lab.file).size))

def stack(lab): return dict(value=list(lab.threes.shape))

def feed(lab):
    model, im = nn.Linear(784, 1), Image.open(lab.file)
    raw = torch.from_numpy(np.array(im)).view(-1)
    picture, bytes_, floats = (error(lambda o=o: model(o)) for o in (im, raw, raw / 255))
    return dict(picture=picture, bytes=bytes_, floats=floats)

def gray(lab):
    files = list(lab.path.glob('*/[37]/*.png'))
    return dict(n=len(files), modes=' '.join({Image.open(o).mode for o in files}))

def black(lab):
    shown = [Image.new('L', (1, 1), o).convert('RGB').getpixel((0, 0))[0] for o in (0, 255)]
    return dict(background=lab.sample.train_x.mode().values.mode().values, shown=shown)

def broadcast(lab):
    a, row, col = torch.zeros(1000, 28, 28), torch.zeros(1, 4), torch.zeros(3, 1)
    return dict(image=error(lambda: a - torch.zeros(28, 28)), thousand=error(lambda: a - torch.zeros(1000)),
                both=list((col + row).shape))

def expanded(lab):
    big = lab.mean3.clone().expand(1010, 28, 28)
    return dict(shape=list(big.shape), stride=big.stride(), kb=big.untyped_storage().nbytes() / 1000,
                full_kb=big.numel() * 4 / 1000)
