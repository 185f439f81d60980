"""Each schedule against torch's learning rates and its own formula."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import SGD, Optimizer, lr_scheduler

from nettrain.parts import schedules
from nettrain.parts.schedules import Schedule
from nettrain.parts.torch_scheduler import TorchScheduler
from nettrain.registry import is_ours

PER_EPOCH, EPOCHS = 7, 30
UPDATES = PER_EPOCH * EPOCHS
T = np.arange(UPDATES, dtype=float)

ALL: list[Schedule] = [
    schedules.Constant(),
    schedules.Step(step_size=3),
    schedules.Exponential(),
    schedules.InverseTime(),
    schedules.Cosine(floor=0.1),
    schedules.OneCycle(),
    schedules.Plateau(),
]
each_schedule = pytest.mark.parametrize("schedule", ALL, ids=lambda schedule: schedule.name)


def test_every_schedule_is_tested_here() -> None:
    of_torch = TorchScheduler  # which is compared with loops by hand
    assert {*map(type, ALL), of_torch} == {part for part in Schedule.__subclasses__() if is_ours(part)}


def torch_rates(make: Callable[[Optimizer], Any], steps: int) -> np.ndarray:
    """The first learning rates of one of torch's schedulers, for a base learning rate of 1."""
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, rates = make(optimizer), []
    for t in range(steps):
        if t > 0:
            optimizer.step()
            scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
    return np.array(rates)


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        (schedules.Step(step_size=4, gamma=0.3), lambda o: lr_scheduler.StepLR(o, step_size=4, gamma=0.3)),
        (schedules.Exponential(gamma=0.8), lambda o: lr_scheduler.ExponentialLR(o, 0.8)),
        (schedules.Constant(), lambda o: lr_scheduler.ConstantLR(o, factor=1)),
    ],
    ids=["step", "exponential", "constant"],
)
def test_schedules_of_epochs_equal_torch_stepped_every_epoch(schedule: Schedule, make: Any) -> None:
    factors = schedule.lr_factors(T, PER_EPOCH, UPDATES)
    np.testing.assert_allclose(factors, np.repeat(torch_rates(make, EPOCHS), PER_EPOCH), rtol=1e-12)


@pytest.mark.parametrize("floor", [0.0, 0.2])
def test_cosine_equals_torch_stepped_every_update(floor: float) -> None:
    expected = torch_rates(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=UPDATES, eta_min=floor), UPDATES)
    factors = schedules.Cosine(floor=floor).lr_factors(T, PER_EPOCH, UPDATES)
    np.testing.assert_allclose(factors, expected, rtol=1e-9, atol=1e-12)
    assert factors[0] == 1


@pytest.mark.parametrize("updates", [1, 2, 3, 4, 7, 8, 50, UPDATES])
def test_one_cycle_equals_torch_stepped_every_update(updates: int) -> None:
    schedule = schedules.OneCycle(rise=0.35, div=20.0, final_div=1e3)

    def make(optimizer: Optimizer) -> Any:
        return lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=1.0,
            total_steps=updates,
            pct_start=0.35,
            div_factor=20.0,
            final_div_factor=1e3,
            cycle_momentum=False,
        )

    factors = schedule.lr_factors(np.arange(updates, dtype=float), PER_EPOCH, updates)
    np.testing.assert_allclose(factors, torch_rates(make, updates), rtol=1e-9)
    assert factors[-1] == pytest.approx(1 / (20 * 1e3))


def test_inverse_time_is_its_formula() -> None:
    factors = schedules.InverseTime(decay=0.25).lr_factors(T, PER_EPOCH, UPDATES)
    assert factors.tolist() == [1 / (1 + 0.25 * (t // PER_EPOCH)) for t in range(UPDATES)]
    assert factors[0] == factors[PER_EPOCH - 1] == 1
    assert factors[PER_EPOCH] == 0.8


@each_schedule
def test_warm_up_multiplies_by_a_linear_rise(schedule: Schedule) -> None:
    warm = type(schedule)(**{**vars_of(schedule), "warmup": 2.5})
    rise = np.minimum(1, (np.arange(UPDATES) + 1) / (2.5 * PER_EPOCH))
    expected = schedule.lr_factors(T, PER_EPOCH, UPDATES) * rise
    np.testing.assert_allclose(warm.lr_factors(T, PER_EPOCH, UPDATES), expected, rtol=1e-14)


def vars_of(schedule: Schedule) -> dict[str, Any]:
    """The options of a schedule."""
    return {field.name: getattr(schedule, field.name) for field in dataclasses.fields(schedule)}


@each_schedule
@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, UPDATES), max_size=5), warmup=st.sampled_from([0.0, 3.0]))
def test_the_factor_is_a_pure_function_of_t(schedule: Schedule, cuts: list[int], warmup: float) -> None:
    schedule = type(schedule)(**{**vars_of(schedule), "warmup": warmup})
    whole = schedule.lr_factors(T, PER_EPOCH, UPDATES)
    pieces = [schedule.lr_factors(part, PER_EPOCH, UPDATES) for part in np.split(T, sorted(cuts))]
    assert np.array_equal(whole, np.concatenate(pieces))
    assert whole.shape == T.shape
    assert ((whole >= 0) & (whole <= 1)).all()


def plateau_rates(schedule: schedules.Plateau, losses: list[float]) -> list[float]:
    rates = []
    for loss in losses:
        schedule.observe(loss)
        rates.append(float(schedule.lr_factors(np.zeros(1), 1, 1)[0]))
    return rates


def torch_plateau_rates(losses: list[float], **options: Any) -> list[float]:
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, rates = lr_scheduler.ReduceLROnPlateau(optimizer, eps=0, **options), []
    for loss in losses:
        scheduler.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


LOSSES = st.lists(st.sampled_from([1.0, 0.9999, 0.99985, 0.9, 0.85, 0.5, 0.4999, 2.0, 0.0, -1.0]), max_size=60)


@settings(max_examples=60, deadline=None)
@given(losses=LOSSES, patience=st.integers(0, 4), threshold=st.sampled_from([0.0, 1e-4, 0.05]))
def test_plateau_equals_torch_on_any_losses(losses: list[float], patience: int, threshold: float) -> None:
    ours = plateau_rates(schedules.Plateau(gamma=0.5, patience=patience, threshold=threshold), losses)
    assert ours == torch_plateau_rates(losses, factor=0.5, patience=patience, threshold=threshold)


@settings(max_examples=60, deadline=None)
@given(values=LOSSES, patience=st.integers(0, 4), threshold=st.sampled_from([0.0, 1e-4, 0.05]))
def test_plateau_of_what_is_better_the_more_of_it_equals_torch(
    values: list[float], patience: int, threshold: float
) -> None:
    ours, rates = schedules.Plateau(gamma=0.5, patience=patience, threshold=threshold), []
    for value in values:
        ours.observe(-value, sign=-1)
        rates.append(float(ours.lr_factors(np.zeros(1), 1, 1)[0]))
    assert rates == torch_plateau_rates(values, factor=0.5, patience=patience, threshold=threshold, mode="max")


def test_plateau_drops_after_more_than_patience_bad_epochs() -> None:
    assert plateau_rates(schedules.Plateau(patience=2), [1.0, 1.0, 1.0, 1.0, 1.0]) == [1, 1, 1, 0.5, 0.5]


@pytest.mark.parametrize("strange", [math.nan, math.inf, -math.inf])
def test_plateau_ignores_a_loss_that_is_not_finite(strange: float) -> None:
    losses = [1.0, 0.9, 1.0, 1.0, 0.8, 0.8, 0.8, 0.8]
    with_gaps = [value for loss in losses for value in (loss, strange, strange)]
    assert plateau_rates(schedules.Plateau(patience=2), with_gaps)[::3] == plateau_rates(
        schedules.Plateau(patience=2), losses
    )


@each_schedule
@given(losses=LOSSES, cut=st.integers(0, 60))
@settings(max_examples=15, deadline=None)
def test_a_restored_schedule_goes_on_like_the_original(schedule: Schedule, losses: list[float], cut: int) -> None:
    original, restored = type(schedule)(), type(schedule)()
    for loss in losses[:cut]:
        original.observe(loss)
    restored.restore(original.state())
    for loss in losses[cut:]:
        original.observe(loss)
        restored.observe(loss)
    assert restored.state() == original.state()
    assert np.array_equal(restored.lr_factors(T, PER_EPOCH, UPDATES), original.lr_factors(T, PER_EPOCH, UPDATES))
