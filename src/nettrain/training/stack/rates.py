"""The scalars of all updates of an epoch, computed beforehand: learning rates, coefficients of the rules, noise."""

from typing import Any

import numpy as np
import torch

from nettrain import random
from nettrain.random import Noise
from nettrain.samples import device_with_doubles
from nettrain.training.stack.rows import to_device
from nettrain.training.stack.stack import Stack


@np.errstate(over="ignore", invalid="ignore")  # whoever asks for such a rate will see the run diverge
def learning_rates(stack: Stack, epoch: int) -> np.ndarray:
    """The learning rate of every update of the epoch, (S,) or (S, K, 1), in float64."""
    t = epoch * stack.per_epoch + np.arange(stack.per_epoch, dtype=float)
    different: dict[Any, int] = {}  # rows whose learning rates are the same have the same number
    of_run: list[int] = []
    rates: list[np.ndarray] = []
    for run, kind in zip(stack.runs, stack.schedules, strict=True):
        schedule = run.config.schedule
        number = different.setdefault((kind, str(schedule.state())), len(rates))
        if number == len(rates):
            rates.append(schedule.learning_rates(run.lr, t, stack.per_epoch, run.updates))
        of_run.append(number)
    return np.stack(rates, axis=1)[:, of_run, None] if stack.stacked else rates[0]


def coefficients(stack: Stack, epoch: int, lr: np.ndarray) -> list[list[Any]]:
    """The rules' scalars for every update of the epoch: a list with those of each group."""
    t = update_numbers(stack, epoch)
    of_groups = [group.coefficients(t, lr, stack.device, stack.dtype) for group in stack.rule_groups]
    return [list(update) for update in zip(*of_groups, strict=True)]


def update_numbers(stack: Stack, epoch: int) -> np.ndarray:
    """The numbers t = 1, 2, ... of the epoch's updates, (S,)."""
    return epoch * stack.per_epoch + np.arange(1, stack.per_epoch + 1)


def noise_keys(stack: Stack, epoch: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The keys, (S, K), of the noise of every update, and the rates of dropout, (K,); None if there is no noise."""
    if stack.dropout is None:
        return None
    t = epoch * stack.per_epoch + np.arange(stack.per_epoch)
    keys = [random.noise_keys(run.config.seed, t) for run in stack.runs]
    return np.stack(keys, 1), stack.dropout


def noises(stack: Stack, epoch: int) -> list[Noise | None]:
    """The noise of every update of the epoch."""
    noise = noise_keys(stack, epoch)
    if noise is None:
        return [None] * stack.per_epoch
    keys, rates = noise
    if not stack.stacked:
        return [Noise(key, float(rates[0])) for (key,) in keys.tolist()]
    there = device_with_doubles(stack.device)
    rate = to_device(rates[:, None, None], there, torch.float64) if rates.any() else 0.0
    table = to_device(keys[..., None, None], stack.device, torch.int64)
    return [Noise(key, rate, keys=row) for key, row in zip(table.unbind(), keys.tolist(), strict=True)]
