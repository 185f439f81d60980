"""The runs of a sweep trained as stacks: who trains with whom, and what becomes of each."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from nettrain import data
from nettrain.app.jobs.failure import fail
from nettrain.app.jobs.folder_match import Place
from nettrain.app.jobs.job import Job, Outcome, Start, align, begin, draw, ready, take_up, train, train_alone
from nettrain.config.schema import Config, to_container
from nettrain.errors import first_line
from nettrain.optimizers.rules import Rule
from nettrain.optimizers.solvers import free_memory
from nettrain.parts import models
from nettrain.preparation.prepare import prepare
from nettrain.storage.environment import stack_of
from nettrain.storage.files import locked, write_together
from nettrain.training.device import choose_device
from nettrain.training.stack import compatibility as planning
from nettrain.training.successive_halving import Halving

MOST = 1024  # rows of one stack: more gain nothing, and the folder of every row has its lock

# What the rows of a stack may differ in, beside their rules.
_OWN = (
    "seed",
    "epochs",
    "on_divergence",
    "early_stopping",
    "schedule",
    "checkpoint",
    "tensorboard",
    "quiet",
    "resume",
    "trust",
)


class Cache:
    """Reads each distinct table once, and splits and encodes it once for each seed."""

    def __init__(self) -> None:
        self.tables: dict[str, data.Table] = {}
        self.encoded: dict[tuple[str, int], data.Data] = {}

    def load(self, dataset: Any, seed: int) -> data.Data:
        """As `nettrain.data.load`."""
        key = (repr(dataset), seed if dataset.split_seed is None else dataset.split_seed)
        if key not in self.encoded:
            name = repr(replace(dataset, split_seed=None))
            if name not in self.tables:
                self.tables[name] = dataset.load()
            self.encoded[key] = data.encode(dataset, self.tables[name], seed)
        return self.encoded[key]


@dataclass
class Family:
    """Jobs that can share their passes as far as their configs show, and how many of them fit into one stack.

    `groups` are the new ones, and those that have trained together before. `alone` is why they cannot be stacked all
    the same.
    """

    groups: list[list[int]]
    alone: str | None = None
    rows: int = 1

    @property
    def jobs(self) -> list[int]:
        """All of them."""
        return [job for group in self.groups for job in group]

    @property
    def stacks(self) -> list[list[int]]:
        """The jobs of each stack."""
        found = []
        for group in self.groups:
            count = -(-len(group) // self.rows)
            size = -(-len(group) // count)  # stacks of about one size
            found += [group[i : i + size] for i in range(0, len(group), size)]
        return found


def train_jobs(jobs: Sequence[Job], budget: float | None, halving: Halving | None, quiet: bool) -> dict[int, Outcome]:
    """Train the runs of a sweep, as many as possible together; how they ended, by their positions.

    `budget` is the memory in GiB that a stack may take; None: half of what is free. `halving` ends the worst runs of
    each stack early. A run that fails says so, has its
    failure noted in its folder, and is missing in the result; the others go on. After a signal the process ends, with
    all that is running saved.
    """
    cache, outcomes = Cache(), dict[int, Outcome]()
    families = [family for jobs_of in _alike(jobs) if (family := _family(jobs, jobs_of, budget, cache)).jobs]
    if not quiet:
        print(describe(families), flush=True)
    for family in families:
        for stack in family.stacks:
            outcomes.update(_train_stack(jobs, stack, cache, halving))
            signal = next((o.signal for o in outcomes.values() if o.signal), None)
            if signal:
                raise SystemExit(128 + signal)
            cache.encoded.clear()
    return outcomes


def describe(families: Sequence[Family]) -> str:
    """The grouping in words: `180 runs -> 1 stack of 180`."""
    sizes = [len(stack) for family in families for stack in family.stacks]
    stacks = Counter(size for size in sizes if size > 1)
    many = [f"{n} stack{'s' * (n > 1)} of {size}" for size, n in sorted(stacks.items(), reverse=True)]
    alone = sizes.count(1)
    parts = [*many, f"{alone} alone"] if alone else many
    lines = [f"{sum(sizes)} run{'s' * (sum(sizes) != 1)} -> {', '.join(parts)}"]
    reasons = Counter({f.alone: 0 for f in families if f.alone})
    for family in families:
        if family.alone:
            reasons[family.alone] += len(family.jobs)
    return "\n".join([*lines, *(f"  {n} alone: {reason}" for reason, n in reasons.items())])


def _alike(jobs: Sequence[Job]) -> list[list[int]]:
    """The positions of jobs whose configs agree in all that a stack has in common."""
    found: dict[str, list[int]] = {}
    for i, job in enumerate(jobs):
        found.setdefault(_common(job.config), []).append(i)
    return list(found.values())


def _common(config: Config) -> str:
    common = {key: value for key, value in to_container(config).items() if key not in _OWN}
    if isinstance(config.optimizer, Rule):
        del common["optimizer"]
    if not isinstance(config.model, models.Module):
        common["model"] = {**common["model"], "dropout": None}
    common["data"] = {**common["data"], "split_seed": None}
    return json.dumps(common, sort_keys=True)


def _family(jobs: Sequence[Job], members: list[int], budget: float | None, cache: Cache) -> Family:
    """Measure and try the first member that can be prepared; those before it have failed and are left out."""
    for position, i in enumerate(members):
        job = jobs[i]
        try:
            device = choose_device(job.config.device)
            setup = prepare(job.config, job.folder, device, cache.load)
        except Exception as error:
            fail(error, job.folder, job.hydra["overrides"]["task"])
            continue
        family = Family(_groups(jobs, members[position:]), planning.refusal(setup))
        if not family.alone:
            memory = free_memory(device) / 2 if budget is None else budget * 2**30
            family.rows = int(max(1, min(MOST, memory // planning.row_bytes(setup), planning.fast_rows(setup, device))))
        return family
    return Family([])


def _groups(jobs: Sequence[Job], members: Sequence[int]) -> list[list[int]]:
    """The members that trained together before, those that go on and have trained alone, and all new ones."""
    found: dict[Any, list[int]] = {}
    for i in members:
        key = stack_of(jobs[i].folder) or (i if jobs[i].going_on else None)
        found.setdefault(key, []).append(i)
    return list(found.values())


def _train_one(job: Job) -> Outcome | None:
    try:
        return train_alone(job)
    except Exception as error:
        fail(error, job.folder, job.hydra["overrides"]["task"])
    return None


def _train_stack(
    jobs: Sequence[Job], members: list[int], cache: Cache, halving: Halving | None
) -> Iterator[tuple[int, Outcome]]:
    """Train the members together, where their data have one shape and their checkpoints one position.

    When that fails, its two halves go on from where they are: so memory that was too small suffices, and an error that
    is one run's own is left with this run.
    """
    if len(members) == 1:
        outcome = _train_one(jobs[members[0]])
        yield from [(members[0], outcome)] if outcome else []
        return
    device = choose_device(jobs[members[0]].config.device)
    groups: dict[Any, list[tuple[int, Start]]] = {}
    unfinished: list[list[int]] = []
    with ExitStack() as locks:
        starts = dict[int, Start]()
        for i in members:
            try:
                locks.enter_context(locked(jobs[i].folder))
                starts[i] = ready(jobs[i], device, cache.load)
            except Exception as error:
                fail(error, jobs[i].folder, jobs[i].hydra["overrides"]["task"])

        def leave_out(i: int, error: Exception) -> None:
            del starts[i]
            fail(error, jobs[i].folder, jobs[i].hydra["overrides"]["task"])

        write_together(lambda i: begin(jobs[i], starts[i]), list(starts), leave_out)
        align(list(starts.values()), halving)
        for i, start in starts.items():
            groups.setdefault((planning.shared(start.setup), start.position), []).append((i, start))
        for group in groups.values():
            order = planning.by_kind([start.setup for _, start in group])
            ordered = [group[k] for k in order]
            try:
                rows = train([start for _, start in ordered], device, halving)
            except Exception as error:
                rest = [i for i, _ in ordered]
                unfinished += [rest[: len(rest) // 2], rest[len(rest) // 2 :]]
                print(f"a stack of {len(rest)} failed, its halves go on ({first_line(error)})", flush=True)
                continue
            for (i, _), row in zip(ordered, rows, strict=True):
                draw(row)
                yield i, Outcome.of(row)
    for half in unfinished:
        going = []
        for i in half:
            outcome = take_up(jobs[i], Place.of(jobs[i].config, jobs[i].folder, i))
            if outcome:
                yield i, outcome
            else:
                going.append(i)
        if going:
            yield from _train_stack(jobs, going, cache, halving)
