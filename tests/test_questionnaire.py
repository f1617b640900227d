"The four exercise checks: right answers pass, wrong ones get a sentence of their own; and the page keeps its promises."
import re

import numpy as np
import pytest
import torch

from fastbook_ch4.questionnaire import check_epoch, check_odd_doubled, check_pair, check_square
from pages import ROOT, code_cells, code_of, directives, read

PAGE = read(ROOT / "nbs" / "10_questionnaire.ipynb")


def refuse(check, wrong):
    "Each wrong answer gets the sentence that belongs to it, and no two of them the same list of sentences."
    said = [check(*o) if isinstance(o, tuple) else check(o) for o, _ in wrong]
    for (_, words), got in zip(wrong, said): assert any(words in o for o in got), (words, got)
    assert len({tuple(o) for o in said}) == len(said), said
    assert all(o[0].isupper() or o[0] == "`" for got in said for o in got), said
    assert all(o.endswith((".", "]")) for got in said for o in got), said


# Question 4

def by_loop(nums):
    out = []
    for x in nums:
        if x % 2: out.append(x * 2)
    return out


def in_place(nums):
    nums[:] = [x * 2 for x in nums if x % 2]
    return list(nums)


def test_odd_doubled_refuses_typical_mistakes():
    refuse(check_odd_doubled, [
        (lambda nums: [x * 2 for x in nums], "leave the even ones out"),
        (lambda nums: [x for x in nums if x % 2], "not doubled"),
        (lambda nums: [x * 2 for x in nums if x % 2 == 0], "wrong way round"),
        (lambda nums: [x for x in nums if x % 2 == 0], "nothing is doubled"),
        (lambda nums: [x for x in [y * 2 for y in nums] if x % 2], "before it is doubled"),
        (lambda nums: [x ** 2 for x in nums if x % 2], "squared"),
        (lambda nums: [x * 2 if x % 2 else x for x in nums], "chooses between two values"),
        (lambda nums: (x * 2 for x in nums if x % 2), "gives back a generator"),
        (lambda nums: {x * 2 for x in nums if x % 2}, "gives back a set"),
        (lambda nums: None, "not returned"),
        (lambda nums: [2, 6, 10, 14], "not for [9, -3, 4, 9, 0]"),
        (lambda nums: [x * 2 for x in [1, 2, 3, 4, 5, 6, 7] if x % 2], "got [2, 6, 10, 14]"),
        (lambda nums: sorted(x * 2 for x in nums if x % 2), "got [-6, 18, 18]"),
        (lambda nums: [x * 2 for x in list if x % 2], "name of your argument"),
        (lambda: [2, 6, 10, 14], "TypeError"),
        (lambda nums: [x / 0 for x in nums], "ZeroDivisionError"),
        (lambda nums: [14, 10, 6, 2], "expected [2, 6, 10, 14]"),
        (by_loop, "now write it as one list comprehension"),
        (in_place, "changes the list"),
        (None, "of type NoneType"),
        ([2, 6, 10, 14], "of type list"),
    ])


@pytest.mark.parametrize("right", [lambda nums: [x * 2 for x in nums if x % 2 != 0],
                                   lambda nums: [2 * x for x in nums if x % 2 == 1],
                                   lambda nums: [x + x for x in nums if x & 1]])
def test_odd_doubled_passes_right_answers(right): assert check_odd_doubled(right) == []


# Question 9

SQUARE = torch.arange(1, 10).view(3, 3)
DOUBLED = SQUARE * 2
CORNER = DOUBLED[1:, 1:]


def test_square_refuses_typical_mistakes():
    doubled_itself = SQUARE * 2
    refuse(check_square, [
        ((torch.arange(9).view(3, 3), DOUBLED, CORNER), "0 to 8"),
        ((torch.arange(1, 10), DOUBLED, CORNER), "shape (9,)"),
        ((SQUARE.t(), DOUBLED, CORNER), "reading order"),
        ((torch.ones(3, 3), DOUBLED, CORNER), "expected the numbers 1 to 9"),
        ((doubled_itself, doubled_itself, CORNER), "was doubled itself"),
        (([[1, 2, 3], [4, 5, 6], [7, 8, 9]], DOUBLED, CORNER), "plain list"),
        ((SQUARE, SQUARE, CORNER), "still holds 1 to 9"),
        ((SQUARE, SQUARE ** 2, CORNER), "squared"),
        ((SQUARE, torch.cat([SQUARE, SQUARE]), CORNER), "expected 2, 4, 6 to 18"),
        ((SQUARE, ..., CORNER), "`doubled` is still missing"),
        ((SQUARE, DOUBLED, None), "`corner` is still missing"),
        ((SQUARE, DOUBLED, SQUARE[1:, 1:]), "comes from `square`"),
        ((SQUARE, DOUBLED, DOUBLED[:2, :2]), "top left"),
        ((SQUARE, DOUBLED, DOUBLED[1:2, 1:2]), "end of a slice"),
        ((SQUARE, DOUBLED, DOUBLED[1:3]), "two whole rows"),
        ((SQUARE, DOUBLED, DOUBLED[:, 1:3]), "two whole columns"),
        ((SQUARE, DOUBLED, DOUBLED[1:3][1:3]), "cuts rows twice"),
        ((SQUARE, DOUBLED, CORNER.flatten()), "expected shape (2, 2)"),
        ((SQUARE, DOUBLED, DOUBLED[0]), "with shape (3,)"),
        ((SQUARE, DOUBLED, "corner"), "is of type str"),
        ((SQUARE, DOUBLED, np.array(["a"])), "expected numbers"),
    ])
    assert len(check_square(None, None, None)) == 3


@pytest.mark.parametrize("square", [SQUARE, SQUARE.float().requires_grad_(), SQUARE.numpy(), SQUARE.bfloat16()])
def test_square_passes_right_answers(square):
    doubled = square * 2
    assert check_square(square, doubled, doubled[1:3, 1:3]) == []
    assert check_square(square, doubled, doubled[-2:, -2:]) == []


# Question 25

def epoch(mistake=None):
    "A right epoch, or one with a mistake."
    def run(model, loss_func, dl, params, lr):
        for i, (xb, yb) in enumerate(dl):
            preds = model(xb)
            if mistake == "predict twice": model(xb)
            loss = ((preds - yb) ** 2).mean() if mistake == "own loss" else loss_func(preds, yb)
            if mistake == "no gradient": continue
            loss.backward(retain_graph=mistake == "gradient twice")
            if mistake == "gradient twice": loss.backward()
            if mistake == "no step" or (mistake == "one step" and i < 2): continue
            if mistake == "clear first":
                for p in params: p.grad.zero_()
            if mistake == "None first":
                for p in params: p.grad = None
            if mistake == "in place":
                for p in params: p -= p.grad * lr
            if mistake == "list": params -= params.grad * lr
            if mistake == "new tensors": params = [(p - lr * p.grad).detach().requires_grad_() for p in params]
            if mistake == "new tensors": break
            with torch.no_grad():
                for p in params:
                    if mistake == "uphill": p += p.grad * lr
                    elif mistake == "no lr": p -= p.grad
                    elif mistake == "sign only": p -= p.grad.sign() * lr
                    else: p -= p.grad * lr
            if mistake not in ("never cleared", "one step"):
                for p in params: p.grad = None
            if mistake == "one batch": break
    return run


def zero_at_the_start(model, loss_func, dl, params, lr):
    for xb, yb in dl:
        for p in params: p.grad = None
        loss_func(model(xb), yb).backward()
        for p in params: p.data -= lr * p.grad


def with_an_optimiser(model, loss_func, dl, params, lr):
    opt = torch.optim.SGD(params, lr=lr)
    for xb, yb in dl:
        loss_func(model(xb), yb).backward()
        opt.step()
        opt.zero_grad()


def no_grad_everywhere(model, loss_func, dl, params, lr):
    with torch.no_grad(): return epoch()(model, loss_func, dl, params, lr)


def test_epoch_refuses_typical_mistakes():
    refuse(check_epoch, [
        (epoch("one batch"), "Batches fetched: 1"),
        (epoch("predict twice"), "Predictions made: 6"),
        (epoch("own loss"), "Losses computed: 0"),
        (epoch("no gradient"), "Gradients computed: 0"),
        (epoch("gradient twice"), "Gradients computed: 6"),
        (epoch("no step"), "The parameters do not change"),
        (epoch("None first"), "a gradient is None"),
        (epoch("in place"), "with torch.no_grad():"),
        (epoch("list"), "loop over it"),
        (epoch("uphill"), "uphill"),
        (epoch("no lr"), "ignores `lr`"),
        (epoch("one step"), "step after every batch"),
        (epoch("never cleared"), "never cleared"),
        (epoch("sign only"), "The parameters end at"),
        (no_grad_everywhere, "predict outside"),
        (lambda dl: None, "compare its arguments"),
        (lambda *args: None, "Batches fetched: 0"),
        (7, "of type int"),
    ])
    for mistake in ("clear first", "new tensors"): assert "do not change" in check_epoch(epoch(mistake))[-1]


@pytest.mark.parametrize("right", [epoch(), zero_at_the_start, with_an_optimiser])
def test_epoch_passes_right_answers(right): assert check_epoch(right) == []


def test_epoch_does_not_touch_the_random_numbers_of_others():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    check_epoch(epoch())
    assert torch.equal(torch.rand(1), expected)


def test_epoch_that_empties_its_arguments_still_gets_a_sentence():
    assert check_epoch(lambda model, loss_func, dl, params, lr: params.clear())


# Question 26

def test_pair_refuses_typical_mistakes():
    refuse(check_pair, [
        (zip, "gives back a zip"),
        (lambda a, b: tuple(zip(a, b)), "gives back a tuple"),
        (lambda a, b: dict(zip(a, b)), "gives back a dict"),
        (lambda a, b: [[x, y] for x, y in zip(a, b)], "pairs are lists"),
        (lambda a, b: list(zip(b, a)), "other way round"),
        (lambda a, b: list(enumerate(b)), "count from 0"),
        (lambda a, b: list(enumerate(b, 1)), "not for [7, 5]"),
        (lambda a, b: [(x, y) for x in a for y in b], "without a loop inside a loop"),
        (lambda a, b: [o for p in zip(a, b) for o in p], "pairs are missing"),
        (lambda a, b: [(a, b)], "two whole arguments"),
        (lambda a, b: [f"{x}{y}" for x, y in zip(a, b)], "expected [(1, 'a')"),
        (lambda a, b: print(end=""), "not returned"),
        (lambda a, b: [(1, "a"), (2, "b"), (3, "c"), (4, "d")], "got [(1, 'a')"),
        (lambda a, b: [(x, b[x - 1]) for x in a], "IndexError"),
        (lambda a: a, "compare its arguments"),
    ])


@pytest.mark.parametrize("right", [lambda a, b: list(zip(a, b)), lambda a, b: list(zip(a, b, strict=True)),
                                   lambda a, b: [(a[i], b[i]) for i in range(len(a))]])
def test_pair_passes_right_answers(right): assert check_pair(right) == []


# The page

def sections():
    "The cells below each `## Question N`, by N."
    found, now = {}, None
    for cell in PAGE.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            m = re.fullmatch(r"## Question (\d+)", cell.source)
            now = int(m[1]) if m else None
            if now: found[now] = []
        elif now: found[now].append(cell)
    return found


def prose(cells): return [c.source for c in cells if c.cell_type == "markdown"]


@pytest.mark.parametrize("number", range(1, 38))
def test_a_question_has_a_folded_answer_and_a_proof(number):
    cells = sections()[number]
    folded = [s for s in prose(cells) if s.count("<details><summary>Answer</summary>") == 1 == s.count("</details>")]
    assert len(folded) == 1
    assert "**What the post misses.**" in folded[0]
    tagged = [c for c in code_cells(PAGE) if c in cells and f"Q{number:02}" in directives(c).get("chapter", "")]
    assert any(re.search(r"\bassert\b|\btest_\w+\(|expect_fail", code_of(c)) for c in tagged)
    seen_first = prose(cells)[0].split("<details>")[0]
    assert len(seen_first.split()) < 75 and "**" not in seen_first, "a question, not an answer"


def test_the_list_at_the_top_holds_every_question_and_no_answer():
    index = next(c.source for c in PAGE.cells if "(#Question-1)" in c.source)
    listed = {int(n): text for n, text in re.findall(r"- \[(\d+)\]\(#Question-\1\) (.*)", index)}
    assert sorted(listed) == list(range(1, 38)) and "details" not in index
    for number, cells in sections().items():
        assert listed[number] == " ".join(prose(cells)[0].split("\n\n")[0].split())


def test_links_inside_the_page_lead_to_headings():
    headings = {c.source.lstrip("# ").replace(" ", "-") for c in PAGE.cells if c.source.startswith("## ")}
    links = set(re.findall(r"\]\(#([^)]+)\)", "\n".join(c.source for c in PAGE.cells)))
    assert len(links) >= 39 and links <= headings


CHECKS = {4: "check_odd_doubled(odd_doubled)", 9: "check_square(square, doubled, corner)", 25: "check_epoch(epoch)",
          26: "check_pair(pair)"}
NAMES = {f.__name__: f for f in (check_odd_doubled, check_square, check_epoch, check_pair)}


@pytest.mark.parametrize("number", CHECKS)
def test_the_folded_solution_passes_the_check_and_the_first_attempt_does_not(number):
    cells = sections()[number]
    solution = re.search(r"<details>.*?```python\n(.*?)```", "\n".join(prose(cells)), re.S)[1]
    names = NAMES | {"torch": torch}
    exec(solution, names)
    assert eval(CHECKS[number], names) == []
    exercise = next(c for c in cells if CHECKS[number] in c.source)
    exec(code_of(exercise), names)
    assert names["still_missing"]
    assert cells.index(exercise) < next(i for i, c in enumerate(cells) if "<details>" in c.source)
