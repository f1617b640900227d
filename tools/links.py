"""Put the project's address where it belongs: say `python tools/links.py` after `git_url` in settings.ini was changed.

The address has one home, `git_url`. From it come the badges at the top of README.md (none while it is empty) and the
source that the first cell of each page installs the package from, where it is missing (the folder above, until then).
"""
import re
import sys
from configparser import ConfigParser
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
START, END = "<!-- links: made by tools/links.py from git_url in settings.ini -->", "<!-- end of links -->"
MARK = "import importlib.util, subprocess, sys"


def git_url(root=ROOT):
    "The address, without a slash at the end; an empty string while nobody has set it."
    parser = ConfigParser(delimiters=["="])
    parser.read(root / "settings.ini", encoding="utf-8")
    url = parser["DEFAULT"].get("git_url", "").strip().rstrip("/").removesuffix(".git")
    if url and not re.fullmatch(r"https://[\w.-]+/[\w./-]+", url):
        raise SystemExit(f"settings.ini: git_url is {url!r}; expected something like https://host/owner/project")
    return url


def install_cell(url):
    "The first code cell of every page: install the package only where it is missing, and change nothing else."
    source = f"git+{url}" if url else ".."
    return (f"{MARK}\nif importlib.util.find_spec('fastbook_ch4') is None:  # --no-deps: nothing is upgraded\n"
            f"    subprocess.check_call([sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '{source}'])")


def badges(url, first):
    "The block between the two marks of the README."
    if not url: return f"{START}\n{END}"
    where = url.removeprefix("https://github.com/")
    on_github = url != where
    links = [f"[Source]({url})"]
    if on_github:
        links += [f"[Open in Colab](https://colab.research.google.com/github/{where}/blob/main/nbs/{first})",
                  f"[Open in Binder](https://mybinder.org/v2/gh/{where}/main?urlpath=lab/tree/nbs/{first})",
                  f"[![test]({url}/actions/workflows/test.yml/badge.svg)]({url}/actions/workflows/test.yml)"]
    return f"{START}\n{' · '.join(links)}\n{END}"


def update(root=ROOT):
    "Rewrite README.md and the pages; return the names of the files that changed."
    url, changed = git_url(root), []
    found = sorted((root / "nbs").glob("[0-9]*.ipynb"))
    readme = root / "README.md"
    old = readme.read_text(encoding="utf-8")
    new = re.sub(re.escape(START) + ".*?" + re.escape(END), lambda _: badges(url, found[0].name), old, flags=re.S)
    if new != old:
        readme.write_text(new, encoding="utf-8")
        changed.append(readme.name)
    for path in found:
        nb = nbformat.read(path, 4)
        cell = next((c for c in nb.cells if c.cell_type == "code" and c.source.startswith(MARK)), None)
        if cell is None: raise SystemExit(f"{path.name} has no cell that begins with {MARK!r}")
        if cell.source != install_cell(url):
            cell.source = install_cell(url)
            path.write_text(nbformat.writes(nb) + "\n", encoding="utf-8")
            changed.append(path.name)
    return changed


if __name__ == "__main__":
    names = update()
    print("changed: " + ", ".join(names) + " (now run nbdev-clean)" if names else "nothing to change")
    sys.exit(0)
