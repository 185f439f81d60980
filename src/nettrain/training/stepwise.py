"""Training that stops after every few updates, for whoever looks at it meanwhile; it leaves no files."""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from nettrain.config.schema import Config
from nettrain.config.settings import Checkpoint
from nettrain.preparation.prepared import PreparedRun
from nettrain.training.checkpoints import SaveTimes
from nettrain.training.epoch import EpochResult
from nettrain.training.follower import Follower
from nettrain.training.outputs import HeldOutputs, Outputs
from nettrain.training.progress import Progress
from nettrain.training.run_state import RunState
from nettrain.training.signals import Signals
from nettrain.training.stack.batches import Batches
from nettrain.training.stack.rows import to_host
from nettrain.training.trainer import Trainer


class Stepwise(Trainer):
    """A trainer of runs without callbacks that makes as many updates as it is asked for, with `Trainer`'s numbers.

    `states` are all runs in the order in which they were given, also those that have ended.
    """

    row_type = Follower

    def __init__(
        self, runs: Sequence[PreparedRun], device: torch.device, threads: int = 1, stacked: bool = False
    ) -> None:
        silent = [dataclasses.replace(run, config=_silent(run)) for run in runs]
        super().__init__(silent, device, threads=threads, stacked=stacked)
        self.states: list[RunState] = list(self.rows)
        self.times = SaveTimes([Checkpoint(every_seconds=math.inf)], alone=True)
        self.signals, self.progress = Signals(), Progress(silent[0].config)
        self._ended: dict[int, Tensor] = {}  # the weights of the runs that have ended, by their positions
        self._seen: tuple[int, Outputs] | None = None  # the last whole epoch, and the outputs of its batches
        self.begin(self.signals)

    @property
    def running(self) -> bool:
        """Whether any run is left."""
        return bool(self.rows)

    @property
    def updates_left(self) -> int:
        """How many updates the present epoch still has."""
        return self.stack.per_epoch - self.begun.batches

    def advance(self, updates: int) -> None:
        """Make so many updates, or fewer where the last run ends before."""
        end = self.counters.updates + updates
        while self.rows and self.counters.updates < end:
            self.times.note(self.counters.updates)
            self.times.every_steps = end - self.counters.updates
            self._epoch(self.signals, self.progress)

    def weights(self) -> Tensor:
        """The present weights of all runs, or the last ones of those that have ended, (K, P), on the device."""
        present = self.stack.w if self.stack.stacked else self.stack.w[None]
        positions = {id(row): i for i, row in enumerate(self.rows)}
        rows = [
            present[positions[id(state)]] if id(state) in positions else self._ended[i].to(present.device)
            for i, state in enumerate(self.states)
        ]
        return torch.stack(rows)

    def batches(self) -> tuple[np.ndarray, np.ndarray]:
        """The loss of each batch of the epoch in progress, or of the last one, as it was before its update, (b,).

        Beside it the numbers, (n,), of their samples among those of the training split, batch after batch. They are
        those of the first run that is left; nothing before the first update, and where a solver saw no batch.
        """
        epoch, outputs = (self.epoch, self.begun.outputs) if self.begun.outputs else self._seen or (0, None)
        batches, objective = self.stack.batches, self.stack.objective
        if not self.rows or not isinstance(outputs, HeldOutputs) or not isinstance(batches, Batches):
            return np.empty(0), np.empty(0, np.int64)
        z = torch.cat(outputs.z, -2)
        count = z.shape[-2]
        losses, order = objective.losses(z, batches.targets("train", epoch)[..., :count]), batches.order("train", epoch)
        if self.stack.stacked:
            losses, order = losses[0], order[0] if order.dim() > 1 else order
        means = [float(part.mean()) for part in to_host(losses).double().split(batches.bs)]
        return np.array(means), to_host(order[:count]).numpy()

    def _record_weights(self, result: EpochResult) -> None:
        self._seen = (result.epoch, result.outputs)

    def _go_on_with(self, going: list[int]) -> None:
        numbers = {id(state): i for i, state in enumerate(self.states)}
        for i, (row, w) in enumerate(zip(self.rows, self.stack.each(self.stack.w), strict=True)):
            if i not in going:
                self._ended[numbers[id(row)]] = w
        if going and self._seen:
            self._seen[1].select(going)
        super()._go_on_with(going)

    def _save(self, which: Iterable[int]) -> None:
        """There are no checkpoints."""


def _silent(run: PreparedRun) -> Config:
    return dataclasses.replace(run.config, tensorboard=False, quiet=True)
