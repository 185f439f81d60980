"""What Hydra does around every job, done around the jobs that train together: environment, log and callbacks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log, env_override
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from nettrain.errors import ConfigError

Settings = dict[str, Any]  # Hydra's node of a job as plain containers

_ALONE = "use hydra/launcher=basic, which trains one run after another."


def job_config(launcher: Any, overrides: Sequence[str], number: int, folder: Path | None = None) -> DictConfig:
    """The whole config of a job with Hydra's node, as Hydra composes it; `folder` is where it writes."""
    config: DictConfig = launcher.hydra_context.config_loader.load_sweep_config(launcher.config, list(overrides))
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.job.num, config.hydra.job.id = number, str(number)
        if folder is not None:
            config.hydra.runtime.output_dir = str(folder.absolute())
    return config


@contextmanager
def as_hydra_config(config: DictConfig) -> Iterator[None]:
    """Within it `HydraConfig.get()`, and what takes its value from Hydra's settings, gives those of this config."""
    instance = HydraConfig.instance()
    before = instance.cfg
    instance.set_config(config)
    try:
        yield
    finally:
        instance.cfg = before


def require_common_process(jobs: Sequence[Settings]) -> None:
    """Raise `ConfigError` for what Hydra can do for a job only while that is the only one in the process."""
    for job in jobs:
        if job["job"]["chdir"]:
            raise ConfigError(
                f"hydra.job.chdir=True: runs that train together have one working directory; leave it out, or {_ALONE}"
            )
        if job["job"]["env_set"] != jobs[0]["job"]["env_set"]:
            raise ConfigError(
                f"hydra.job.env_set: runs that train together have one environment, and theirs differ; {_ALONE}"
            )


@contextmanager
def around_jobs(launcher: Any, job: Settings) -> Iterator[None]:
    """Within it the environment and the log are those that a job asks for; the log lies in the sweep's folder."""
    folder = Path(launcher.config.hydra.sweep.dir)
    settings = OmegaConf.create({"hydra": {**job, "runtime": {**job["runtime"], "output_dir": str(folder.absolute())}}})
    configure_log(settings.hydra.job_logging, settings.hydra.verbose)
    with env_override(settings.hydra.job.env_set):
        yield


class JobCallbacks:
    """Tells the user's own callbacks of every job; those of nettrain care for whole sweeps alone."""

    def __init__(self, launcher: Any) -> None:
        self.launcher, self.configs = launcher, dict[int, DictConfig]()
        targets = [callback._target_ for callback in (launcher.config.hydra.callbacks or {}).values()]
        self.needed = any(not target.startswith("nettrain.app.") for target in targets)

    def start(self, i: int, overrides: Sequence[str], number: int, folder: Path) -> None:
        """Job `i` of the launch is about to begin."""
        if self.needed:
            self.configs[i] = job_config(self.launcher, overrides, number, folder)
            folder.mkdir(parents=True, exist_ok=True)
            self._tell("on_job_start", i, task_function=self.launcher.task_function)

    def end(self, i: int, job_return: Any) -> None:
        """Job `i` has ended, with this return."""
        if i in self.configs:
            job_return.hydra_cfg = OmegaConf.create({"hydra": self.configs[i].hydra})
            job_return.cfg = self.configs[i].copy()
            with open_dict(job_return.cfg):
                del job_return.cfg["hydra"]
            self._tell("on_job_end", i, job_return=job_return)

    def _tell(self, event: str, i: int, **arguments: Any) -> None:
        with as_hydra_config(self.configs[i]):
            getattr(self.launcher.hydra_context.callbacks, event)(config=self.configs[i], **arguments)
