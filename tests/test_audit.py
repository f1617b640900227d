"The audit: its rule, its rows, and the results that are kept. Every row runs, on MNIST."
import csv
import io
import json
import random
import re
import sys

import pytest
import torch

from pages import PAGES, ROOT

sys.path.insert(0, str(ROOT))
from audit import __main__ as program
from audit import judge, lab, pixels, similarity

ROWS, KEPT = judge.rows(), ROOT / "audit" / "results.json"
IDS = ["N02", "C12", "C21", "N10"]  # quick; the last one needs MNIST

@pytest.fixture(scope="module")
def standin(): return lab.Lab("standin")

def agree(a, b):
    "Whether two measurements in words have about the same numbers: other machines add up in other orders."
    a, b = (judge.numbers(re.sub(r"(?<=\d),(?=\d{3})", "", o)) for o in (a, b))
    return len(a) == len(b) and all(abs(x - y) <= max(1e-4, .05 * max(abs(x), abs(y))) for x, y in zip(a, b))

@pytest.mark.long
def test_every_row_has_a_verdict_and_the_kept_results_are_these(mnist):
    fresh = json.loads(program.as_json(program.run(lab.Lab(), ROWS)))
    assert not [o for o in fresh if o["verdict"] not in judge.VERDICTS]
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    page = json.loads((lab.RUNS / "audit.json").read_text(encoding="utf-8"))
    assert page == [{k: v for k, v in o.items() if k != "line"} for o in kept]
    for now, then in zip(fresh, kept, strict=True):
        assert agree(now.pop("measured"), then.pop("measured")) and now == then, f"{now['id']}: run `make audit`"

def test_every_id_is_accounted_for_once_rows_are_complete_and_no_two_share_a_measurement():
    c = judge.claims()
    elsewhere = [o for ids in c["elsewhere"].values() for o in judge.expand(ids)]
    assert sorted([*ROWS, *c["merged"], *c["dropped"], *elsewhere]) == sorted(judge.expand(c["ids"]))
    assert set(c["merged"].values()) <= set(ROWS) and all(c["dropped"].values())
    pages = {o.stem for o in PAGES} | {"none"}
    assert len({judge.measure(o) for o in ROWS.values()}) == len(ROWS)
    for id, o in ROWS.items():
        assert o["kind"] in judge.MATCH and o["page"] in pages and 1 <= o["line"] <= 287, id
        assert re.match("same|not there|differs: ", o["book"]), id
        assert "{" in o["say"], f"{id}: a measured value is never typed"
        assert ("prints" in o or "holds" in o) and ("tol" in o) == ("why" in o), id
    assert [o["line"] for o in ROWS.values()] == sorted(o["line"] for o in ROWS.values())

def test_a_verdict_follows_from_the_parts_of_a_claim_or_from_the_printed_digits():
    def verdict(*holds): return judge.verdict({"kind": "claim", "holds": holds, "prints": "2."}, {"a": 2})
    assert verdict("a > 1", "a == printed[0]") == "holds" and verdict("a > 3") == "corrected"
    assert verdict("a > 1", "a > 3") == "partly"
    same, near = judge.matches, judge.matches("1.0000", [1.0002], tol=1e-3)
    assert near and same("28 28", [28, 28]) and same("95.11", [95.1149]) and same("17r", "17r")
    assert not (same("28 28", [28]) or same("95.11", [95.1151]) or same("1.0000", [1.0002]) or same("17r", "18r"))

@pytest.mark.parametrize("id, other", [("N02", "28 29"), ("N17", "5435.5"), ("N42", "17"), ("N01", "0 256")])
def test_another_printed_value_gets_another_verdict(standin, id, other):
    assert [judge.judge(ROWS[id] | o, standin)[1] for o in ({}, {"prints": other})] == ["reproduced", "corrected"]

def test_other_code_gets_another_verdict_and_random_numbers_are_left_alone(standin, monkeypatch):
    before = torch.get_rng_state(), random.getstate()
    assert [judge.judge(ROWS[o], standin)[1] for o in ("C13", "N27", "C12")] == ["holds", "reproduced", "holds"]
    assert torch.equal(before[0], torch.get_rng_state()) and before[1] == random.getstate()
    monkeypatch.setattr(similarity, "rms_distance", similarity.mnist_distance)
    assert judge.judge(ROWS["C12"], standin)[1] == "partly"

def test_the_program_prints_json_csv_and_a_table_and_says_when_a_row_fails(capsys, monkeypatch):
    before, _ = KEPT.stat().st_mtime_ns, program.main([*IDS, "--data", "standin", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert [o["verdict"] for o in told] == ["reproduced", "holds", "corrected", "not comparable"]
    program.main([*IDS, "--data", "standin", "--csv"])
    assert [o["id"] for o in csv.DictReader(io.StringIO(capsys.readouterr().out))] == IDS
    monkeypatch.setattr(pixels, "size", lambda lab: 1 / 0)
    assert program.main([*IDS, "--data", "standin"]) == 1
    assert "ZeroDivisionError" in (out := capsys.readouterr().out) and "nothing is renewed" in out
    assert max(map(len, out.splitlines())) <= 110 and KEPT.stat().st_mtime_ns == before

