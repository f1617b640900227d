"What it costs to import what needs no fastai: each statement in a fresh process, files already in memory."
import subprocess
import sys

import common

STATEMENTS = {"fastai": "from fastai.vision.all import *", "torch": "import torch", "ours": "import fastbook_ch4.sgd",
              "pixels": "import fastbook_ch4.similarity"}


def fresh(statement):
    return lambda: subprocess.run([sys.executable, "-W", "ignore", "-c", statement], check=True, capture_output=True)


def dearest(n=4):
    "The modules that `fastbook_ch4.sgd` brings beyond torch, dearest first."
    program = "import torch; print('begin', file=__import__('sys').stderr); import fastbook_ch4.sgd"
    command = [sys.executable, "-W", "ignore", "-X", "importtime", "-c", program]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    lines = [o.split("|") for o in said.stderr.split("begin\n")[1].splitlines() if o.count("|") == 2]
    rows = sorted(((int(total), name) for _, total, name in lines if total.strip().isdigit()), reverse=True)
    return ", ".join(f"{name.strip()} {total / 1000:.0f} ms" for total, name in rows[:n])


def main():
    quick = common.arguments(__doc__).quick
    ways = {name: fresh(statement) for name, statement in STATEMENTS.items()}
    times, _ = common.alternate(ways, rounds=1 if quick else 9, warm_up=0 if quick else 1)
    note = "fresh processes; the same names are needed on pages 00 to 05"
    common.row("import fastbook_ch4.sgd against from fastai.vision.all import *", times["fastai"], times["ours"], None,
               True, note)
    why = f"beyond torch: {dearest()}"
    for name, what in (("ours", "fastbook_ch4.sgd"), ("pixels", "fastbook_ch4.similarity")):
        common.row(f"import {what} against import torch", times["torch"], times[name], round(1 / 1.15, 2), True,
                   "fresh processes; the aim is 1.15 times torch's own time, a ratio of 0.87", why)


if __name__ == "__main__": main()
