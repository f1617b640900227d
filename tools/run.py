"""Execute the series, page by page, each in a Jupyter kernel of its own, and leave readable pages in `_run/`.

`python tools/run.py` runs every notebook of `nbs/`; `python tools/run.py 03 04_sgd` runs some. `--save` also stores the
outputs in `nbs/` (that is how committed outputs are made). It stops at the first failing cell and exits with 1.
"""
import argparse
import base64
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait sleep: a busy machine is not slowed further
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # but not at once (GNU's OpenMP): a quiet one would lose a quarter
os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")  # the kernel of this environment, not one of the user's

import nbformat  # noqa: E402
from nbclient import NotebookClient  # noqa: E402
from nbclient.exceptions import CellExecutionError  # noqa: E402

sys.path.insert(0, str(ROOT / "tools"))
from render import index_html, page_html, title_of  # noqa: E402


class Failed(Exception):
    "A page that did not run to its end, said in one sentence."


def pages(folder, names):
    "The notebooks to run, in reading order."
    found = sorted(folder.glob("[0-9]*.ipynb"))
    if not found: raise Failed(f"{folder} holds no notebook whose name begins with a number")
    if not names: return found
    chosen = [p for p in found if any(p.stem == n.removesuffix(".ipynb") or p.stem.startswith(n) for n in names)]
    unknown = [n for n in names if not any(p.stem.startswith(n.removesuffix(".ipynb")) for p in found)]
    if unknown: raise Failed(f"no page is called {unknown[0]!r}; there are {', '.join(p.stem for p in found)}")
    return chosen


def write_whole(path, text):
    "Write `text` to `path` in one step: a reader, or the next run, never sees half a file."
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as f: f.write(text)
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
    finally: Path(scratch).unlink(missing_ok=True)


class Status:
    "One line that says what is running; rewritten in place on a terminal, silent in a log."

    def __init__(self, stem): self.stem, self.start = stem, time.monotonic()

    def show(self, text):
        if sys.stdout.isatty(): print(f"\r\033[K{self.stem}  {text}", end="", flush=True)

    def done(self, text):
        self.show("")
        print(f"{chr(13) if sys.stdout.isatty() else ''}{self.stem:22s}{text}", flush=True)


def execute(path):
    "Run one notebook in a fresh kernel; return it with its outputs, and the seconds it took."
    nb, status = nbformat.read(path, 4), Status(path.stem)
    codes = [i for i, c in enumerate(nb.cells) if c.cell_type == "code"]
    for i in codes: nb.cells[i].outputs, nb.cells[i].execution_count = [], None
    at = [0]

    def starts(cell, cell_index):
        at[0] = cell_index
        status.show(f"cell {codes.index(cell_index) + 1} of {len(codes)}, "
                    f"{time.monotonic() - status.start:.0f} s" if cell_index in codes else "")

    client = NotebookClient(nb, timeout=None, kernel_name="python3", on_cell_start=starts,
                            extra_arguments=["--IPKernelApp.log_level=50"],
                            resources={"metadata": {"path": str(path.parent)}})
    status.show("starts")
    try: client.execute()
    except CellExecutionError as e:
        status.done("FAILED")
        print(re.sub(r"\x1b\[[0-9;]*m", "", str(e)), file=sys.stderr)
        said = e.evalue.splitlines()[0] if e.evalue else ""
        raise Failed(f"{path.stem}, code cell {codes.index(at[0]) + 1} of {len(codes)} "
                     f"(id {nb.cells[at[0]].id}): {e.ename}: {said}") from None
    except Exception as e:
        status.done("FAILED")
        if hasattr(client, "_async_cleanup_kernel_future"):  # nbclient stopped the kernel on SIGINT or SIGTERM
            raise KeyboardInterrupt from None
        raise Failed(f"{path.stem}, code cell {codes.index(at[0]) + 1}: the kernel stopped ({type(e).__name__}: {e}); "
                     "is there enough memory?") from None
    finally:  # no kernel outlives this script
        if client.km is not None: client._cleanup_kernel()
    seconds = time.monotonic() - status.start
    status.done(f"{seconds:6.1f} s")
    return nb, seconds


def keep_pictures(nb, folder):
    "Write each picture whose cell says `#| save-as: images/name.png` to that file: README.md shows them."
    for cell in nb.cells:
        if cell.cell_type == "code" and (m := re.search(r"(?m)^#\|\s*save-as:\s*(\S+)", cell.source)):
            png = next(o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {}))
            (folder / m[1]).parent.mkdir(exist_ok=True)
            (folder / m[1]).write_bytes(base64.b64decode(png))


def clean(path):
    "Store outputs as nbdev keeps them: without execution counts and stray metadata."
    subprocess.run([Path(sys.executable).with_name("nbdev-clean"), "--fname", str(path)], cwd=ROOT, check=True)


def score(out, rows):
    "Print the scorecard and leave it as a page; returns the link, or nothing where there is no scorecard yet."
    if not (ROOT / "fastbook_ch4" / "scorecard.py").exists(): return None
    print()
    command = [sys.executable, "-m", "fastbook_ch4.scorecard", "score", "--html", str(out / "scorecard.html")]
    if rows.exists(): command += ["--from", str(rows)]  # page 09 of this run has measured it
    done = subprocess.run(command)
    if done.returncode: raise Failed("the scorecard has rows that could not be measured (see above)")
    return "scorecard.html"


def table(rows):
    width = max(len(stem) for stem, _ in rows)
    lines = [f"{stem:{width}s}  {seconds:7.1f} s" for stem, seconds in rows]
    return "\n".join([*lines, "-" * (width + 11), f"{'together':{width}s}  {sum(s for _, s in rows):7.1f} s"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", help="numbers or stems of pages (default: all)")
    parser.add_argument("--data", default="", help="folder or .tgz with MNIST_SAMPLE, or the word standin")
    parser.add_argument("--nbs", default=str(ROOT / "nbs"), help="the folder of the notebooks")
    parser.add_argument("--out", default=str(ROOT / "_run"), help="where the executed pages go")
    parser.add_argument("--save", action="store_true", help="also store the outputs in nbs/")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    data = args.data or os.environ.get("FASTBOOK_CH4_DATA", "")
    if data and data != "standin": data = str(Path(data).expanduser().resolve())
    if data: os.environ["FASTBOOK_CH4_DATA"] = data
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    rows, begun, measured = [], time.monotonic(), out / "scorecard.json"
    measured.unlink(missing_ok=True)
    os.environ["FASTBOOK_CH4_SCORE"] = str(measured.resolve())
    try:
        found, everything = pages(Path(args.nbs), args.pages), pages(Path(args.nbs), [])
        for path in found:
            nb, seconds = execute(path)
            rows.append((path.stem, seconds))
            if args.save:
                write_whole(path, nbformat.writes(nb) + "\n")
                clean(path)
                keep_pictures(nb, path.parent)
            write_whole(out / path.name, nbformat.writes(nb) + "\n")
            write_whole(out / f"{path.stem}.html", page_html(nb, path.stem, [p.stem for p in everything]))
        extra = None if args.pages or args.nbs != str(ROOT / "nbs") else score(out, measured)  # some pages: no score
        entries = [(p.stem, *title_of(nbformat.read(p, 4))) for p in everything if (out / f"{p.stem}.html").exists()]
        write_whole(out / "index.html", index_html(entries, dict(rows), extra))
    except Failed as e:
        print(f"\nstopped: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped by Ctrl-C; finished pages are in", shown(out), file=sys.stderr)
        return 130
    print(f"\n{table(rows)}\n\nPages: {shown(out / 'index.html')}  ({time.monotonic() - begun:.0f} s in all)")
    return 0


def shown(path):
    path = Path(path).resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    sys.exit(main())
