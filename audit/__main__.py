"""python -m audit [ids ...] [--data DATA] [--json | --csv]"""
import argparse
import contextlib
import csv
import io
import itertools
import json
import os
import sys
import textwrap
import time

import fastai
import torch

from .judge import HERE, judge, rows
from .lab import RUNS, Lab

SECTIONS = {4: 'Images', 9: 'Pixel similarity', 38: 'Stochastic gradient descent', 52: 'Gradients',
            65: 'Roller-coaster', 101: 'MNIST with SGD', 141: 'Training loop', 204: 'Non-linearity',
            226: 'Deep dive', 233: 'Questions'}  # first line in the post -> section
COLORS = {'reproduced': 32, 'within the spread': 32, 'holds': 32, 'partly': 33, 'corrected': 35, '': 31}
HEAD = """# The post and the book, measured

What the post prints or says, in short, and what chapter 4 of the book says in the same place; then what we
measure, with torch {torch} and fastai {fastai}. The verdict is about the post, a learner's diary, written to
understand: *reproduced* or *within the spread* for a number; *holds*, *partly* or *corrected* for a sentence.
Last the page of the series that treats it. Made by `make audit`; the rules are in `claims.toml`.
"""
TABLE = '\n| | the post (line) | the book | we measure | verdict | page |\n|---|---|---|---|---|---|\n'


def run(lab, ids):
    "A result a row: what claims.toml tells of it, what we measured, the verdict."
    for id in ids:
        row = rows()[id]
        if sys.stderr.isatty(): print(f'\r{id} ', end='', file=sys.stderr, flush=True)
        measured, verdict = judge(row, lab)
        full = row | dict(id=id, measured=measured, verdict=verdict)
        yield {key: full[key] for key in ('id', 'line', 'post', 'book', 'measured', 'verdict', 'page')}


def as_json(results): return json.dumps(list(results), indent=1, ensure_ascii=False) + '\n'


def as_csv(results):
    out = io.StringIO()
    writer = csv.DictWriter(out, results[0], lineterminator='\n')
    writer.writeheader()
    writer.writerows(results)
    return out.getvalue()


def as_text(results, color=False):
    "For a terminal of 110 columns."
    widths = {'id': 3, 'post': 26, 'book': 20, 'measured': 36, 'verdict': 17}
    for o in [dict(zip(widths, ('id', 'the post', 'the book', 'we measure', 'verdict'))), *results]:
        cells = [textwrap.wrap(o[key] or '-', width) for key, width in widths.items()]
        for line in itertools.zip_longest(*cells, fillvalue=''):
            *first, last = (f'{cell:{width}}' for cell, width in zip(line, widths.values()))
            if color and last.strip(): last = f'\033[{COLORS.get(o["verdict"], 2)}m{last}\033[0m'
            yield '  '.join([*first, last]).rstrip()


def as_markdown(results):
    "A table a section, in the order of the post."
    def section(o): return SECTIONS[max(first for first in SECTIONS if first <= o['line'])]
    yield HEAD.format(torch=torch.__version__.split('+')[0], fastai=fastai.__version__)
    for title, group in itertools.groupby(sorted(results, key=lambda o: o['line']), section):
        yield f'\n## {title}\n{TABLE}'
        for o in group:
            more = (o[key] for key in ('book', 'measured', 'verdict', 'page'))
            cells = o['id'], f'{o["post"]} ({o["line"]})', *more
            yield '| ' + ' | '.join(c.replace('|', '\\|').replace('*', '\\*') for c in cells) + ' |\n'


def renew(results):
    "Write what the repository keeps: the table, the same for programs, and what page 22 reads."
    (HERE / 'results.md').write_text(''.join(as_markdown(results)), encoding='utf-8')
    (HERE / 'results.json').write_text(as_json(results), encoding='utf-8')
    small = ({key: value for key, value in o.items() if key != 'line'} for o in results)
    (RUNS / 'audit.json').write_text(as_json(small), encoding='utf-8')
    return 'results.md, results.json and runs/audit.json are renewed'


def main(argv=None):
    does = 'Hold the post and the book against measurement; without options, and on MNIST, renew the results.'
    parser = argparse.ArgumentParser(prog='python -m audit', description=does)
    parser.add_argument('ids', nargs='*', help='only these rows, such as C30 N10')
    parser.add_argument('--data', help="a folder or .tgz of MNIST_SAMPLE, or 'standin'")
    form = parser.add_mutually_exclusive_group()
    form.add_argument('--json', action='store_true', help='print the rows as JSON, renew nothing')
    form.add_argument('--csv', action='store_true', help='print the rows as CSV, renew nothing')
    args, begun = parser.parse_args(argv), time.time()
    if unknown := set(args.ids) - set(rows()): parser.error(f'no row {min(unknown)} in claims.toml')
    with contextlib.redirect_stdout(sys.stderr):
        lab = Lab(args.data)
        results = list(run(lab, args.ids or rows()))
    if args.json: print(as_json(results), end='')
    elif args.csv: print(as_csv(results), end='')
    else:
        print(*as_text(results, sys.stdout.isatty() and not os.environ.get('NO_COLOR')), sep='\n')
        kept = renew(results) if lab.real and not args.ids else 'nothing is renewed'
        print(f'\n{len(results)} rows in {time.time() - begun:.0f} s; {kept}')
    return int(any(not o['verdict'] for o in results))


if __name__ == '__main__': sys.exit(main())
