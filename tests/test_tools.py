"The environment, the links, what the tools promise; exports in step."
import filecmp
import re
import shutil
import subprocess
import sys
from pathlib import Path

import env
import pytest
import yaml

import links
from pages import PAGES, ROOT, code_cells, read


def test_exports_in_step_and_notebooks_clean(tmp_path):
    "nbdev-export and nbdev-clean change nothing, in a copy."
    for name in ("nbs", "fastbook_ch4"): shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("pyproject.toml", "settings.ini", "setup.py", "README.md"): shutil.copy(ROOT / name, tmp_path)
    for command in ("nbdev-export", "nbdev-clean"):
        subprocess.run([Path(sys.executable).with_name(command)], cwd=tmp_path, check=True)
    files = [p.relative_to(tmp_path) for o in ("nbs/*.ipynb", "fastbook_ch4/*.py") for p in tmp_path.glob(o)]
    _, differ, missing = filecmp.cmpfiles(tmp_path, ROOT, files, shallow=False)
    assert not differ + missing, "not what nbdev-export and nbdev-clean make of the notebooks"

@pytest.fixture
def copy(tmp_path):
    "settings.ini, README.md and two pages in a folder of their own."
    (tmp_path / "nbs").mkdir()
    for name in ("settings.ini", "README.md", *(f"nbs/{p.name}" for p in PAGES[:2])):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path

def set_url(folder, url):
    text = (folder / "settings.ini").read_text()
    (folder / "settings.ini").write_text(re.sub(r"(?m)^git_url =.*$", f"git_url = {url}".strip(), text))

def test_links_are_in_step_and_appear_once_the_address_is_set(copy):
    before = {p: p.read_bytes() for p in copy.rglob("*.*")}
    assert links.update(copy) is None and before == {p: p.read_bytes() for p in before}, "python tools/links.py"
    set_url(copy, "https://github.com/somebody/fastbook_ch4")
    links.update(copy)
    assert "[Colab](https://colab.research.google.com/github/somebody/fastbook_ch4/blob/main/nbs/00_data.ipynb)" in (
        copy / "README.md").read_text()
    cell, = (c for c in code_cells(read(copy / "nbs" / PAGES[0].name)) if c.source.startswith(links.MISSING))
    assert cell.source.endswith("is None:\n    %pip install -q git+https://github.com/somebody/fastbook_ch4")
    set_url(copy, "")
    links.update(copy)
    assert before == {p: p.read_bytes() for p in before}
    set_url(copy, "ask me")
    assert "git_url is 'ask me'; expected something like https" in links.update(copy)

def test_every_page_has_the_install_cell_once():
    for path in PAGES: assert sum(c.source.startswith(links.MISSING) for c in code_cells(read(path))) == 1, path.name

@pytest.fixture
def fake(monkeypatch, tmp_path):
    "env.py over a folder of its own; what it would run is kept."
    ran = []
    for name, value in {"HOME": tmp_path / ".venv", "PYTHON": tmp_path / ".venv" / "bin" / "python",
                        "run": lambda *words: ran.append(" ".join(map(str, words)))}.items():
        monkeypatch.setattr(env, name, value)
    monkeypatch.setattr(env.venv, "create", lambda home, with_pip: (home / "bin").mkdir(parents=True))
    monkeypatch.delenv("UNLOCKED", raising=False)
    monkeypatch.ran, monkeypatch.home = ran, tmp_path / ".venv"
    return monkeypatch

def put_python(home, program):
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python").write_text(program)
    (home / "bin" / "python").chmod(0o755)
    (home / "kept").write_text("")

def test_env_too_old_a_python_is_told_what_to_do(fake):
    fake.setattr(env, "OLDEST", "99.0.1")
    assert "needed is 99.0.1 or newer" in env.main() and "make PYTHON=python99.0" in env.main()
    assert not fake.home.exists()

@pytest.mark.parametrize("program", ["not a program", "#!/bin/sh\nexit 1", "#!/nowhere/python"])
def test_env_broken_environment_is_made_anew(fake, capsys, program):
    put_python(fake.home, program)
    assert env.main() is None and "does not work; it is made anew" in capsys.readouterr().out
    assert not (fake.home / "kept").exists() and (fake.home / "ready").exists()
    assert any("install -q" in o and "requirements.lock" in o for o in fake.ran) and "check" in fake.ran[-1]

def test_env_old_or_half_made_is_mended_in_place(fake):
    put_python(fake.home, f"#!/bin/sh\nexec {sys.executable} \"$@\"")
    assert env.main() is None and (fake.home / "kept").exists() and (fake.home / "ready").exists()
    assert "uv==" in fake.ran[0] and "-r requirements.lock" in fake.ran[1] and "--no-deps -e ." in fake.ran[2]
    fake.setenv("UNLOCKED", "1")
    env.main()
    assert "--upgrade -e .[dev]" in fake.ran[5] and "lock" not in " ".join(fake.ran[4:])

def test_env_half_installed_says_what_to_do_and_is_not_called_ready(fake):
    def fails(*words): raise subprocess.CalledProcessError(1, [str(o) for o in words])
    fake.setattr(env, "run", fails)
    assert "say the same command again" in env.main() and not (fake.home / "ready").exists()

def test_env_full_disk_is_said_before_anything_is_made(fake):
    fake.setattr(env.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    assert "less than 8 GB are free" in env.main() and not fake.home.exists()

def test_workflows_pin_their_actions():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        jobs = yaml.safe_load(path.read_text())["jobs"]
        for step in (s for job in jobs.values() for s in job["steps"]):
            assert re.search(r"@v\d+\.\d+\.\d+$", step.get("uses", "@v1.2.3")), (path.name, step)
    assert "assert not is_standin" in (ROOT / ".github" / "workflows" / "test.yml").read_text()

def test_version_is_the_same_everywhere():
    from fastbook_ch4 import __version__
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {__version__} " in (ROOT / "CHANGELOG.md").read_text()
