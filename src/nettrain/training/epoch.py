"""One pass over the training split, and what is measured after it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from nettrain.errors import Abandoned
from nettrain.optimizers.solvers import REASONS
from nettrain.profile import stage
from nettrain.training.counters import Counters
from nettrain.training.engines.protocol import Engine
from nettrain.training.stack.rows import Tensors, take
from nettrain.training.stack.stack import Stack


@dataclass
class PartialEpoch:
    """What there is of an epoch that was interrupted: how many batches are behind it, and their logits z."""

    batches: int = 0
    z: list[Tensor] = field(default_factory=list)


@dataclass
class EpochResult:
    """What a pass leaves behind: z of its batches, and the gradient and the change of w by its last update."""

    epoch: int
    batches: int
    z: list[Tensor]
    gradient: Tensor | None
    change: Tensor


def train_epoch(
    stack: Stack,
    engine: Engine,
    epoch: int,
    rates: np.ndarray,
    counters: Counters,
    begun: PartialEpoch,
    stop: Callable[[], bool],
    updates_allowed: Callable[[], int],
) -> EpochResult:
    """An update for each batch, by an engine, where `begun` says how much of the epoch is behind.

    It ends early when `stop()` is true after a call of the engine, which makes at most `updates_allowed()` updates.
    """
    zs, batches, gradient, change = list(begun.z), begun.batches, None, None
    engine.begin_epoch(epoch, rates, batches)
    while batches < stack.per_epoch:
        number = min(engine.updates_per_call, stack.per_epoch - batches, max(1, updates_allowed()))
        try:
            z, gradient, change, costs = engine.advance(number, batches + number == stack.per_epoch)
        except Abandoned:
            break
        batches += number
        zs.append(z)
        counters.add(number, costs)
        if stop():
            break
    if change is None:  # only that of an epoch's last update is known
        change = torch.full_like(stack.w, torch.nan)
    return EpochResult(epoch, batches, zs, gradient, change)


def converged(stack: Stack) -> str | None:
    """Why a solver is done, where it is; its test holds for one batch, which must be the whole training split."""
    state = stack.solver_state
    return REASONS.get(int(state["converged"])) if state and stack.per_epoch == 1 else None


@torch.no_grad()
def evaluate(stack: Stack, engine: Engine, split: str, w: Tensor) -> Tensors:
    """The loss and metrics of a split, each (...), as `<split>_<metric>`; nothing for an empty split."""
    if not stack.batches.size[split]:
        return {}
    with stage("evaluation"):
        return of_split(stack, split, engine.forward(split, w))


def of_split(stack: Stack, split: str, z: Tensor) -> Tensors:
    """The loss and metrics of a split's logits z (..., n, outputs), each (...), as `<split>_<metric>`."""
    values = measured(stack, split, z, stack.batches.targets(split), stack.batches.weights_of(split))
    return {f"{split}_{name}": value for name, value in values.items()}


def measured(stack: Stack, split: str, z: Tensor, y: Tensor, weights: Tensor | None) -> Tensors:
    """The loss and metrics of logits z (..., n, outputs) of a split, each (...), rows of one size together.

    A row is measured on as many samples as the same run alone: with a mask sums would be rounded in another way.
    """
    by_size = stack.batches.by_size(split)
    if len(by_size) == 1:
        return stack.objective.measure(z, y, weights)
    of_rows: Tensors = {}
    for size, numbers in by_size.items():
        alike = [take(t, numbers)[:, :size].contiguous() for t in (z, y, weights) if t is not None]
        measured = stack.objective.of_rows(numbers).measure(*alike)
        for name, value in measured.items():
            of_rows.setdefault(name, value.new_zeros(len(stack.runs)))[numbers] = value
    return of_rows


def best_outputs(stack: Stack, engine: Engine, split: str) -> Tensor:
    """The logits (..., n, outputs) of a split, with the best weights of every row."""
    present, stack.objective.buffers = stack.objective.buffers, stack.best.buffers
    z = engine.forward(split, stack.best.w)
    stack.objective.buffers = present
    return z


def monitored_values(stack: Stack, engine: Engine) -> Tensors:
    """Loss and metrics of the split by which epochs are compared, with the present weights."""
    return evaluate(stack, engine, stack.runs[0].data.monitored_split, stack.w)


def measure(stack: Stack, engine: Engine, result: EpochResult) -> Tensors:
    """The numbers of an epoch, each (...).

    Training loss and metrics are those of the batches: with a rule as they were trained on, with a solver after the
    update. Those of the split by which epochs are compared are measured after the epoch. `finite` is 0 where all
    weights are finite, and NaN elsewhere.
    """
    values = monitored_values(stack, engine)
    if "train_loss" not in values:
        with stage("evaluation"):
            train = stack.objective.measure(torch.cat(result.z, -2), _targets(stack, result), _weights(stack, result))
        values = {**{f"train_{name}": value for name, value in train.items()}, **values}
    values["finite"] = (stack.w * 0).sum(-1)
    if stack.skips is not None:
        values["skipped_updates"] = stack.skipped
    with stage("evaluation"):
        return {**values, **engine.layer_statistics(result.gradient, result.change)}


def _targets(stack: Stack, result: EpochResult) -> Tensor:
    """y (..., samples), or (..., samples, m), of an epoch's batches."""
    return _of_batches(stack, result, stack.batches.targets("train", result.epoch))


def _weights(stack: Stack, result: EpochResult) -> Tensor | None:
    """The weights of an epoch's batches, of the shape of y."""
    weights = stack.batches.weights_of("train", result.epoch)
    return None if weights is None else _of_batches(stack, result, weights)


def _of_batches(stack: Stack, result: EpochResult, values: Tensor) -> Tensor:
    """What there is of the epoch's batches, of values of all of its samples."""
    sample = values.dim() - 1 - len(stack.objective.head.event_shape)
    return values.narrow(sample, 0, min(result.batches * stack.batches.bs, values.shape[sample]))


def until_divergence(stack: Stack, result: EpochResult) -> list[tuple[int, float]]:
    """For each row how many batches came before the first one with a sample whose loss is not finite.

    Beside it the largest output in these batches, in absolute value; 0 without any.
    """
    z, bs = torch.cat(result.z, -2), stack.batches.bs
    finite = stack.objective.losses(z, _targets(stack, result)).isfinite().cumprod(-1).sum(-1)
    largest = z.abs().amax(-1)
    batches = [min(result.batches, int(samples) // bs) for samples in stack.each(finite)]
    sizes = zip(batches, stack.each(largest), strict=True)
    return [(number, float(size[: number * bs].max()) if number else 0.0) for number, size in sizes]
