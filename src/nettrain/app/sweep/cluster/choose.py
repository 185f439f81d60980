"""Which engine a launcher asks for, and whether it can be had."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nettrain.app.sweep.cluster.driver import Driver
from nettrain.app.sweep.cluster.engine import Engine
from nettrain.errors import ConfigError
from nettrain.wording import did_you_mean

ENGINES = ("ray", "slurm", "local")
PACKAGES = {"ray": ("ray", "Ray"), "slurm": ("submitit", "submitit"), "local": ("submitit", "submitit")}


def choose_driver(launcher: Any, sweep: Path, quiet: bool) -> Driver:
    """What trains the stacks of a sweep in this folder by the engine that its launcher names.

    Raises `ConfigError` where that is not there, or has no worker that is as large as asked for.
    """
    return Driver(_engine(launcher, sweep), sweep, quiet)


def _engine(launcher: Any, sweep: Path) -> Engine:
    name = launcher.cluster
    if name not in ENGINES:
        raise ConfigError(
            f"hydra.launcher.cluster={name}: there is no such cluster; choose from {', '.join(ENGINES)}"
            f"{did_you_mean(str(name), ENGINES)}"
        )
    for key, value, least in [("workers", launcher.workers, 1), ("cores", launcher.cores, 1)]:
        if value is not None and value < least:
            raise ConfigError(f"hydra.launcher.{key}={value}: it must be at least {least}.")
    if launcher.gpus < 0 or (launcher.gpus > 1 and launcher.gpus != int(launcher.gpus)):
        raise ConfigError(
            f"hydra.launcher.gpus={launcher.gpus:g}: it must be a whole number, or the share of one GPU, such as 0.25."
        )
    if launcher.memory is not None and launcher.memory <= 0:
        raise ConfigError(f"hydra.launcher.memory={launcher.memory:g}: it must be above 0.")
    if not isinstance(launcher.slurm, Mapping):
        raise ConfigError(
            f"hydra.launcher.slurm={launcher.slurm}: it must be parameters of submitit's, such as "
            "{partition: gpu, time: 60}."
        )
    if launcher.slurm and name != "slurm":
        raise ConfigError(f"hydra.launcher.slurm: it is for hydra.launcher.cluster=slurm, not for {name}.")
    if launcher.address is not None and name != "ray":
        raise ConfigError(f"hydra.launcher.address: it is for hydra.launcher.cluster=ray, not for {name}.")
    try:
        if name == "ray":
            from nettrain.app.sweep.cluster.ray_engine import Ray

            return Ray(launcher.address, launcher.workers, launcher.cores, launcher.gpus, launcher.memory)
        import submitit  # noqa: F401

        from nettrain.app.sweep.cluster.submitit_engine import Local, Slurm

        asked = launcher.workers, launcher.cores, launcher.gpus, launcher.memory
        return Local(sweep, *asked) if name == "local" else Slurm(sweep, *asked, dict(launcher.slurm))
    except ImportError as error:
        module, title = PACKAGES[name]
        if error.name not in (module, "cloudpickle"):
            raise
        extra = "ray" if name == "ray" else "slurm"
        raise ConfigError(
            f"hydra.launcher.cluster={name}: it requires {title}; pip install 'nettrain[{extra}]'."
        ) from error
