"""Everything that CI checks, with one summary. `--quick` leaves out tens of seconds, `--all` adds minutes."""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from run import ROOT, SECONDS, digits, longest_first, verdict


def start(*words): return subprocess.Popen([str(o) for o in words], cwd=ROOT)

def nbdev_test(*flags):
    "Every page once, on two sides at a time; the longest has one to itself till the other is as long."
    sides = [[], []]
    for p in longest_first(ROOT.glob("nbs/[0-9]*.ipynb")):
        min(sides, key=lambda side: sum(SECONDS.get(o, 10) for o in side)).append(p.stem)
    runs = [start(f"{sys.prefix}/bin/nbdev-test", "--n-workers", 1, "--do-print", "--cell-timeout", 1800,
                  *flags, "--file-re", rf"^({'|'.join(side)})\.ipynb$") for side in sides]
    return not any([o.wait() for o in runs])

def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="without what takes tens of seconds")
    parser.add_argument("--all", action="store_true", help="also what takes minutes; a real kernel for all")
    parser.add_argument("--data", help="folder or .tgz with MNIST_SAMPLE, or the word standin")
    args = parser.parse_args()
    real, what = digits(args.data)
    os.environ["FASTBOOK_CH4_REPORT"] = report = tempfile.mkstemp()[1]
    marks = "not slow and not long" if args.quick else "" if args.all else "not slow"
    pytest = sys.executable, "-m", "pytest", "-n2", "--dist=loadscope", "-m", marks, "--doctest-modules"
    kernel = sys.executable, "tools/run.py", "--out=", "" if args.all else "02"
    steps = {"ruff": lambda: not start(f"{sys.prefix}/bin/ruff", "check", "-q", ".").wait(),
             "doctests and tests": lambda: not start(*pytest, "fastbook_ch4", "tests").wait(),
             "pages (nbdev-test)": lambda: nbdev_test(*["--flags", "slow"] * args.all),
             "real kernel": lambda: not start(*kernel).wait()}
    if args.quick: del steps["real kernel"]
    rows = []
    for name, step in steps.items():
        print(f"== {name}", flush=True)
        begun = time.monotonic()
        rows.append((step(), name, time.monotonic() - begun))
    said = json.loads(Path(report).read_text() or '{"figures": 0, "browser": ""}')
    os.unlink(report)
    if real and os.environ.get("CI"): rows.append((not said["figures"], "no figure left out", 0))
    for ok, name, took in rows: print(f"{'passed' if ok else 'FAILED'}  {took:6.1f} s  {name}")
    if said["browser"]: print(f"The browser checks did not run: {said['browser']}")
    bad = sum(not ok for ok, *_ in rows)
    print(f"{verdict(what, said['figures'])}\nchecks: {len(rows) - bad} passed, {bad} failed")
    return bad > 0

if __name__ == "__main__": sys.exit(main())
