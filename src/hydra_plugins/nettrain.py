"""nettrain's Hydra plugins. Hydra imports this file at every start, so nothing heavy is imported before it is used."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn


@dataclass
class StackedLauncherConf:
    """`hydra/launcher=stacked`; memory: GiB that a stack of runs may take, null: half of what is free."""

    _target_: str = "hydra_plugins.nettrain.StackedLauncher"
    memory: Optional[float] = None  # noqa: UP045


class StackedLauncher(BasicLauncher):
    """Trains the runs of a sweep together, as rows of one matrix; other programs' jobs run one after another."""

    def __init__(self, memory: float | None = None) -> None:
        super().__init__()
        self.memory = memory

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        assert self.task_function is not None
        if not _is_nettrains(self.task_function):
            return super().launch(job_overrides, initial_job_idx)
        from nettrain.app.launching import launch

        return launch(self, job_overrides, initial_job_idx)


@dataclass
class GridSweeperConf:
    """`hydra/sweeper=grid`: as Hydra's basic sweeper, but the keys in `zip` vary together instead of as a product."""

    _target_: str = "hydra_plugins.nettrain.GridSweeper"
    max_batch_size: Optional[int] = None  # noqa: UP045
    params: Optional[dict[str, str]] = None  # noqa: UP045
    zip: Optional[list[str]] = None  # noqa: UP045


class GridSweeper(BasicSweeper):
    """Hydra's basic sweeper with pairs, and without composing every job a second time."""

    def __init__(
        self, max_batch_size: int | None = None, params: dict[str, str] | None = None, zip: list[str] | None = None
    ) -> None:
        super().__init__(max_batch_size, params)
        self.zip = list(zip or [])

    def split_arguments(self, overrides: list[Override], max_batch_size: int | None) -> list[list[list[str]]]:
        from nettrain.app.grid import jobs

        made = jobs(overrides, self.zip)
        return list(self.split_overrides_to_chunks(made, max_batch_size))

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        from nettrain.app.composition import Composer

        if not isinstance(self.launcher, StackedLauncher):  # that one composes all jobs before it trains any
            composer = Composer(self.hydra_context.config_loader, self.config)
            for overrides in batch:
                composer.compose(overrides)


def _is_nettrains(task: Any) -> bool:
    return bool(task.__module__ == "nettrain.app.cli")


store = ConfigStore.instance()
store.store(group="hydra/launcher", name="stacked", node=StackedLauncherConf, provider="nettrain")
store.store(group="hydra/sweeper", name="grid", node=GridSweeperConf, provider="nettrain")
