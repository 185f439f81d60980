"""The training loop, for one run or for a stack of K runs: w has shape (P,) or (K, P).

Everything that is a run's own (learning rate, early stopping, best weights, files) is a row's own. The host waits
for the device once an epoch, when the epoch's numbers are fetched.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nettrain.run.progress import Progress
from nettrain.run.row import Numbers, Row
from nettrain.run.setup import Setup
from nettrain.run.signals import Signals
from nettrain.run.stack import Stack, fetch, to_host


@dataclass
class Pass:
    """What a pass over the training split leaves behind: z and y of its batches, and of its last update g and dw."""

    z: list[Tensor]
    y: list[Tensor]
    gradient: Tensor
    change: Tensor


def train_epoch(stack: Stack, epoch: int, rates: np.ndarray, signals: Signals) -> Pass:
    """One pass over the training split; a signal ends it after the update in progress."""
    w, state, rule, objective = stack.w, stack.state, stack.rule, stack.objective
    xs, ys = stack.batches(epoch)
    zs: list[Tensor] = []
    for x, y, c, noise in zip(xs, ys, stack.coefficients(epoch, rates), stack.noises(epoch), strict=True):
        if len(zs) == len(xs) - 1:
            before = w.clone()
        z, g = objective.gradient(w, x, y, noise)  # forward, loss, backward
        rule.step(state, w, g, c)  # update
        zs.append(z)
        if signals.received:
            break
    return Pass(zs, ys, g, w - before if len(zs) == len(xs) else g)


def measure(stack: Stack, done: Pass) -> dict[str, Tensor]:
    """The numbers of an epoch, each (...).

    Training loss and metrics are those of the batches as they were trained on, validation's those after the epoch.
    """
    norm = torch.linalg.vector_norm
    z, y = torch.cat(done.z, -2), torch.cat(done.y, -1)
    return {
        **{f"train_{name}": value for name, value in stack.objective.measure(z, y).items()},
        **stack.evaluate("val", stack.w),
        "gradient_norm": norm(done.gradient, dim=-1),
        "update_to_weight": norm(done.change, dim=-1) / norm(stack.w, dim=-1),
    }


class Trainer:
    """Trains the given runs together, each to its own end, and writes each one's folder."""

    def __init__(self, setups: Sequence[Setup], device: torch.device) -> None:
        self.stack = Stack(setups, device)
        self.rows = [Row(setup) for setup in setups]
        self.epoch = 0
        self.started = self.saved = time.monotonic()

    def run(self) -> list[Row]:
        """Train all runs; they come back with their summaries, in the order in which they were given.

        A signal ends them after the update in progress, with status `interrupted` and their checkpoints saved.
        """
        rows = list(self.rows)
        every = min(row.setup.settings.checkpoint.every_seconds for row in rows)
        with Signals() as signals, Progress(rows[0].setup.settings) as progress:
            self.finish([row.setup.settings.epochs == 0 for row in rows])
            while self.rows:
                rates = self.stack.learning_rates(self.epoch)
                done: Pass | None = train_epoch(self.stack, self.epoch, rates, signals)
                if len(done.z) == self.stack.per_epoch:
                    self.end_epoch(measure(self.stack, done), rates)
                    progress.show(self.rows[0].last)
                    done = None
                    self.finish([row.status != "running" for row in self.rows])
                if signals.received and self.rows:
                    self.interrupt(done, signals.received)
                    break
                if time.monotonic() - self.saved > every:
                    self.save()
        return rows

    def end_epoch(self, values: dict[str, Tensor], rates: np.ndarray) -> None:
        """Fetch the epoch's numbers, hand each row its own, and keep the weights of those that are at their best."""
        self.epoch += 1
        step, seconds = self.epoch * self.stack.per_epoch, time.monotonic() - self.started
        better = []
        for i, (row, numbers) in enumerate(zip(self.rows, fetch(values), strict=True)):
            losses: Numbers = {name: numbers.pop(name) for name in ("train_loss", "val_loss") if name in numbers}
            lr = float(rates[-1].reshape(-1)[i])
            better.append(
                row.observe({"epoch": self.epoch, "step": step, "seconds": seconds, **losses, "lr": lr, **numbers})
            )
        self.stack.keep_best(better)

    def finish(self, ended: list[bool]) -> None:
        """Evaluate, save and close the rows that have ended, and go on with the others alone."""
        if not any(ended):
            return
        self.save()
        tests = self.stack.evaluate_best("test")
        numbers = fetch(tests) if tests else [{}] * len(self.rows)
        for row, end, test in zip(self.rows, ended, numbers, strict=True):
            if end:
                never = row.status == "diverged" and not row.best  # there are no weights worth a test
                self.close(row, "completed" if row.status == "running" else row.status, {} if never else test)
        going = [i for i, end in enumerate(ended) if not end]
        self.rows = [self.rows[i] for i in going]
        if self.rows:
            self.stack.select(going)

    def interrupt(self, done: Pass | None, signal: int) -> None:
        """Save and close all rows where they stand, in the middle of an epoch if `done` is not None."""
        self.save(done)
        for row in self.rows:
            row.signal = signal
            self.close(row, "interrupted", {}, batches=len(done.z) if done else 0)

    def close(self, row: Row, status: str, test: Numbers, batches: int = 0) -> None:
        """Write the summary of a row that has ended."""
        row.finish(status, self.epoch * self.stack.per_epoch + batches, time.monotonic() - self.started, test)

    def save(self, done: Pass | None = None) -> None:
        """Write last.pt, all that going on needs, and best.pt of every row."""
        stack = self.stack
        position = {
            "epoch": self.epoch,
            "batch": len(done.z) if done else 0,
            "seconds": time.monotonic() - self.started,
        }
        z = list(stack.each(torch.cat(done.z, -2))) if done else [None] * len(self.rows)
        states = [
            dict(zip(stack.state, row, strict=True)) for row in zip(*map(stack.each, stack.state.values()), strict=True)
        ]
        for i, (row, w, best_w) in enumerate(
            zip(self.rows, stack.each(stack.w), stack.each(stack.best_w), strict=True)
        ):
            row.save(
                "last.pt",
                w,
                {k: to_host(v) for k, v in stack.objective.buffers.items()},
                optimizer=states[i] if states else {},
                schedule=row.setup.schedule.state(),
                last=row.last,
                best=row.best,
                outputs=z[i],
                **position,
            )
            if row.best:
                row.save(
                    "best.pt",
                    best_w,
                    {k: to_host(v) for k, v in stack.best_buffers.items()},
                    epoch=int(row.best["epoch"]),
                    best=row.best,
                )
        self.saved = time.monotonic()
