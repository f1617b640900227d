"The linear model, 20 epochs: the book's loop over fastai's DataLoader, our readable loop, and the closed form."
import statistics

import numpy as np
import torch
from fastai.data.load import DataLoader
from threadpoolctl import threadpool_limits

import common
from fastbook_ch4.data import load_sample
from fastbook_ch4.sgd import dataloaders, init_params, linear, train_epoch, validate_epoch

# ---- the book's way: its own functions over fastai's DataLoader

def book_loss(predictions, targets):
    predictions = predictions.sigmoid()
    return torch.where(targets == 1, 1 - predictions, predictions).mean()


def book_accuracy(xb, yb): return ((xb.sigmoid() > .5) == yb).float().mean()


def book(dl, valid_dl, epochs):
    weights, bias, accs = *start(), []
    def model(xb): return xb @ weights + bias
    for _ in range(epochs):
        for xb, yb in dl:
            book_loss(model(xb), yb).backward()
            for p in (weights, bias):
                p.data -= p.grad * 1.
                p.grad.zero_()
        accs.append(round(torch.stack([book_accuracy(model(xb), yb) for xb, yb in valid_dl]).mean().item(), 4))
    return weights.detach(), bias.detach(), accs


# ---- ours

def start():
    torch.manual_seed(42)
    return init_params((28 * 28, 1)), init_params(1)


def readable(sample, epochs):
    weights, bias = start()
    dl, valid_dl = dataloaders(sample)
    accs = []
    for _ in range(epochs):
        train_epoch(lambda xb: linear(xb, weights, bias), 1., (weights, bias), dl)
        accs.append(validate_epoch(lambda xb: linear(xb, weights, bias), valid_dl))
    return weights.detach(), bias.detach(), accs


def closed(sample, epochs):
    "The gradient written down instead of derived: xb.T @ g, in NumPy, on one thread (so small a product is slower on two)."
    weights, bias = start()
    w, b = weights.detach().numpy()[:, 0], bias.detach().numpy()  # the same memory, so they change together
    dl, valid_dl = dataloaders(sample)
    batches = [(xb.numpy(), (1 - 2 * yb[:, 0].numpy()) / np.float32(4 * len(yb))) for xb, yb in dl]
    valid, accs = [(xb.numpy(), yb[:, 0].numpy() == 1) for xb, yb in valid_dl], []
    with threadpool_limits(1):
        for _ in range(epochs):
            for xb, sign in batches:
                g = sign * (1 - np.tanh((xb @ w + b) / 2)**2)
                w -= xb.T @ g  # addmm_ in place would add tiny partial sums to w and lose digits
                b -= g.sum()
            accs.append(round(float(np.mean([((xb @ w + b > 0) == yb).mean() for xb, yb in valid])), 4))
    return weights.detach(), bias.detach(), accs


def bare(sample, epochs):
    "(seconds of the closed form's arithmetic without any check, seconds of its matrix products alone), at best."
    x, valid_x, valid_y = sample.train_x.numpy(), sample.valid_x.numpy(), sample.valid_y[:, 0].numpy() == 1
    sign = (1 - 2 * sample.train_y[:, 0].numpy()) / 1024
    batches = [(x[i:i + 256], sign[i:i + 256]) for i in range(0, len(x), 256)]

    def arithmetic():
        w, b = np.ones(28 * 28, np.float32), np.ones(1, np.float32)
        for _ in range(epochs):
            for xb, sb in batches:
                g = sb * (1 - np.tanh((xb @ w + b) / 2)**2)
                w -= xb.T @ g
                b -= g.sum()
            ((valid_x @ w + b > 0) == valid_y).mean()

    def products():
        w = np.ones(28 * 28, np.float32)
        for _ in range(epochs):
            for xb, sb in batches: xb @ w, xb.T @ sb

    with threadpool_limits(1): return [min(common.seconds(f)[0] for _ in range(5)) for f in (arithmetic, products)]


def main():
    quick = common.arguments(__doc__).quick
    sample, epochs = load_sample(), 2 if quick else 20
    dls = [DataLoader(list(zip(x, y)), batch_size=256) for x, y in (sample[:2], sample[2:])]
    ways = {"book": lambda: book(*dls, epochs), "readable": lambda: readable(sample, epochs),
            "closed": lambda: closed(sample, epochs)}
    times, results = common.alternate(ways, rounds=1 if quick else 7)
    (w, b, accs), (w1, b1, accs1), (w2, b2, accs2) = results.values()
    batch = min(times["readable"]) / epochs / len(dls[0])
    common.row(f"linear model by hand, {epochs} epochs, readable", times["book"], times["readable"], 2.5,
               torch.equal(w, w1) and torch.equal(b, b1) and accs == accs1,
               f"weights bit for bit the same: {torch.equal(w, w1)}; accuracy {accs1[-1]} and {accs[-1]}",
               f"{1000 * batch:.2f} ms a batch: autograd and the checks that every batch gets")
    (arithmetic, products), stock = bare(sample, epochs), statistics.median(times["book"])
    off = max((w - w2).abs().max().item(), (b - b2).abs().max().item())
    common.row(f"linear model by hand, {epochs} epochs, closed-form gradient", times["book"], times["closed"], 10,
               off < 1e-5, f"largest difference of a weight {off:.0e}; accuracy {accs2[-1]} and {accs[-1]}",
               f"the bare arithmetic in NumPy on one thread, without any check and at its best, takes "
               f"{1000 * arithmetic:.0f} ms, {stock / arithmetic:.1f} times; {1000 * products:.0f} ms of it are the "
               "two products of each step, which read the 39 MB of images from memory in every epoch")


if __name__ == "__main__": main()
