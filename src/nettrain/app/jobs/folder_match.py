"""Where the runs of a sweep go: into new folders, or to the folder in which the same run was begun before."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nettrain.app.jobs.folder import holds_run
from nettrain.config.build import saved_container
from nettrain.config.schema import Config
from nettrain.config.scopes import identity
from nettrain.errors import CheckpointError
from nettrain.results.saved_config import read_config
from nettrain.results.summary import read_summary


@dataclass
class FolderMatch:
    """The folder of a run, and its number in its sweep.

    `begun` if the same run was there before, `ended` if it has ended: completed and diverged runs are not repeated, as
    that would change nothing.
    """

    folder: Path
    number: int
    begun: bool = False
    ended: bool = False


def match_folder(config: Config | None, folder: Path, number: int) -> FolderMatch:
    """A folder that is chosen already; `begun` if the run there has this config."""
    saved = _saved_config(folder)
    begun = saved is not None and config is not None and identity(saved_container(config)) in _identities(saved)
    return FolderMatch(folder, number, begun, begun and has_ended(folder))


def match_folders(configs: Sequence[Config | None], folder: Path, first: int = 0) -> list[FolderMatch]:
    """A folder for each run of a sweep in `folder`; those that are not there yet are numbered from `first`.

    Runs are known again by their configs, not by their numbers, and no number is given twice. None stands for a run
    whose config is a mistake.
    """
    numbers = sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit() and holds_run(path))
    there: dict[str, deque[int]] = {}
    for number in numbers:
        for name in _identities(_saved_config(folder / str(number))):
            there.setdefault(name, deque()).append(number)
    taken, matched, matches = set(numbers), set[int](), list[FolderMatch]()
    last = max(taken, default=-1)
    for position, config in enumerate(configs, first):
        same = there.get(identity(saved_container(config)), deque()) if config and there else deque[int]()
        while same and same[0] in matched:  # by another name of the same run
            same.popleft()
        if same:
            number = same.popleft()
            matched.add(number)
            run_folder = folder / str(number)
            matches.append(FolderMatch(run_folder, number, True, has_ended(run_folder)))
        else:
            number = position if position not in taken else last + 1
            last = max(last, number)
            taken.add(number)
            matches.append(FolderMatch(folder / str(number), number))
    return matches


def _identities(saved: dict[str, Any] | None) -> list[str]:
    """By what a saved config is known: it names its head even where that was chosen by the data."""
    return [identity(saved), identity({**saved, "head": {"name": "auto"}})] if saved else []


def _saved_config(folder: Path) -> dict[str, Any] | None:
    try:
        return read_config(folder)
    except CheckpointError:  # a run that failed before it had a config, or a damaged one
        return None


def has_ended(folder: Path) -> bool:
    """Whether the run in the folder has completed or diverged."""
    try:
        return read_summary(folder)["status"] in ("completed", "diverged")
    except CheckpointError:
        return False
