"""The runs of a sweep trained as stacks, and what becomes of each."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from nettrain.app.jobs.draw import draw
from nettrain.app.jobs.folder import clear
from nettrain.app.jobs.folder_match import match_folder
from nettrain.app.jobs.job import (
    Job,
    Outcome,
    Start,
    align,
    ready,
    record_start,
    take_up,
    train,
    train_alone,
)
from nettrain.app.sweep.plans import Cache, describe, fail_job, plan_stacks
from nettrain.errors import Mistake, StorageError, first_line
from nettrain.storage.atomic import write_together
from nettrain.storage.locks import locked
from nettrain.terminal import say
from nettrain.training.device import choose_device
from nettrain.training.engines.choose import Whole
from nettrain.training.run_state import RunState
from nettrain.training.stack.compatibility import by_kind, shared_shapes
from nettrain.training.successive_halving import SuccessiveHalving


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
    plans = plan_stacks(jobs, budget, halving, cache)
    if not quiet and plans:
        say(describe(plans))
    for plan in plans:
        for stack in plan.stacks:
            outcomes.update(train_stack(jobs, stack, cache, halving))
            signal = next((o.signal for o in outcomes.values() if o.signal), None)
            if signal:
                raise SystemExit(128 + signal)
            cache.encoded.clear()
    return outcomes


def train_stack(
    jobs: Sequence[Job],
    members: list[int],
    cache: Cache,
    halving: SuccessiveHalving | None,
    whole: Whole | None = None,
) -> Iterator[tuple[int, Outcome]]:
    """Train the members together, where their data have one shape and their checkpoints one position.

    `whole` is the stack of which others train elsewhere.

    When that fails, its two halves go on from where they are: so memory that was too small suffices, and an error that
    is one run's own is left with this run.
    """
    if len(members) == 1 and whole is None:
        (i,) = members
        try:
            yield i, train_alone(jobs[i], cache.load)
        except Exception as error:
            fail_job(jobs[i], error)
        return
    device = choose_device(jobs[members[0]].config.device)
    unfinished: list[list[int]] = []
    with ExitStack() as locks:
        starts = dict[int, Start]()
        for i in members:
            try:
                locks.enter_context(locked(jobs[i].folder))
            except Mistake as error:
                fail_job(jobs[i], error)
                continue
            try:
                if jobs[i].anew:
                    clear(jobs[i].folder)
                starts[i] = ready(jobs[i], device, cache.load)
            except Exception as error:
                fail_job(jobs[i], error, holding=True)

        def leave_out(i: int, error: Exception) -> None:
            del starts[i]
            fail_job(jobs[i], error, holding=True)

        write_together(lambda i: record_start(jobs[i], starts[i]), list(starts), leave_out)
        align(list(starts.values()), halving)
        for together in _same_shapes(starts):

            def failed(row: RunState, together: list[int] = together) -> None:
                i = next(i for i in together if starts[i].run is row.run)
                assert row.error is not None
                fail_job(jobs[i], row.error, holding=True)

            try:
                rows = train([starts[i] for i in together], device, halving, failed=failed, whole=whole)
            except Exception as error:
                if isinstance(error, StorageError) and error.everywhere:
                    raise
                if len(together) == 1 and whole:
                    leave_out(together[0], error)
                    continue
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
                    fail_job(jobs[i], error, holding=True)
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
            yield from train_stack(all_jobs, going, cache, halving, whole)


def _same_shapes(starts: dict[int, Start]) -> list[list[int]]:
    """Who can train with whom, in the order in which a stack holds them."""
    alike: dict[Any, list[int]] = {}
    for i, start in starts.items():
        alike.setdefault((shared_shapes(start.run), start.position), []).append(i)
    return [[group[k] for k in by_kind([starts[i].run for i in group])] for group in alike.values()]
