"""`make run`, the whole series in fresh kernels, once: the environment is there, the pages are made in a folder apart.

There is no stock way to run beside it, so the row compares it with a limit of six minutes.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import common

LIMIT = 360.


def main():
    pages = ["01"] if common.arguments(__doc__).quick else []
    run = Path(__file__).resolve().parent.parent / "tools" / "run.py"
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, str(run), *pages, "--out", out]
        seconds, done = common.seconds(lambda: subprocess.run(command, capture_output=True, text=True))
    if done.returncode: raise SystemExit(done.stderr[-2000:])
    each = re.findall(r"(?m)^(\d\d)_\w+ +([\d.]+) s$", done.stdout.split("together")[0])
    each = dict(each)  # printed as each page ends, and again in the table
    common.row("make run, the whole series, against six minutes", [LIMIT], [seconds], 1, True,
               "pages, scorecard and HTML; no stock way: the first column is the limit; seconds of each page: "
               + ", ".join(f"{page} {float(s):.0f}" for page, s in each.items()), "see the seconds of each page")


if __name__ == "__main__": main()
