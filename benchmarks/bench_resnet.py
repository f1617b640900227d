"""resnet18, one epoch: the chapter's learner as printed (stock), the same training without waste, and free settings.

Stock is `ImageDataLoaders.from_folder` + `vision_learner` + `fit_one_cycle(1, 0.1)`, with its worker processes. Each
round runs all ways in turn from one seed, training and validation together; the next round takes the next seed.
`--quick` times steps in place of epochs.
"""
import statistics
import time
from typing import NamedTuple

import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.torch_core import set_seed
from torch.utils.flop_counter import FlopCounterMode

import common
from fastbook_ch4.data import is_mnist, load_sample, mnist_sample
from fastbook_ch4.resnet import resnet_learner
from resnet_fast import fast_learner

CHAPTER = "resnet18 one epoch, the chapter's algorithm"
FREE = "resnet18 one epoch, free settings"
GPU = "resnet18 one epoch on a GPU"


class Run(NamedTuple):
    accuracy: float
    seconds: float


def stock(path, seed):
    set_seed(seed)
    return resnet_learner(path)


WAYS = {  # name: (learner from path and seed, highest learning rate)
    "stock": (stock, .1),
    "usual weights": (lambda path, seed: fast_learner(path, seed=seed, trimmed=False), .1),
    "trimmed": (lambda path, seed: fast_learner(path, seed=seed), .1),
    "free": (lambda path, seed: fast_learner(path, bs=128, shrink=2, seed=seed), .02),
}


class Steps(Callback):
    "The seconds of single steps; the first three are warming up."
    order = 100

    def __init__(self, n): self.n, self.times = n, []

    def before_train(self): self.start = time.perf_counter()

    def after_batch(self):
        now = time.perf_counter()
        self.times.append(now - self.start)
        self.start = now
        if len(self.times) == self.n + 3: raise CancelFitException


def steps(learn, lr, n):
    "The times of `n` steps of one-cycle."
    clock = Steps(n)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1, lr, cbs=clock)
    return clock.times[3:]


def warm_up(path, ways):
    "A few steps of each way: lazy imports, decoded images, kernels chosen."
    for make, lr in ways.values(): steps(make(path, 0), lr, 2)


def epochs(path, ways, rounds, first=1):
    "{way: [Run]}, all ways in turn, one seed for each round."
    runs = {name: [] for name in ways}
    for seed in range(first, first + rounds):
        for name, (make, lr) in ways.items():
            learn = make(path, seed)
            if torch.cuda.is_available(): torch.cuda.synchronize()
            start = time.perf_counter()
            with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1, lr)
            runs[name].append(Run(learn.recorder.values[-1][2], time.perf_counter() - start))
    return runs


def accuracies(runs): return ", ".join(f"{o.accuracy:.4f}" for o in runs)


def where_it_goes(path):
    "What a step of the stock way and of ours consists of, in words: the reason behind a ratio."
    said, took = [], {}
    for name in ("stock", "trimmed"):
        make, lr = WAYS[name]
        learn = make(path, 0)
        model = learn.model.train()
        xb, yb = (o.as_subclass(torch.Tensor) for o in learn.dls.one_batch())
        passes = [common.seconds(lambda o=(model, xb, yb): both_ways(*o))[0] for _ in range(8)]
        took[name] = statistics.median(steps(learn, lr, 12))
        said.append(f"{name} {1000 * took[name]:.0f} ms a step, {1000 * statistics.median(passes[2:]):.0f} of them "
                    "forward and backward")
    with FlopCounterMode(display=False) as counter: both_ways(model, xb, yb)
    work, speed = counter.get_total_flops(), matrix_speed()
    return (f"{'; '.join(said)}. What is left are {work / 1e9:.1f} GFLOP of products, which at this machine's best "
            f"matrix speed ({speed / 1e9:.0f} GFLOP/s in float32) take {1000 * work / speed:.0f} ms: a step of nothing "
            f"else would be {took['stock'] * speed / work:.1f} times as quick as the stock one. The library's "
            f"convolutions ({torch.backends.cpu.get_cpu_capability()} here) are less slow on tiny maps than where the "
            "aim was set")


def both_ways(model, xb, yb):
    "A pass forward and a pass backward."
    torch.nn.functional.cross_entropy(model(xb), yb).backward()
    model.zero_grad()


def matrix_speed(n=1024):
    "The best speed of a matrix product here, in floating-point operations per second."
    a = torch.randn(n, n)
    return max(20 * 2 * n**3 / common.seconds(lambda: [a @ a for _ in range(20)])[0] for _ in range(5))


def quick(path):
    "Times of steps, in turn: ratios of a step, not of an epoch."
    learners = {name: (make(path, 0), lr) for name, (make, lr) in WAYS.items()}
    times = {name: [] for name in learners}
    for _ in range(2):
        for name, (learn, lr) in learners.items(): times[name] += steps(learn, lr, 4)
    for name, row in (("usual weights", "resnet18 one step, usual weights"), ("trimmed", CHAPTER), ("free", FREE)):
        common.row(row, times["stock"], times[name], None, name != "free", "steps, not epochs (--quick)")


def on_cpu(path, real):
    rounds = 3
    warm_up(path, WAYS)
    runs = epochs(path, WAYS, rounds)
    runs["free"] += epochs(path, {"free": WAYS["free"]}, 2, first=rounds + 1)["free"]  # five seeds
    seconds = {name: [o.seconds for o in some] for name, some in runs.items()}
    good = {name: all(o.accuracy >= .99 for o in some) for name, some in runs.items()}
    stock = f"stock's accuracies: {accuracies(runs['stock'])}"
    common.row(CHAPTER, seconds["stock"], seconds["trimmed"], 3, good["trimmed"] or not real,
               "Adam, one-cycle 0.1, batch 64, 28x28, 3 channels; the net without the weights that meet only padding "
               f"(gradients equal to 1e-12 in float64, see tests); accuracies {accuracies(runs['trimmed'])}; {stock}",
               where_it_goes(path))
    common.row("resnet18 one epoch, without padding, usual weights", seconds["stock"], seconds["usual weights"], None,
               good["usual weights"] or not real, "the same, with all eleven million weights in their usual form; accuracies "
               f"{accuracies(runs['page 07'])}")
    common.row(FREE, seconds["stock"], seconds["free"], 4, good["free"] or not real,
               "images halved to 14x14, Adam, one-cycle 0.02, batch 128; 'same result' says: 0.99 or more on "
               f"{len(runs['free'])} of {len(runs['free'])} seeds; accuracies {accuracies(runs['free'])}; {stock}",
               "see the row above")


def on_gpu(path, real):
    "The same on the GPU, where there is one."
    if not torch.cuda.is_available():
        common.row(GPU, [], [], 5, None, "no GPU yet")
        return
    ways = {name: WAYS[name] for name in ("stock", "trimmed")}
    warm_up(path, ways)
    runs = epochs(path, ways, 5)
    common.row(GPU, *([o.seconds for o in runs[name]] for name in ways), 5,
               all(o.accuracy >= .99 for o in runs["trimmed"]) or not real,
               f"{torch.cuda.get_device_name(0)}; accuracies {accuracies(runs['trimmed'])}; "
               f"stock's: {accuracies(runs['stock'])}", "not yet looked into on a GPU")


def main():
    args = common.arguments(__doc__)
    path = mnist_sample()
    real = is_mnist(load_sample(path))
    if args.quick: quick(path)
    elif torch.cuda.is_available(): print("CPU rows: run with CUDA_VISIBLE_DEVICES= in the environment")
    else: on_cpu(path, real)
    on_gpu(path, real)


if __name__ == "__main__": main()
