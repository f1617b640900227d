"""What every benchmark shares: runs that alternate, medians and their spread, one JSON line per row.

Absolute times drift by a third from hour to hour; the ratio of two ways that took turns does not. So each row times the
stock way and ours in turn, after a warm-up of both, and reports the ratio of the two medians.
"""
import argparse
import json
import statistics
import time


def arguments(about):
    "`--quick`: the least that shows that a script runs; nothing to be taken for a measurement."
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="one short round: only to see that it runs")
    return parser.parse_args()


def seconds(work, inner=1):
    "The mean time of `inner` runs in a row, and what the last one returned."
    start = time.perf_counter()
    for _ in range(inner): result = work()
    return (time.perf_counter() - start) / inner, result


def alternate(ways, rounds=5, inner=None, warm_up=1):
    """Run each of the functions `ways` in turn, `rounds` times; {name: [seconds]}, {name: last result}.

    `inner`: {name: how many runs in a row are one measurement}, for what takes only milliseconds.
    """
    times, results = {name: [] for name in ways}, {}
    for i in range(-warm_up, rounds):
        for name, work in ways.items():
            spent, results[name] = seconds(work, (inner or {}).get(name, 1))
            if i >= 0: times[name].append(spent)
    return times, results


def row(name, stock, ours, aim, same, note, why=""):
    """Print one row as a JSON line: times in seconds, and how many times quicker ours is, by the medians.

    `aim`: the ratio wanted, or None where the row is only for comparison. `same`: whether both ways gave one result.
    `why`: what stands between the ratio and the aim, for the case that it is not met. Without times, the row says only
    its note: nothing was measured.
    """
    if not stock or not ours:
        line = {"row": name, "stock_s": [], "ours_s": [], "ratio": None, "aim": aim, "same": None, "note": note,
                "why": why}
        print(json.dumps(line), flush=True)
        return line
    import torch
    scatter = max(max(o) / statistics.median(o) for o in (stock, ours))
    if scatter > 1.5: note += f"; the times scatter: the slowest took {scatter:.1f} times the median"
    line = {"row": name, "stock_s": [round(o, 6) for o in stock], "ours_s": [round(o, 6) for o in ours],
            "ratio": round(statistics.median(stock) / statistics.median(ours), 3), "aim": aim, "same": bool(same),
            "note": f"{note}; {torch.get_num_threads()} threads", "why": why}
    print(json.dumps(line), flush=True)
    return line
