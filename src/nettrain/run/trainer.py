"""The training of one run, or of a stack of K runs together: w has shape (P,) or (K, P).

Everything that is a run's own (learning rate, early stopping, best weights, files) is a row's own. The host waits
for the device once an epoch, when the epoch's numbers are fetched.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrain.parts.rules import Rule
from nettrain.run.books import Books
from nettrain.run.passes import Begun, Pass, gradient_pass, measure, solver_pass
from nettrain.run.progress import Progress
from nettrain.run.row import Numbers, Row
from nettrain.run.setup import Setup
from nettrain.run.signals import Signals
from nettrain.run.stack import Stack, fetch, to_host


class Trainer:
    """Trains the given runs together, each to its own end, and writes each one's folder."""

    def __init__(self, setups: Sequence[Setup], device: torch.device) -> None:
        self.stack = Stack(setups, device)
        self.rows = [Row(setup) for setup in setups]
        self.books = Books(setups[0].settings.budget)
        self.epoch = 0
        self.begun = Begun()
        self.saved = time.monotonic()

    def restore(self, checkpoint: dict[str, Any], best: dict[str, Any] | None) -> None:
        """Stand where the only run stood when it saved last.pt, `checkpoint`, and best.pt, `best`."""
        (row,) = self.rows
        self.epoch = checkpoint["epoch"]
        self.books.restore(checkpoint)
        self.stack.restore(checkpoint, best)
        if checkpoint["outputs"] is not None:
            self.begun = Begun(checkpoint["batch"], [checkpoint["outputs"].to(self.stack.device)])
        row.restore(checkpoint)

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
                done = self.train_epoch(rates, signals)
                spent = self.books.exhausted()
                if signals.received and not spent and done.batches < self.stack.per_epoch:
                    self.interrupt(signals.received, done)
                    break
                self.end_epoch(measure(self.stack, done), rates)
                progress.show(self.rows[0].last)
                for row in self.rows:
                    row.end(spent or done.reason)
                self.finish([row.status != "running" for row in self.rows])
                if signals.received and self.rows:
                    self.interrupt(signals.received)
                    break
                if time.monotonic() - self.saved > every:
                    self.save()
        return rows

    def train_epoch(self, rates: np.ndarray, signals: Signals) -> Pass:
        """One pass over the training split, ended early by a signal or when a budget is spent."""

        def stop() -> bool:
            return signals.received is not None or self.books.exhausted() is not None

        optimizer, begun = self.stack.optimizer, self.begun
        self.begun = Begun()
        if isinstance(optimizer, Rule):
            return gradient_pass(self.stack, optimizer, self.epoch, rates, self.books, stop, begun)
        return solver_pass(self.stack, optimizer, self.epoch, self.books, stop, begun)

    def end_epoch(self, values: dict[str, Tensor], rates: np.ndarray) -> None:
        """Fetch the epoch's numbers, hand each row its own, and keep the weights of those that are at their best."""
        self.epoch += 1
        spent = self.books.spent
        position = {"epoch": self.epoch, "step": spent.pop("updates"), "seconds": self.books.seconds}
        better = []
        for i, (row, numbers) in enumerate(zip(self.rows, fetch(values), strict=True)):
            losses: Numbers = {name: numbers.pop(name) for name in ("train_loss", "val_loss") if name in numbers}
            lr = float(rates[-1].reshape(-1)[i])
            better.append(row.observe({**position, **losses, "lr": lr, **numbers, **spent}))
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
                row.finish("completed" if row.status == "running" else row.status, self.books, {} if never else test)
        going = [i for i, end in enumerate(ended) if not end]
        self.rows = [self.rows[i] for i in going]
        if self.rows:
            self.stack.select(going)

    def interrupt(self, signal: int, done: Pass | None = None) -> None:
        """Save and close all rows where they stand, in the middle of an epoch if `done` is given."""
        self.save(done)
        for row in self.rows:
            row.signal = signal
            row.finish("interrupted", self.books, {})

    def save(self, done: Pass | None = None) -> None:
        """Write last.pt, all that going on needs, and best.pt of every row."""
        stack = self.stack
        position = {
            "epoch": self.epoch,
            "batch": done.batches if done else 0,
            "seconds": self.books.seconds,
            **self.books.spent,
        }
        outputs = list(stack.each(torch.cat(done.z, -2))) if done else [None] * len(self.rows)
        states = {name: list(stack.each(tensor)) for name, tensor in stack.state.items()}
        buffers = {name: to_host(tensor) for name, tensor in stack.objective.buffers.items()}
        best_buffers = {name: to_host(tensor) for name, tensor in stack.best_buffers.items()}
        for i, (row, w, best_w) in enumerate(
            zip(self.rows, stack.each(stack.w), stack.each(stack.best_w), strict=True)
        ):
            row.save(
                "last.pt",
                w,
                buffers,
                optimizer={name: rows[i] for name, rows in states.items()},
                schedule=row.setup.schedule.state(),
                last=row.last,
                best=row.best,
                outputs=outputs[i],
                **position,
            )
            if row.best:
                row.save("best.pt", best_w, best_buffers, epoch=int(row.best["epoch"]), best=row.best)
        self.saved = time.monotonic()
