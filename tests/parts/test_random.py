"""Randomness: pure functions of seed, epoch, step and layer, that look random."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from nettrain.random import Noise, mix, noise_keys, permutation, seeded

KEYS = noise_keys(seed=3, steps=np.arange(4000))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**63), epoch=st.integers(0, 10**6), n=st.integers(0, 200))
def test_permutation_visits_every_sample_once_and_depends_on_its_arguments_alone(seed: int, epoch: int, n: int) -> None:
    order = permutation(seed, epoch, n)
    assert sorted(order.tolist()) == list(range(n))
    torch.randn(7)  # the global generator plays no part
    assert torch.equal(order, permutation(seed, epoch, n))


def test_permutations_differ_by_epoch_and_by_seed() -> None:
    orders = {tuple(permutation(seed, epoch, 30).tolist()) for seed in range(20) for epoch in range(20)}
    assert len(orders) == 400


def test_permutation_puts_each_sample_at_the_front_equally_often() -> None:
    first = [int(permutation(seed, epoch, 10)[0]) for seed in range(40) for epoch in range(50)]
    assert chisquare(np.bincount(first, minlength=10)).pvalue > 1e-4


def test_permutation_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    permutation(0, 0, 10)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("bins", [16, 100])
def test_hash_of_consecutive_numbers_is_uniform(bins: int) -> None:
    for hashed in (mix(1, np.arange(4000)), mix(np.arange(4000), 7), mix(2, 3, np.arange(4000) * 1024)):
        cells = (hashed >> np.uint64(11)).astype(float) / 2**53 * bins
        assert chisquare(np.bincount(cells.astype(int), minlength=bins)).pvalue > 1e-4


def test_hash_depends_on_the_order_of_its_words() -> None:
    assert mix(1, 2) != mix(2, 1)
    assert len({int(mix(a, b)) for a in range(50) for b in range(50)}) == 2500


def test_noise_keys_are_distinct_below_two_to_32_and_do_not_depend_on_what_is_asked_beside() -> None:
    assert KEYS.dtype == np.int64
    assert ((KEYS >= 0) & (KEYS < 2**32)).all()
    assert len(set(KEYS.tolist())) == KEYS.size
    assert np.array_equal(noise_keys(3, np.arange(100, 120)), KEYS[100:120])
    assert not np.array_equal(noise_keys(4, np.arange(20)), KEYS[:20])
    assert chisquare(np.bincount(KEYS * 50 // 2**32, minlength=50)).pvalue > 1e-4


def kept(key: int, rate: float, layer: int = 0, shape: tuple[int, ...] = (100, 100)) -> Tensor:
    return Noise(key, rate).dropout(torch.ones(shape, dtype=torch.float64), layer) > 0


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
def test_share_of_kept_units_is_one_minus_the_rate(rate: float) -> None:
    share = torch.stack([kept(int(key), rate) for key in KEYS[:50]]).double().mean().item()
    deviation = (rate * (1 - rate) / (50 * 10_000)) ** 0.5
    assert abs(share - (1 - rate)) < 4 * deviation


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_scales_what_it_keeps_so_that_the_mean_is_the_input(rate: float) -> None:
    x = torch.randn(20, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    samples = torch.stack([Noise(int(key), rate).dropout(x, 1) for key in KEYS])
    nonzero = samples[0] != 0
    torch.testing.assert_close(samples[0][nonzero], (x / (1 - rate))[nonzero])
    error = (samples.mean(0) - x) / (x.abs() * (rate / (1 - rate) / len(KEYS)) ** 0.5)  # standard normal
    assert error.abs().max() < 5
    assert error.std() == pytest.approx(1, abs=0.1)


def test_no_dropout_at_rate_zero() -> None:
    x = torch.randn(5, 4)
    assert torch.equal(Noise(int(KEYS[0]), 0.0).dropout(x, 0), x)


def correlation(a: Tensor, b: Tensor) -> float:
    return float(np.corrcoef(a.double().flatten(), b.double().flatten())[0, 1])


def test_masks_of_layers_and_of_steps_are_independent() -> None:
    layers = [kept(int(KEYS[0]), 0.5, layer) for layer in range(6)]
    steps = [kept(int(key), 0.5) for key in KEYS[:6]]
    neighbours = [kept(key, 0.5) for key in range(6)]  # close keys, too
    for masks in (layers, steps, neighbours):
        for i in range(6):
            for j in range(i):
                assert abs(correlation(masks[i], masks[j])) < 0.05  # five standard deviations


def test_the_next_layer_is_not_the_next_key() -> None:
    assert abs(correlation(kept(5, 0.5, layer=1), kept(6, 0.5, layer=0))) < 0.05


def test_mask_has_no_pattern_along_samples_or_units() -> None:
    mask = kept(int(KEYS[1]), 0.5)
    assert abs(correlation(mask[1:], mask[:-1])) < 0.05
    assert abs(correlation(mask[:, 1:], mask[:, :-1])) < 0.05
    for axis in (0, 1):
        counts = mask.sum(axis)
        assert chisquare(counts).pvalue > 1e-4


def test_rows_equal_single_runs() -> None:
    keys, rates = torch.from_numpy(KEYS[:3]), [0.0, 0.2, 0.7]
    x = torch.randn(3, 8, 5)
    stacked = Noise(keys.view(3, 1, 1), torch.tensor(rates).view(3, 1, 1)).dropout(x, 2)
    for k in range(3):
        single = Noise(int(keys[k]), rates[k]).dropout(x[k], 2)
        assert torch.equal(stacked[k], single)


def test_mask_of_a_step_does_not_depend_on_what_was_drawn_before() -> None:
    first = kept(int(KEYS[7]), 0.5)
    kept(int(KEYS[8]), 0.5)
    torch.manual_seed(1)
    assert torch.equal(kept(int(KEYS[7]), 0.5), first)


def test_dropped_units_get_no_gradient() -> None:
    x = torch.ones(6, 7, requires_grad=True)
    y = Noise(int(KEYS[0]), 0.5).dropout(x, 0)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


def test_seeded_repeats_itself_and_restores_the_generator() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    with seeded(9):
        first = torch.randn(3)
    assert torch.equal(torch.get_rng_state(), state)
    with seeded(9):
        assert torch.equal(torch.randn(3), first)
    with seeded(10):
        assert not torch.equal(torch.randn(3), first)


def test_seeded_restores_the_generator_after_an_error() -> None:
    def fail() -> None:
        with seeded(9):
            torch.randn(3)
            raise KeyError

    state = torch.get_rng_state()
    with pytest.raises(KeyError):
        fail()
    assert torch.equal(torch.get_rng_state(), state)
