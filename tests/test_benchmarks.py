"The benchmarks' own arithmetic: turns, medians, ratios, and the page that is made of them."
import json
import sys
from pathlib import Path
from statistics import median

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import run as bench  # noqa: E402

import common  # noqa: E402

ROW = {"row": "a row", "stock_s": [2.0, 3.0, 2.5], "ours_s": [.01, .02, .015], "ratio": 166.7, "aim": 100, "same": True,
       "note": "two ways | one result", "why": "no reason", "script": "import", "date": "2026-01-02",
       "machine": "a cpu", "versions": "torch 1"}
MISSED = ROW | {"row": "another row", "ratio": 1.2, "aim": 2.5, "same": False, "why": "memory is slow"}
FREE = ROW | {"row": "no aim", "aim": None}
NO_GPU = ROW | {"row": "on a GPU", "stock_s": [], "ours_s": [], "ratio": None, "same": None, "note": "no GPU yet"}

def cells(rows):
    "The table of results.md as {row: [cells]}."
    lines = [o for o in bench.render(rows).splitlines() if o.startswith("| ")]
    return {o[0]: o[1:] for o in ([cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:])}

def test_the_ways_take_turns_after_a_warm_up():
    order = []
    ways = {name: lambda name=name: order.append(name) or len(order) for name in "ab"}
    times, results = common.alternate(ways, rounds=2, inner={"b": 2}, warm_up=1)
    assert "".join(order) == "abb" * 3
    assert {name: len(o) for name, o in times.items()} == {"a": 2, "b": 2} and results == {"a": 7, "b": 9}

def test_a_row_is_the_ratio_of_medians(capsys):
    made = common.row("x", [1., 4., 2.], [.5, .25, .5], 3, True, "note")
    assert made["ratio"] == 4. and json.loads(capsys.readouterr().out) == made
    assert "the slowest took 2.0 times the median" in made["note"]
    assert "scatter" not in common.row("x", [1., 1.1], [1., 1.1], None, True, "note")["note"]

def test_the_page_says_what_was_met_and_why_the_rest_was_not():
    found = cells([ROW, MISSED, FREE, NO_GPU])
    assert found["a row"] == ["2.5 s (2 - 3)", "15 ms (10 - 20)", "167", "100", "yes", "yes"]
    assert found["another row"][2:] == ["1.2", "2.5", "no", "no"]
    assert found["no aim"][3:5] == ["-", "-"]
    assert found["on a GPU"] == ["-", "-", "not measured", "100", "-", "-"]
    text = bench.render([ROW, MISSED, FREE, NO_GPU])
    assert "**Why not 2.5:** memory is slow" in text and "no reason" not in text and "no GPU yet" in text
    assert "two ways | one result" in text and "2026-01-02, import: a cpu; torch 1" in text

def test_a_row_without_a_measurement_is_one_line(capsys):
    made = common.row("on a GPU", [], [], 5, None, "no GPU yet")
    assert made["ratio"] is None and made["same"] is None and json.loads(capsys.readouterr().out) == made
    assert bench.line_of(NO_GPU) == "on a GPU: no GPU yet"
    assert bench.line_of(ROW) == "a row: 167 times (aim 100), same result: True"

def test_a_benchmark_that_fails_has_no_rows(tmp_path, capfd):
    script = tmp_path / "bench_x.py"
    script.write_text(f"print({json.dumps(ROW)!r}, flush=True)\nraise SystemExit(3)\n")
    assert bench.run("x", script, quick=True) is None
    script.write_text(f"print('words'); print({json.dumps(NO_GPU)!r}, flush=True)\n")
    assert bench.run("x", script, quick=True) == [NO_GPU]
    assert "on a GPU: no GPU yet" in capfd.readouterr().out

def test_an_unknown_benchmark_is_named():
    with pytest.raises(SystemExit, match="no benchmark is called 'speed'; there are import, "): bench.scripts(["speed"])
    assert list(bench.scripts())[:2] == ["import", "load"]

def test_the_page_in_the_project_is_made_of_its_rows():
    rows = [json.loads(o) for o in (BENCHMARKS / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (BENCHMARKS / "results.md").read_text(encoding="utf-8") == bench.render(rows)
    assert {o["script"] for o in rows} == set(bench.scripts())
    for o in rows:
        if o["ratio"] is None: continue
        assert o["ratio"] == pytest.approx(median(o["stock_s"]) / median(o["ours_s"]), rel=.02), o["row"]
        if bench.met(o) == "no": assert o["why"], o["row"]
