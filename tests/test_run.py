"`make run`: what happens when a page fails, or somebody presses Ctrl-C."
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from pages import ROOT

RUN = [sys.executable, str(ROOT / "tools" / "run.py")]


def page(folder, name, *codes, title="A page"):
    "A small notebook: a title, then these code cells."
    nb = nbformat.v4.new_notebook()
    nb.cells = [nbformat.v4.new_markdown_cell(f"# {title}\n\n> One line with $a_1 * b^2$."),
                *map(nbformat.v4.new_code_cell, codes)]
    nbformat.write(nb, folder / f"{name}.ipynb")


@pytest.fixture
def nbs(tmp_path):
    (tmp_path / "nbs").mkdir()
    return tmp_path / "nbs"


def run(nbs, *words, **kw):
    words = [*RUN, "--nbs", str(nbs), "--out", str(nbs.parent / "out"), *words]
    return subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, **kw)




def test_pages_come_out_as_html_that_fetches_nothing(nbs):
    page(nbs, "00_a", "#| export\nx = 1 + 1\nx", "import sys\nprint(sys.executable)", title="First")
    page(nbs, "01_b", "#| hide\nsecret = 5", "'seen'", title="Second")
    done = run(nbs)
    assert done.returncode == 0, done.stderr
    out = nbs.parent / "out"
    assert sorted(o.name for o in out.iterdir()) == ["00_a.html", "00_a.ipynb", "01_b.html", "01_b.ipynb", "index.html"]
    first, second, index = ((out / o).read_text() for o in ("00_a.html", "01_b.html", "index.html"))
    assert "<math" in first and "<mi>" in first and "$a_1" not in first
    assert "secret" not in second and "seen" in second and 'href="00_a.html"' in second
    assert index.index("First") < index.index("Second")
    assert not re.search(r'(src|href)="?https?:|@import|url\(', first + second + index)
    assert re.search(r"00_a +\d+\.\d s", done.stdout) and re.search(r"together +\d+\.\d s", done.stdout)
    assert sys.prefix in first, "the kernel runs in this environment"
    assert nbformat.read(nbs / "00_a.ipynb", 4).cells[1].outputs == [], "the notebooks stay as they were"


def test_a_failing_cell_stops_the_run_and_is_named(nbs):
    page(nbs, "00_a", "1", "1 / 0", "2")
    page(nbs, "01_b", "3")
    done = run(nbs)
    assert done.returncode == 1
    assert re.search(r"stopped: 00_a, code cell 2 of 3 \(id \w+\): ZeroDivisionError: division by zero", done.stderr)
    assert not (nbs.parent / "out" / "00_a.html").exists() and "01_b" not in done.stdout


def test_a_kernel_that_dies_is_said_in_one_sentence(nbs):
    page(nbs, "00_a", "import os; os._exit(1)")
    done = run(nbs)
    assert done.returncode == 1 and "stopped: 00_a, code cell 1: the kernel stopped" in done.stderr


def test_an_unknown_page_is_named(nbs):
    page(nbs, "00_a", "1")
    done = run(nbs, "07")
    assert done.returncode == 1 and "no page is called '07'; there are 00_a" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals of a terminal")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_interrupted_leaves_no_kernel_and_no_half_page_and_runs_again(nbs, tmp_path, sent):
    pidfile = tmp_path / "pid"
    page(nbs, "00_a", "'whole'")
    page(nbs, "01_b", f"import os, time; open({str(pidfile)!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    out = tmp_path / "out"
    words = [*RUN, "--nbs", str(nbs), "--out", str(out)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (pidfile.exists() and pidfile.read_text()) and time.monotonic() < deadline: time.sleep(.1)
    kernel = int(pidfile.read_text())
    process.send_signal(sent)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (130, 143) and "Traceback" not in said, said
    assert sent != signal.SIGINT or "stopped by Ctrl-C; finished pages are in" in said
    while not gone(kernel) and time.monotonic() < deadline: time.sleep(.1)
    assert gone(kernel), "the kernel outlived the run"
    assert sorted(o.name for o in out.iterdir()) == ["00_a.html", "00_a.ipynb"]
    page(nbs, "01_b", "'quick now'")
    assert run(nbs).returncode == 0
    assert (out / "01_b.html").exists()


def gone(pid):
    "Whether no process `pid` is left."
    try: os.kill(pid, 0)
    except ProcessLookupError: return True
    return False


def test_a_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("series", RUN[1])
    series = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(series)
    page = tmp_path / "page.html"
    series.write_whole(page, "old")
    def interrupted(*_): raise KeyboardInterrupt
    monkeypatch.setattr(series.os, "replace", interrupted)  # Ctrl-C when all is written, but not yet in its place
    with pytest.raises(KeyboardInterrupt): series.write_whole(page, "new")
    assert page.read_text() == "old" and list(tmp_path.iterdir()) == [page]
