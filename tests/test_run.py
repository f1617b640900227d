"`make run`: what it leaves, and what happens when a page fails, a kernel dies, or somebody presses Ctrl-C."
import os
import re
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from pages import ROOT

RUN = [sys.executable, str(ROOT / "tools" / "run.py"), "--data", "standin"]
pytestmark = pytest.mark.long

@pytest.fixture
def nbs(tmp_path):
    (tmp_path / "nbs").mkdir()
    return tmp_path / "nbs"

def page(folder, name, *codes):
    "A small notebook: a title with a formula and a figure, then these code cells."
    nb = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}})
    nb.cells = [nbformat.v4.new_markdown_cell(f"# Page {name}\n\n> One line with $a_1 * b^2$ and 0.75."),
                *map(nbformat.v4.new_code_cell, codes)]
    nbformat.write(nb, folder / f"{name}.ipynb")

def run(nbs, *words):
    words = [*RUN, "--nbs", nbs, "--out", nbs.parent / "out", *words]
    return subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)

def outputs(path): return [c.outputs for c in nbformat.read(path, 4).cells if c.cell_type == "code"]

def test_the_site_comes_from_what_was_executed_and_save_keeps_it(nbs):
    page(nbs, "00_a", "#| export\nx = 1 + 1\nx", "import os, sys\n[sys.prefix, os.environ['OMP_NUM_THREADS']]")
    page(nbs, "01_b", "#| hide\nsecret = 5", "'seen'", "#| slow\n1/0")
    page(nbs, "10_c", "'not run'")
    done = run(nbs, "0", "--save")
    assert done.returncode == 0, done.stderr
    out = nbs.parent / "out"
    first, second, index = ((out / f"{o}.html").read_text() for o in ("00_a", "01_b", "index"))
    assert "<math" in first and "$a_1" not in first and "tag_export" in first
    assert "secret" not in second and "seen" in second
    assert re.search(r"00_a +\d+\.\d s\n01_b +\d+\.\d s", done.stdout), "a table of times"
    said = done.stdout.strip().splitlines()[-1]
    assert re.fullmatch(r"Ran on STAND-IN: .*\(asked for\)\. Checks of figures left out because of it: 2\.", said)
    assert said in index
    assert [o[0].data["text/plain"] for o in outputs(nbs / "00_a.ipynb")] == ["2", f"[{sys.prefix!r}, '1']"], "kernel"
    assert outputs(nbs / "10_c.ipynb") == [[]] and '"execution_count": 1' not in (nbs / "00_a.ipynb").read_text()
    assert sorted(o.name for o in nbs.rglob("*")) == ["00_a.ipynb", "01_b.ipynb", "10_c.ipynb"]
    assert sorted(o.name for o in nbs.parent.iterdir()) == ["nbs", "out"], "nothing else is left"

def test_a_failing_cell_stops_the_run_and_is_named(nbs):
    page(nbs, "00_a", "1", "1 / 0", "2")
    page(nbs, "01_b", "import time; time.sleep(600)")
    page(nbs, "02_c", "3")
    done = run(nbs)
    assert done.returncode == 1
    assert re.search(r"stopped: 00_a, code cell 2 of 3 \(id \w+\): ZeroDivisionError: division by zero", done.stderr)
    assert not (nbs.parent / "out").exists() and "02_c" not in done.stdout and "Exception ignored" not in done.stderr

def test_a_kernel_that_dies_and_a_page_that_is_not_there_are_named(nbs):
    page(nbs, "00_a", "1", "import os; os._exit(1)")
    done = run(nbs)
    assert done.returncode == 1 and "stopped: 00_a, code cell 2 of 2" in done.stderr
    assert "the kernel stopped (DeadKernelError)" in done.stderr and "Traceback" not in done.stderr
    done = run(nbs, "07")
    assert done.returncode == 1 and done.stderr == f"stopped: no page in {nbs} begins with 07\n"

@pytest.mark.skipif(os.name == "nt", reason="signals of a terminal")
@pytest.mark.parametrize("sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_interrupted_leaves_no_kernel_and_no_half_page_and_runs_again(nbs, tmp_path, sent):
    for name in ("00_a", "01_b"):
        page(nbs, name, f"import os, time; open({str(tmp_path / name)!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    before = {p: p.read_bytes() for p in nbs.iterdir()}
    (temporary := tmp_path / "tmp").mkdir()
    process = subprocess.Popen([*RUN, "--nbs", nbs, "--out", tmp_path / "out", "--save"], text=True, start_new_session=True,
                               stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"TMPDIR": str(temporary)})
    pids, deadline = [tmp_path / "00_a", tmp_path / "01_b"], time.monotonic() + 120
    while not all(p.exists() and p.read_text() for p in pids) and time.monotonic() < deadline: time.sleep(.1)
    os.killpg(process.pid, sent)  # as a terminal does: to make, to this process, to all that it started
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and said == "\nstopped by Ctrl-C\n"
    for p in pids:
        with pytest.raises(ProcessLookupError): os.kill(int(p.read_text()), 0)
    assert before == {p: p.read_bytes() for p in nbs.iterdir()} and not (tmp_path / "out").exists()
    assert not [p for p in temporary.iterdir() if not p.name.startswith(("matplotlib", "pymp"))], "nothing left behind"
