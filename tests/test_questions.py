"The four checks, and page 21: each question once, each solution right, the hard answers held against torch."
import re

import pytest
import torch

from fastbook_ch4.learner import BasicOptim, train_model
from fastbook_ch4.linear import batch_accuracy, mnist_loss
from fastbook_ch4.nonlinearity import simple_net
from fastbook_ch4.questions import check_epoch, check_odd_doubled, check_pair, check_square
from fastbook_ch4.sgd import dataloaders
from pages import ROOT, code_of, read

CELLS = read(ROOT / "nbs" / "21_questions.ipynb").cells
TEXT = "\n".join(c.source for c in CELLS if c.cell_type == "markdown")
n = torch.arange(1, 10).view(3, 3)

def epoch(slip=""):
    "A right epoch, or one with a slip."
    def f(model, loss_func, dl, params, lr):
        opt = BasicOptim(params, {"uphill": -lr, "no lr": 1.}.get(slip, lr))
        for i, (xb, yb) in enumerate(dl):
            if slip == "clear first": opt.zero_grad()
            loss_func(model(xb), yb).backward()
            if slip == "no step" or (slip == "last only" and i < len(dl) - 1): continue
            opt.step()
            if slip not in ("never", "last only"): opt.zero_grad()
            if slip == "odd": params[0].data += .1
            if slip == "first only": return
    return f

def without_backward(model, loss_func, dl, params, lr):
    for xb, yb in dl:
        for p, g in zip(params, torch.autograd.grad(loss_func(model(xb), yb), params)): p.data -= lr * g

def test_right_answers_are_right():
    said = [check_odd_doubled(f) for f in (
        lambda a: [x * 2 for x in a if x % 2], lambda a: list(map(lambda x: x + x, filter(lambda x: x & 1, a))))]
    said += [check_square(s, s * 2, (s * 2)[-2:, 1:3]) for s in (n, n.float().requires_grad_(), n.numpy())]
    said += [check_epoch(f) for f in (epoch(), epoch("clear first"), without_backward)]
    said += [check_pair(f) for f in (lambda a, b: [*zip(a, b)], lambda a, b: [(a[i], b[i]) for i in range(len(a))])]
    assert said == ["right"] * 10

WRONG = {
    check_odd_doubled: {
        "even ones too": lambda a: [x * 2 for x in a], "not doubled": lambda a: [x for x in a if x % 2],
        "wrong way round": lambda a: [x * 2 for x in a if x % 2 == 0], "squared": lambda a: [x * x for x in a if x % 2],
        "still there": lambda a: [x * 2 if x % 2 else x for x in a], "go through it": lambda a: [2, 6],
        "before you double": lambda a: [x for x in [y * 2 for y in a] if x % 2], "return": lambda a: None,
        "generator": lambda a: (x * 2 for x in a if x % 2), "ZeroDivision": lambda a: 1 / 0, "of type list": [18]},
    check_pair: {
        "zip": zip, "wrong way round": lambda a, b: list(zip(b, a)), "tuples": lambda a, b: [[*o] for o in zip(a, b)],
        "counted": lambda a, b: list(enumerate(b)), "paired": lambda a, b: [o for p in zip(a, b) for o in p],
        "both at once": lambda a, b: [(x, y) for x in a for y in b], "one pair": lambda a, b: [(a, b)]},
    check_square: {
        "[9]": (n.flatten(), ..., ...), "begins at 0": (n - 1, ..., ...), "columns": (n.T, ..., ...),
        "itself": (n * 2, ..., ...), "`doubled` is still missing": (n, ..., ...), "holds 1 to 9": (n, n, ...),
        "squared": (n, n**2, ...), "`corner` is still missing": (n, n * 2, None), "[2, 3]": (n, n * 2, n[1:] * 2),
        "cut from": (n, n * 2, n[1:, 1:]), "upper left": (n, n * 2, n[:2, :2] * 2), "type list": (n.tolist(), ..., ...),
        "upper right": (n, n * 2, n[:2, 1:] * 2), "other numbers": (torch.ones(3, 3), ..., ...)},
    check_epoch: {
        "no weight has moved": epoch("no step"), "first batch": epoch("first only"), "pile up": epoch("never"),
        "one step for all": epoch("last only"), "uphill": epoch("uphill"), "`lr`": epoch("no lr"),
        "question 14": epoch("odd"), "TypeError": lambda dl: None}}

@pytest.mark.parametrize("check", WRONG, ids=lambda f: f.__name__)
def test_wrong_answers_get_a_sentence_of_their_own(check):
    said = {words: check(*o) if isinstance(o, tuple) else check(o) for words, o in WRONG[check].items()}
    assert all(words in o for words, o in said.items()) and len({*said.values()} - {"right"}) == len(said), said

@pytest.mark.parametrize("call", ["check_odd_doubled(odd_doubled)", "check_square(square, doubled, corner)",
                                  "check_epoch(epoch)", "check_pair(pair)"])
def test_the_solution_on_the_page_is_right_and_the_attempt_is_not(call):
    i = next(i for i, c in enumerate(CELLS) if c.cell_type == "code" and c.source.endswith(call))
    first, solution, _ = re.split(r"```(?:python)?\n", CELLS[i + 1].source, maxsplit=2)
    exec(solution, names := dict(globals()))
    assert eval(call, names) == "right" not in CELLS[i].outputs[0].data["text/plain"]
    assert first.count("<details>") == 3, "a hint, another, and only then the solution"

def test_every_question_stands_once_with_a_folded_answer():
    headings, links = re.findall(r"(?m)^### (.*)$", TEXT), re.findall(r"\]\(#(.*?)\)", TEXT)
    circles = re.findall(r": \[(.*?)\]", next(code_of(c) for c in CELLS if c.id == "qmap"))
    assert sorted(int(o.split()[0]) for o in headings) == list(range(1, 38))
    assert links == [o.replace(" ", "-") for o in headings]
    assert [o.split("-")[0] for o in links] == ", ".join(circles).split(", "), "the map, the list, the page"
    assert TEXT.count("<summary>Answer</summary>") == 37

def test_the_answers_that_are_easy_to_get_wrong(sample):
    net = simple_net()
    for start, moved in ((0., [False, False, False, True]), (.01, [True] * 4)):  # 15: from 0, only the last bias
        for p in net.parameters(): p.data.fill_(start)
        train_model(net, BasicOptim(net.parameters(), .1), *dataloaders(sample, shuffle=True), 1)
        assert [bool((p != start).any()) for p in net.parameters()] == moved
        assert len(net[0].weight.unique(dim=0)) == 1  # all units are twins
    scores, one = torch.ones(2, 1, requires_grad=True), torch.ones(2, 1)
    assert mnist_loss(scores, one).requires_grad and not batch_accuracy(scores, one).requires_grad  # 20
    right = type("Right", (), {"__rmatmul__": lambda self, left: "right"})()
    gives_up = type("Left", (), {"__matmul__": lambda self, right: NotImplemented})()
    assert 2 @ right == gives_up @ right == "right" and not hasattr(2, "__matmul__")  # 29
    (on_the_way := scores * 2).retain_grad()
    for _ in range(2): (after := on_the_way * 3).sum().backward(retain_graph=True)
    assert [scores.grad[0, 0], on_the_way.grad[0, 0], after.retains_grad] == [12, 6, False]  # 30, 31: it adds
