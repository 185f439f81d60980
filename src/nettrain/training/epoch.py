"""One pass over the training split, and what is measured after it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nettrain.errors import Abandoned
from nettrain.objective import samples_at_once
from nettrain.optimizers.solvers import REASONS
from nettrain.parts.joined_metrics import JoinedMetrics
from nettrain.profile import stage
from nettrain.training.counters import Counters
from nettrain.training.engines.protocol import Engine
from nettrain.training.outputs import Outputs, outputs_of
from nettrain.training.stack.rows import Tensors, take
from nettrain.training.stack.stack import Stack
from nettrain.training.stack.stream_batches import StreamBatches


@dataclass
class PartialEpoch:
    """What there is of an epoch that was interrupted: how many batches are behind it, and their outputs."""

    batches: int = 0
    outputs: Outputs | None = None


@dataclass
class EpochResult:
    """What a pass leaves behind: outputs of its batches, and the gradient and the change of w by its last update."""

    epoch: int
    batches: int
    outputs: Outputs
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
    outputs, batches, gradient, change = begun.outputs or outputs_of(stack, epoch), begun.batches, None, None
    engine.begin_epoch(epoch, rates, batches)
    while batches < stack.per_epoch:
        number = min(engine.updates_per_call, stack.per_epoch - batches, max(1, updates_allowed()))
        try:
            z, gradient, change, costs = engine.advance(number, batches + number == stack.per_epoch)
        except Abandoned:
            break
        batches += number
        outputs.add(z)
        counters.add(number, costs)
        if stop():
            break
    if change is None:  # only that of an epoch's last update is known
        change = torch.full_like(stack.w, torch.nan)
    return EpochResult(epoch, batches, outputs, gradient, change)


def converged(stack: Stack) -> str | None:
    """Why a solver is done, where it is; its test holds for one batch, which must be the whole training split."""
    state = stack.solver_state
    return REASONS.get(int(state["converged"])) if state and stack.per_epoch == 1 else None


@torch.no_grad()
def evaluate(stack: Stack, engine: Engine, split: str, w: Tensor, temperature: Tensor | None = None) -> Tensors:
    """The loss and metrics of a split, each (...), as `<split>_<metric>`; nothing for an empty split.

    Logits are divided by a temperature (...).
    """
    if not stack.batches.size[split]:
        return {}
    with stage("evaluation"):
        if isinstance(stack.batches, StreamBatches) and not stack.runs[0].holds_outputs:
            joined = _joined(stack, stack.batches, split, w, temperature)
            return {f"{split}_{name}": value for name, value in joined.values.items()}
        z = engine.forward(split, w)
        return of_split(stack, split, z if temperature is None else scaled(z, temperature))


def _joined(stack: Stack, batches: StreamBatches, split: str, w: Tensor, temperature: Tensor | None) -> JoinedMetrics:
    """The metrics of a split of which no outputs are held; each of several ranks reads its part of it."""
    joined, ranks, objective = JoinedMetrics(), stack.ranks, stack.objective
    part, size = ranks.part(batches.size[split]), samples_at_once(w, objective.inputs)
    behind, parts = part.start, batches.parts(split, size, part)
    most = max(_length(ranks.part(batches.size[split], rank)) for rank in range(ranks.size))
    for _ in range(-(-most // size)):
        x, y = next(parts, (None, batches.targets_between(split, 0, 0)))
        z = w.new_empty(*w.shape[:-1], 0, stack.runs[0].outputs) if x is None else objective.logits(w, x)
        weights = batches.weights_between(split, behind, behind + len(y))
        z, y = ranks.joined(z, -2), ranks.joined(y, 0)
        weights = None if weights is None else ranks.joined(weights, 0)
        joined = objective.joined(joined, z if temperature is None else scaled(z, temperature), y, weights)
        behind += len(y)
    return joined


def _length(part: slice) -> int:
    return int(part.stop - part.start)


def scaled(z: Tensor, temperature: Tensor) -> Tensor:
    """Logits z (..., n, outputs) divided by a temperature (...)."""
    return z / temperature.to(z.device, z.dtype)[..., None, None]


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


@contextmanager
def best_weights(stack: Stack) -> Iterator[Tensor]:
    """The best weights of every row, (..., P); within it the stack's buffers are those that belong to them."""
    present, stack.objective.buffers = stack.objective.buffers, stack.best.buffers
    try:
        yield stack.best.w
    finally:
        stack.objective.buffers = present


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
            train = result.outputs.measured()
        values = {**{f"train_{name}": value for name, value in train.items()}, **values}
    values["finite"] = (stack.w * 0).sum(-1)
    if stack.skips is not None:
        values["skipped_updates"] = stack.skipped
    with stage("evaluation"):
        return {**values, **engine.layer_statistics(result.gradient, result.change)}
