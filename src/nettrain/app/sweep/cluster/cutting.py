"""How a sweep is cut into stacks for workers: of about the same work each, and none larger than a worker's memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nettrain.app.jobs.job import Job
from nettrain.app.sweep.plans import StackPlan
from nettrain.config.schema import Config
from nettrain.config.scopes import shared_by_rows
from nettrain.training.engines.choose import Whole
from nettrain.training.stack.rule_groups import kind

OVERHEAD = 20_000  # multiplications that take as long as an update of a row costs beside them
LEAST = 2  # rows of a part of a stack: torch multiplies the matrices of a single one by another function


@dataclass
class Piece:
    """Jobs that a worker trains together, by their positions, and the stack of one machine that they are a part of;
    or, without one, jobs that train alone, one after another.

    `deaths` of workers may be its fault, `losses` cannot; `avoided` are nodes that have no room for its files, and
    `unseen` says that workers do not see the folders.
    """

    jobs: list[int]
    whole: Whole | None
    deaths: int = 0
    losses: int = 0
    avoided: list[str] = field(default_factory=list)
    unseen: bool = False

    def of(self, jobs: Sequence[int], **changes: Any) -> "Piece":
        """Some of its jobs."""
        return replace(self, jobs=list(jobs), avoided=list(self.avoided), **changes)


def cut(
    plans: Sequence[StackPlan], jobs: Sequence[Job], ended: Sequence[Config], workers: int, halving: bool
) -> list[Piece]:
    """The stacks that so many workers train, the ones with the most work first.

    Rows compute as those of the stack that one machine would train, of which those that have `ended` are a part. With
    `halving`, which compares the rows of a stack, where rows have trained together before, and where bits would change,
    stacks are not cut.
    """
    work = {i: _work(jobs[i], plan) for plan in plans for i in plan.jobs}
    share = sum(work.values()) / workers
    of_ended: dict[str, list[Config]] = {}
    for config in ended:
        of_ended.setdefault(shared_by_rows(config), []).append(config)
    pieces: list[Piece] = []
    for plan in plans:
        configs = of_ended.get(shared_by_rows(jobs[plan.jobs[0]].config), []) if ended else []
        # What trains alone does so one after another, as many as are the share of a worker.
        for stack in [plan.jobs] if plan.rows == 1 else plan.stacks:
            whole = _whole(plan, [jobs[i].config for i in stack], configs)
            going = any(jobs[i].resumed for i in stack)
            count = (
                1 if whole and (halving or going or not plan.divisible) else round(sum(work[i] for i in stack) / share)
            )
            most = len(stack) // LEAST if whole else len(stack)
            pieces += [Piece(part, whole) for part in _parts(stack, work, max(1, min(count, most)))]
    return sorted(pieces, key=lambda piece: -sum(work[i] for i in piece.jobs))


def _work(job: Job, plan: StackPlan) -> float:
    """What training a run costs, in multiplications."""
    return float(job.config.epochs * plan.updates * (plan.multiplications + OVERHEAD))


def _whole(plan: StackPlan, configs: Sequence[Config], ended: Sequence[Config]) -> Whole | None:
    """The stack that one machine would make of these runs and those that have ended; None for runs that are alone."""
    count = len(configs) + len(ended)
    rows = -(-count // -(-count // plan.rows))
    if plan.alone or rows == 1:
        return None
    together = [*configs, *ended]
    epochs = max(config.epochs for config in together)
    return Whole(rows, len({str(kind(config.optimizer)) for config in together}), epochs * plan.updates)


def _parts(stack: Sequence[int], work: dict[int, float], count: int) -> list[list[int]]:
    """The stack cut into so many parts of about the same work, each with as many rows as the least may have."""
    least = min(LEAST, len(stack) // count)
    parts: list[list[int]] = []
    total, done, start = sum(work[i] for i in stack), 0.0, 0
    for position, i in enumerate(stack):
        done += work[i]
        rows, rows_left, parts_left = position + 1 - start, len(stack) - position - 1, count - len(parts) - 1
        due = done >= total * (len(parts) + 1) / count - 1e-9
        if parts_left and rows >= least and (due or rows_left < (parts_left + 1) * least):
            parts.append(list(stack[start : position + 1]))
            start = position + 1
    return [*parts, list(stack[start:])]
