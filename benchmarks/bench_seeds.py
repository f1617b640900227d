"""Many models at once against one by one: 1,000 linear models, and 100 nets of 784-30-1, the same arithmetic and data.

One by one is the hand-written loop of page 05 (`train_epoch`, `validate_epoch`, in-memory batches), already faster than
the book's loader. It is not run a thousand times: each round times one model of it and multiplies, and the row says so.
Rounds alternate. Prints one JSON line per row. `--quick` takes fewer epochs and models (a smoke test, no measurement).
"""
import statistics

import torch
from torch import nn

import common
from fastbook_ch4.data import load_sample
from fastbook_ch4.seeds import train_seeds
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


@torch.no_grad()
def train_net_seeds(sample, seeds, epochs=40, lr=.1, bs=256, hidden=30, chunk=20):
    "Nets 784-hidden-1, `chunk` of them side by side in one matrix product, the gradient by hand; accuracies [epochs, n]."
    if len(seeds) > chunk:
        return torch.cat([train_net_seeds(sample, seeds[i:i + chunk], epochs, lr, bs, hidden, chunk)
                          for i in range(0, len(seeds), chunk)], 1)
    nets = []
    for seed in seeds:
        torch.manual_seed(seed)
        nets.append((nn.Linear(28 * 28, hidden), nn.Linear(hidden, 1)))
    w1, b1 = torch.cat([o.weight.T for o, _ in nets], 1), torch.cat([o.bias for o, _ in nets])
    w2, b2 = torch.cat([o.weight for _, o in nets]), torch.cat([o.bias for _, o in nets])
    side, accs = 1 - 2 * sample.train_y, []
    for _ in range(epochs):
        for xb, sb in zip(sample.train_x.split(bs), side.split(bs)):
            h = (xb @ w1 + b1).relu_().view(-1, len(nets), hidden)
            p = ((h * w2).sum(2) + b2).sigmoid()
            g = p * (1 - p) * (sb / len(xb)) * lr
            gh = (g[:, :, None] * w2 * (h > 0)).flatten(1)
            w1 -= xb.T @ gh
            b1 -= gh.sum(0)
            w2 -= (h * g[:, :, None]).sum(0)
            b2 -= g.sum(0)
        scores = ((sample.valid_x @ w1 + b1).relu_().view(-1, len(nets), hidden) * w2).sum(2) + b2
        right = ((scores > 0) == (sample.valid_y == 1)).float()
        accs.append(torch.stack([o.mean(0) for o in right.split(bs)]).mean(0))
    return torch.stack(accs)


def main():
    quick = common.arguments(__doc__).quick
    sample = load_sample()
    n, epochs, rounds = (30, 2, 1) if quick else (1000, 20, 3)
    why = ("training is two products with 640 pixels an image, 0.69 GFLOP a model: no less than the processor's matrix "
           "speed allows; what one model alone takes is the other half of the ratio")
    measure(f"{n:,} linear models, {epochs} epochs", 40, one_linear, train_seeds, sample, n, epochs, rounds, why)
    n, epochs, rounds = (4, 2, 1) if quick else (100, 40, 3)
    why = "one net has 30 columns already, so that even alone it is near the processor's matrix speed"
    measure(f"{n} nets of 784-30-1, {epochs} epochs", 2.5, one_net, train_net_seeds, sample, n, epochs, rounds, why)


if __name__ == "__main__":
    main()
