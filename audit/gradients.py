"""Slopes, steps and the roller-coaster."""
from functools import cache

import torch
from torch import nn

from fastbook_ch4.linear import mnist_loss
from fastbook_ch4.rollercoaster import apply_step, descend, mse, rollercoaster

from .lab import book_start, coaster, error, off, train_many


def slope(f, *x):
    "The gradient of `f` at `x`, by autograd."
    x = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(f(x).sum(), x)[0]

def rise_over_run(lab):
    def f(x): return x**2
    return dict(slope=slope(f, 3)[0], measured=(f(3.0001) - f(2.9999)) / .0002)

@cache
def small_problem(sample):
    "One image in a hundred and a column of ones, labels, the start / 28, autograd's gradient; float64."
    x, y = sample.train_x[::100].double(), sample.train_y[::100].double()
    x, (_, _, weights, bias) = torch.cat([x, torch.ones(len(x), 1)], 1), book_start()
    params = (torch.cat([weights, bias[:, None]]).double() / 28).requires_grad_()
    return x, y, params.detach(), torch.autograd.grad(mnist_loss(x @ params, y), params)[0]

def by_hand(lab):
    x, y, params, grad = small_problem(lab.sample)
    p = (x @ params).sigmoid()
    return dict(off=off(x.T @ ((1 - 2 * y) * p * (1 - p)) / len(x), grad))

def nudging(lab):
    x, y, params, grad = small_problem(lab.sample)
    moves = 1e-4 * torch.eye(len(params), dtype=torch.float64)[:, :, None]
    losses = [[mnist_loss(x @ (params + side * o), y) for side in (1, -1)] for o in moves]
    slopes = torch.tensor(losses, dtype=torch.float64).diff()[:, 0] / -2e-4
    return dict(off=off(slopes[:, None], grad), calls=sum(map(len, losses)))

def marked(lab):
    xt = torch.tensor([3., 4., 10.]).requires_grad_()
    y, before = (xt**2).sum(), xt.grad
    y.backward()
    return dict(before=before, after=xt.grad, unmarked=error(lambda: (torch.ones(3)**2).sum().backward()))

def backwards(lab):
    order, x = [], torch.ones(1, 4)
    for i in (1, 2, 3):
        x = nn.Linear(4, 4)(x)
        x.register_hook(lambda grad, i=i: order.append(i))
    x.sum().backward()
    return dict(order=order)

def same_distance(lab): return dict(slopes=[*slope(lambda x: x**2, 3), *slope(lambda x: 5 * x**2, 3)])

def plateau(lab):
    return dict(parabola=slope(lambda x: x**2, 1, 3), loss=slope(lambda z: z.sigmoid() - 1, -10, 0))

def usual_rates(lab):
    rates, zeros = torch.tensor([.001, .01, .1, 1.]), (torch.zeros(784, 4), torch.zeros(4))  # a column a rate
    accs = train_many(lab.sample, zeros, lambda xb, w, b: xb @ w + b, 20, rates)[-1]
    (speed, params, *_), time = book_start(), torch.arange(20).float()
    params = params.clone().requires_grad_()
    before, *_, after = (apply_step(params, time, speed, .001) for _ in range(4))
    return dict(before=before, after=after, accs=accs, net=lab.nets[-1].median(), similarity=lab.similarity())

def walk(lr, steps):
    "How far from the minimum gradient descent on x**2 is, from x = 3."
    x = 3.
    for _ in range(steps): x -= lr * slope(lambda x: x**2, x)[0]
    return abs(x)

def overshoot(lab): return dict(below=walk(.9, 10), above=walk(1.1, 10))

def slow_but_sure(lab): return dict(early=walk(.01, 10), late=walk(.01, 500), wild=walk(1.1, 500))

def ten_losses(lab):
    losses = coaster()
    runs = (descend(*rollercoaster(seed=o), torch.randn(3).requires_grad_(), steps=11) for o in range(100))
    last = [o[-1] for o in runs]
    return dict(value=losses[1:], first=losses[0], low=min(last), high=max(last))

def all_points(lab):
    losses = zip(coaster(), coaster(torch.arange(19, -1, -1)))  # in the other order
    return dict(off=max(abs(a - b) / a for a, b in losses))

def stalled(lab):
    time, speed = torch.arange(20).double(), book_start()[0].double()
    powers = torch.stack([time**2, time, time**0], 1)
    best = powers @ torch.linalg.lstsq(powers, speed[:, None]).solution
    return dict(last=coaster()[-1], best=mse(best[:, 0], speed), constant=speed.var(correction=0))

def cleared(lab):
    def second(clear):
        x = torch.tensor(3., requires_grad=True)
        for _ in range(2):
            if clear: x.grad = None
            (x**2).backward()
        return x.grad
    return dict(with_=second(True), without=second(False))
