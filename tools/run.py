"Execute the series, two pages at a time, each in a kernel of its own, and build the reading site from it."
import argparse
import atexit
import base64
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

import figures

ROOT = Path(__file__).resolve().parent.parent
SECONDS = {"08_resnet": 80, "07_nonlinearity": 40, "10_seeds": 40, "06_learner": 18, "05_sgd": 18}  # else 10
NOT_RUN = re.compile(r"(?m)^#\|\s*(eval:\s*false|slow|cuda)\b")  # such a cell keeps the output it has
os.environ.update({o: "1" for o in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "JUPYTER_PREFER_ENV_PATH")})

def light(png):
    "The picture in 128 colours: a third of the bytes, no difference to the eye."
    im = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    im.save(new := io.BytesIO(), "png", optimize=True)
    return min(base64.b64encode(new.getvalue()).decode(), png, key=len)

def longest_first(paths): return sorted(paths, key=lambda p: -SECONDS.get(p.stem, 10))

def execute(paths):
    "Each page in a fresh kernel: {stem: (notebook, seconds)}. Whatever goes wrong, no kernel is left."
    live, done, tty = {}, {}, sys.stdout.isatty()

    def show(line=""):  # on a terminal, the last line says where the pages are
        where = "".join(f"{stem} {o.code_cells_executed}/{len(o.nb.cells)}   " for stem, o in [*live.items()])
        print("\r\033[K" * tty + line + where * tty, end="", flush=True)

    def page(path):
        nb, start = nbformat.read(path, 4), time.monotonic()
        codes = [c for c in nb.cells if c.cell_type == "code" and not NOT_RUN.search(c.source)]
        for c in codes: c.outputs, c.execution_count = [], None
        (small := nbformat.v4.new_notebook()).update(cells=codes, metadata=nb.metadata)
        live[path.stem] = client = NotebookClient(small, timeout=None, kernel_name="python3", resources={
            "metadata": {"path": path.parent}}, extra_arguments=["--IPKernelApp.log_level=50"])
        try: client.execute()
        except Exception as e:
            at, trace = client.code_cells_executed, re.sub(r"\x1b\[[\d;]*m", "", getattr(e, "traceback", ""))
            why = f"{e.ename}: {e.evalue}" if trace else f"the kernel stopped ({type(e).__name__}); memory?"
            cell = f"code cell {at} of {len(codes)} (id {codes[at - 1].id})"
            raise SystemExit(f"{trace}\nstopped: {path.stem}, {cell}: {why}") from None
        finally: live.pop(path.stem), atexit.unregister(client._cleanup_kernel)
        done[path.stem] = nb, time.monotonic() - start
        show(f"{path.stem:22s}{done[path.stem][1]:6.1f} s\n")

    with ThreadPoolExecutor(2) as pool:
        pending = [pool.submit(page, p) for p in longest_first(paths)]
        try:
            while pending := [o for o in pending if not o.done() or o.result()]:
                show()
                time.sleep(.2)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            while live:
                for o in [*live.values()]:
                    if process := getattr(getattr(o.km, "provisioner", 0), "process", 0): process.kill()
                time.sleep(.1)
            raise
    return done

def digits(data):
    "Whether this is MNIST, and what `mnist_sample` says; `data` becomes FASTBOOK_CH4_DATA for what follows."
    data = os.path.expanduser(data or os.environ.get("FASTBOOK_CH4_DATA", ""))
    os.environ["FASTBOOK_CH4_DATA"] = data if data in ("", "standin") else os.path.abspath(data)
    ask = "from fastbook_ch4.data import *; root = mnist_sample(); print(is_mnist(load_sample(root)))"
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True)
    if done.returncode: raise SystemExit(f"stopped: {done.stderr.strip().splitlines()[-1]}")
    what, *_, real = done.stdout.removeprefix("digits: ").splitlines()
    return real == "True", f"MNIST ({what})" if real == "True" else what

def verdict(what, count): return f"Ran on {what}. Checks of figures left out because of it: {count}."

def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", default=[""], help="numbers or stems of pages (default: all)")
    parser.add_argument("--data", help="folder or .tgz with MNIST_SAMPLE, or the word standin")
    parser.add_argument("--nbs", type=Path, default=ROOT / "nbs", help="the folder of the notebooks")
    parser.add_argument("--out", default=f"{ROOT}/_run", help="where the site goes; '' for no site")
    parser.add_argument("--save", action="store_true", help="also store the outputs in nbs/")
    args, begun = parser.parse_args(), time.monotonic()
    paths = [p for p in sorted(args.nbs.glob("[0-9]*.ipynb")) if p.stem.startswith(tuple(args.pages))]
    if not paths: raise SystemExit(f"stopped: no page in {args.nbs} begins with {' or '.join(args.pages)}")
    real, what = digits(args.data)
    print(f"digits: {what}", flush=True)
    done = execute(paths)
    end = verdict(what, 0 if real else sum(len(figures.figures(nb)) for nb, _ in done.values()))
    with tempfile.TemporaryDirectory() as scratch:
        new = shutil.copytree(args.nbs, Path(scratch, "nbs"), ignore=shutil.ignore_patterns(".*"))
        for p in paths:
            nbformat.write(done[p.stem][0], new / p.name)
            if args.save: os.replace(shutil.copy(new / p.name, p.with_suffix(".tmp")), p)  # whole or not
        if args.save: subprocess.run([f"{sys.prefix}/bin/nbdev-clean", "--fname", args.nbs], cwd=ROOT)
        if args.out and subprocess.run([sys.executable, ROOT/"site/build.py", args.out, new, end]).returncode:
            raise SystemExit("stopped: the site was not built")
    print("", *(f"{p.stem:22s}{done[p.stem][1]:6.1f} s" for p in paths), sep="\n")
    for stem, (nb, _) in done.items() if real else ():
        if o := figures.unsupported(nb, figures.allowed(stem)): print(f"{stem}: not as in the text: {o}")
    print(f"{time.monotonic() - begun:.0f} s in all\n{end}")

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try: main()
    except KeyboardInterrupt: sys.exit(print("\nstopped by Ctrl-C", file=sys.stderr) or 130)
