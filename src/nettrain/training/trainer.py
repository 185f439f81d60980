"""The training of one run, or of a stack of K runs together: w has shape (P,) or (K, P).

Everything that is a run's own (learning rate, early stopping, best weights, files) is a row's own. The host waits
for the device once an epoch, when the epoch's numbers are fetched.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from nettrain.errors import Abandoned
from nettrain.preparation.prepared import PreparedRun
from nettrain.profile import Profile, profiling
from nettrain.ranks.ranks import ALONE, Ranks
from nettrain.storage.atomic import write_together
from nettrain.terminal import say
from nettrain.training.calibration import evaluate_best
from nettrain.training.checkpoints import SaveTimes, restore_stack, save_rows
from nettrain.training.counters import Counters
from nettrain.training.divergence import explain
from nettrain.training.engines.choose import Whole, choose_engine
from nettrain.training.engines.protocol import Engine
from nettrain.training.epoch import (
    EpochResult,
    PartialEpoch,
    converged,
    measure,
    monitored_values,
    train_epoch,
)
from nettrain.training.follower import Follower
from nettrain.training.outputs import restored
from nettrain.training.progress import Progress
from nettrain.training.run_state import Numbers, RunState
from nettrain.training.signals import Signals
from nettrain.training.stack import rates
from nettrain.training.stack.evaluation import evaluation_weights
from nettrain.training.stack.rows import fetch
from nettrain.training.stack.stack import Stack
from nettrain.training.successive_halving import SuccessiveHalving
from nettrain.training.trajectory import Trajectory
from nettrain.training.watching import keep_trajectory_points, record_model, write_histograms

AfterEpoch = Callable[[RunState, Stack], None]
Failed = Callable[[RunState], None]


class Trainer:
    """Trains the given runs together, each to its own end, and writes each one's folder.

    `halving` ends the worst of them early; `threads` are those of a compiled program; `stacked` makes a single run the
    row of a stack, by whose operations it is computed, and `whole` is the stack that the runs belong to, where others
    of it train elsewhere. After every epoch that is not its last one, `after_epoch` is called with the first row and
    the stack; `failed` is called with a row that a callback's error has ended. Several `ranks` share one run: all of
    them do the same, but only the first one records anything.
    """

    row_type: type[RunState] = RunState

    def __init__(
        self,
        runs: Sequence[PreparedRun],
        device: torch.device,
        halving: SuccessiveHalving | None = None,
        threads: int = 1,
        stacked: bool = False,
        after_epoch: AfterEpoch | None = None,
        failed: Failed | None = None,
        whole: Whole | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        first, self.ranks = runs[0].config, ranks
        ranks.use(device)
        ranks.meet(None)
        self.stack, self.whole = Stack(runs, device, stacked, ranks), whole
        if not ranks.leads:
            self.row_type = Follower
        self.rows = [self.row_type(run, self._module) for run in runs]
        self.engine: Engine
        self.engine_name, self.threads = first.engine, threads  # the name is the one that was asked for until then
        self.counters = Counters(first.budget, len(runs), ranks.clock)
        self.halving, self.after_epoch, self.failed = halving, after_epoch, failed
        for row in self.rows:
            if row.run.drawn or row.run.config.report_figures:
                row.trajectory = Trajectory(row.run.config.epochs, row.run.parameters, len(runs))
        self.epoch, self.begun = 0, PartialEpoch()  # whole epochs that are behind, and what there is of the present one
        alone = len(runs) == 1 and not stacked
        self.times = SaveTimes([run.config.checkpoint for run in runs], alone, ranks.clock)
        self.say = (lambda line: None) if first.quiet else say

    @property
    def written(self) -> Sequence[RunState]:
        """The runs that are recorded, each in its folder: the rows that train."""
        return self.rows

    def restore(self, checkpoints: Sequence[dict[str, Any]]) -> None:
        """Stand where the runs stood, together, when they saved these checkpoints, a last.pt of each.

        What was recorded later is taken back.
        """
        first = checkpoints[0]
        self.epoch = first["epoch"]
        self.counters.restore(first)
        self.times.saved_updates = self.counters.updates
        if self.engine_name == "auto":  # go on as before, whatever it would choose now
            self.engine_name = first["engine"]
        restore_stack(self.stack, checkpoints)
        if first["outputs"] is not None:
            saved = [checkpoint["outputs"] for checkpoint in checkpoints]
            self.begun = PartialEpoch(first["batch"], restored(self.stack, self.epoch, first["batch"], saved))
        for row, checkpoint in zip(self.rows, checkpoints, strict=True):
            row.restore(checkpoint)
        self._conclude()
        for row in self.written:  # one that has ended was killed before it could write its summary
            epoch = self.epoch if row.running or not row.last else int(row.last["epoch"])
            row.log.rewind(epoch, min(self.counters.updates, epoch * self.stack.per_epoch))

    def discard_records(self) -> None:
        """Take back what was recorded by a process that ended before it had saved a checkpoint."""
        for row in self.written:
            row.log.rewind(0, 0)

    def run(self) -> list[RunState]:
        """Train all runs; they come back with their summaries, in the order in which they were given.

        A signal ends them after the update in progress, with status `interrupted` and their checkpoints saved.
        """
        rows, config = list(self.rows), self.rows[0].run.config
        trace = profiling(rows[0].run.folder / "profile.json") if config.profile else nullcontext()
        with trace as profile, Signals() as signals, Progress(config, len(self.written)) as progress:
            try:
                self.begin(signals)
            except Abandoned:
                self._interrupt(signals.received or 0, [{}] * len(rows))
                return rows
            while self.rows:
                self._epoch(signals, progress)
                if signals.received and self.rows:
                    self._interrupt(signals.received, self._test_numbers())
                    break
                self._write()
        self._show_profile(profile)
        return rows

    def begin(self, signals: Signals) -> None:
        """Do what comes before the first epoch, or before the next one of runs that go on.

        Raises `Abandoned` if a signal came while a program was compiled.
        """
        record_model(self.stack, self.written)
        if not self.counters.updates:
            keep_trajectory_points(self.stack, self.rows, 0)
        self._conclude()
        for row in self.written:
            row.begin()
        self._do_as_the_leader()
        self.choose_engine(signals)
        self._finish_ended()
        if not self.counters.updates and any(row.goes_back for row in self.rows):
            self._measure_initial_weights()

    def choose_engine(self, signals: Signals) -> None:
        """Set the engine. Raises `Abandoned` if a signal came while a program was compiled."""
        left, alone = self.counters.left(self.whole.updates if self.whole else self.stack.updates), self.ranks.size == 1

        def abandon() -> bool:
            return alone and signals.received is not None  # several ranks end where they meet

        self.engine = choose_engine(self.stack, self.engine_name, left, self.threads, abandon, self.say, self.whole)
        self.engine_name = self.engine.name

    def _epoch(self, signals: Signals, progress: Progress) -> None:
        """Train an epoch, or the rest of it, or until a checkpoint is due; conclude what has come to an end."""
        lr = self.learning_rates()
        result = self.train_epoch(lr, signals, progress)
        signals.received = self.ranks.meet(signals.received)
        spent = self.counters.exhausted()
        whole = result.batches == self.stack.per_epoch
        self.epoch += whole
        partial = result.batches and not whole
        self.begun = PartialEpoch(result.batches, result.outputs) if partial else PartialEpoch()
        if not (whole or spent):
            return
        self._end_epoch(result, lr)
        leader = min(self.written, key=lambda row: row.monitored(row.last))
        progress.show(leader.last)
        for row in self.rows:
            row.signal = signals.received
            row.end(spent or converged(self.stack))
        self._record_weights(result)
        self._halve()
        self._finish_ended()

    def learning_rates(self) -> np.ndarray:
        """The learning rate of every update of the present epoch, (S,) or (S, K, 1)."""
        factors = np.array([0.5**row.lr_halvings for row in self.rows])
        return rates.learning_rates(self.stack, self.epoch) * (factors[:, None] if self.stack.stacked else factors[0])

    def train_epoch(self, lr: np.ndarray, signals: Signals, progress: Progress | None = None) -> EpochResult:
        """One pass over the training split, or what is left of it; ended early by a signal, a budget or a save."""
        counters, times = self.counters, self.times

        def stop() -> bool:
            if progress:
                progress.pulse(self.epoch, counters.updates)
            if self.ranks.meeting_due(counters.updates):
                signals.received = self.ranks.meet(signals.received)
            elif self.ranks.size > 1:
                return counters.exhausted() is not None or times.due(counters.updates)
            return signals.received is not None or counters.exhausted() is not None or times.due(counters.updates)

        def updates_allowed() -> int:
            return int(min(counters.left(self.stack.updates), times.updates_until_due(counters.updates)))

        return train_epoch(self.stack, self.engine, self.epoch, lr, counters, self.begun, stop, updates_allowed)

    def _end_epoch(self, result: EpochResult, lr: np.ndarray) -> None:
        """Measure the epoch, hand each row its numbers, and keep the weights of those that are at their best.

        The epoch may be one that a budget has ended before its last batch.
        """
        with evaluation_weights(self.stack, between_epochs=result.batches == self.stack.per_epoch):
            self._measure_epoch(result, lr)
        if any(row.status == "diverged" for row in self.rows):
            explain(self.stack, self.rows, result)
        for row in self.written:
            row.tell()
        self._do_as_the_leader()

    def _measure_epoch(self, result: EpochResult, lr: np.ndarray) -> None:
        stack, spent = self.stack, self.counters.spent
        measured = self.ranks.first(fetch(measure(stack, self.engine, result)))
        position = {"epoch": result.epoch + 1, "step": spent.pop("updates"), "seconds": self.counters.seconds}
        better = []
        for i, (row, numbers) in enumerate(zip(self.rows, measured, strict=True)):
            losses = {name: numbers.pop(name) for name in list(numbers) if name in ("train_loss", "val_loss")}
            finite, rate = numbers.pop("finite") == 0, float(lr[result.batches - 1].reshape(-1)[i])
            if row.run.config.on_divergence != "skip_step":
                numbers.pop("skipped_updates", None)  # that of other rows
            better.append(row.observe({**position, **losses, "lr": rate, **numbers, **spent}, finite))
        if any(better):
            stack.best.keep(None if all(better) else stack.mask(better), stack.w, stack.objective.buffers)

    def _conclude(self) -> None:
        """End the rows for which nothing is left to do."""
        for row in self.rows:
            row.conclude(self.epoch)
            row.end(self.counters.exhausted() or converged(self.stack))

    def _measure_initial_weights(self) -> None:
        """Measure the initial weights of the rows that may have to go back to them."""
        measured = self.ranks.first(fetch(monitored_values(self.stack, self.engine)))
        for row, numbers in zip(self.rows, measured, strict=True):
            row.initial = row.monitored(numbers) if row.goes_back else math.inf

    def _record_weights(self, result: EpochResult) -> None:
        """Record what is seen of the weights: points of the trajectories, pictures, histograms of the parameters."""
        stack, first = self.stack, self.rows[0]
        keep_trajectory_points(stack, self.rows, int(first.last["epoch"]))
        if self.after_epoch and first.running:
            self.after_epoch(first, stack)
        every = first.run.config.watch.histograms_every
        if every and self.epoch % every == 0:
            write_histograms(stack, self.rows, result.gradient)

    def _halve(self) -> None:
        """End the runs that are not among the best at a rung of successive halving."""
        if self.halving:
            running = [row for row in self.rows if row.running]
            losses = [math.inf if row.best_loss is None else row.best_loss for row in running]
            for i in self.halving.losers(self.epoch, losses):
                running[i].prune(f"{self.halving} after epoch {self.epoch}")

    def _finish_ended(self) -> None:
        """Evaluate, save and close the rows that have ended, and go on with the others alone."""
        ended = [i for i, row in enumerate(self.rows) if not row.running]
        if not ended:
            return
        # Either all rows stand behind a rung of successive halving, or none does.
        self._save(range(len(self.rows)) if any(row.pruned for row in self.rows) else ended)
        ended = [i for i, row in enumerate(self.rows) if not row.running]  # saving may have failed in a callback
        numbers = self._test_numbers()
        self._finish([self.rows[i] for i in ended], [numbers[i] for i in ended])
        going = [i for i, row in enumerate(self.rows) if row.running]
        self._go_on_with(going)

    def _go_on_with(self, going: list[int]) -> None:
        """Train these rows alone from now on."""
        self.rows = [self.rows[i] for i in going]
        if self.rows:
            self.stack.select(going)
            if self.begun.outputs:
                self.begun.outputs.select(going)
            self.counters.go_on_with(len(going))

    def _test_numbers(self) -> list[Numbers]:
        """Each row's temperature, and its loss and metrics of the test split, with its best weights.

        Nothing without these.
        """
        tests = evaluate_best(self.stack, self.engine)
        numbers = self.ranks.first(fetch(tests)) if tests else [{}] * len(self.rows)
        never_good = [not row.best and row.status in ("diverged", "running") for row in self.rows]
        return [{} if never else test for never, test in zip(never_good, numbers, strict=True)]

    def _interrupt(self, signal: int, tests: Sequence[Numbers]) -> None:
        """Save and close all rows where they stand."""
        self._save(range(len(self.rows)))
        for row in self.rows:
            row.signal = signal
        self._finish(self.rows, tests, "interrupted")

    def _finish(self, rows: Sequence[RunState], tests: Sequence[Numbers], status: str | None = None) -> None:
        """Close these rows, with the status that they have or this one; `tests` are their numbers of the test split."""
        write_together(lambda i: rows[i].finish(status or rows[i].status, self.counters, tests[i]), range(len(rows)))
        for row in rows:
            if row.error and self.failed:
                self.failed(row)

    def _module(self, row: RunState, best: bool) -> nn.Module:
        """A copy of a row's module with its present weights, or its best ones."""
        i = next(i for i, other in enumerate(self.rows) if other is row)
        return self.stack.module(i, best)

    def _write(self) -> None:
        """Save checkpoints when they are due, and what is recorded every second, or less often for many rows."""
        if self.times.due(self.counters.updates):
            began = time.monotonic()
            self._save(range(len(self.rows)))
            self.times.saving_seconds = time.monotonic() - began
            self._finish_ended()  # a callback may have failed
        elif self.times.flush_due(len(self.written)):
            write_together(lambda row: row.log.flush(), self.written)

    @property
    def position(self) -> dict[str, Any]:
        """Where all rows stand, as a checkpoint has it."""
        return {
            "epoch": self.epoch,
            "batch": self.begun.batches,
            "seconds": self.counters.seconds,
            "engine": self.engine_name,
            **self.counters.spent,
        }

    def _save(self, which: Iterable[int]) -> None:
        """Write the checkpoints of these rows."""
        save_rows(self.stack, self.rows, list(which), self.position, self.begun.outputs)
        self._do_as_the_leader()
        self.times.note(self.counters.updates)

    def _do_as_the_leader(self) -> None:
        """End, or fail, on every rank where a callback of the leader's has ended the run, or has failed."""
        for row in self.rows:
            row.status, row.reason, row.stopped = self.ranks.first((row.status, row.reason, row.stopped))

    def _show_profile(self, profile: Profile | None) -> None:
        if profile:
            for line in profile.table(max(1, self.counters.updates)):
                self.say(line)
