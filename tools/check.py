"""Everything that CI checks, with one summary at the end. `--quick` leaves out what takes minutes.

1. exports in step and notebooks clean: export and clean on a copy give no difference;
2. ruff over package, tests, tools, benchmarks and notebooks;
3. pytest: doctests of the package, tests, the rules of the house;
4. nbdev-test over all pages (the slow cells too, unless --quick).
"""
import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait sleep: a busy machine is not slowed further
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # but not at once (GNU's OpenMP): a quiet one would lose a quarter
ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
COPIED = ("nbs", "fastbook_ch4", "pyproject.toml", "settings.ini", "setup.py", "README.md")


def in_step():
    "Export and clean in a copy; name every file that comes out different."
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "copy"
        copy.mkdir()
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            else: shutil.copy(source, copy / name)
        for command in ("nbdev-export", "nbdev-clean"):
            subprocess.run([BIN / command], cwd=copy, check=True)
        differ = [p.relative_to(copy) for folder in ("nbs", "fastbook_ch4") for p in sorted((copy / folder).rglob("*"))
                  if p.suffix in (".py", ".ipynb") and not same(p, ROOT / p.relative_to(copy))]
    for path in differ: print(f"{path} is not what nbdev-export and nbdev-clean make of the notebooks: run both")
    return not differ


def same(a, b): return b.exists() and filecmp.cmp(a, b, shallow=False)


def command(*words, env=None):
    return subprocess.run([str(o) for o in words], cwd=ROOT, env=os.environ | (env or {})).returncode == 0


def pages(quick):
    "nbdev-test, one page after the other: two cores are one page's worth."
    flags = [] if quick else ["--flags", "slow"]
    return command(BIN / "nbdev-test", "--n-workers", 1, "--do-print", "--cell-timeout", 1800, *flags)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    parser.add_argument("--data", default="", help="folder or .tgz with MNIST_SAMPLE, or the word standin")
    args = parser.parse_args()
    data = args.data or os.environ.get("FASTBOOK_CH4_DATA", "")
    if data and data != "standin": os.environ["FASTBOOK_CH4_DATA"] = str(Path(data).expanduser().resolve())
    elif data: os.environ["FASTBOOK_CH4_DATA"] = data
    pytest = [BIN / "python", "-m", "pytest", "--doctest-modules", "fastbook_ch4", "tests"]
    if args.quick: pytest += ["-m", "not slow"]
    steps = [("exports in step, notebooks clean", in_step),
             ("ruff", lambda: command(BIN / "ruff", "check", "-q", ".")),
             ("doctests, tests, rules", lambda: command(*pytest)),
             ("pages (nbdev-test)", lambda: pages(args.quick))]
    rows = []
    for name, step in steps:
        print(f"== {name}", flush=True)
        start = time.monotonic()
        rows.append((name, step(), time.monotonic() - start))
    print("\n" + "\n".join(f"{'passed' if ok else 'FAILED'}  {seconds:6.1f} s  {name}" for name, ok, seconds in rows))
    bad = sum(not ok for _, ok, _ in rows)
    print(f"checks: {len(rows) - bad} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
