"""Build the reading site: `python site/build.py [OUT [FOLDER OF EXECUTED PAGES [LINE FOR THE FRONT PAGE]]]`.

Nothing is executed and nothing fetched. Without a folder it takes nbs/, and a warning of Sphinx is an error.
"""
import os
import re
import shutil
import sys
import tempfile
from configparser import ConfigParser
from pathlib import Path

import nbformat
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PARTS = {"0": "I The walk", "1": "II Further", "2": "III Yours"}  # by the first digit of a page


def git_url():
    "The project's address on the web, or nothing."
    settings = ConfigParser(delimiters=["="])
    settings.read(ROOT / "settings.ini", encoding="utf-8")
    return settings["DEFAULT"]["git_url"].strip()


def title(path):
    "What a page is called in the contents: its number and its heading."
    cells = (c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown")
    heading = next((m[1] for o in cells if (m := re.match(r"# (.+)", o))), path.stem)
    return f"{path.stem[:2]}  {heading}"


def contents(folder):
    "The tables of contents: the pages in three parts, then the audit."
    parts = {}
    for path in sorted(folder.glob("[0-9]*.ipynb")): parts.setdefault(PARTS[path.name[0]], []).append(path)
    trees = [(name, [f"{title(o)} <{o.stem}>" for o in paths]) for name, paths in parts.items()]
    if (folder / "audit.md").exists(): trees.append(("The post, measured", ["Every claim <audit>"]))
    return "\n\n".join("\n".join([":::{toctree}", ":hidden:", f":caption: {name}", "", *entries, ":::"])
                       for name, entries in trees)


def front(text, folder, note, git_url):
    "The front page: the README with its links turned to the site, what the pages ran on, and the contents."
    def target(m):
        label, where = m[1], m[2].removeprefix("nbs/")
        if where == "audit/results.md": where = "audit.md"
        if re.match(r"https?:|#", where) or (folder / where.partition("#")[0]).is_file():
            return f"[{label}]({where})"
        return f"[{label}]({git_url}/blob/main/{m[2]})" if git_url else label
    text = re.sub(r"\[((?:!\[[^\]]*\]\([^)]*\)|[^\[\]])*)\]\(([^()\s]+)\)", target, text)
    text = re.sub(r'(src|href)="nbs/', r'\1="', text)
    return f"{text}\n\n{note and f'*{note}*'}\n\n{contents(folder)}\n"


def build(out, folder=None, note="The outputs on this site were made on MNIST."):
    "Build the site in `out`, whole or not at all, from the executed pages and pictures in `folder`."
    out = Path(out).resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f"{out.name}.") as scratch:
        source, html = Path(scratch, "source"), Path(scratch, "html")
        shutil.copytree(folder or ROOT / "nbs", source, ignore=shutil.ignore_patterns(".*", "*.py"))
        if (audit := ROOT / "audit" / "results.md").exists(): shutil.copy(audit, source / "audit.md")
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        (source / "index.md").write_text(front(readme, source, note, git_url()), encoding="utf-8")
        with patch_docutils(HERE), docutils_namespace():
            app = Sphinx(source, HERE, html, Path(scratch, "doctrees"), "html", status=None,
                         warningiserror=not folder, parallel=os.cpu_count() or 1)
            app.build()
        if app.statuscode: raise SystemExit("the site has warnings (see above)")
        if out.exists(): out.rename(Path(scratch, "old"))
        html.rename(out)
    return out


if __name__ == "__main__":
    print("Read", build(*sys.argv[1:] or [ROOT / "_run"]) / "index.html")
