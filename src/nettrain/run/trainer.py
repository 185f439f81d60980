"""The training of one run, or of a stack of K runs together: w has shape (P,) or (K, P).

Everything that is a run's own (learning rate, early stopping, best weights, files) is a row's own. The host waits
for the device once an epoch, when the epoch's numbers are fetched.
"""

import math
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrain.parts.solvers import Solver
from nettrain.run.books import Books
from nettrain.run.halving import Halving
from nettrain.run.passes import Begun, Pass, gradient_pass, measure, solver_pass
from nettrain.run.progress import Progress
from nettrain.run.row import Numbers, Row
from nettrain.run.setup import Setup
from nettrain.run.signals import Signals
from nettrain.run.stack import Stack, fetch
from nettrain.vector import state_dict

FLUSH_SECONDS = 1.0


class Trainer:
    """Trains the given runs together, each to its own end, and writes each one's folder."""

    def __init__(self, setups: Sequence[Setup], device: torch.device, halving: Halving | None = None) -> None:
        self.stack = Stack(setups, device)
        self.rows = [Row(setup) for setup in setups]
        self.books = Books(setups[0].settings.budget)
        self.halving = halving
        self.epoch = 0
        self.begun = Begun()
        self.saved = time.monotonic()
        self.flushed = -math.inf
        self.saving = 0.0  # seconds that it took to save all rows

    def restore(self, checkpoints: Sequence[dict[str, Any]]) -> None:
        """Stand where the runs stood, together, when they saved these checkpoints, a last.pt of each."""
        first = checkpoints[0]
        self.epoch = first["epoch"]
        self.books.restore(first)
        self.stack.restore(checkpoints)
        if first["outputs"] is not None:
            outputs = [checkpoint["outputs"] for checkpoint in checkpoints]
            z = torch.stack(outputs) if self.stack.stacked else outputs[0]
            self.begun = Begun(first["batch"], [z.to(self.stack.device)])
        for row, checkpoint in zip(self.rows, checkpoints, strict=True):
            row.restore(checkpoint)

    def run(self) -> list[Row]:
        """Train all runs; they come back with their summaries, in the order in which they were given.

        A signal ends them after the update in progress, with status `interrupted` and their checkpoints saved.
        """
        rows = list(self.rows)
        every = min(row.setup.settings.checkpoint.every_seconds for row in rows)
        with Signals() as signals, Progress(rows[0].setup.settings) as progress:
            for row in rows:
                row.conclude()  # it may have no epochs, or go on from its very end
            self.finish([row.status != "running" for row in rows])
            while self.rows:
                rates = self.stack.learning_rates(self.epoch)
                done = self.train_epoch(rates, signals)
                spent = self.books.exhausted()
                partial = done if done.batches < self.stack.per_epoch else None
                if signals.received and partial and not spent:
                    self.interrupt(signals.received, partial)
                    break
                self.end_epoch(measure(self.stack, done), rates[done.batches - 1])
                progress.show(self.rows[0].last)
                for row in self.rows:
                    row.signal = signals.received
                    row.end(spent or done.reason)
                self.halve()
                self.finish([row.status != "running" for row in self.rows], partial)
                if signals.received and self.rows:
                    self.interrupt(signals.received)
                    break
                self.write(every)
        return rows

    def write(self, every: float) -> None:
        """Save checkpoints `every` so many seconds, and what is recorded every second.

        A stack's checkpoints are further apart where writing them would take a large share of the time.
        """
        now = time.monotonic()
        if now - self.saved > (max(every, 10 * self.saving) if self.stack.stacked else every):
            self.save(range(len(self.rows)))
            self.saving = self.saved - now
        elif now - self.flushed > FLUSH_SECONDS:
            for row in self.rows:
                row.record.flush()
            self.flushed = now

    def train_epoch(self, rates: np.ndarray, signals: Signals) -> Pass:
        """One pass over the training split, ended early by a signal or when a budget is spent."""

        def stop() -> bool:
            return signals.received is not None or self.books.exhausted() is not None

        optimizer, begun = self.stack.setups[0].optimizer, self.begun
        self.begun = Begun()
        if isinstance(optimizer, Solver):
            return solver_pass(
                self.stack, optimizer, self.epoch, self.books, stop, begun, lambda: bool(signals.received)
            )
        return gradient_pass(self.stack, self.epoch, rates, self.books, stop, begun)

    def end_epoch(self, values: dict[str, Tensor], rate: np.ndarray) -> None:
        """Fetch the epoch's numbers, hand each row its own, and keep the weights of those that are at their best."""
        self.epoch += 1
        spent = self.books.spent
        position = {"epoch": self.epoch, "step": spent.pop("updates"), "seconds": self.books.seconds}
        better = []
        for i, (row, numbers) in enumerate(zip(self.rows, fetch(values), strict=True)):
            losses: Numbers = {name: numbers.pop(name) for name in ("train_loss", "val_loss") if name in numbers}
            finite, lr = bool(numbers.pop("finite")), float(rate.reshape(-1)[i])
            better.append(row.observe({**position, **losses, "lr": lr, **numbers, **spent}, finite))
        self.stack.keep_best(better)

    def halve(self) -> None:
        """End the runs that are not among the best at a rung of successive halving."""
        if self.halving:
            running = [row for row in self.rows if row.status == "running"]
            losses = [math.inf if row.best_loss is None else row.best_loss for row in running]
            for i in self.halving.losers(self.epoch, losses):
                running[i].end(f"{self.halving} after epoch {self.epoch}")
                running[i].pruned = True

    def finish(self, ended: list[bool], partial: Pass | None = None) -> None:
        """Evaluate, save and close the rows that have ended, and go on with the others alone.

        `partial` is the pass within which a budget has ended them, so that they can go on from there.
        """
        if not any(ended):
            return
        self.save([i for i, end in enumerate(ended) if end], partial, self.epoch - 1 if partial else self.epoch)
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

    def interrupt(self, signal: int, partial: Pass | None = None) -> None:
        """Save and close all rows where they stand, within a pass if `partial` is given."""
        self.save(range(len(self.rows)), partial)
        for row in self.rows:
            row.signal = signal
            row.finish("interrupted", self.books, {})

    def save(self, which: Iterable[int], partial: Pass | None = None, epoch: int | None = None) -> None:
        """Write last.pt, all that going on needs, and best.pt of these rows.

        They stand after `epoch` whole epochs, by default all that have been, and the batches of `partial`.
        """
        stack = self.stack
        position = {
            "epoch": self.epoch if epoch is None else epoch,
            "batch": partial.batches if partial else 0,
            "seconds": self.books.seconds,
            **self.books.spent,
        }
        outputs: list[Tensor | None] = [None] * len(self.rows)
        if partial and partial.z:
            outputs = list(stack.each(torch.cat(partial.z, -2)))
        states = stack.each_state()
        buffers, best_buffers = stack.each_of(stack.objective.buffers), stack.each_of(stack.best_buffers)
        ws, best_ws = list(stack.each(stack.w)), list(stack.each(stack.best_w))
        for i in which:
            row = self.rows[i]
            row.save(
                "last.pt",
                ws[i],
                buffers[i],
                optimizer=states[i],
                schedule=row.setup.schedule.state(),
                last=row.last,
                best=row.best,
                progress=row.progress,
                best_model=state_dict(row.setup.model, best_ws[i], best_buffers[i]),
                best_buffers=best_buffers[i],
                outputs=outputs[i],
                **position,
            )
            if row.best:
                row.save("best.pt", best_ws[i], best_buffers[i], epoch=int(row.best["epoch"]), best=row.best)
        self.saved = time.monotonic()
