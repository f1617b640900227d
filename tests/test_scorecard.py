"The scorecard's rule, its rows, and what happens when a measurement goes wrong. Full runs: the page, and test_cli."
import ast
import inspect
import random

import pytest
import torch
from test_chapter import expected, named

import fastbook_ch4.scorecard as sc
from fastbook_ch4.scorecard import PUBLISHED, VERDICTS, Row, scorecard
from pages import PAGES


class Lab:
    "What `_judge` needs to know of a laboratory."
    def __init__(self, real=True, resnet=False): self.real, self.resnet = real, resnet


def judge(kind, found, published="1", lab=None, **kwargs):
    row = Row("X1", "nowhere", "a thing", published, kind, "09_scorecard", **kwargs)
    return sc._judge(row, lambda lab: found, lab or Lab())


# Rows

def test_rows_are_the_numbers_and_claims_of_the_chapter():
    assert sorted(PUBLISHED) == sorted(i for i in expected() if i[0] in "NC")
    assert all(row.id == i for i, row in PUBLISHED.items()) and set(PUBLISHED) == set(sc._MEASURES)


def test_rows_are_complete():
    stems = {p.stem for p in PAGES}
    for row in PUBLISHED.values():
        assert row.what and row.published and row.where
        assert row.kind in sc._MATCH and row.needs in ("", "mnist", "resnet")
        assert row.page in stems, row
        assert bool(row.tol) == bool(row.why), f"{row.id}: a tolerance needs its reason, and only a tolerance does"
        assert (row.id[0] == "C") == (row.kind == "claim"), row.id


def test_the_page_of_a_row_names_it():
    shown = {p.stem: named(p) for p in PAGES}
    wrong = [f"{row.id} {row.page}" for row in PUBLISHED.values() if row.id not in shown[row.page]]
    assert not wrong, wrong


def test_lists_hold_every_printed_value():
    count = {i: len(sc._NUMBER.findall(PUBLISHED[i].published)) for i in ("N17", "N21", "N31")}
    assert count == {"N17": 10, "N21": 6, "N31": 20}
    assert len(PUBLISHED["N27"].published.replace("/", "").split()) == 26


def test_where_names_section_and_line():
    assert PUBLISHED["N10"].where == "Pixel similarity, L37" and PUBLISHED["C94"].where == "Deep dive, L231"
    assert PUBLISHED["N53"].where == "the book"
    assert [sc._where(o) for o in (1, 64, 287)] == ["Chapter 4, L1", "Gradients, L64", "Questionnaire, L287"]


def test_no_verdict_is_typed():
    "The words of a verdict stand where verdicts are named and in the rule; no measuring function holds one."
    tree = ast.parse(inspect.getsource(sc))
    for node in tree.body:
        names = [o.id for t in getattr(node, "targets", []) for o in ast.walk(t) if isinstance(o, ast.Name)]
        if {*names, getattr(node, "name", "")} & {"VERDICTS", "_MATCH", "_judge"}: continue
        said = [o.value for o in ast.walk(node) if isinstance(o, ast.Constant) and isinstance(o.value, str)]
        assert not set(said) & set(VERDICTS), ast.unparse(node)[:80]


# The rule

@pytest.mark.parametrize("kind, match", [
    ("exact", "reproduced"), ("seeded", "reproduced"), ("draw", "within the spread"), ("illustration", "holds"),
    ("claim", "holds")])
def test_verdict_follows_the_kind_and_the_measurement(kind, match):
    assert judge(kind, sc._Found("x", True))[2] == match
    assert judge(kind, sc._Found("x", False))[2] == "corrected"


@pytest.mark.parametrize("published, ours, same", [
    ("28x28", (28, 28), True), ("28x28", (28, 27), False), ("28x28", 28, False), ("95.11 %", 95.1149, True),
    ("95.11 %", 95.1151, False), ("1e-5", 1e-5, True), ("1e-5", 1.6e-5, False), ("-1, -2", (-1, -2), True),
    ("0..255", (0, 255), True), ("0.001 - 0.1", (.001, .1), True), ("3., 4., 10.", (3, 4, 10), True),
    ("2828", 784, False), ("1", float("nan"), False), ("1", float("inf"), False), ("text", "text", True),
    ("text", "Text", False)])
def test_numbers_are_compared_to_the_printed_digit(published, ours, same):
    assert sc._agrees(published, ours) is same


def test_a_tolerance_is_said_only_where_it_was_needed():
    _, spread, verdict = judge("seeded", 1.0002, "1.0000", tol=1e-3, why="because")
    assert verdict == "reproduced" and "within 0.001: because" in spread
    assert judge("seeded", 1.00001, "1.0000", tol=1e-3, why="because")[1] == ""
    assert judge("seeded", 1.002, "1.0000", tol=1e-3, why="because")[1:] == ("", "corrected")


def test_an_error_leaves_the_verdict_empty_and_is_said():
    row = Row("X1", "nowhere", "a thing", "1", "exact", "09_scorecard")
    assert sc._judge(row, lambda lab: 1 / 0, Lab()) == ("error: ZeroDivisionError: division by zero", "", "")


def test_what_needs_mnist_or_a_gpu_is_not_comparable_without():
    assert judge("exact", 1, needs="mnist")[2] == "reproduced"
    assert judge("exact", 1, needs="mnist", lab=Lab(real=False)) == ("1", sc._NO_MNIST, "not comparable")
    never = Row("X1", "nowhere", "a thing", "1", "claim", "09_scorecard", "resnet")
    assert sc._judge(never, lambda lab: 1 / 0, Lab()) == ("-", sc._NO_GPU, "not comparable")  # not even measured
    assert judge("exact", 1, needs="resnet", lab=Lab(resnet=True))[2] == "reproduced"
    assert judge("exact", 1, needs="resnet", lab=Lab(real=False, resnet=True))[2] == "not comparable"


# Rows that can come out either way

QUICK = ["N02", "N08", "N15", "N16", "N26", "N40", "C11", "C12", "C20", "C21", "C47", "C49", "C78"]


def test_quick_rows_on_any_data():
    table = scorecard("standin", ids=QUICK, verbose=False).set_index("id")
    assert table.verdict.to_dict() == {
        **dict.fromkeys(["N02", "N08", "N15", "N16", "N26", "N40"], "reproduced"),
        **dict.fromkeys(["C12", "C20", "C49"], "holds"), **dict.fromkeys(["C11", "C21", "C47", "C78"], "corrected")}
    assert list(table.columns) == ["what", "published", "ours", "spread", "verdict", "page"]


def test_another_published_number_gets_another_verdict(monkeypatch):
    monkeypatch.setitem(PUBLISHED, "N02", PUBLISHED["N02"]._replace(published="28x29"))
    assert scorecard("standin", ids=["N02"], verbose=False).verdict.tolist() == ["corrected"]


def test_other_code_gets_another_verdict(monkeypatch):
    monkeypatch.setattr(sc, "mnist_distance", lambda a, b: (a - b).abs().mean((0, 1)))
    monkeypatch.setattr(sc, "quadratic", lambda t, params: params[0] * t)
    table = scorecard("standin", ids=["N08", "N15"], verbose=False)
    assert "reproduced" not in table.verdict.tolist()


def test_coaster_list_is_reproduced_on_any_data():
    row = scorecard("standin", ids=["N17", "N27", "N53"], verbose=False).set_index("id")
    assert set(row.verdict) == {"reproduced"}
    assert float(row.ours["N17"].split()[0]) == pytest.approx(5435.53662109375, rel=1e-6)


def test_random_states_are_left_alone():
    torch.manual_seed(3)
    random.seed(3)
    before = torch.get_rng_state(), random.getstate()
    scorecard("standin", ids=["N17", "N27", "C13", "C59", "C82", "C98"], verbose=False)
    assert torch.equal(before[0], torch.get_rng_state()) and before[1] == random.getstate()


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="'N99' is not a row"): scorecard("standin", ids=["N02", "N99"])
    with pytest.raises(ValueError, match="seeds is 3"): scorecard("standin", seeds=3)
    with pytest.raises(FileNotFoundError, match="does not exist"): scorecard("/nowhere/at/all")


def test_measuring_functions_are_short():
    lines = {f.__name__: len(ast.parse(inspect.getsource(f)).body[0].body) for f in sc._MEASURES.values()}
    assert max(lines.values()) <= 12, max(lines, key=lines.get)


def test_published_text_matches_its_kind():
    "A number that is compared digit by digit has digits in its published text."
    assert all(sc._NUMBER.search(o.published) or o.id == "N09" for o in PUBLISHED.values() if o.id[0] == "N")
