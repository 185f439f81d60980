"""What sends the stacks of a sweep, takes what comes back, and sends again what was lost."""

import pickle
import secrets
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nettrain.app.jobs.job import Job, Outcome
from nettrain.app.sweep.cluster.bar import Bar
from nettrain.app.sweep.cluster.cutting import Piece, cut
from nettrain.app.sweep.cluster.engine import Engine, Handle, Lost
from nettrain.app.sweep.cluster.run_files import read_files, write_files
from nettrain.app.sweep.cluster.task import Result, SentJob, Task, shared_by
from nettrain.app.sweep.plans import Cache, describe, fail_job, plan_stacks
from nettrain.app.sweep.sweep import add_failure
from nettrain.config.schema import Config
from nettrain.errors import CheckpointError, ConfigError, DataError, Mistake, StorageError
from nettrain.storage.atomic import replace_file, write_together
from nettrain.terminal import Output, say, warn
from nettrain.training.signals import Signals
from nettrain.training.successive_halving import SuccessiveHalving

DEATHS = 2  # of its worker after which a stack is halved
LOSSES = 8  # of workers for reasons that are not the stack's, after which it is given up
POLL = 0.5  # seconds
KINDS: dict[int, type[Mistake]] = {kind.exit_code: kind for kind in (DataError, CheckpointError, StorageError)}


@dataclass(eq=False)
class Batch:
    """Jobs that were sent together, and how those have ended that have, by their positions."""

    jobs: list[Job]
    halving: SuccessiveHalving | None
    shared: Any
    waiting: list[Piece] = field(default_factory=list)
    running: dict[int, tuple[Handle, Piece]] = field(default_factory=dict)  # by the number of the stack
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return not self.waiting and not self.running


class Driver:
    """Trains the stacks of a sweep by an engine; `sweep` is the sweep's folder."""

    def __init__(self, engine: Engine, sweep: Path, quiet: bool) -> None:
        self.engine, self.sweep, self.quiet = engine, sweep, quiet
        self.marker = sweep / f".sweep-{secrets.token_hex(8)}"  # by which workers know the folder
        self.shared: tuple[bytes, Any] = b"", None  # what the last stacks have in common, and what stands for it
        self.batches: list[Batch] = []
        self.numbers = 0  # of stacks that were sent
        self.bar = Bar(quiet)
        self.open = ExitStack()
        self.signals = self.open.enter_context(Signals())

    def train(
        self, jobs: Sequence[Job], halving: SuccessiveHalving | None, ended: Sequence[Config]
    ) -> dict[int, Outcome]:
        """As `train_jobs`; `ended` are configs of the sweep's other runs, which have ended before."""
        batch = self.send(jobs, halving, ended, self.engine.workers)
        while not batch.ended:
            self.step()
        return batch.outcomes

    @property
    def idle(self) -> int:
        """How many workers have nothing to do."""
        busy = sum(len(batch.waiting) + len(batch.running) for batch in self.batches)
        return self.engine.workers - busy

    def send(
        self, jobs: Sequence[Job], halving: SuccessiveHalving | None, ended: Sequence[Config], workers: int
    ) -> Batch:
        """Cut the jobs into stacks for so many workers, and send them."""
        import cloudpickle  # which every engine brings along

        cache = Cache(jobs[0].handed.load)
        plans = plan_stacks(jobs, self.engine.memory, halving, cache, elsewhere=True)
        tables = cache.tables if self.engine.sends_tables else None
        shared = shared_by(jobs, self.marker, self.engine.cores, tables)
        replace_file(self.marker, b"")
        content = pickle.dumps((shared.files, shared.modules, cloudpickle.dumps(shared)))
        if content != self.shared[0]:
            self.shared = content, self.engine.share(content)
        batch = Batch(list(jobs), halving, self.shared[1])
        batch.waiting = cut(plans, jobs, ended, workers, halving is not None)
        if not self.quiet and plans:
            stacks, count = len(batch.waiting), self.engine.workers
            sent = f"sent to {count} worker{'s' * (count != 1)} of {self.engine.name}"
            say(f"{describe(plans)}\n  {sent} in {stacks} stack{'s' * (stacks != 1)}")
        self.bar.add(len(jobs), batch.waiting, jobs)
        self.batches.append(batch)
        self._hand_over()
        return batch

    def step(self) -> list[Batch]:
        """Wait until something has happened, for a moment at most; the batches that have ended."""
        handles = {
            id(handle): (batch, number) for batch in self.batches for number, (handle, _) in batch.running.items()
        }
        alive = [handle for batch in self.batches for handle, _ in batch.running.values()]
        for handle in self.engine.ended(alive, POLL) if alive else []:
            batch, number = handles[id(handle)]
            self._take(batch, number, handle)
        self._read_news()
        if self.signals.received:
            self._interrupt(self.signals.received)
        self._hand_over()
        over = [batch for batch in self.batches if batch.ended]
        self.batches = [batch for batch in self.batches if not batch.ended]
        return over

    def _hand_over(self) -> None:
        """Send stacks that wait, as many as the engine takes."""
        for batch in self.batches:
            while batch.waiting and sum(len(other.running) for other in self.batches) < self.engine.limit:
                piece = batch.waiting.pop(0)
                sent = [SentJob.of(i, batch.jobs[i], self._files(batch.jobs[i], piece)) for i in piece.jobs]
                task = pickle.dumps(Task(sent, piece.whole, batch.halving))
                self.numbers += 1
                handle = self.engine.send(task, batch.shared, self.numbers, piece.avoided)
                batch.running[self.numbers] = handle, piece

    def _files(self, job: Job, piece: Piece) -> dict[str, bytes] | None:
        """What a worker needs that cannot see the folder of a run: nothing of one that has not begun."""
        if not job.folder.exists():
            return {}
        return read_files(job.folder) if piece.unseen else None

    def _take(self, batch: Batch, number: int, handle: Handle) -> None:
        """Take what has come of a stack."""
        _, piece = batch.running.pop(number)
        try:
            result = self.engine.result(handle)
        except Lost as lost:
            self._lost(batch, piece, lost)
            return
        if result.refusal:
            code, sentence = result.refusal
            raise KINDS.get(code, ConfigError)(sentence)
        self._write(batch, result)
        self._print(result.printed)
        if result.unseen:
            piece.unseen = True
            batch.waiting.insert(0, piece)
            return
        if result.full is not None:
            self._full(batch, piece, result)
            return
        for code in result.codes:
            add_failure(code)
        ended = {i: outcome for i, outcome in result.outcomes.items() if outcome.status != "interrupted"}
        batch.outcomes |= ended
        rest = [i for i in piece.jobs if i not in ended and i not in result.failed]
        if result.interrupted and rest:
            batch.waiting.insert(0, piece.of(rest))
        self.bar.end(number, piece, rest if result.interrupted else [], batch.jobs)

    def _write(self, batch: Batch, result: Result) -> None:
        """Write the files of runs that this machine alone sees."""

        def write(i: int) -> None:
            write_files(batch.jobs[i].folder, result.files[i], whole=True)

        write_together(write, list(result.files))

    def _print(self, text: str) -> None:
        for line in text.splitlines():
            if line.startswith("nettrain: "):
                warn(line.removeprefix("nettrain: "))
            else:
                print(line, file=Output(sys.stderr), flush=True)

    def _full(self, batch: Batch, piece: Piece, result: Result) -> None:
        """A disk takes no file any more: if it is a worker's own, another one goes on."""
        if not result.temporary or result.place in piece.avoided or len(piece.avoided) >= LOSSES:
            raise StorageError(str(result.full), everywhere=True)
        warn(f"{result.node}: {result.full} Another worker goes on with its {len(piece.jobs)} runs.")
        piece.avoided.append(result.place)
        batch.waiting.insert(0, piece)

    def _lost(self, batch: Batch, piece: Piece, lost: Lost) -> None:
        """A worker is gone: another one goes on from the checkpoints, with half a stack if it has cost two of them."""
        runs = f"{len(piece.jobs)} run{'s' * (len(piece.jobs) != 1)}"
        if lost.blameless:
            piece.losses += 1
        else:
            piece.deaths += 1
        if piece.deaths < DEATHS and piece.losses < LOSSES:
            warn(f"a worker was lost with {runs} ({lost}); another one goes on with them.")
            batch.waiting.insert(0, piece)
        elif len(piece.jobs) > 1 and piece.deaths >= DEATHS:
            half = len(piece.jobs) // 2
            warn(f"{runs} have cost two workers ({lost}); they go on in two halves.")
            batch.waiting[:0] = [piece.of(piece.jobs[:half], deaths=0), piece.of(piece.jobs[half:], deaths=0)]
        else:
            for i in piece.jobs:
                fail_job(batch.jobs[i], RuntimeError(f"its worker was lost again and again ({lost})"))

    def _read_news(self) -> None:
        stacks = {number: (batch, piece) for batch in self.batches for number, (_, piece) in batch.running.items()}
        for number, news in self.engine.news().items():
            if number not in stacks:
                continue
            batch, _ = stacks[number]
            if isinstance(news, int):
                self.bar.show(number, news)
            for i, files in news.items() if isinstance(news, dict) else []:
                write_files(batch.jobs[i].folder, files)
        self.bar.refresh(sum(len(batch.waiting) + len(batch.running) for batch in self.batches))

    def _interrupt(self, signal: int) -> None:
        """Have all workers save what they train; the process ends."""
        for batch in self.batches:
            for handle, _ in batch.running.values():
                self.engine.cancel(handle)
        for batch in self.batches:
            while batch.running and (ended := self.engine.ended([h for h, _ in batch.running.values()], 60.0)):
                for handle in ended:
                    number = next(n for n, (other, _) in batch.running.items() if other is handle)
                    batch.running.pop(number)
                    try:
                        self._write(batch, self.engine.result(handle))
                    except Lost:
                        continue
        raise SystemExit(128 + signal)

    def close(self) -> None:
        """Let the engine go, and remove the marks by which workers knew the folder."""
        self.open.close()
        self.bar.close()
        for batch in self.batches:  # it ends by a mistake
            for handle, _ in batch.running.values():
                self.engine.cancel(handle)
        self.engine.close()
        for marker in self.sweep.glob(".sweep-*"):
            marker.unlink(missing_ok=True)
