"""Many models at once against one by one: 1,000 linear models, and 100 nets of 784-30-1, the same arithmetic and data.

One by one is the hand-written loop of page 04 (`train_epoch`, `validate_epoch`, in-memory batches), already faster than
the book's loader. It is not run a thousand times: each round times one model of it and multiplies, and the row says so.
Rounds alternate. Prints one JSON line per row. `--quick` takes fewer epochs and models (a smoke test, no measurement).
"""
import statistics

import common
import torch
from torch import nn

from fastbook_ch4.data import load_sample
from fastbook_ch4.seeds import train_net_seeds, train_seeds
from fastbook_ch4.sgd import dataloaders, init_params, linear, train_epoch, validate_epoch


def one_linear(sample, seed, epochs):
    "One linear model by hand; its accuracies."
    torch.manual_seed(seed)
    weights, bias = init_params((28 * 28, 1)), init_params(1)
    return one(sample, lambda xb: linear(xb, weights, bias), (weights, bias), 1., epochs)


def one_net(sample, seed, epochs):
    "One net by hand; its accuracies."
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(28 * 28, 30), nn.ReLU(), nn.Linear(30, 1))
    return one(sample, net, list(net.parameters()), .1, epochs)


def one(sample, model, params, lr, epochs):
    dl, valid_dl = dataloaders(sample, bs=256)
    accs = []
    for _ in range(epochs):
        train_epoch(model, lr, params, dl)
        accs.append(validate_epoch(model, valid_dl))
    return accs


def measure(row, aim, single, many, sample, n, epochs, rounds, why):
    "Time one model and all n in turn; compare the accuracies of the models that were trained both ways."
    single(sample, 0, 1)
    many(sample, range(2), epochs=1)  # warm-up
    stock, ours, off = [], [], 0.
    for seed in range(rounds):
        seconds, alone = common.seconds(lambda seed=seed: single(sample, seed, epochs))
        stock.append(seconds * n)
        seconds, together = common.seconds(lambda: many(sample, range(n), epochs=epochs))
        ours.append(seconds)
        off = max(off, (together[:, seed] - torch.tensor(alone)).abs().max().item())
    common.row(row, stock, ours, aim, off < 1e-5,
               f"per model {1000 * statistics.median(ours) / n:.1f} ms against "
               f"{1000 * statistics.median(stock) / n:.0f} ms; one by one is extrapolated from {rounds} single models "
               f"(times {n}); largest difference of an accuracy {off:.0e}", why)


def main():
    quick = common.arguments(__doc__).quick
    sample = load_sample(verbose=False)
    n, epochs, rounds = (30, 2, 1) if quick else (1000, 20, 3)
    why = ("training is two products with 640 pixels an image, 0.69 GFLOP a model: no less than the processor's matrix "
           "speed allows; what one model alone takes is the other half of the ratio")
    measure(f"{n:,} linear models, {epochs} epochs", 40, one_linear, train_seeds, sample, n, epochs, rounds, why)
    n, epochs, rounds = (4, 2, 1) if quick else (100, 40, 3)
    why = "one net has 30 columns already, so that even alone it is near the processor's matrix speed"
    measure(f"{n} nets of 784-30-1, {epochs} epochs", 2.5, one_net, train_net_seeds, sample, n, epochs, rounds, why)


if __name__ == "__main__":
    main()
