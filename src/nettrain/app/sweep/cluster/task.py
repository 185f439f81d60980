"""What travels: a stack to a worker, what all stacks have in common, and what comes back."""

import os
import platform
import socket
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nettrain.app.jobs.job import Job, Outcome
from nettrain.app.sweep.plans import Cache
from nettrain.config.build import load_config, saved_container
from nettrain.config.own_parts import all_files
from nettrain.data.files import files_hash
from nettrain.preparation.prepare import NOTHING, HandedOver
from nettrain.training.engines.choose import Whole
from nettrain.training.successive_halving import SuccessiveHalving

_INSTALLED = tuple({str(Path(path).resolve()) for path in sysconfig.get_paths().values()})
_HERE = Path(__file__).resolve().parents[4]  # where nettrain and its plugins lie


@dataclass(frozen=True)
class SentJob:
    """A job as plain containers; `files` are those of its run's folder, where the worker cannot see it."""

    number: int
    config: dict[str, Any]
    folder: Path
    hydra: dict[str, Any]
    resumed: bool
    sweep: Path | None
    files: dict[str, bytes] | None = None

    @classmethod
    def of(cls, number: int, job: Job, files: dict[str, bytes] | None) -> "SentJob":
        return cls(number, saved_container(job.config), job.folder, job.hydra, job.resumed, job.sweep, files)


@dataclass(frozen=True)
class Task:
    """A stack: its jobs, and the stack of one machine that they are a part of; or, without one, jobs that are alone."""

    jobs: list[SentJob]
    whole: Whole | None
    halving: SuccessiveHalving | None


@dataclass(frozen=True)
class Shared:
    """What all stacks of a sweep have in common, and a worker reads once.

    `marker` is a file in the sweep's folder, by which a worker knows whether it sees the folder; `files` are parts of
    the user's own by where they were found, with the names of their modules; `modules` other files of his by their
    paths for an import; `tables` those that were read already, and `hashes` those of the files of data by their paths.
    """

    marker: Path
    cwd: str
    cores: int
    files: dict[str, tuple[str, bytes]]
    modules: dict[str, bytes]
    sources: list[str]
    hashes: dict[str, str]
    tables: dict[str, Any] = field(default_factory=dict)
    handed: HandedOver = NOTHING


@dataclass
class Result:
    """How a stack has ended: outcomes by the jobs' numbers, the exit codes of those that failed, what was printed.

    `interrupted` where a signal ended it; `refusal` is an exit code and a sentence where nothing could be trained;
    `unseen` where the worker needs the files of the runs, which it cannot see; `full` what was said of a disk that
    takes no file any more, one of the worker's own where its folders were `temporary`. `files` are those of the runs
    that this machine cannot see; `place` is the worker's node by the name that the engine has for it.
    """

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    codes: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    printed: str = ""
    interrupted: bool = False
    refusal: tuple[int, str] | None = None
    unseen: bool = False
    full: str | None = None
    temporary: bool = False
    files: dict[int, dict[str, bytes]] = field(default_factory=dict)
    node: str = field(default_factory=socket.gethostname)
    place: str = ""


def versions() -> dict[str, str]:
    """What has to be the same on a worker."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"nettrain": version("nettrain"), "torch": version("torch"), "Python": python}


def shared_by(jobs: Sequence[Job], marker: Path, cores: int, tables: dict[str, Any] | None) -> Shared:
    """What these jobs have in common; `tables` those that were read already, None where workers read them."""
    files = all_files()
    named = any(job.config.parts for job in jobs) or any("_target_" in str(job.hydra["overrides"]) for job in jobs)
    # Whatever this process has imported may be needed by what a config names.
    modules = own_modules() if named or jobs[0].handed is not NOTHING else {}
    hashes, sent = dict[str, str](), dict[str, Any]()
    for key, job in {Cache.table_key(job.config.data, job.config.split): job for job in jobs}.items():
        there = load_config(saved_container(job.config))  # as workers have it, with paths from the root
        if tables and key in tables:
            sent[Cache.table_key(there.data, there.split)] = tables[key]
        for path in paths_of(there.data, there.split):
            if path not in hashes and (found := files_hash(path)):
                hashes[path] = found
    sources = list(dict.fromkeys(source for job in jobs for source in job.config.parts))
    return Shared(marker, os.getcwd(), cores, files, modules, sources, hashes, sent, jobs[0].handed)


def paths_of(*parts: Any) -> Iterator[str]:
    """The files of data that parts of a config name, which has been saved."""
    for part in parts:
        for item in fields(part):
            path = getattr(part, item.name)
            if item.metadata.get("is_path") and item.name != "folder" and isinstance(path, str):
                yield path


def own_modules() -> dict[str, bytes]:
    """The source files of imported modules that are not installed, by their paths for an import."""
    found: dict[str, bytes] = {}
    for name, module in sorted(sys.modules.items()):
        path = Path(getattr(module, "__file__", None) or "")
        if name.startswith(("nettrain_parts_", "__")) or path.suffix != ".py" or not path.is_file():
            continue
        real = str(path.resolve())
        if real.startswith(_INSTALLED) or real.startswith(str(_HERE)) or "-packages/" in real:
            continue
        place = "/".join(name.split("."))
        found[f"{place}/__init__.py" if path.name == "__init__.py" else f"{place}.py"] = path.read_bytes()
    return found
