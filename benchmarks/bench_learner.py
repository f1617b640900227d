"""fastai's `Learner`: fed by fastai's DataLoader (stock) or by mini-batches in memory; and the net by hand.

All ways start from one seed, use the public interface only, print nothing while they train, and end with the same
weights.
"""
import cProfile
import pstats
import statistics

import torch
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.optimizer import SGD
from torch import nn

import common
from fastbook_ch4.data import load_sample
from fastbook_ch4.learner import BasicOptim, linear_learner, mnist_dls, train_model
from fastbook_ch4.nonlinearity import net_learner, simple_net
from fastbook_ch4.sgd import batch_accuracy, dataloaders, mnist_loss


def fit(learn, epochs, lr):
    with learn.no_bar(), learn.no_logging(): learn.fit(epochs, lr)
    return weights(learn.model), [round(o[-1], 4) for o in learn.recorder.values]


def weights(model): return torch.cat([p.detach().flatten() for p in model.parameters()])


def seeded(make):
    torch.manual_seed(42)
    return make()


def where_it_goes(learn, epochs, lr):
    "Shares of one fit, by profile: event dispatch, backward, the optimiser's step."
    profile = cProfile.Profile()
    profile.runcall(fit, learn, epochs, lr)
    stats = pstats.Stats(profile)
    total = stats.total_tt
    def share(file, name):
        return sum(o[3] for (path, _, f), o in stats.stats.items() if path.endswith(file) and f == name) / total
    dispatch, step = share("fastai/learner.py", "_call_one"), share("fastai/optimizer.py", "step")
    return (f"by profile {dispatch:.0%} of a fit is event dispatch (callbacks that have nothing to do included), "
            f"{share('torch/_tensor.py', 'backward'):.0%} backward, {step:.0%} the optimiser: a loader in memory "
            "cannot change those")


def main():
    quick = common.arguments(__doc__).quick
    sample = load_sample()

    def stock_dls():
        return DataLoaders(*(DataLoader(list(zip(x, y)), batch_size=256) for x, y in (sample[:2], sample[2:])))
    dls, ours = stock_dls(), mnist_dls(sample)

    def stock(make, epochs, lr):
        learn = seeded(lambda: Learner(dls, make(), opt_func=SGD, loss_func=mnist_loss, metrics=batch_accuracy))
        return fit(learn, epochs, lr)

    epochs = 1 if quick else 10
    times, results = common.alternate({
        "stock": lambda: stock(lambda: nn.Linear(28 * 28, 1), epochs, 1.),
        "ours": lambda: fit(seeded(lambda: linear_learner(ours)), epochs, 1.)}, rounds=1 if quick else 7)
    same = torch.equal(results["stock"][0], results["ours"][0])
    common.row(f"Learner, linear, {epochs} epochs", times["stock"], times["ours"], 1.5, same,
               f"weights bit for bit the same: {same}; accuracy {results['ours'][1][-1]}",
               where_it_goes(seeded(lambda: linear_learner(ours)), epochs, 1.))

    epochs = 1 if quick else 40

    def by_hand():
        net = seeded(simple_net)
        accs = train_model(net, BasicOptim(net.parameters(), .1), *dataloaders(sample), epochs)
        return weights(net), accs

    def bare():
        "The arithmetic and nothing else: no check of anything, batches cut beforehand."
        net = seeded(simple_net)
        params = list(net.parameters())
        for _ in range(epochs):
            for xb, yb in zip(xs, ys):
                preds = net(xb).sigmoid()
                torch.where(yb == 1, 1 - preds, preds).mean().backward()
                with torch.no_grad():
                    for p in params:
                        p -= p.grad * .1
                        p.grad = None
            with torch.no_grad(): torch.stack([batch_accuracy(net(xb), yb) for xb, yb in valid]).mean().item()
    xs, ys, valid = sample.train_x.split(256), sample.train_y.split(256), list(dataloaders(sample)[1])

    times, results = common.alternate({
        "bare": bare, "stock": lambda: stock(simple_net, epochs, .1),
        "ours": lambda: fit(seeded(lambda: net_learner(ours)), epochs, .1),
        "by hand": by_hand}, rounds=1 if quick else 5, warm_up=0 if quick else 1)
    floor = statistics.median(times["stock"]) / statistics.median(times["bare"])
    for name, aim, what in (("ours", 1.4, "with Learner"), ("by hand", 3.4, "with train_model, the loop by hand")):
        same = torch.equal(results["stock"][0], results[name][0])
        off = (results["stock"][0] - results[name][0]).abs().max().item()
        common.row(f"784-30-1 net, {epochs} epochs, {what}", times["stock"], times[name], aim, same or off < 1e-6,
                   f"weights bit for bit the same: {same} (largest difference {off:.0e}); "
                   f"accuracy {results[name][1][-1]}",
                   where_it_goes(seeded(lambda: net_learner(ours)), max(1, epochs // 10), .1) if name == "ours" else
                   f"a bare loop without any check is {floor:.2f} times as quick as the stock way on this machine")


if __name__ == "__main__": main()
