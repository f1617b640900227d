"""The resnet of page 08 over many seeds, by both calls; adds the missing runs to `fastbook_ch4/runs/resnet.csv`.

    python benchmarks/resnet_runs.py [seeds, 20 unless said]

Stock `resnet_learner()`, one epoch, rate 0.1, batches of 64, one thread: 40 to 100 seconds a run. Needs MNIST_SAMPLE itself.
"""
import csv
import platform
import sys
from contextlib import redirect_stdout
from datetime import date
from io import StringIO
from pathlib import Path

import fastai
import torch
import torchvision
from fastai.torch_core import default_device, set_seed

from fastbook_ch4.data import is_mnist, load_sample
from fastbook_ch4.resnet import resnet_learner

FILE = Path(__file__).resolve().parent.parent / 'fastbook_ch4' / 'runs' / 'resnet.csv'
CALLS = ('fit', 'fit_one_cycle')


def run(call, seed):
    "Validation accuracy of one training."
    set_seed(seed)
    with redirect_stdout(StringIO()): learn = resnet_learner()
    with learn.no_bar(), learn.no_logging(): getattr(learn, call)(1, .1)
    return learn.recorder.values[-1][2]


def main():
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    if not is_mnist(load_sample()): sys.exit('these runs are of MNIST_SAMPLE itself: name it in FASTBOOK_CH4_DATA')
    default_device(False)
    torch.set_num_threads(1)
    if not FILE.exists():
        machine = f'{platform.system()} {platform.machine()}, CPU, one thread'
        FILE.write_text(f'# python benchmarks/resnet_runs.py, {date.today()}, {machine}, torch {torch.__version__}, '
                        f'torchvision {torchvision.__version__}, fastai {fastai.__version__}\ncall,seed,accuracy\n')
    with open(FILE) as f: done = {(o['call'], int(o['seed'])) for o in csv.DictReader(l for l in f if l[0] != '#')}
    for seed in range(seeds):
        for call in CALLS:
            if (call, seed) in done: continue
            accuracy = run(call, seed)
            print(f'{call:14s} seed {seed:2d}  {accuracy:.4f}', flush=True)
            with open(FILE, 'a') as f: f.write(f'{call},{seed},{accuracy:.6f}\n')


if __name__ == '__main__': main()
