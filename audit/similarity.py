"""Pixel similarity: ideal digits, two distances, the baseline's accuracy."""
import torch
from torch.linalg import solve, vector_norm

from fastbook_ch4.similarity import is_3, mnist_distance, rms_distance

from .lab import error


def list_mean(lab):
    few = lab.threes[:9]
    return dict(stacked=error(lambda: few.mean(0)), listed=error(lambda: list(few).mean(0)))

def blurry(lab): return dict(ideal=lab.mean3.max(), single=lab.threes.amax((1, 2)).mean())

def norms(lab):
    d = (lab.threes[:1000] - lab.mean3).flatten(1)
    l1, l2, mae, rmse = vector_norm(d, 1, 1), vector_norm(d, 2, 1), d.abs().mean(1), d.square().mean(1).sqrt()
    return dict(l1_times=(l1 / mae).mean(), l2_times=(l2 / rmse).mean(), order=l1.argmin() == mae.argmin())

def squaring(lab):
    errors = torch.ones(2, 2), torch.tensor([[0., 0], [0, 4]])
    mae, rmse = ([f(o, torch.zeros(2, 2)) for o in errors] for f in (mnist_distance, rms_distance))
    return dict(mae=mae, rmse=rmse)

def by_heart(lab):
    s, rows = lab.sample, torch.randperm(len(lab.sample.train_x))[:200]
    x, y, other = s.train_x[rows], torch.rand(200, 1).round(), torch.rand(len(s.valid_x), 1).round()
    weights = x.T @ solve(x @ x.T + .01 * torch.eye(200), y - .5)  # fits 200 coin flips
    def right(x, y): return ((x @ weights > 0) == (y == 1)).float().mean()
    return dict(seen=right(x, y), unseen=right(s.valid_x, other))

def validation(lab): return dict(threes=len(lab.images('valid', 1)), sevens=len(lab.images('valid', 0)))

def mean_of_axes(lab):
    few = lab.threes[:9]
    return dict(printed_form=error(lambda: few.mean(-1, -2)), tuple_form=error(lambda: few.mean((-1, -2))))

def intensity(lab): return dict(distance=mnist_distance(lab.mean3, lab.mean3), ink=lab.mean3.mean())

def both_classes(lab):
    three, seven = (100 * o.double().mean() for o in lab.right())
    return dict(three=three, seven=seven, value=[(three + seven) / 2])

def all_images(lab):
    right = torch.cat(lab.right())
    return dict(right=right.sum(), n=len(right), percent=100 * right.double().mean())

def share_of_threes(lab):
    said = is_3(lab.sample.valid_x.view(-1, 28, 28), lab.mean3, lab.mean7)
    return dict(share=said.float().mean(), accuracy=(said == (lab.sample.valid_y[:, 0] == 1)).float().mean())

def other_distance(lab): return dict(mae=lab.similarity(), rmse=lab.similarity(rms_distance))

def no_steps(lab):
    threes = lab.sample.valid_y.mean()
    return dict(accuracy=torch.cat(lab.right(rms_distance)).float().mean(), majority=max(threes, 1 - threes))
