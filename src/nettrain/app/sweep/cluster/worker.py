"""What a worker does with a stack that it is sent: it trains it as it would be trained here."""

import contextlib
import os
import pickle
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch

from nettrain.app.jobs.folder_match import match_folder
from nettrain.app.jobs.job import Job, Outcome, take_up
from nettrain.app.sweep import sweep
from nettrain.app.sweep.cluster.run_files import Mirror, copy_log, read_files, write_files
from nettrain.app.sweep.cluster.task import Result, SentJob, Shared, Task, paths_of, versions
from nettrain.app.sweep.cluster.worker_process import interruptible, logged, watching
from nettrain.app.sweep.plans import Cache, fail_job
from nettrain.app.sweep.stacks import train_stack
from nettrain.config.own_parts import import_files, load_parts
from nettrain.config.saved_configs import load_configs
from nettrain.config.schema import Config, register
from nettrain.data.files import files_hash, read_elsewhere
from nettrain.errors import DataError, InUseError, Mistake, StorageError
from nettrain.storage.atomic import EVERYWHERE, storage_error
from nettrain.storage.locks import locked
from nettrain.training.progress import listening

LOG = "worker.log"
PATIENCE = 60.0  # seconds in which a worker that is thought to be dead lets its folders go
REPORT = 0.5  # seconds between two reports of how far a stack is

Report = Callable[[Any], None]  # told of epochs, or of files of runs by their numbers


def train_task(
    expected: dict[str, str], content: bytes, shared: bytes | Path, report: Report, of_process: tuple[int, float] | None
) -> Result:
    """Train a stack that was sent; with `of_process`, a number and when it began, only while that process is there."""
    if refusal := other_version(expected):
        return Result(refusal=refusal)
    register()
    with interruptible(), watching(of_process):
        try:
            return _train(content, shared, report)
        except KeyboardInterrupt:
            return Result(interrupted=True)
        except Mistake as mistake:
            return Result(refusal=(mistake.exit_code, str(mistake)))


def other_version(expected: dict[str, str]) -> tuple[int, str] | None:
    """What there is to say where a worker has other versions than the process that has sent it a stack."""
    there = versions()
    different = [
        f"{name} {there[name]} where the sweep has {number}"
        for name, number in expected.items()
        if there[name] != number
    ]
    if not different:
        return None
    result = Result()
    return 2, (
        f"hydra.launcher.cluster: the worker on {result.node} has {', '.join(different)}, which may give other "
        "results; install the same on all of them."
    )


def _train(content: bytes, shared_content: bytes | Path, report: Report) -> Result:
    shared = _read_shared(shared_content)
    task: Task = pickle.loads(content)
    seen = shared.marker.exists()
    if not seen and any(sent.files is None for sent in task.jobs):
        return Result(unseen=True)
    if os.path.isdir(shared.cwd):
        os.chdir(shared.cwd)
    torch.set_num_threads(shared.cores)
    try:
        return _train_here(task, shared, seen, report)
    except StorageError as error:
        if not error.everywhere:
            raise
        return Result(full=str(error), temporary=not seen)
    except OSError as error:  # of a log, or a temporary folder
        if error.errno not in EVERYWHERE:
            raise
        where = Path(error.filename or tempfile.gettempdir())
        return Result(full=str(storage_error(where, error)), temporary=not seen)


def _train_here(task: Task, shared: Shared, seen: bool, report: Report) -> Result:
    """Train a stack in its folders, or where these cannot be seen in temporary ones."""
    with contextlib.ExitStack() as open_:
        place = None
        if not seen:
            place = Path(tempfile.mkdtemp(prefix="nettrain-"))
            open_.callback(shutil.rmtree, place, ignore_errors=True)
        configs = load_configs(sent.config for sent in task.jobs)
        jobs = [_job(sent, config, shared, place) for sent, config in zip(task.jobs, configs, strict=True)]
        numbers = [sent.number for sent in task.jobs]
        folders = dict(zip(numbers, (job.folder for job in jobs), strict=True))
        log = folders[numbers[0]] / LOG
        _require_data(jobs, shared)
        _wait_for(list(folders.values()))
        log.parent.mkdir(parents=True, exist_ok=True)
        if place:
            open_.callback(Mirror(folders, report).close)
        with logged(log) as said:
            result = _outcomes(jobs, numbers, task, shared, report)
        result.printed = "".join(said)
        copy_log(log, list(folders.values()))
        if place:
            result.files = {number: read_files(folder) for number, folder in folders.items()}
            for number, outcome in result.outcomes.items():
                outcome.folder = next(sent.folder for sent in task.jobs if sent.number == number)
        return result


def _outcomes(jobs: list[Job], numbers: list[int], task: Task, shared: Shared, report: Report) -> Result:
    result = Result()
    sweep.take_failures()
    going: list[int] = []
    cache = Cache(shared.handed.load, shared.tables)
    for i, job in enumerate(jobs):
        try:
            taken_up = take_up(job, match_folder(job.config, job.folder, numbers[i]))
        except Exception as error:
            fail_job(job, error)
            continue
        if isinstance(taken_up, Outcome):
            result.outcomes[numbers[i]] = taken_up
        else:
            jobs[i] = taken_up
            going.append(i)
    if going:
        told = _told(report, len(going) if task.whole else 1)
        with listening(told):
            for stack in [going] if task.whole else [[i] for i in going]:
                for i, outcome in train_stack(jobs, stack, cache, task.halving, task.whole):
                    result.outcomes[numbers[i]] = outcome
                    result.interrupted = result.interrupted or outcome.signal is not None
                if result.interrupted:
                    break
    result.codes = sweep.take_failures()
    if not result.interrupted:
        result.failed = [number for number in numbers if number not in result.outcomes]
    return result


def _told(report: Report, rows: int) -> Callable[[int], None]:
    last = 0.0

    def tell(epoch: int) -> None:
        nonlocal last
        if time.monotonic() - last > REPORT:
            last = time.monotonic()
            report(epoch * rows)

    return tell


def _job(sent: SentJob, config: Config, shared: Shared, place: Path | None) -> Job:
    folder = sent.folder
    if place:
        folder = place / str(sent.number) / folder.name
        write_files(folder, sent.files or {})
    return Job(config, folder, sent.hydra, sent.resumed, sweep=sent.sweep, handed=shared.handed)


@lru_cache(maxsize=1)
def _read_shared(content: bytes | Path) -> Shared:
    """What all stacks have in common, read once by a worker; modules of the user's own can be imported then."""
    files, modules, rest = pickle.loads(content if isinstance(content, bytes) else content.read_bytes())
    folder = Path(tempfile.mkdtemp(prefix="nettrain-parts-"))
    for name, source in modules.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(source)
    sys.path.insert(0, str(folder))
    _remove_at_end(folder)
    import_files(files, folder)
    shared: Shared = pickle.loads(rest)
    load_parts([source for source in shared.sources if not source.endswith(".py")])
    return shared


@cache
def _remove_at_end(folder: Path) -> None:
    import atexit

    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _require_data(jobs: list[Job], shared: Shared) -> None:
    """Raise `DataError` where files of the data are not there, or are other ones than those of the sweep."""
    for job in jobs:
        sent = Cache.table_key(job.config.data, job.config.split) in shared.tables
        for path in paths_of(job.config.data, job.config.split):
            expected = shared.hashes.get(path)
            if expected is None or (there := files_hash(path)) == expected:
                continue
            if sent:
                read_elsewhere({path: expected})
                continue
            what = "does not see this file" if there is None else "sees another file there"
            raise DataError(
                f"{path}: the worker on {Result().node} {what}; put it where all workers read it under this path."
            )


def _wait_for(folders: list[Path]) -> None:
    """Wait until nobody uses the folders any more; a worker that is thought to be dead may still be at its end."""
    until = time.monotonic() + PATIENCE
    for folder in folders:
        while folder.exists():
            try:
                with locked(folder):
                    break
            except InUseError:
                if time.monotonic() > until:
                    raise
