"""The outputs of an epoch's batches: held until they are measured, or measured in parts and forgotten."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from nettrain.parts.joined_metrics import JoinedMetrics
from nettrain.training.stack.rows import Tensors, join, take
from nettrain.training.stack.stack import Stack
from nettrain.training.stack.stream_batches import StreamBatches

MEASURED = 2**16  # samples, at least, that are measured together where outputs are not held


class Outputs(Protocol):
    """What there is of the logits of an epoch's first batches."""

    def add(self, z: Tensor) -> None:
        """The logits (..., n, outputs) of the next batches."""

    def measured(self) -> Tensors:
        """Their loss and metrics, each (...)."""

    def until_divergence(self) -> tuple[Tensor, Tensor]:
        """How many batches come before the first one with a sample whose loss is not finite, (...).

        Beside it the largest output in these batches, in absolute value, (...); 0 without any.
        """

    def select(self, rows: list[int]) -> None:
        """Go on with these rows alone."""

    def saved(self) -> list[Any]:
        """What a checkpoint has of them, for each row."""


class HeldOutputs:
    """All of them, in memory."""

    def __init__(self, stack: Stack, epoch: int) -> None:
        self.stack, self.epoch, self.z = stack, epoch, list[Tensor]()

    def add(self, z: Tensor) -> None:
        self.z.append(z)

    def measured(self) -> Tensors:
        z, batches = torch.cat(self.z, -2), self.stack.batches
        y, weights = batches.targets("train", self.epoch), batches.weights_of("train", self.epoch)
        weights = None if weights is None else self._there_are(weights, z)
        return self.stack.objective.measure(z, self._there_are(y, z), weights)

    def until_divergence(self) -> tuple[Tensor, Tensor]:
        z = torch.cat(self.z, -2)
        y = self._there_are(self.stack.batches.targets("train", self.epoch), z)
        return _until_divergence(self.stack, z, y)

    def select(self, rows: list[int]) -> None:
        self.z = [take(z, rows) for z in self.z]

    def saved(self) -> list[Any]:
        return list(self.stack.each(torch.cat(self.z, -2)))

    def _there_are(self, values: Tensor, z: Tensor) -> Tensor:
        """Those of values of all of the epoch's samples for which there are outputs."""
        return values.narrow(values.dim() - 1 - len(self.stack.objective.head.event_shape), 0, z.shape[-2])


class JoinedOutputs:
    """What is measured of them, and the last ones, `waiting`, of fewer than `MEASURED` samples.

    The targets come from `StreamBatches`, in the order of the epoch, whose batches before `first` are not looked at.
    """

    def __init__(self, stack: Stack, epoch: int, first: int = 0) -> None:
        self.stack, batches = stack, stack.batches
        assert isinstance(batches, StreamBatches)
        self.targets = zip(batches.targets_of_epoch(epoch, first), batches.weights_of_epoch(epoch, first), strict=True)
        self.joined, self.waiting = JoinedMetrics(), list[tuple[Tensor, Tensor, Tensor | None]]()
        self.finite = stack.w.new_zeros(stack.w.shape[:-1], dtype=torch.int64)  # batches before one that diverges
        self.largest = stack.w.new_zeros(stack.w.shape[:-1])
        self.behind = 0  # batches that have been measured

    def add(self, z: Tensor) -> None:
        for part in z.split(self.stack.batches.bs, -2):
            self.waiting.append((part, *next(self.targets)))
        if sum(part.shape[-2] for part, *_ in self.waiting) >= MEASURED:
            self.joined, self.finite, self.largest = self._with_waiting(), *self.until_divergence()
            self.behind, self.waiting = self.behind + len(self.waiting), []

    def measured(self) -> Tensors:
        return self._with_waiting().values

    def _with_waiting(self) -> JoinedMetrics:
        return self.stack.objective.joined(self.joined, *self._waiting()) if self.waiting else self.joined

    def until_divergence(self) -> tuple[Tensor, Tensor]:
        if not self.waiting:
            return self.finite, self.largest
        z, y, _ = self._waiting()
        finite, largest = _until_divergence(self.stack, z, y)
        so_far = self.finite == self.behind
        largest = torch.where(so_far, torch.maximum(self.largest, largest), self.largest)
        return torch.where(so_far, self.finite + finite, self.finite), largest

    def _waiting(self) -> tuple[Tensor, Tensor, Tensor | None]:
        z, y, weights = zip(*self.waiting, strict=True)
        return torch.cat(z, -2), torch.cat(y), None if weights[0] is None else torch.cat(weights)

    def select(self, rows: list[int]) -> None:
        self.joined = self.joined.changed(lambda tensor: take(tensor, rows))
        self.finite, self.largest = take(self.finite, rows), take(self.largest, rows)
        self.waiting = [(take(z, rows), y, weights) for z, y, weights in self.waiting]

    def saved(self) -> list[Any]:
        stack = self.stack
        z = stack.each(torch.cat([z for z, *_ in self.waiting], -2)) if self.waiting else [None] * len(stack.runs)
        sums = stack.each_of({**self.joined.state, "finite": self.finite, "largest": self.largest})
        return [{"sums": of_row, "z": waiting} for of_row, waiting in zip(sums, z, strict=True)]


class SharedOutputs:
    """Those of a run that ranks share: each one's are brought together, into `whole`, before anybody looks at them.

    Batches before `first` are in `whole` already.
    """

    def __init__(self, whole: Outputs, stack: Stack, epoch: int, first: int = 0) -> None:
        self.whole, self.stack = whole, stack
        self.samples = stack.batches.samples_of_epoch(epoch, first)
        self.waiting = list[tuple[Tensor, Tensor]]()  # logits and numbers in its batch of each sample, by batches

    def add(self, z: Tensor) -> None:
        self.waiting.append((z, next(self.samples)))
        if len(self.waiting) * self.stack.batches.bs >= MEASURED:
            self._together()

    def _together(self) -> Outputs:
        if self.waiting:
            bs, ranks = self.stack.batches.bs, self.stack.ranks
            z = ranks.joined(torch.cat([z for z, _ in self.waiting], -2), -2)
            places = ranks.joined(torch.cat([i * bs + samples for i, (_, samples) in enumerate(self.waiting)]), 0)
            self.whole.add(torch.empty_like(z).index_copy_(z.dim() - 2, places, z))
            self.waiting = []
        return self.whole

    def measured(self) -> Tensors:
        return self._together().measured()

    def until_divergence(self) -> tuple[Tensor, Tensor]:
        return self._together().until_divergence()

    def select(self, rows: list[int]) -> None:
        self._together().select(rows)

    def saved(self) -> list[Any]:
        return self._together().saved()


def outputs_of(stack: Stack, epoch: int) -> Outputs:
    """None of an epoch yet."""
    made: Outputs = HeldOutputs(stack, epoch) if stack.runs[0].holds_outputs else JoinedOutputs(stack, epoch)
    return SharedOutputs(made, stack, epoch) if stack.ranks.size > 1 else made


def restored(stack: Stack, epoch: int, batches: int, saved: Sequence[Any]) -> Outputs:
    """Those of so many batches of an epoch, of which each row's checkpoint has saved this."""
    made = _restored(stack, epoch, batches, saved)
    return SharedOutputs(made, stack, epoch, batches) if stack.ranks.size > 1 else made


def _restored(stack: Stack, epoch: int, batches: int, saved: Sequence[Any]) -> Outputs:
    if isinstance(saved[0], Tensor):
        held = HeldOutputs(stack, epoch)
        held.add(stack.join(saved))
        return held
    z = None if saved[0]["z"] is None else stack.join([row["z"] for row in saved])
    behind = batches - (0 if z is None else -(-z.shape[-2] // stack.batches.bs))
    made = JoinedOutputs(stack, epoch, behind)
    sums = {
        name: join([row["sums"][name] for row in saved], stack.stacked).to(stack.device) for name in saved[0]["sums"]
    }
    made.finite, made.largest, made.behind = sums.pop("finite"), sums.pop("largest"), behind
    made.joined = JoinedMetrics.of(sums)
    if z is not None:
        made.add(z)
    return made


def _until_divergence(stack: Stack, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """As `Outputs.until_divergence`, of the batches that have the logits z (..., n, outputs)."""
    n, bs = z.shape[-2], stack.batches.bs
    finite = stack.objective.losses(z, y).isfinite().cumprod(-1).sum(-1)
    batches = torch.where(finite == n, -(-n // bs), finite // bs)
    there = torch.arange(n, device=z.device) < (batches * bs).unsqueeze(-1)
    return batches, torch.where(there, z.abs().amax(-1), 0.0).amax(-1)
