"""The runs of a sweep trained as stacks: who trains with whom, and what becomes of each."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from nettrain import data
from nettrain.app.jobs.draw import draw
from nettrain.app.jobs.failure import fail
from nettrain.app.jobs.folder import clear
from nettrain.app.jobs.folder_match import match_folder
from nettrain.app.jobs.job import (
    Job,
    Outcome,
    Start,
    align,
    prepared,
    ready,
    record_start,
    take_up,
    train,
    train_alone,
)
from nettrain.app.sweep.sweep import add_failure
from nettrain.config.run_data import Load
from nettrain.config.scopes import shared_by_rows
from nettrain.data.sources import Csv
from nettrain.data.splitting import Fold
from nettrain.errors import ConfigError, Mistake, StorageError, first_line
from nettrain.optimizers.solvers import free_memory
from nettrain.preparation.rows import fast_rows, refusal, rows_that_fit
from nettrain.storage.atomic import write_together
from nettrain.storage.environment import stack_of
from nettrain.storage.locks import locked
from nettrain.storage.open_files import can_be_opened
from nettrain.terminal import say
from nettrain.training.device import choose_device
from nettrain.training.run_state import RunState
from nettrain.training.stack.compatibility import by_kind, shared_shapes
from nettrain.training.successive_halving import SuccessiveHalving

MOST = 1024  # rows of one stack: more gain nothing, and the folder of every row has its lock, an open file


class Cache:
    """Reads each distinct table once, and splits and encodes it once for each seed; `handed` is one of Python's."""

    def __init__(self, handed: Load | None = None) -> None:
        self.handed = handed
        self.tables: dict[str, data.Table] = {}
        self.encoded: dict[tuple[str, str, int], data.Data] = {}

    @staticmethod
    def key(dataset: Any, seed: int, split: Any) -> tuple[str, str, int]:
        """What runs have in common that share their data."""
        return repr(dataset), repr(split), seed if dataset.split_seed is None else dataset.split_seed

    def load(self, dataset: Any, seed: int, split: Any) -> data.Data:
        """As `nettrain.data.load`."""
        key = self.key(dataset, seed, split)
        if key not in self.encoded and self.handed:
            self.encoded[key] = self.handed(dataset, seed, split)
        elif key not in self.encoded and isinstance(dataset, Csv) and dataset.streamed(split):
            self.encoded[key] = data.load(dataset, seed, split)
        elif key not in self.encoded:
            name = repr(
                (replace(dataset, split_seed=None), replace(split, fold=0) if isinstance(split, Fold) else split)
            )
            if name not in self.tables:
                self.tables[name] = dataset.load_for(split)
            self.encoded[key] = data.encode(dataset, self.tables[name], seed, split)
        return self.encoded[key]


@dataclass
class StackPlan:
    """Jobs that can share their passes as far as their configs show, and how many of them fit into one stack.

    `groups` are the new ones, and those that have trained together before. `alone` is why they cannot be stacked all
    the same; `notes` are sentences for the person who starts them.
    """

    groups: list[list[int]]
    alone: str | None = None
    rows: int = 1
    notes: list[str] = field(default_factory=list)

    @property
    def jobs(self) -> list[int]:
        """All of them."""
        return [job for group in self.groups for job in group]

    @property
    def stacks(self) -> list[list[int]]:
        """The jobs of each stack."""
        stacks = []
        for group in self.groups:
            count = -(-len(group) // self.rows)
            size = -(-len(group) // count)  # stacks of about one size
            stacks += [group[i : i + size] for i in range(0, len(group), size)]
        return stacks


def train_jobs(
    jobs: Sequence[Job], budget: float | None, halving: SuccessiveHalving | None, quiet: bool
) -> dict[int, Outcome]:
    """Train the runs of a sweep, as many as possible together; how they ended, by their positions.

    `budget` is the memory in GiB that a stack may take; None: half of what is free. `halving` ends the worst runs of
    each stack early. A run that fails says so, has its failure noted in its folder, and is missing in the result; the
    others go on. After a signal the process ends, with all that is running saved.

    Raises `StorageError` where no file can be written any more.
    """
    cache, outcomes = Cache(jobs[0].handed.load), dict[int, Outcome]()
    groups = [group for group in _alike(jobs) if not (halving and _refuse_halving(jobs, group))]
    plans = [plan for alike in groups if (plan := _plan(jobs, alike, budget, cache)).jobs]
    if not quiet and plans:
        say(describe(plans))
    for plan in plans:
        for stack in plan.stacks:
            outcomes.update(_train_stack(jobs, stack, cache, halving))
            signal = next((o.signal for o in outcomes.values() if o.signal), None)
            if signal:
                raise SystemExit(128 + signal)
            cache.encoded.clear()
    return outcomes


def describe(plans: Sequence[StackPlan]) -> str:
    """The grouping in words: `180 runs -> 1 stack of 180`."""
    sizes = [len(stack) for plan in plans for stack in plan.stacks]
    stacks = Counter(size for size in sizes if size > 1)
    many = [f"{n} stack{'s' * (n > 1)} of {size}" for size, n in sorted(stacks.items(), reverse=True)]
    alone = sizes.count(1)
    parts = [*many, f"{alone} alone"] if alone else many
    lines = [f"{sum(sizes)} run{'s' * (sum(sizes) != 1)} -> {', '.join(parts)}"]
    reasons: Counter[str] = Counter()
    for plan in plans:
        if plan.alone:
            reasons[plan.alone] += len(plan.jobs)
    notes = dict.fromkeys(f"  {note}" for plan in plans for note in plan.notes)
    return "\n".join([*lines, *(f"  {n} alone: {reason}" for reason, n in reasons.items()), *notes])


def _alike(jobs: Sequence[Job]) -> list[list[int]]:
    """The positions of jobs whose configs agree in all that a stack has in common."""
    alike: dict[str, list[int]] = {}
    for i, job in enumerate(jobs):
        alike.setdefault(shared_by_rows(job.config), []).append(i)
    return list(alike.values())


def _refuse_halving(jobs: Sequence[Job], group: Sequence[int]) -> bool:
    """Whether the jobs of a group cannot be rows that successive halving compares; each of them has failed then."""
    config = jobs[group[0]].config
    if config.member_count == 1:
        return False
    error = ConfigError(
        f"{config.members_key}: successive halving compares the rows of a stack, and a run with members is a stack of "
        "its own; leave out hydra.launcher.reduction_factor."
    )
    for i in group:
        _fail(jobs[i], error)
    return True


def _plan(jobs: Sequence[Job], members: list[int], budget: float | None, cache: Cache) -> StackPlan:
    """Measure and try the first member that can be prepared; those before it have failed and are left out."""
    for position, i in enumerate(members):
        job = jobs[i]
        try:
            device = choose_device(job.config.device)
            run = prepared(job, device, cache.load)
        except Exception as error:
            _fail(job, error)
            continue
        plan = StackPlan(_groups(jobs, members[position:]), refusal(run))
        plan.notes = [note for part in (run.config.model, run.optimizer) for note in getattr(part, "notes", [])]
        if not plan.alone:
            memory = free_memory(device) / 2 if budget is None else budget * 2**30
            configs = (jobs[i].config for i in plan.jobs)
            copies = len({cache.key(config.data, config.seed, config.split) for config in configs})
            fitting = rows_that_fit(run, memory, copies)
            plan.rows = int(max(1, min(can_be_opened(MOST), fitting, fast_rows(run, device))))
        return plan
    return StackPlan([])


def _groups(jobs: Sequence[Job], members: Sequence[int]) -> list[list[int]]:
    """The members that trained together before, those that go on and have trained alone, and all new ones.

    Where no row of a stack had a checkpoint, it was killed while it began, and its rows are new ones.
    """
    stacks = {i: stack_of(jobs[i].folder) for i in members}
    going = {stacks[i] for i in members if jobs[i].resumed}
    groups: dict[Any, list[int]] = {}
    for i in members:
        key = stacks[i] if stacks[i] in going and stacks[i] else i if jobs[i].resumed else None
        groups.setdefault(key, []).append(i)
    return list(groups.values())


def _fail(job: Job, error: Exception, holding: bool = False) -> None:
    """Say and note that a run has failed. A disk that takes no file any more ends the sweep."""
    if isinstance(error, StorageError) and error.everywhere:
        raise error
    add_failure(fail(error, job.folder, job.overrides, holding))


def _train_stack(
    jobs: Sequence[Job], members: list[int], cache: Cache, halving: SuccessiveHalving | None
) -> Iterator[tuple[int, Outcome]]:
    """Train the members together, where their data have one shape and their checkpoints one position.

    When that fails, its two halves go on from where they are: so memory that was too small suffices, and an error that
    is one run's own is left with this run.
    """
    if len(members) == 1:
        (i,) = members
        try:
            yield i, train_alone(jobs[i])
        except Exception as error:
            _fail(jobs[i], error)
        return
    device = choose_device(jobs[members[0]].config.device)
    unfinished: list[list[int]] = []
    with ExitStack() as locks:
        starts = dict[int, Start]()
        for i in members:
            try:
                locks.enter_context(locked(jobs[i].folder))
            except Mistake as error:
                _fail(jobs[i], error)
                continue
            try:
                if jobs[i].anew:
                    clear(jobs[i].folder)
                starts[i] = ready(jobs[i], device, cache.load)
            except Exception as error:
                _fail(jobs[i], error, holding=True)

        def leave_out(i: int, error: Exception) -> None:
            del starts[i]
            _fail(jobs[i], error, holding=True)

        write_together(lambda i: record_start(jobs[i], starts[i]), list(starts), leave_out)
        align(list(starts.values()), halving)
        for together in _same_shapes(starts):

            def failed(row: RunState, together: list[int] = together) -> None:
                i = next(i for i in together if starts[i].run is row.run)
                assert row.error is not None
                _fail(jobs[i], row.error, holding=True)

            try:
                rows = train([starts[i] for i in together], device, halving, failed=failed)
            except Exception as error:
                if isinstance(error, StorageError) and error.everywhere:
                    raise
                half = len(together) // 2
                unfinished += [together[:half], together[half:]]
                say(f"{len(together)} runs failed together; retrying them in two halves ({first_line(error)})")
                continue
            for i, row in zip(together, rows, strict=True):
                if row.error:
                    continue
                try:
                    draw(row, jobs[i].handed)
                except Exception as error:
                    _fail(jobs[i], error, holding=True)
                yield i, Outcome.of(row)
    for half_of_them in unfinished:
        going: list[int] = []
        all_jobs = list(jobs)
        for i in half_of_them:
            taken_up = take_up(jobs[i], match_folder(jobs[i].config, jobs[i].folder, i))
            if isinstance(taken_up, Outcome):
                yield i, taken_up
            else:
                all_jobs[i] = taken_up
                going.append(i)
        if going:
            yield from _train_stack(all_jobs, going, cache, halving)


def _same_shapes(starts: dict[int, Start]) -> list[list[int]]:
    """Who can train with whom, in the order in which a stack holds them."""
    alike: dict[Any, list[int]] = {}
    for i, start in starts.items():
        alike.setdefault((shared_shapes(start.run), start.position), []).append(i)
    return [[group[k] for k in by_kind([starts[i].run for i in group])] for group in alike.values()]
