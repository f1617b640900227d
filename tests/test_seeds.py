"Page 10: a column is the run that page 05 would have made; what shuffling and a small start do."
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbook_ch4.data import Sample
from fastbook_ch4.seeds import train_seeds
from fastbook_ch4.sgd import dataloaders, linear, train_epoch, validate_epoch


def noise(n=90, pixels=12, seed=0):
    "A small sample that can be learnt, but not perfectly."
    g = torch.Generator().manual_seed(seed)
    x, w = torch.rand(n, pixels, generator=g), torch.randn(pixels, 1, generator=g)
    y = ((x - .5) @ w + .3 * torch.randn(n, 1, generator=g) > 0).float()
    return Sample(x[:60], y[:60], x[60:], y[60:])

def by_hand(sample, seed, epochs, lr, bs, std):
    "Page 05's loop."
    torch.manual_seed(seed)
    weights = (torch.randn(sample.train_x.shape[1], 1) * std).requires_grad_()
    bias = (torch.randn(1) * std).requires_grad_()
    (dl, valid_dl), accs = dataloaders(sample, bs), []
    for _ in range(epochs):
        train_epoch(lambda xb: linear(xb, weights, bias), lr, (weights, bias), dl)
        accs.append(validate_epoch(lambda xb: linear(xb, weights, bias), valid_dl))
    return torch.tensor(accs)

@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=4), st.floats(.01, 5), st.integers(7, 70), st.floats(0, 1))
def test_a_column_is_the_run_of_page_05(seeds, lr, bs, std):
    sample = noise()
    together = train_seeds(sample, seeds, epochs=3, lr=lr, bs=bs, std=std)
    alone = torch.stack([by_hand(sample, o, 3, lr, bs, std) for o in seeds], 1)
    assert together.shape == (3, len(seeds))
    assert (together - alone).abs().max() <= 1 / 7 + 1e-4  # a score of 0 may fall on either side by rounding ...
    assert ((together - alone).abs() < 1e-4).float().mean() > .9  # ... but hardly ever does

def test_shuffling_draws_a_new_order_each_epoch_for_all_models_alike():
    sample = noise()
    state = torch.random.get_rng_state()
    twice = train_seeds(sample, [5, 5], shuffle=True)
    assert torch.equal(twice[:, 0], twice[:, 1])
    assert not torch.equal(state, torch.random.get_rng_state())  # the order comes from torch's generator
    torch.manual_seed(1)
    a = train_seeds(sample, [5], shuffle=True)
    torch.manual_seed(1)
    assert torch.equal(a, train_seeds(sample, [5], shuffle=True))

def test_weights_that_leave_the_numbers_stop_with_the_epoch():
    sample = noise()
    broken = sample._replace(train_x=sample.train_x.clone())
    broken.train_x[3, 2] = float('nan')
    with pytest.raises(FloatingPointError, match='epoch 0: the weights are not finite'): train_seeds(broken, range(2))

def test_the_figures_of_the_page(mnist):
    accs = train_seeds(mnist, range(300))
    asleep = (accs[-1] < .6).nonzero()[:, 0].tolist()
    assert asleep == [110, 226]  # of the 19 among a thousand
    assert accs[-1].median().item() == pytest.approx(.972, abs=.0006)
    assert accs[-1, :3].tolist() == pytest.approx([.9633, .9711, .9648], abs=.0002)
    small = train_seeds(mnist, range(60), std=.1)[-1]
    assert small.min() > .97 and small.std() < .001 and small.median().item() == pytest.approx(.9785, abs=.0003)
