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

from nettrain.optimizers.solvers import Solver
from nettrain.preparation.prepared import Setup
from nettrain.storage.files import write_together
from nettrain.training.checkpoints import save_rows
from nettrain.training.counters import Books
from nettrain.training.divergence import largest_values, reason
from nettrain.training.engines.choose import Engine
from nettrain.training.engines.compiled import Abandoned
from nettrain.training.epoch import Begun, Pass, converged, finite_batches, gradient_pass, measure, solver_pass
from nettrain.training.logging.graph import model_graph
from nettrain.training.profile import Profile
from nettrain.training.progress import Progress, say
from nettrain.training.run_state import Numbers, Row, monitored
from nettrain.training.signals import Signals
from nettrain.training.stack.stack import Stack, fetch
from nettrain.training.successive_halving import Halving
from nettrain.training.trajectory import Path

FLUSH_SECONDS = 1.0  # between two times at which what is recorded is written
ROW_FLUSH_SECONDS = 0.01  # the same for each row of a stack: writing takes about a tenth of that


class Trainer:
    """Trains the given runs together, each to its own end, and writes each one's folder."""

    def __init__(
        self,
        setups: Sequence[Setup],
        device: torch.device,
        halving: Halving | None = None,
        threads: int = 1,
        stacked: bool = False,
    ) -> None:
        self.stack = Stack(setups, device, stacked)
        self.alone = len(setups) == 1 and not stacked
        self.rows = [Row(setup) for setup in setups]
        settings = setups[0].settings
        self.engine = Engine(settings, threads, (lambda line: None) if settings.quiet else say)
        self.profile = Profile(self.stack, self.engine, self.rows) if settings.profile else None
        self.books = Books(settings.budget)
        self.halving = halving
        for row in self.rows:
            if row.setup.pictured:
                row.path = Path(row.setup.settings.epochs, row.setup.parameters, len(self.rows))
        self.epoch, self.begun = 0, Begun()  # whole epochs that are behind, and what there is of the present one
        asked = [setup.settings.checkpoint for setup in setups]
        self.every_seconds = min(checkpoint.every_seconds for checkpoint in asked)
        self.every_steps = min(checkpoint.every_steps or math.inf for checkpoint in asked)
        self.before: tuple[list[Tensor], int] | None = None  # the present pass by rules: its tensors, and batches
        self.saved, self.saved_updates = time.monotonic(), 0
        # A run alone is written after its first epoch; that of many rows would cost as much as the training of a few.
        self.flushed = -math.inf if self.alone else time.monotonic()
        self.saving = 0.0  # seconds that it took to save all rows

    def restore(self, checkpoints: Sequence[dict[str, Any]]) -> None:
        """Stand where the runs stood, together, when they saved these checkpoints, a last.pt of each.

        What was recorded later is taken back.
        """
        first = checkpoints[0]
        self.epoch = first["epoch"]
        self.books.restore(first)
        self.saved_updates = self.books.updates
        self.engine.go_on(first["engine"])
        self.stack.restore(checkpoints)
        if first["outputs"] is not None:
            outputs = [checkpoint["outputs"] for checkpoint in checkpoints]
            z = torch.stack(outputs) if self.stack.stacked else outputs[0]
            self.begun = Begun(first["batch"], [z.to(self.stack.device)])
        for row, checkpoint in zip(self.rows, checkpoints, strict=True):
            row.restore(checkpoint)
        self.conclude()
        for row in self.rows:
            over = row.status != "running"  # it was killed before it could write its summary
            epoch = int(row.last["epoch"]) if over and row.last else self.epoch
            row.record.rewind(epoch, min(self.books.updates, epoch * self.stack.per_epoch))

    def forget(self) -> None:
        """Take back what was recorded by a process that ended before it had saved a checkpoint."""
        for row in self.rows:
            row.record.rewind(0, 0)

    def conclude(self) -> None:
        """End the rows for which nothing is left to do."""
        for row in self.rows:
            row.conclude(self.epoch)
            row.end(self.books.exhausted() or converged(self.stack))

    def run(self) -> list[Row]:
        """Train all runs; they come back with their summaries, in the order in which they were given.

        A signal ends them after the update in progress, with status `interrupted` and their checkpoints saved.
        """
        rows = list(self.rows)
        with Signals() as signals, Progress(rows[0].setup.settings, len(rows)) as progress:
            self.show_model()
            self.conclude()
            try:
                self.engine.choose(self.stack, self.books.left(self.stack.updates), lambda: bool(signals.received))
            except Abandoned:
                self.interrupt(signals.received or 0)
                return rows
            self.finish()
            if not self.books.updates and any(row.goes_back for row in self.rows):
                self.begin()
            while self.rows:
                rates = self.learning_rates()
                done = self.train_epoch(rates, signals)
                spent = self.books.exhausted()
                whole = done.batches == self.stack.per_epoch
                self.epoch += whole
                self.begun = Begun() if whole else Begun(done.batches, done.z)
                if whole or spent:
                    self.end_epoch(done, rates)
                    progress.show(min((row.last for row in self.rows), key=monitored))
                    for row in self.rows:
                        row.signal = signals.received
                        row.end(spent or converged(self.stack))
                    self.look(done)
                    self.halve()
                    self.finish()
                if signals.received and self.rows:
                    self.interrupt(signals.received)
                    break
                self.write()
        if self.profile:
            for line in self.profile.table(max(1, self.books.updates)):
                say(line)
        return rows

    def begin(self) -> None:
        """Measure the initial weights of the rows that may have to go back to them."""
        values = self.stack.evaluate("val", self.stack.w) or self.stack.evaluate("train", self.stack.w)
        for row, numbers in zip(self.rows, fetch({"train_loss": next(iter(values.values()))}), strict=True):
            row.initial = numbers["train_loss"] if row.goes_back else math.inf

    def show_model(self) -> None:
        """Record what there is to see before the first epoch: the model's graph and the first point of the path."""
        settings = self.rows[0].setup.settings
        if settings.tensorboard and settings.watch.graph:
            graph = model_graph(self.stack.objective.model)
            for row in self.rows:
                row.record.graph(graph)
        if not self.books.updates:
            self.keep_points(0)

    def look(self, done: Pass) -> None:
        """Record what is seen only after some epochs: points of the paths, pictures, histograms of the parameters."""
        stack, first = self.stack, self.rows[0]
        self.keep_points(int(first.last["epoch"]))
        if first.setup.live and first.record.events and first.status == "running" and self.alone:
            first.setup.live(stack.objective, stack.w.flatten(), int(first.last["step"]), first.record.events)
        every = first.setup.settings.watch.histograms_every
        if every and self.epoch % every == 0:
            views = stack.objective.layout.views
            weights = stack.each_of(views(stack.w))
            gradients = stack.each_of({} if done.gradient is None else views(done.gradient))
            for row, own, slopes in zip(self.rows, weights, gradients, strict=True):
                row.record.histograms(int(row.last["step"]), own, slopes)

    def keep_points(self, epoch: int) -> None:
        """Keep the weights after this epoch as points of the rows' paths, where they are wanted."""
        wanted = [row.path is not None and row.path.wants(epoch, row.status != "running") for row in self.rows]
        if any(wanted):
            for row, w, wants in zip(self.rows, self.stack.each(self.stack.w), wanted, strict=True):
                if row.path and wants:
                    row.path.keep(epoch, w)

    def due(self) -> bool:
        """Whether checkpoints are to be saved now.

        A stack's are further apart where writing them would take a large share of the time.
        """
        seconds = self.every_seconds if self.alone else max(self.every_seconds, 10 * self.saving)
        return time.monotonic() - self.saved > seconds or self.books.updates - self.saved_updates >= self.every_steps

    def write(self) -> None:
        """Save checkpoints when they are due, and what is recorded every second, or less often for many rows."""
        now = time.monotonic()
        if self.due():
            self.save(range(len(self.rows)))
            self.saving = self.saved - now
        elif now - self.flushed > max(FLUSH_SECONDS, ROW_FLUSH_SECONDS * len(self.rows)):
            write_together(lambda row: row.record.flush(), self.rows)
            self.flushed = now

    def learning_rates(self) -> np.ndarray:
        """The learning rate of every update of the present epoch, (S,) or (S, K, 1)."""
        factors = np.array([0.5**row.halvings for row in self.rows])
        return self.stack.learning_rates(self.epoch) * (factors[:, None] if self.stack.stacked else factors[0])

    def train_epoch(self, rates: np.ndarray, signals: Signals) -> Pass:
        """One pass over the training split, or what is left of it; ended early by a signal, a budget or a save."""

        def stop() -> bool:
            return signals.received is not None or self.books.exhausted() is not None or self.due()

        def room() -> int:
            until_saved = self.every_steps - (self.books.updates - self.saved_updates)
            return int(min(self.books.left(self.stack.updates), until_saved))

        def abandon() -> bool:
            return signals.received is not None

        stack, optimizer = self.stack, self.stack.setups[0].optimizer
        if isinstance(optimizer, Solver):
            return solver_pass(stack, optimizer, self.epoch, self.books, stop, self.begun, abandon)
        kept = self.before[0] if self.before and self.before[0][0].shape == stack.w.shape else None
        self.before = stack.snapshot(kept), self.begun.batches
        return gradient_pass(stack, self.engine.updates, self.epoch, rates, self.books, stop, room, self.begun)

    def end_epoch(self, done: Pass, rates: np.ndarray) -> None:
        """Measure the epoch, hand each row its numbers, and keep the weights of those that are at their best.

        The epoch may be one that a budget has ended before its last batch.
        """
        spent = self.books.spent
        epoch = self.epoch + (self.begun.batches > 0)
        measured = fetch(measure(self.stack, done, self.engine.updates.watched))
        position = {"epoch": epoch, "step": spent.pop("updates"), "seconds": self.books.seconds}
        better = []
        for i, (row, numbers) in enumerate(zip(self.rows, measured, strict=True)):
            losses: Numbers = {name: numbers.pop(name) for name in ("train_loss", "val_loss") if name in numbers}
            finite, lr = numbers.pop("finite") == 0, float(rates[done.batches - 1].reshape(-1)[i])
            if row.setup.settings.on_divergence != "skip_step":
                numbers.pop("skipped_updates", None)  # that of other rows
            better.append(row.observe({**position, **losses, "lr": lr, **numbers, **spent}, finite))
        self.stack.keep_best(better)
        diverged = [row.status == "diverged" for row in self.rows]
        if any(diverged):
            self.diverge(diverged, done, epoch - 1, rates)

    def diverge(self, diverged: list[bool], done: Pass, epoch: int, rates: np.ndarray) -> None:
        """Say why these rows have diverged in the pass, and let those go on that are to."""
        largest, finite = None, finite_batches(self.stack, done)
        if self.stack.blocks and self.before is not None:
            until = [n if bad else 0 for n, bad in zip(finite, diverged, strict=True)]
            largest = largest_values(self.stack, epoch, rates, *self.before, until)
        for i, row in enumerate(self.rows):
            if diverged[i]:
                row.reason = reason(row, epoch, finite[i], largest[i] if largest else {})
        back = [bad and row.recover() for bad, row in zip(diverged, self.rows, strict=True)]
        if any(back):
            self.stack.go_back(back)

    def halve(self) -> None:
        """End the runs that are not among the best at a rung of successive halving."""
        if self.halving:
            running = [row for row in self.rows if row.status == "running"]
            losses = [math.inf if row.best_loss is None else row.best_loss for row in running]
            for i in self.halving.losers(self.epoch, losses):
                running[i].prune(f"{self.halving} after epoch {self.epoch}")

    def finish(self) -> None:
        """Evaluate, save and close the rows that have ended, and go on with the others alone."""
        ended = [row.status != "running" for row in self.rows]
        if not any(ended):
            return
        halved = any(row.pruned for row in self.rows)  # then all rows stand behind the rung, or none does
        self.save([i for i, end in enumerate(ended) if end or halved])
        tests = self.stack.evaluate_best("test")
        numbers = fetch(tests) if tests else [{}] * len(self.rows)

        def finish(i: int) -> None:
            row = self.rows[i]
            never = row.status == "diverged" and not row.best  # there are no weights worth a test
            row.finish(row.status, self.books, {} if never else numbers[i])

        write_together(finish, [i for i, end in enumerate(ended) if end])
        going = [i for i, end in enumerate(ended) if not end]
        self.rows = [self.rows[i] for i in going]
        if self.rows:
            self.stack.select(going)

    def interrupt(self, signal: int) -> None:
        """Save and close all rows where they stand."""
        self.save(range(len(self.rows)))
        for row in self.rows:
            row.signal = signal
        write_together(lambda row: row.finish("interrupted", self.books, {}), self.rows)

    def save(self, which: Iterable[int]) -> None:
        """Write the checkpoints of these rows."""
        position = {
            "epoch": self.epoch,
            "batch": self.begun.batches,
            "seconds": self.books.seconds,
            "engine": self.engine.choice,
            **self.books.spent,
        }
        save_rows(self.stack, self.rows, list(which), position, self.begun.z)
        self.saved, self.saved_updates = time.monotonic(), self.books.updates
