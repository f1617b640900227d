"Three of the twelve findings of page 22, on MNIST, and the rows of the audit that it reads."
import json
import subprocess
import sys

import torch

from fastbook_ch4.seeds import train_seeds
from fastbook_ch4.similarity import ideal_digit, is_3


def test_the_rows_of_the_audit_are_read_from_any_folder(tmp_path):
    code = "from importlib.resources import files; print((files('fastbook_ch4') / 'runs' / 'audit.json').read_text())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    rows = json.loads(run.stdout)
    assert all({"id", "post", "book", "measured", "verdict", "page"} <= set(row) for row in rows)
    assert {"C12", "C16", "C30", "C33", "C66", "C71", "C90"} <= {row["id"] for row in rows}, "the page shows these"


def test_a_mean_of_two_accuracies(mnist):
    images, three = mnist.train_x.view(-1, 28, 28), mnist.train_y[:, 0] == 1
    valid, is_three = mnist.valid_x.view(-1, 28, 28), mnist.valid_y[:, 0] == 1
    right = is_3(valid, ideal_digit(images[three]), ideal_digit(images[~three])) == is_three
    assert (right[is_three].sum(), right[~is_three].sum()) == (926, 1013)
    shares = [right[o].float().mean().item() for o in (is_three, ~is_three)]
    assert [round(o, 4) for o in (*shares, sum(shares) / 2)] == [.9168, .9854, .9511]


def test_the_silent_t(mnist):
    torch.manual_seed(42)
    torch.randn(20), torch.randn(3)
    weights, bias = torch.randn(784, 1), torch.randn(1)
    meant, table = ((mnist.train_x[0] * o).sum() + bias for o in (weights.T, weights))
    assert (round(meant.item(), 4), round(table.item(), 2)) == (20.2336, 4889.33)


def test_seed_110_sleeps_and_a_tenth_as_large_does_not(mnist):
    assert (train_seeds(mnist, [110]) - .4932).abs().max() < 1e-4
    assert train_seeds(mnist, [110], std=.1)[-1] > .97
