"""Where the runs of a sweep go: into new folders, or to the folder in which the same run was begun before."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nettrain.app.jobs.folder import holds_run
from nettrain.config.schema import Config, to_container

# A change in these is no other run.
_BOOKKEEPING = ("device", "engine", "profile", "tensorboard", "figures", "quiet", "resume", "trust", "checkpoint")


@dataclass
class Place:
    """The folder of a run, and its number in its sweep.

    `begun` if the same run was there before, `ended` if it has ended: completed and diverged runs are not repeated, as
    that would change nothing.
    """

    folder: Path
    number: int
    begun: bool = False
    ended: bool = False

    @classmethod
    def of(cls, config: Config | None, folder: Path, number: int) -> "Place":
        """A place that is chosen already; `begun` if the run there has this config."""
        saved = _saved(folder)
        begun = saved is not None and config is not None and bool({*_keys(saved)} & {_key(to_container(config))})
        return cls(folder, number, begun, begun and has_ended(folder))


def places(configs: Sequence[Config | None], folder: Path, first: int = 0) -> list[Place]:
    """A place for each run of a sweep in `folder`; those that are not there yet are numbered from `first`.

    Runs are known again by their configs, not by their numbers, and no number is given twice. None stands for a run
    whose config is a mistake.
    """
    numbers = sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit() and holds_run(path))
    there: dict[str, list[int]] = {}
    for number in numbers:
        for key in _keys(_saved(folder / str(number))):
            there.setdefault(key, []).append(number)
    taken, known, found = set(numbers), set[int](), list[Place]()
    for position, config in enumerate(configs, first):
        same = there.get(_key(to_container(config)), []) if config else []
        number = next((number for number in same if number not in known), -1)
        if number >= 0:
            known.add(number)
            place = folder / str(number)
            found.append(Place(place, number, True, has_ended(place)))
        else:
            number = position if position not in taken else max(taken) + 1
            taken.add(number)
            found.append(Place(folder / str(number), number))
    return found


def _keys(saved: dict[str, Any] | None) -> list[str]:
    """By what a saved config is known: it names its head even where that was chosen by the data."""
    return [_key(saved), _key({**saved, "head": {"name": "auto"}})] if saved else []


def _key(container: dict[str, Any]) -> str:
    return json.dumps({k: v for k, v in container.items() if k not in _BOOKKEEPING}, sort_keys=True)


def _saved(folder: Path) -> dict[str, Any] | None:
    path = folder / ".hydra" / "config.yaml"
    try:
        container = yaml.load(path.read_text(), yaml.CSafeLoader)
    except (OSError, ValueError, yaml.YAMLError):  # a run that failed before it had a config, or a damaged one
        return None
    return container if isinstance(container, dict) else None


def has_ended(folder: Path) -> bool:
    """Whether the run in the folder has completed or diverged."""
    try:
        return json.loads((folder / "summary.json").read_text())["status"] in ("completed", "diverged")
    except (OSError, ValueError, KeyError):
        return False
