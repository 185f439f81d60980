"""Which runs of a sweep train together, as far as their configs show, and how many fit into one stack."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from nettrain import data
from nettrain.app.jobs.failure import fail
from nettrain.app.jobs.job import Job, prepared
from nettrain.app.sweep.sweep import add_failure
from nettrain.config.run_data import Load
from nettrain.config.scopes import shared_by_rows
from nettrain.data.sources import Csv
from nettrain.data.splitting import Fold
from nettrain.errors import ConfigError, StorageError
from nettrain.optimizers.solvers import free_memory
from nettrain.parts.models import RowModule
from nettrain.preparation.rows import fast_rows, refusal, rows_that_fit
from nettrain.storage.environment import stack_of
from nettrain.storage.open_files import can_be_opened
from nettrain.training.device import choose_device
from nettrain.training.successive_halving import SuccessiveHalving

MOST = 1024  # rows of one stack: more gain nothing, and the folder of every row has its lock, an open file


class Cache:
    """Reads each distinct table once, and splits and encodes it once for each seed; `handed` is one of Python's.

    `tables` are those that have been read already, by what `table_key` gives.
    """

    def __init__(self, handed: Load | None = None, tables: dict[str, data.Table] | None = None) -> None:
        self.handed = handed
        self.tables = tables if tables is not None else {}
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
        elif key not in self.encoded:
            name = self.table_key(dataset, split)
            if name not in self.tables and isinstance(dataset, Csv) and dataset.streamed(split):
                self.encoded[key] = data.load(dataset, seed, split)
                return self.encoded[key]
            if name not in self.tables:
                self.tables[name] = dataset.load_for(split)
            self.encoded[key] = data.encode(dataset, self.tables[name], seed, split)
        return self.encoded[key]

    @staticmethod
    def table_key(dataset: Any, split: Any) -> str:
        """What runs have in common that share their table."""
        return repr((replace(dataset, split_seed=None), replace(split, fold=0) if isinstance(split, Fold) else split))


@dataclass
class StackPlan:
    """Jobs that can share their passes as far as their configs show, and how many of them fit into one stack.

    `groups` are the new ones, and those that have trained together before. `alone` is why they cannot be stacked all
    the same; `notes` are sentences for the person who starts them. An epoch of a run
    makes so many `updates` of so many `multiplications`. In a part of a `divisible` stack a row has the same bits.
    `device` is where they train; None: where a worker does.
    """

    groups: list[list[int]]
    alone: str | None = None
    rows: int = 1
    notes: list[str] = field(default_factory=list)
    updates: int = 0
    multiplications: int = 0
    divisible: bool = True
    device: torch.device | None = None

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


def plan_stacks(
    jobs: Sequence[Job],
    budget: float | None,
    halving: SuccessiveHalving | None,
    cache: Cache,
    elsewhere: bool = False,
) -> list[StackPlan]:
    """The plans of a sweep's runs; those that cannot train have failed, and are in none.

    `budget` is the memory in GiB that a stack may take; None: half of what is free. `elsewhere`: the devices on which
    they train are not those of this machine.
    """
    groups = [group for group in _alike(jobs) if not (halving and _refuse_halving(jobs, group))]
    return [plan for alike in groups if (plan := _plan(jobs, alike, budget, cache, elsewhere)).jobs]


def describe(plans: Sequence[StackPlan]) -> str:
    """The grouping in words: `180 runs -> 1 stack of 180`, and the devices."""
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
    devices = dict.fromkeys(f"  on {_in_words(plan.device)}" for plan in plans if plan.device)
    return "\n".join([*lines, *(f"  {n} alone: {reason}" for reason, n in reasons.items()), *notes, *devices])


def _in_words(device: torch.device) -> str:
    if device.type != "cuda":
        return str(device)
    words, count = f"{device} ({torch.cuda.get_device_name(device)})", torch.cuda.device_count()
    if count == 1 or device.index is not None:
        return words
    return f"{words}, one of {count}; hydra.launcher.cluster=local hydra.launcher.gpus=1 trains on all of them"


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
        fail_job(jobs[i], error)
    return True


def _plan(jobs: Sequence[Job], members: list[int], budget: float | None, cache: Cache, elsewhere: bool) -> StackPlan:
    """Measure and try the first member that can be prepared; those before it have failed and are left out."""
    for position, i in enumerate(members):
        job = jobs[i]
        try:
            device = torch.device("cpu") if elsewhere else choose_device(job.config.device)
            run = prepared(job, device, cache.load)
        except Exception as error:
            fail_job(job, error)
            continue
        plan = StackPlan(_groups(jobs, members[position:]), refusal(run), device=None if elsewhere else device)
        plan.updates, plan.multiplications = run.updates_per_epoch, run.parameters * run.batch_size
        plan.divisible = isinstance(run.model, RowModule)  # what vmap makes of others depends on the number of rows
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


def fail_job(job: Job, error: Exception, holding: bool = False) -> None:
    """Say and note that a run has failed. A disk that takes no file any more ends the sweep."""
    if isinstance(error, StorageError) and error.everywhere:
        raise error
    add_failure(fail(error, job.folder, job.overrides, holding))
