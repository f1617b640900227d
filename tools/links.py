"When `git_url` in settings.ini has changed, `python tools/links.py` puts it into the pages and the README."
import re
import sys
from pathlib import Path

import nbformat

START, END = "<!-- links: made by tools/links.py from git_url in settings.ini -->", "<!-- end of links -->"
MISSING = "import importlib.util\n\nif importlib.util.find_spec('fastbook_ch4') is None:\n    "
ALONE = "raise SystemExit('This page needs fastbook_ch4: `pip install -e .` in the project, then restart.')"

def install_cell(url): return MISSING + (f"%pip install -q git+{url}" if url else ALONE)

def badges(url, page):
    name = url.removeprefix("https://github.com/")
    return "" if name == url else (
        f"\n[Colab](https://colab.research.google.com/github/{name}/blob/main/nbs/{page}) · "
        f"[Binder](https://mybinder.org/v2/gh/{name}/main?urlpath=lab/tree/nbs/{page})")

def update(root):
    readme, settings = root / "README.md", (root / "settings.ini").read_text(encoding="utf-8")
    url = re.search(r"(?m)^git_url *=(.*)", settings)[1].strip()
    if url and not re.fullmatch(r"https://[\w.-]+(/[\w.-]+){2,}", url):
        return f"settings.ini: git_url is {url!r}; expected something like https://host/owner/project"
    for path in (paths := sorted(root.glob("nbs/[0-9]*.ipynb"))):
        nb = nbformat.read(path, 4)
        next(c for c in nb.cells if c.source.startswith(MISSING)).source = install_cell(url)
        path.write_text(nbformat.writes(nb) + "\n", encoding="utf-8")
    new, old = f"{START}{badges(url, paths[0].name)}\n{END}", readme.read_text(encoding="utf-8")
    readme.write_text(re.sub(f"{START}.*?{END}", lambda _: new, old, flags=re.S), encoding="utf-8")

if __name__ == "__main__": sys.exit(update(Path(__file__).resolve().parent.parent))
