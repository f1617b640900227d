"""Libraries, nets with a ReLU, and the resnet."""
import inspect
import math
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from fastbook_ch4.linear import linear
from fastbook_ch4.sgd import dataloaders, train_epoch, validate_epoch

from .lab import count, seeded

# fastai and torchvision take seconds to import: they come where they are needed.

def linear_module(): return nn.Linear(784, 1)
def three_linear(): return nn.Sequential(nn.Linear(784, 30), nn.Linear(30, 12), nn.Linear(12, 1))

def net():
    from fastbook_ch4.nonlinearity import simple_net
    return simple_net()

def fastai_sgd(params, lr):
    from fastai.optimizer import SGD
    return SGD(params, lr)

def apart(a, b): return (a - b).abs().max()

def replaces(lab):
    m, x = seeded(0, linear_module), lab.sample.valid_x
    return dict(off=apart(m(x), linear(x, m.weight.T, m.bias)), shape=list(m.weight.shape), n=count(m))

def sgd_function(lab):
    from fastai.optimizer import SGD
    p = nn.Parameter(torch.tensor([1., 2.]))
    opt = SGD([p], lr=.1)
    (p**2).sum().backward()
    opt.step()
    opt.zero_grad()
    stepped, cleared = torch.allclose(p.data, torch.tensor([.8, 1.6])), p.grad is None or not p.grad.any()
    return dict(stepped=stepped, cleared=cleared, is_class=inspect.isclass(SGD), makes=type(opt).__name__)

def learner_is_loop(lab):
    from fastbook_ch4.learner import linear_learner, mnist_dls, train_model
    hand, learn = seeded(0, linear_module), linear_learner(mnist_dls(lab.sample))
    learn.model.load_state_dict(hand.state_dict())
    train_model(hand, fastai_sgd(hand.parameters(), 1.), *dataloaders(lab.sample), 2)
    with learn.no_bar(), learn.no_logging(): learn.fit(2, lr=1.)
    return dict(off=apart(hand.weight, learn.model.weight.cpu()))

def three_ways(lab):
    from fastbook_ch4.learner import BasicOptim, train_model
    (dl, valid_dl), model, by_hand = dataloaders(lab.sample), seeded(0, linear_module), []
    for _ in range(3):
        train_epoch(model, 1., list(model.parameters()), dl)
        by_hand.append(validate_epoch(model, valid_dl))
    def with_(make):
        model = seeded(0, linear_module)
        return train_model(model, make(model.parameters(), 1.), dl, valid_dl, 3)
    return dict(by_hand=by_hand, basic=with_(BasicOptim), sgd=with_(fastai_sgd))

def collapse(lab):
    from fastbook_ch4.nonlinearity import collapse_linear
    deep, x = seeded(0, three_linear), lab.sample.valid_x
    flat = collapse_linear(*deep)
    return dict(off=apart(deep(x), flat(x)), deep=count(deep), flat=count(flat))

def bends(lab):
    "How far a model is from straight: its value half-way between two images against the mean of the two."
    a, b = lab.sample.valid_x[:100], lab.sample.valid_x[-100:]
    def bend(model): return apart(model((a + b) / 2), (model(a) + model(b)) / 2)
    return dict(relu=bend(seeded(0, net)), linear=bend(seeded(0, three_linear)))

def variants(lab):
    x = torch.linspace(-2, 2, 401)
    return dict(relu=torch.equal(F.relu(x), torch.where(x < 0, 0, x)),
                at_minus_1=[f(torch.tensor(-1.)) for f in (F.leaky_relu, F.elu, F.gelu)])

def finite(lab):
    model, x = seeded(0, net), lab.sample.valid_x
    on = model[0](torch.linspace(-9, 9, 20_001)[:, None] * x[:1] + x[-1:]) > 0  # which units, along a line
    return dict(n=count(model), pieces=(on[1:] != on[:-1]).any(1).sum() + 1, most=len(model[0].bias) + 1)

def interpolation_error(f, n):
    "Largest error on [0, 2 pi] of a net with n ReLU units that is built to meet f at n + 1 even points."
    knots, x = (torch.linspace(0, 2 * math.pi, o, dtype=torch.float64) for o in (n + 1, 20_001))
    slopes = f(knots).diff() / knots.diff()
    return apart(f(knots[0]) + F.relu(x[:, None] - knots[:-1]) @ torch.cat([slopes[:1], slopes.diff()]), f(x))

def approximates(lab):
    def step(x): return (x > 3).double()
    return {f.__name__: [interpolation_error(f, n) for n in (8, 256)] for f in (torch.sin, step)}

@cache
def resnet18():
    from torchvision.models import resnet18
    with torch.device('meta'): return resnet18()  # its shapes, without the numbers

def fold():
    "Two ReLU units that fold [0, 1] in the middle: up to 1 and down again."
    net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    for p, o in zip(net.parameters(), ([[1.], [1.]], [0., -.5], [[2., -4.]], [0.])): p.data = torch.tensor(o)
    return net

def deeper(lab):
    deep = nn.Sequential(*(fold() for _ in range(6)))
    slopes = deep(torch.linspace(0, 1, 1025)[:, None])[:, 0].diff().sign()
    pieces = int((slopes.diff() != 0).sum()) + 1
    wide = nn.Sequential(nn.Linear(1, pieces), nn.ReLU(), nn.Linear(pieces, 1))  # a unit a piece
    return dict(pieces=pieces, deep=count(deep), wide=count(wide), resnet=count(resnet18()), net=count(net()))

def by_hand(lab):
    return dict(pixels=lab.similarity(), linear=lab.runs[-1].median(), net=lab.nets[-1].median())

def layers(lab):
    kinds = [type(o) for name, o in resnet18().named_modules() if 'downsample' not in name]
    convs, linears = kinds.count(nn.Conv2d), kinds.count(nn.Linear)
    return dict(value=[convs + linears], convs=convs, linears=linears)

def same_files(lab):
    from fastai.vision.data import ImageDataLoaders
    dls = ImageDataLoaders.from_folder(lab.path, num_workers=0)
    items = {Path(o) for part in (dls.train, dls.valid) for o in part.items}
    return dict(same=items == set(lab.path.glob('*/[37]/*.png')), n=len(items),
                channels=dls.valid.one_batch()[0].shape[1], three=list(dls.vocab).index('3'))

def stored(accs):
    "Runs in percent, and where one more lies in 95 of 100 cases: log(error) as normal, twenty runs."
    accs = torch.tensor(accs, dtype=torch.float64)
    errors = (100 - accs).log()
    reach = 2.1 * errors.std() * (1 + 1 / len(accs))**.5
    likely = 100 - (errors.mean() + reach).exp(), 100 - (errors.mean() - reach).exp()
    return dict(n=len(accs), low=accs.min(), high=accs.max(), median=accs.median(), likely=list(likely))

def plain_fit(lab): return stored(lab.resnets['fit'])
def one_cycle(lab): return stored(lab.resnets['fit_one_cycle'])
