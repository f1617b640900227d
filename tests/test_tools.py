"The environment, the links and the README."
import re
import shutil
import subprocess
import sys
import tomllib
from configparser import ConfigParser

import nbformat
import pytest

from pages import PAGES, ROOT, code_cells, read

sys.path.insert(0, str(ROOT / "tools"))
import env
import links


@pytest.fixture
def copy(tmp_path):
    "settings.ini, README.md and two pages in a folder of their own."
    (tmp_path / "nbs").mkdir()
    for name in ("settings.ini", "README.md"): shutil.copy(ROOT / name, tmp_path / name)
    for path in PAGES[:2]: shutil.copy(path, tmp_path / "nbs" / path.name)
    return tmp_path


def set_url(folder, url):
    text = (folder / "settings.ini").read_text()
    (folder / "settings.ini").write_text(re.sub(r"(?m)^git_url =.*$", f"git_url = {url}", text))


def test_links_are_what_git_url_gives():
    "README and pages are in step with settings.ini."
    url = links.git_url()
    assert links.badges(url, PAGES[0].name) in (ROOT / "README.md").read_text(encoding="utf-8")
    for path in PAGES:
        assert any(c.source == links.install_cell(url) for c in code_cells(read(path))), path.name


def test_links_appear_once_the_address_is_set(copy):
    assert "colab" not in (copy / "README.md").read_text().split(links.END)[0]
    set_url(copy, "https://github.com/somebody/fastbook_ch4")
    assert links.update(copy) == ["README.md", *(p.name for p in PAGES[:2])]
    readme = (copy / "README.md").read_text()
    assert "colab.research.google.com/github/somebody/fastbook_ch4/blob/main/nbs/00_data.ipynb" in readme
    assert "mybinder.org/v2/gh/somebody/fastbook_ch4" in readme
    assert "git+https://github.com/somebody/fastbook_ch4" in (copy / "nbs" / PAGES[0].name).read_text()
    assert links.update(copy) == []
    set_url(copy, "")
    links.update(copy)
    assert (copy / "README.md").read_text() == (ROOT / "README.md").read_text()


def test_a_git_url_that_is_none_is_refused(copy):
    set_url(copy, "ask me")
    with pytest.raises(SystemExit, match="git_url is 'ask me'; expected something like https"): links.update(copy)


def test_install_cell_never_upgrades(copy):
    assert "--no-deps" in links.install_cell("") and "--upgrade" not in links.install_cell("")
    assert len([c for c in nbformat.read(copy / "nbs" / PAGES[0].name, 4).cells if links.MARK in c.source]) == 1


def fake_env(monkeypatch, tmp_path, **names):
    for name, value in names.items(): monkeypatch.setattr(env, name, value)
    monkeypatch.setattr(env, "HOME", tmp_path / ".venv")
    monkeypatch.setattr(env, "PYTHON", tmp_path / ".venv" / "bin" / "python")


def test_env_too_old_a_python_is_told_what_to_do(monkeypatch, tmp_path):
    fake_env(monkeypatch, tmp_path, oldest=lambda: (99, 0))
    said = env.main()
    assert "needed is 99.0 or newer" in said and "make PYTHON=python99.0" in said
    assert not (tmp_path / ".venv").exists()


def test_env_broken_environment_is_made_anew(monkeypatch, tmp_path, capsys):
    ran = []
    fake_env(monkeypatch, tmp_path, run=lambda *words: ran.append([str(o) for o in words]))
    monkeypatch.setattr(env.venv, "create", lambda home, with_pip: (home / "bin").mkdir(parents=True))
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").write_text("not a program")
    (tmp_path / ".venv" / "stale").write_text("")
    assert env.main() == 0
    assert "does not work; it is made anew" in capsys.readouterr().out
    assert not (tmp_path / ".venv" / "stale").exists() and (tmp_path / ".venv" / "ready").exists()
    assert any("requirements.lock" in words for words in ran)


def test_env_half_installed_says_what_to_do_and_is_not_called_ready(monkeypatch, tmp_path):
    def fails(*words): raise subprocess.CalledProcessError(1, [str(o) for o in words])
    fake_env(monkeypatch, tmp_path, run=fails)
    monkeypatch.setattr(env.venv, "create", lambda home, with_pip: (home / "bin").mkdir(parents=True))
    assert "say the same command again" in env.main()
    assert not (tmp_path / ".venv" / "ready").exists()


def test_env_full_disk_is_said_before_anything_is_made(monkeypatch, tmp_path):
    fake_env(monkeypatch, tmp_path)
    monkeypatch.setattr(env.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    assert "torch and its libraries need about 6 GB" in env.main()
    assert not (tmp_path / ".venv").exists()


def test_readme_example_runs_and_gives_the_figures_in_its_comments():
    "The comments of the import example are its values: on MNIST to the digit, on the stand-in the code must only run."
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", readme, re.S)[1]
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    names = {}
    exec(compile(re.sub(r"(?m)^(\w[^=\n]*?)\s+# (\S+)$", r"said.append((\1, '\2'))", code), "README", "exec"), names | {
        "said": (said := [])}, names)
    from fastbook_ch4.data import is_mnist
    if is_mnist(names["sample"]):
        for value, comment in said: assert f"{float(value):.4f}".startswith(comment[:6]), (value, comment)
    assert len(said) >= 2


def test_readme_links_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", readme): assert (ROOT / target).exists(), target
    for path in PAGES: assert f"nbs/{path.name}" in readme, f"{path.name} is not in the reading table"


def test_metadata_has_one_home():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "project" not in project
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini")
    said = parser["DEFAULT"]["requirements"] + parser["DEFAULT"]["dev_requirements"]
    comments = " ".join(re.findall(r"(?m)^#(.*)$", (ROOT / "settings.ini").read_text()))
    for name in re.findall(r"(?m)^([\w-]+)[>=]", said.strip()): assert re.search(rf"\b{name}\b", comments, re.I), name


def test_workflows_pin_their_actions_and_call_the_same_script():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = path.read_text()
        assert all(re.search(r"@v\d+\.\d+\.\d+$", o) for o in re.findall(r"uses: (\S+)", text)), path.name
        assert "bash .ci/run" in text
