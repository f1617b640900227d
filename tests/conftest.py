"What the tests share: their helpers, the digits, and a word at the end about what did not run."
import json
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tools")]

def pytest_configure(config):
    config.addinivalue_line("markers", "long: tens of seconds; `make quick` leaves it out")

@pytest.fixture(scope="session")
def sample():
    "The digits that `load_sample` finds: MNIST, or the stand-in."
    from fastbook_ch4.data import load_sample
    return load_sample()

@pytest.fixture(scope="session")
def mnist(sample):
    "The same, for a check of figures: they hold on MNIST only."
    from fastbook_ch4.data import is_mnist
    if not is_mnist(sample): pytest.skip("a check of figures, which needs MNIST")
    return sample

def pytest_terminal_summary(terminalreporter):
    "For tools/check.py: how many checks of figures were skipped, and whether a browser was missing."
    if not (report := os.environ.get("FASTBOOK_CH4_REPORT")): return
    why = [str(o.longrepr[-1] if isinstance(o.longrepr, tuple) else o.longrepr)
           for o in terminalreporter.stats.get("skipped", [])]
    Path(report).write_text(json.dumps({"figures": sum("MNIST" in o for o in why),
                                        "browser": next((o for o in why if "no browser" in o), "")}))
