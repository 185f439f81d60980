"""nettrain's Hydra plugins. Hydra imports this file at every start, so nothing heavy is imported before it is used."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class StackedLauncherConf:
    """`hydra/launcher=stacked`.

    memory: GiB that a stack of runs may take, null: half of what is free. With a reduction_factor r, only the best 1/r
    of a stack's runs go on after min_epochs, min_epochs r, min_epochs r^2, ... epochs (successive halving).

    cluster: ray, slurm or local (processes of this machine) trains the stacks on workers, each with so many cores, GPUs
    (0.25: four of Ray's workers share one) and memory; null: in this process, or where the machine has several GPUs in
    one for each. workers: how many stacks train at a time, null: what the cluster has room for, and 16 jobs of SLURM.
    address: that of Ray, null: RAY_ADDRESS, without one a Ray of this machine alone. slurm: further parameters of
    submitit's SlurmExecutor, {partition: gpu, time: 60}.
    """

    _target_: str = "hydra_plugins.nettrain.StackedLauncher"
    memory: Optional[float] = None  # noqa: UP045
    reduction_factor: Optional[int] = None  # noqa: UP045
    min_epochs: int = 1
    cluster: Optional[str] = None  # noqa: UP045
    address: Optional[str] = None  # noqa: UP045
    workers: Optional[int] = None  # noqa: UP045
    cores: int = 1
    gpus: float = 0
    slurm: Any = None  # an Optional[dict] that is null takes no other one in Hydra's grammar


class StackedLauncher(BasicLauncher):
    """Trains the runs of a sweep together, as rows of one matrix; other programs' jobs run one after another."""

    def __init__(
        self,
        memory: float | None = None,
        reduction_factor: int | None = None,
        min_epochs: int = 1,
        cluster: str | None = None,
        address: str | None = None,
        workers: int | None = None,
        cores: int = 1,
        gpus: float = 0,
        slurm: Any = None,
    ) -> None:
        super().__init__()
        self.memory = memory
        self.reduction_factor, self.min_epochs = reduction_factor, min_epochs
        self.cluster, self.address, self.workers, self.cores, self.gpus = cluster, address, workers, cores, gpus
        self.slurm = {} if slurm is None else slurm
        self.driver: Any = None  # of the stacks that train elsewhere

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        assert self.task_function is not None
        if not _is_nettrains(self.task_function):
            return super().launch(job_overrides, initial_job_idx)
        from nettrain.app.sweep.launcher import launch

        return launch(self, job_overrides, initial_job_idx)

    def halving(self) -> Any:
        """Successive halving as it was asked for, None if it was not."""
        from nettrain.training.successive_halving import SuccessiveHalving

        return SuccessiveHalving(self.reduction_factor, self.min_epochs) if self.reduction_factor is not None else None

    def use_all_gpus(self) -> None:
        """Train a stack on each GPU of this machine, in a process of its own."""
        self.cluster, self.gpus = "local", 1


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
        from nettrain.app.sweep.grid import jobs, with_recipes

        made = with_recipes(self.launcher, jobs(overrides, self.zip))
        return list(self.split_overrides_to_chunks(made, max_batch_size))

    def sweep(self, arguments: list[str]) -> Any:
        returns = super().sweep(arguments)
        if _is_nettrains(getattr(self.launcher, "task_function", None)):
            from nettrain.app.sweep.sweep import add_failures

            add_failures(itertools.chain(*returns))
        return returns

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        from nettrain.config.compose import Composer

        if not isinstance(self.launcher, StackedLauncher):  # that one composes all jobs before it trains any
            composer = Composer(self.hydra_context.config_loader, self.config)
            for overrides in batch:
                composer.compose(overrides)


@dataclass
class TPESweeperConf:
    """`hydra/sweeper=tpe`: Optuna proposes `batch` of `trials` runs at a time, by tree-structured Parzen estimators.

    `seed` is the sampler's; `params` are keys with what is searched, as on the command line, which wins over them.
    """

    _target_: str = "hydra_plugins.nettrain.SearchSweeper"
    sampler: str = "tpe"
    trials: int = 64
    batch: int = 16
    seed: int = 0
    params: Optional[dict[str, str]] = None  # noqa: UP045


@dataclass
class CMAESSweeperConf(TPESweeperConf):
    """`hydra/sweeper=cmaes`: by CMA-ES."""

    sampler: str = "cmaes"


@dataclass
class RandomSweeperConf(TPESweeperConf):
    """`hydra/sweeper=random`: at random."""

    sampler: str = "random"


class SearchSweeper(Sweeper):
    """Asks Optuna for runs, has the launcher train them, and tells Optuna their best monitored losses."""

    def __init__(self, sampler: str, trials: int, batch: int, seed: int, params: dict[str, str] | None = None) -> None:
        self.sampler, self.trials, self.batch, self.seed = sampler, trials, batch, seed
        self.params = dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from nettrain.app.sweep.search import search

        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides(arguments)
        typed = {override.key_or_group for override in overrides}
        overrides += parser.parse_overrides([f"{k}={v}" for k, v in self.params.items() if k not in typed])
        folder = Path(self.config.hydra.sweep.dir)
        return search(self.launcher, overrides, folder, self.sampler, self.trials, self.batch, self.seed)


def _is_nettrains(task: Any) -> bool:
    return getattr(task, "__module__", None) == "nettrain.app.cli"  # its function, or an object of its class


store = ConfigStore.instance()
store.store(group="hydra/launcher", name="stacked", node=StackedLauncherConf, provider="nettrain")
for name, node in [
    ("grid", GridSweeperConf),
    ("tpe", TPESweeperConf),
    ("cmaes", CMAESSweeperConf),
    ("random", RandomSweeperConf),
]:
    store.store(group="hydra/sweeper", name=name, node=node, provider="nettrain")
