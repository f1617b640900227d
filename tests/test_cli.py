"The command `fastbook_ch4 score`: what it prints, where, and with which status."
import csv
import functools
import io
import json
import os
import re
import subprocess
import sys

import pandas as pd
import pytest

import fastbook_ch4
import fastbook_ch4.scorecard as sc
from fastbook_ch4.scorecard import PUBLISHED, VERDICTS, main
from pages import ROOT

KEYS = ["id", "what", "published", "ours", "spread", "verdict", "page"]
FEW = ["N02", "N17", "N31", "N44", "C12", "C40"]


@pytest.fixture
def few(monkeypatch):
    "A scorecard of a few quick rows; on the stand-in N31 is slow, so it has no many seeds to run."
    monkeypatch.setattr(sc, "_runs", lambda lab: [[.1, .2]] * 21)
    monkeypatch.setattr(sc, "_list_run", lambda lab: ([.5] * 22, None))
    monkeypatch.setattr(sc, "scorecard", functools.partial(sc.scorecard, ids=FEW))


def test_table_fits_100_columns_and_ends_with_counts(few, capsys):
    assert main(["score", "standin"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert max(map(len, lines)) <= 100 and "\033" not in out
    assert [o for o in FEW if any(line.startswith(o + "  ") for line in lines)] == FEW
    assert lines[-1] == "6 rows: 2 reproduced, 1 holds, 1 corrected, 2 not comparable"
    assert "digits:" in err and "digits:" not in out


def test_json_is_all_of_standard_output(few, capsys):
    assert main(["score", "standin", "--json"]) == 0
    out, err = capsys.readouterr()
    rows = json.loads(out)
    assert [list(o) for o in rows] == [KEYS] * len(FEW) and all(isinstance(v, str) for o in rows for v in o.values())
    assert "STAND-IN" in err


def test_csv_holds_the_same_rows(few, capsys):
    main(["score", "standin", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert main(["score", "standin", "--csv"]) == 0
    assert list(csv.DictReader(io.StringIO(capsys.readouterr().out))) == rows


def test_colours_only_on_a_terminal(few, capsys, monkeypatch):
    table = sc.scorecard("standin", verbose=False)
    assert "\033[32mreproduced" in sc._as_text(table, color=True)
    plain = re.sub(r"\033\[\d+m", "", sc._as_text(table, color=True))
    assert [o.rstrip() for o in plain.splitlines()] == sc._as_text(table).splitlines()


def test_html_is_self_contained(few, capsys, tmp_path):
    target = tmp_path / "score.html"
    assert main(["score", "standin", "--html", str(target)]) == 0
    page = target.read_text(encoding="utf-8")
    assert page.count("<tr id=") == len(FEW) and "://" not in page and 'lang="en"' in page
    for verdict in ("reproduced", "not comparable"): assert f'data-v="{verdict}"' in page


def test_text_in_html_is_escaped():
    row = PUBLISHED["C12"]
    table = pd.DataFrame([["C12", "<b>", "a & b", "<script>", "", "holds", row.page]], columns=KEYS)
    page = sc._as_html(table)
    assert "<td>&lt;script&gt;</td>" in page and "<td>a &amp; b</td>" in page and "<td><b>" not in page


@pytest.mark.parametrize("words, said", [
    (["score", "/nowhere/at/all"], "/nowhere/at/all does not exist"),
    (["score", "standin", "--html", "/nowhere/at/all/x.html"], "/nowhere/at/all/x.html")])
def test_wrong_paths_end_with_one_sentence_and_2(words, said, capsys):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err and len(err.strip().splitlines()) == 1 and err.startswith("fastbook_ch4: ")


def test_a_folder_that_is_no_data_set(tmp_path, capsys):
    assert main(["score", str(tmp_path), "--json"]) == 2
    assert "train/3 is missing" in capsys.readouterr().err


@pytest.mark.parametrize("words, status", [
    (["--version"], 0), (["--help"], 0), (["score", "--help"], 0), ([], 2), (["scores"], 2),
    (["score", "--json", "--csv"], 2), (["score", "a", "b"], 2)])
def test_argparse_answers(words, status, capsys):
    with pytest.raises(SystemExit) as e: main(words)
    out = capsys.readouterr().out
    assert e.value.code == status and bool(out) == (status == 0)
    if words == ["--version"]: assert out.strip() == f"fastbook_ch4 {fastbook_ch4.__version__}"
    if words == ["score", "--help"]: assert all(o in out for o in ("--json", "--csv", "--html", "--resnet", "DATA"))


def test_a_row_that_raises_makes_the_status_1(few, capsys, monkeypatch):
    monkeypatch.setitem(sc._MEASURES, "C12", lambda lab: 1 / 0)
    assert main(["score", "standin", "--json"]) == 1
    row = next(o for o in json.loads(capsys.readouterr().out) if o["id"] == "C12")
    assert row["verdict"] == "" and row["ours"] == "error: ZeroDivisionError: division by zero"
    assert main(["score", "standin"]) == 1
    out = capsys.readouterr().out
    assert "1 WITHOUT A VERDICT" in out and "NO VERDICT" in out


def test_resnet_is_asked_for_by_its_option(monkeypatch, capsys):
    asked = []
    empty = pd.DataFrame(columns=KEYS)
    monkeypatch.setattr(sc, "scorecard", lambda path, resnet: asked.append((path, resnet)) or empty)
    main(["score", "standin", "--resnet"])
    main(["score"])
    assert asked == [("standin", True), (None, None)]


def test_console_script_is_wired():
    settings = (ROOT / "settings.ini").read_text(encoding="utf-8").replace(" ", "")
    assert "fastbook_ch4=fastbook_ch4.scorecard:main" in settings


def test_rows_measured_before_are_shown_and_nothing_is_measured(few, capsys, tmp_path, monkeypatch):
    main(["score", "standin", "--json"])
    (tmp_path / "rows.json").write_text(first := capsys.readouterr().out)
    monkeypatch.setattr(sc, "scorecard", None)
    assert main(["score", "--from", str(tmp_path / "rows.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(first)
    (tmp_path / "rows.json").write_text('[{"id": "N02"}]')
    assert main(["score", "--from", str(tmp_path / "rows.json")]) == 2
    assert "rows.json holds no rows of the scorecard" in capsys.readouterr().err


@pytest.mark.slow
def test_full_run_on_the_standin(tmp_path):
    "As `make run` calls it, in a process of its own: all rows, status 0, data-bound rows not comparable."
    page = tmp_path / "scorecard.html"
    words = [sys.executable, "-m", "fastbook_ch4.scorecard", "score", "standin", "--json", "--html", str(page)]
    no_gpu = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=no_gpu)
    assert done.returncode == 0, done.stderr
    rows = {o["id"]: o for o in json.loads(done.stdout)}
    assert set(rows) == set(PUBLISHED) and {o["verdict"] for o in rows.values()} <= set(VERDICTS)
    bound = {i for i, o in PUBLISHED.items() if o.needs}
    assert {i for i, o in rows.items() if o["verdict"] == "not comparable"} == bound
    assert [rows[i]["verdict"] for i in ("N17", "N27", "N31")] == ["reproduced", "reproduced", "not comparable"]
    assert page.read_text(encoding="utf-8").count("<tr id=") == len(PUBLISHED)
