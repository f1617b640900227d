"""The linear model and its loss."""
import torch

from fastbook_ch4.linear import batch_accuracy, init_params, linear, mnist_loss, sigmoid

from .lab import book_start, error, ten_digits, welch


def book_scores(lab): return linear(lab.sample.train_x, *book_start()[2:])

def parameters(lab):
    x = lab.sample.train_x
    return dict(weights=x.shape[1], never_lit=(x.amax(0) == 0).sum())

def six_predictions(lab):
    scores = book_scores(lab)
    return dict(value=scores[[0, 1, 2, -3, -2, -1], 0], n=len(scores))

def weights_on_ink(lab):
    best = lab.list_run[1][0][:, 0].argsort(descending=True)[:50]
    gap = (lab.mean3 - lab.mean7).flatten()
    return dict(best=gap[best].mean(), all=gap.mean())

def lower_quadrants(lab):
    images, labels = ten_digits()
    ink = [images[labels == o, 14:].unflatten(-1, (2, 14)).mean((1, 3)) for o in (8, 7)]  # left, right
    return {side: welch(*(o[:, i] for o in ink)) for i, side in enumerate(('left', 'right'))}

def score_range(lab): return dict(low=book_scores(lab).min(), high=book_scores(lab).max())

def good_weights(lab):
    three, seven = (lab.scores[lab.sample.valid_y == o].mean() for o in (1, 0))
    return dict(three=three, seven=seven)

def rows_needed(lab):
    stack, weights = lab.threes[:9], book_start()[2]
    return dict(stack=error(lambda: stack @ weights), rows=list((stack.view(9, -1) @ weights).shape))

def printed_shape(lab):
    return {name: list(init_params(size).shape) for name, size in (('shape', 28*28), ('column', (28*28, 1)))}

def transposed(lab):
    x, (_, _, weights, bias) = lab.sample.train_x[0], book_start()
    return dict(right=(x * weights.T).sum() + bias[0], wrong=(x * weights).sum() + bias[0])

def stairs(lab):
    x, y, start = lab.sample.train_x, lab.sample.train_y, book_scores(lab).double()
    nudged = [start + .01 * x[:, i, None] for i in range(0, 784, 8)]
    def moved(f): return sum(int(f(o, y) != f(start, y)) for o in nudged)
    sweep = torch.linspace(-30, 30, 601)  # of the weight in the middle
    above = lab.scores + sweep * lab.sample.valid_x[:, 14 * 28 + 14, None] > 0
    return dict(nudges=len(nudged), accuracy=moved(batch_accuracy), loss=moved(mnist_loss),
                flips=above.int().diff().abs().sum(1).max(),
                steps=len((above == (lab.sample.valid_y == 1)).float().mean(0).unique()))

def smooth(lab):
    x = torch.linspace(-8, 8, 801, dtype=torch.float64, requires_grad=True)
    s, wide = sigmoid(x), torch.arange(-120., 121)
    slope, = torch.autograd.grad(s.sum(), x)
    return dict(low=s.min(), high=s.max(), flattest=slope.min(), steepest=slope.max(),
                one_from=wide[sigmoid(wide) == 1].min())

def confidence(lab):
    "Of the trained model, on images that it has not seen."
    p, far = lab.scores.sigmoid(), lab.scores.abs()
    sure, right = torch.maximum(p, 1 - p), ((p > .5) == (lab.sample.valid_y == 1)).float()
    return dict(sure=sure.mean(), right=right.mean(), error=right.std() / len(right)**.5,
                surer=right[far > far.median()].mean(), less=right[far <= far.median()].mean(),
                mistakes=int((right == 0).sum()), sure_of_mistakes=sure[right == 0].mean())

def one_number(lab): return dict(items=9, numbers=mnist_loss(torch.zeros(9, 1), torch.ones(9, 1)).numel())
