"""From a measurement to a verdict: the rules stand in claims.toml, the words here."""
import random
import re
import tomllib
import warnings
from decimal import Decimal
from functools import cache
from importlib import import_module
from pathlib import Path

import torch

HERE = Path(__file__).parent
VERDICTS = 'reproduced', 'within the spread', 'holds', 'partly', 'corrected', 'not comparable'
MATCH = {'number': 'reproduced', 'seeded': 'reproduced', 'draw': 'within the spread', 'claim': 'holds'}
NUMBER = re.compile(r'-?\d+(?:\.\d*)?(?:e[-+]?\d+)?')
RUNS_NEEDED = 20  # stored runs of each call, before their spread is looked at

@cache
def claims(): return tomllib.loads((HERE / 'claims.toml').read_text(encoding='utf-8'))

def rows(): return claims()['rows']

def numbers(text): return [float(o) for o in NUMBER.findall(text)]

def same(printed, ours, tol=0.):
    "Whether the number `ours` is the printed one: to its last digit, or within `tol` of it."
    value, digits = float(printed), max(0, -Decimal(printed).as_tuple().exponent)
    return round(ours, digits) == value or abs(ours - value) <= tol * max(1, abs(value))

def matches(prints, value, tol=0.):
    "Whether `value`, a text or a list of numbers, is what was printed."
    if isinstance(value, str): return value == prints
    printed = NUMBER.findall(prints)
    return len(printed) == len(value) and all(same(p, o, tol) for p, o in zip(printed, value))

def verdict(row, values):
    "All parts of a claim hold, some do, or none; without parts, the printed digits are compared."
    known = {**values, 'printed': numbers(row.get('prints', ''))}
    allowed = {'__builtins__': {o.__name__: o for o in (abs, max, min, round)}}
    if 'holds' in row: parts = [bool(eval(o, allowed, known)) for o in row['holds']]
    else: parts = [matches(row['prints'], values['value'], row.get('tol', 0.))]
    return MATCH[row['kind']] if all(parts) else 'partly' if any(parts) else 'corrected'

def missing(row, lab):
    "Why a row cannot be compared here; '' where it can."
    if 'needs' in row and not lab.real: return 'needs MNIST itself'
    few = min(map(len, lab.resnets.values())) < RUNS_NEEDED
    return 'needs more stored runs' if row.get('needs') == 'runs' and few else ''

def measure(row):
    "The function that a row names, as module.function."
    module, name = row['measure'].split('.')
    return getattr(import_module(f'audit.{module}'), name)

def plain(value):
    "Tensors as numbers and lists, inside dictionaries and lists too."
    if isinstance(value, torch.Tensor): return value.tolist()
    if isinstance(value, dict): return {k: plain(v) for k, v in value.items()}
    return [plain(o) for o in value] if isinstance(value, list) else value

def judge(row, lab):
    "What we measured, in words, and the verdict; the error and '' where measuring fails."
    if why := missing(row, lab): return why, 'not comparable'
    state, threads = random.getstate(), torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            torch.manual_seed(42)
            torch.set_num_threads(1)
            values = plain(measure(row)(lab))
            return row['say'].format(**values), verdict(row, values)
    except Exception as e: return f'error: {type(e).__name__}: {e}', ''
    finally:
        random.setstate(state)
        torch.set_num_threads(threads)

def expand(text):
    "'S01-S03 Q05' -> ['S01', 'S02', 'S03', 'Q05']."
    ids = []
    for part in text.split():
        first, _, last = part.partition('-')
        ids += [f'{first[0]}{i:02d}' for i in range(int(first[1:]), int((last or first)[1:]) + 1)]
    return ids
