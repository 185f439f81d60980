"""One run of the program as one of the processes that torchrun has started."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nettrain.config.build import flat, saved_container
from nettrain.config.overrides import SWEEP_FLAGS
from nettrain.config.scopes import of_all_ranks
from nettrain.errors import ConfigError, DataError
from nettrain.preparation.prepared import PreparedRun
from nettrain.ranks.ranks import ALONE, Ranks
from nettrain.storage.environment import versions
from nettrain.terminal import speak_as
from nettrain.wording import counted

SHOWN = 4  # keys in which ranks differ that a sentence names
FOLLOWER = ("quiet=true", "hydra/job_logging=none")  # what is typed on the command line of one that does not lead


@contextmanager
def taking_part(arguments: Sequence[str]) -> Iterator[tuple[Ranks, list[str]]]:
    """The ranks of which torchrun has started this process as one, alone without torchrun; and the arguments for it.

    What torchrun starts again goes on in the folder that it had; one that does not lead is given the leader's.
    """
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        yield ALONE, list(arguments)
        return
    if os.environ["RANK"] != "0":
        speak_as(f"rank {os.environ['RANK']}")
    from nettrain.ranks.group import Group

    ranks = Group()
    with ranks.underway():
        if flag := next((argument for argument in arguments if argument in SWEEP_FLAGS), None):
            raise ConfigError(
                f"{flag}: torchrun has started {counted(ranks.size, 'rank')}, which share one run; start a sweep "
                "without torchrun."
            )
        if not ranks.leads:
            yield ranks, [*arguments, f"hydra.run.dir={ranks.begin(None)}", *FOLLOWER]
        elif ranks.folder:
            yield ranks, [*arguments, f"hydra.run.dir={ranks.folder}"]
        else:
            yield ranks, list(arguments)


def require_alike(run: PreparedRun, ranks: Ranks) -> None:
    """Raise `ConfigError` or `DataError` unless all ranks have the same config, versions and data."""
    if ranks.size == 1:
        return
    every = ranks.all({"versions": versions(), "config": _config(run), "data": run.data.digest})
    first = every[0]
    for rank, other in enumerate(every[1:], 1):
        if other["versions"] != first["versions"]:
            raise ConfigError(
                f"{_differences(first['versions'], other['versions'], rank)}; install the same versions on every node."
            )
        if other["config"] != first["config"]:
            raise ConfigError(
                f"{_differences(first['config'], other['config'], rank)}; start all {ranks.size} ranks with the same "
                "command."
            )
        if other["data"] != first["data"]:
            raise DataError(
                f"{run.data.table.source}: rank {rank} of {ranks.size} has read other data than rank 0; give every "
                "node the same files."
            )


def _config(run: PreparedRun) -> dict[str, Any]:
    """What of the config has to be the same everywhere; files may lie in other places."""
    values = flat(saved_container(run.config))
    return {key: v for key, v in values.items() if of_all_ranks(key)}


def _differences(one: dict[str, Any], other: dict[str, Any], rank: int) -> str:
    keys: Sequence[str] = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    differ = [f"{key}={other.get(key)} on rank {rank}, {one.get(key)} on rank 0" for key in keys[:SHOWN]]
    return "; ".join(differ) + more
