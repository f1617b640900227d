"""Mini-batches, shuffling, the training loop and its list of accuracies."""
import inspect
import random
import string
import time

import torch
from torch.utils.data import DataLoader as TorchLoader

from fastbook_ch4.linear import batch_accuracy, linear
from fastbook_ch4.seeds import train_seeds
from fastbook_ch4.sgd import calc_grad, dataloaders, train_epoch, validate_epoch
from fastbook_ch4.similarity import rms_distance

from .judge import numbers, rows
from .lab import book_start, error, linear_modules, nets, off, spread, train_many, welch


def quickest(f, times=5):
    "The shortest of several runs of `f()`, in seconds."
    def once():
        start = time.perf_counter()
        f()
        return time.perf_counter() - start
    return min(once() for _ in range(times))

def from_zeros(lab, epochs, bs=256, shuffle=False):
    "Accuracy of the linear model that starts at zero, rate 1."
    zeros = torch.zeros(784, 1), torch.zeros(1)
    return train_many(lab.sample, zeros, lambda xb, w, b: xb @ w + b, epochs, 1., shuffle, bs)[-1, 0]

def book_model():
    "The linear model at the book's start, and its parameters."
    params = [o.clone().requires_grad_() for o in book_start()[2:]]
    return (lambda xb: linear(xb, *params)), params

def full_step(lab):
    model, _ = book_model()
    def step(n): return quickest(lambda: calc_grad(lab.sample.train_x[:n], lab.sample.train_y[:n], model))
    return dict(slower=step(12_000) / step(1200), step=from_zeros(lab, 1, len(lab.sample.train_x)),
                epoch=from_zeros(lab, 1, shuffle=True))

def letters(lab):
    "The book's shuffled letters: Python's random numbers, seed 42; one small loader comes first."
    from fastai.data.load import DataLoader
    random.seed(42)
    list(DataLoader(range(15), batch_size=5, shuffle=True))
    loader = DataLoader(list(enumerate(string.ascii_lowercase)), batch_size=6, shuffle=True)
    return dict(value=' / '.join(' '.join(f'{n}{c}' for n, c in zip(xb.tolist(), yb)) for xb, yb in loader))

def larger_batch(lab):
    x, y, (_, _, weights, bias) = lab.sample.train_x[::10], lab.sample.train_y[::10], book_start()
    p = (x @ weights / 28 + bias / 28).sigmoid()
    each = x * (1 - 2 * y) * p * (1 - p)  # the gradient of every image
    def once(bs): return off(each[torch.randperm(len(x))[:bs]].mean(0), each.mean(0))
    def miss(bs): return sum(once(bs) for _ in range(20)) / 20
    def epoch(bs):
        (model, params), (dl, _) = book_model(), dataloaders(lab.sample, bs)
        return quickest(lambda: train_epoch(model, .1, params, dl), 3), len(dl)
    (small, many), (large, few) = epoch(64), epoch(2048)
    return dict(miss_4=miss(4), miss_256=miss(256), step=large / few > small / many, epoch=large > small)

def batch_sizes(lab): return {f'bs_{o}': from_zeros(lab, 2, o) for o in (64, 256, 2048)}

def new_batches(lab):
    dl, _ = dataloaders(lab.sample, shuffle=True)
    first, second = ({o.numpy().tobytes() for o in next(iter(dl))[0]} for _ in range(2))
    return dict(common=len(first & second), size=len(first))

def shuffling_helps(lab):
    kept, mixed = (linear_modules(lab.sample, 10, 20, o)[-1] for o in (False, True))
    return dict(linear=welch(mixed, kept), net=welch(nets(lab.sample, 4, shuffle=True)[-1], lab.nets[-1]))

def default_shuffle(lab):
    from fastai.data.load import DataLoader
    from fastai.vision.data import ImageDataLoaders
    torch_, fastai_ = (inspect.signature(o).parameters['shuffle'].default for o in (TorchLoader, DataLoader))
    folder = ImageDataLoaders.from_folder(lab.path, num_workers=0).train.shuffle
    return dict(torch_=torch_, fastai_=fastai_, folder=folder)

class Squares:
    "Not a list of tuples: it has a length and gives items."
    def __len__(self): return 4
    def __getitem__(self, i): return i, i * i

def any_dataset(lab):
    def second(ds): return next(iter(TorchLoader(ds, batch_size=4)))[1]
    return dict(listed=second([(i, i * i) for i in range(4)]), own=second(Squares()))

def loop_as_printed(lab):
    def compiles(word): return error(lambda: compile(f'for xb, yb {word} dl: pass', 'post', 'exec'))
    p = torch.zeros(1, requires_grad=True)
    p.sum().backward()
    mended = compiles('in') + error(p.grad.zero_) or 'runs'
    return dict(loop=compiles('='), clear=error(lambda: p.grad_zero_()), mended=mended)

def epochs_of_the_list(lab):
    printed, ours = numbers(rows()['N31']['prints']), lab.list_run[0]
    misses = {k: max(abs(a - b) for a, b in zip(ours[k:], printed)) for k in (0, 1, 2)}
    (first, miss), (_, next_best), *_ = sorted(misses.items(), key=lambda o: o[1])
    return dict(value=[first + len(printed) - 1], first=first, miss=miss, next_best=next_best)

def twenty_accuracies(lab):
    start, first, *twenty = lab.list_run[0]
    return dict(value=twenty, start=start, first=first, **spread(lab.runs[-1]))

def mean_of_means(lab):
    y, (_, valid_dl) = lab.sample.valid_y, dataloaders(lab.sample)
    early = validate_epoch(lambda xb: torch.ones(len(xb), 1), valid_dl)  # everything is called a three
    late, late_true = lab.list_run[0][-1], batch_accuracy(lab.scores, y)
    return dict(early=early, early_true=y.mean(), late=late, late_true=late_true, half=.5 / len(y))

def same_level(lab):
    runs, similarity = spread(lab.runs[-1], lab.similarity()), lab.similarity()
    return dict(**runs, similarity=similarity, rms=lab.similarity(rms_distance),
                fewer=(runs['median'] - similarity) / (1 - similarity))

def random_start(lab):
    small = train_seeds(lab.sample, range(50), std=.1)[-1]
    return dict(**spread(lab.runs[-1], lab.similarity()), similarity=lab.similarity(), small_n=len(small),
                small_worst=small.min(), small_best=small.max())
