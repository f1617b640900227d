"The linear model against torch's own, its properties for any numbers, and the figures of page 04."
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import tensor

from fastbook_ch4.linear import batch_accuracy, init_params, linear, mnist_loss, sigmoid
from fastbook_ch4.similarity import is_3, rms_distance
from pages import PAGES, code_cells, read

quick = settings(max_examples=60, deadline=None)
numbers = st.floats(-1000, 1000, width=32)

@st.composite
def problems(draw):
    "Images, labels, weights and a bias of some small size, float64."
    n, pixels, seed = (draw(st.integers(*o)) for o in ((1, 12), (1, 9), (0, 2**32 - 1)))
    g = torch.Generator().manual_seed(seed)
    x, y = torch.rand(n, pixels, generator=g), torch.randint(0, 2, (n, 1), generator=g)
    return *(o.double() for o in (x, y, torch.randn(pixels, 1, generator=g), torch.randn(1, generator=g))),

@given(st.lists(numbers, min_size=1, max_size=9))
@quick
def test_sigmoid_is_torchs_and_so_is_its_slope_however_large_the_score(scores):
    ours, theirs = (tensor(scores).requires_grad_() for _ in range(2))
    p, q = sigmoid(ours), torch.sigmoid(theirs)
    p.sum().backward(), q.sum().backward()
    assert torch.allclose(p, q, atol=1e-6) and torch.allclose(ours.grad, theirs.grad, atol=1e-6)

@given(problems())
@quick
def test_linear_is_nn_linear(problem):
    x, _, weights, bias = problem
    module = torch.nn.Linear(*weights.shape)
    module.weight.data, module.bias.data = weights.T, bias
    assert torch.allclose(linear(x, weights, bias), module(x))

@given(problems())
@quick
def test_the_loss_is_a_mean_distance_in_0_to_1(problem):
    x, y, weights, bias = problem
    loss = mnist_loss(scores := linear(x, weights, bias), y)
    assert loss.shape == () and 0 <= loss <= 1
    assert torch.allclose(loss, (scores.sigmoid() - y).abs().mean()) and torch.allclose(loss, F.l1_loss(scores.sigmoid(), y))
    assert torch.allclose(mnist_loss(scores, 1 - y), 1 - loss)

@given(problems())
@quick
def test_the_gradient_by_hand_is_autograds(problem):
    x, y, weights, bias = problem
    weights.requires_grad_(), bias.requires_grad_()
    mnist_loss(linear(x, weights, bias), y).backward()
    p = sigmoid(linear(x, weights, bias)).detach()
    g = (1 - 2 * y) * p * (1 - p) / len(p)
    assert torch.allclose(weights.grad, x.T @ g) and torch.allclose(bias.grad, g.sum())

@given(st.lists(st.tuples(numbers, st.booleans()), min_size=1, max_size=30))
@quick
def test_accuracy_counts_the_right_answers(answers):
    scores, labels = (tensor(o)[:, None].float() for o in zip(*answers))
    right = [(score > 0) == label for score, label in answers]
    assert batch_accuracy(scores, labels).item() == pytest.approx(sum(right) / len(right))

@pytest.mark.parametrize("f", [mnist_loss, batch_accuracy])
def test_unequal_shapes_are_refused(f):
    for a, b in ([4, 1], [4]), ([4], [4, 1]), ([4, 1], [1, 4]), ([4, 1], [1, 1]):
        with pytest.raises(ValueError) as error: f(torch.zeros(a), torch.zeros(b))
        assert str(a) in str(error.value) and str(b) in str(error.value)

def test_parameters_are_leaves_that_a_seed_repeats():
    drawn, again = ((torch.manual_seed(1), init_params((5000, 2), std=.5))[1] for _ in range(2))
    assert torch.equal(drawn, again) and drawn.is_leaf and drawn.requires_grad and drawn.dtype == torch.float32
    assert (drawn.std().item(), drawn.mean().item()) == (pytest.approx(.5, abs=.02), pytest.approx(0, abs=.02))
    assert init_params(3).shape == (3,) and (init_params((7, 1), std=0) == 0).all()

def test_the_figures_of_the_page(mnist):
    train_x, train_y, valid_x, valid_y = mnist
    ideal3, ideal7 = (train_x[train_y[:, 0] == o].mean(0) for o in (1, 0))
    params, right, losses = (init_params((784, 1), std=0), init_params(1, std=0)), [], []
    for step in range(40):
        losses.append(mnist_loss(linear(train_x, *params), train_y))
        losses[-1].backward()
        for p in params: p.data, p.grad = p.data - p.grad, None
        right.append(round(batch_accuracy(linear(valid_x, *params), valid_y).item() * 2038))
        if step == 0: cosine = torch.cosine_similarity(params[0][:, 0], ideal3 - ideal7, dim=0).item()
    assert (right[0], right[39]) == (1942, 1978) and cosine == pytest.approx(.9997, abs=5e-5)
    assert (losses[0].item(), losses[39].item()) == (.5, pytest.approx(.0407, abs=5e-5)) and losses == sorted(losses)[::-1]
    bias = ((ideal7**2).sum() - (ideal3**2).sum()) / 2  # page 02's rule is a linear model
    theirs = is_3(*(o.view(-1, 28, 28) for o in (valid_x, ideal3, ideal7)), rms_distance)
    assert torch.equal(linear(valid_x, (ideal3 - ideal7)[:, None], bias)[:, 0] > 0, theirs)

def test_the_checks_say_right_only_where_it_is():
    cells = [c.source for c in code_cells(read(next(p for p in PAGES if p.stem == "04_linear")))]
    space = {"torch": torch, "accs": [tensor(.95)], "patch": torch.eye(28), "accuracy": lambda w, b: w.sum() / 100}
    for c in cells: c.startswith("def check_") and exec(c, space)
    for o in [], [.96], [.5, .9], [.5, .96, .97]: assert "right" not in space["check_catch_up"](o)
    assert space["check_catch_up"]([.5, .9, .96]).startswith("right: 3 steps")
    assert [space["check_rectangle"](torch.eye(28) * k, 0.)[:5] for k in (1, 2, 4)] == ["Still", "0.560", "right"]
