"""Run every benchmark of this folder in a process of its own, and renew `results.md`: `make bench`.

`python benchmarks/run.py linear load` runs some and keeps the other rows; `--quick` is a smoke test that writes
nothing; `--render` only writes `results.md` again. The rows themselves, with every single time, are in `results.jsonl`.
"""
import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
ORDER = ["import", "load", "linear", "learner", "resnet", "seeds"]  # others after them, by name
PACKAGES = ["torch", "torchvision", "fastai", "numpy", "pillow"]


def scripts(names=()):
    "The benchmarks, in reading order."
    found = {p.stem.removeprefix("bench_"): p for p in HERE.glob("bench_*.py")}
    if unknown := [n for n in names if n not in found]:
        raise SystemExit(f"no benchmark is called {unknown[0]!r}; there are {', '.join(sorted(found))}")
    rank = {name: i for i, name in enumerate(ORDER)}
    return {n: found[n] for n in sorted(names or found, key=lambda n: (rank.get(n, len(ORDER)), n))}


def machine():
    "What the times depend on; nothing that tells whose machine it is."
    cpu = platform.processor() or platform.machine()
    try: cpu = re.search(r"(?m)^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text())[1]
    except (OSError, TypeError): pass
    try: cores = len(os.sched_getaffinity(0))
    except AttributeError: cores = os.cpu_count()
    try: memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (AttributeError, ValueError, OSError): memory = ""
    system = f"{platform.system()}, Python {platform.python_version()}"
    return f"{cpu.strip()}, {cores} cores{memory}, {gpu()}; {system}"


def gpu():
    import torch
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"


def versions():
    return ", ".join(f"{name} {version(name)}" for name in PACKAGES)


def run(name, script, quick):
    "The rows that one script prints; None where it failed."
    print(f"== {name}", flush=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])}
    rows, command = [], [sys.executable, "-W", "ignore", str(script), *(["--quick"] if quick else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent, env=environment) as process:
        try:
            for line in process.stdout:
                if not line.startswith("{"): continue
                rows.append(json.loads(line))
                print(f"   {line_of(rows[-1])}", flush=True)
        except BaseException:
            process.terminate()
            raise
    return rows if process.returncode == 0 and rows else None


def spread(seconds):
    "The median with the smallest and the largest, in a unit that reads well; - where nothing was measured."
    if not seconds: return "-"
    scale, unit = (1, "s") if statistics.median(seconds) >= .1 else (1000, "ms")
    low, mid, high = (f"{scale * o:.3g}" for o in (min(seconds), statistics.median(seconds), max(seconds)))
    return f"{mid} {unit} ({low} - {high})" if len(seconds) > 1 else f"{mid} {unit}"


def met(row):
    if row["aim"] is None or row["ratio"] is None: return "-"
    return "yes" if row["ratio"] >= row["aim"] else "no"


def times(row): return "not measured" if row["ratio"] is None else f"{row['ratio']:.3g}"


def line_of(row):
    if row["ratio"] is None: return f"{row['row']}: {row['note']}"
    return f"{row['row']}: {times(row)} times (aim {row['aim']}), same result: {row['same']}"


def cell(text): return str(text).replace("|", "\\|")


def render(rows):
    "The text of results.md."
    out = ["# How fast it is, beside the stock way", "",
           "Made by `make bench`; do not edit. Each row ran the stock way (what a reader of the book would run) and "
           "ours in turn, after a warm-up. Times are medians, with the smallest and the largest; `times` is the ratio "
           "of the two medians: only that holds from machine to machine, and not to the last digit.", "",
           "| row | stock | ours | times | aim | met | same result |", "|---|---|---|---|---|---|---|"]
    for o in rows:
        aim = "-" if o["aim"] is None else f"{o['aim']:g}" if isinstance(o["aim"], int | float) else o["aim"]
        cells = [cell(o["row"]), spread(o["stock_s"]), spread(o["ours_s"]), times(o), cell(aim), met(o),
                 {True: "yes", False: "no", None: "-"}[o["same"]]]
        out.append(f"| {' | '.join(cells)} |")
    out += ["", "## What each row compares", ""]
    for o in rows:
        why = f" **Why not {o['aim']:g}:** {o['why']}." if met(o) == "no" and o.get("why") else ""
        out.append(f"- **{o['row']}**: {o['note']}.{why}")
    out += ["", "## Where and when", ""]
    runs = {}
    for o in rows: runs.setdefault((o["date"], o["machine"], o["versions"]), []).append(o["script"])
    for (date, where, what), names in runs.items():
        out.append(f"- {date}, {', '.join(dict.fromkeys(names))}: {where}; {what}")
    return "\n".join(out) + "\n"


def write_whole(path, text):
    "Write `text` to `path` in one step."
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as f: f.write(text)
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
    finally: Path(scratch).unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="benchmarks to run, without bench_ (default: all)")
    parser.add_argument("--quick", action="store_true", help="a smoke test: short rounds, results.md stays as it is")
    parser.add_argument("--render", action="store_true", help="only write results.md again, from results.jsonl")
    args = parser.parse_args()
    store, failed = HERE / "results.jsonl", []
    kept = [json.loads(o) for o in store.read_text(encoding="utf-8").splitlines()] if store.exists() else []
    chosen = {} if args.render else scripts(args.names)
    for name, script in chosen.items():
        rows = run(name, script, args.quick)
        if rows is None:
            failed.append(name)
            continue
        about = {"script": name, "date": f"{datetime.date.today()}", "machine": machine(), "versions": versions()}
        kept = [o for o in kept if o["script"] != name] + [o | about for o in rows]
    order = list(scripts())
    kept = sorted((o for o in kept if o["script"] in order), key=lambda o: order.index(o["script"]))
    if not args.quick:
        write_whole(store, "".join(json.dumps(o) + "\n" for o in kept))
        write_whole(HERE / "results.md", render(kept))
        print(f"\n{(HERE / 'results.md').relative_to(HERE.parent)} has {len(kept)} rows")
    if failed: print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__": sys.exit(main())
