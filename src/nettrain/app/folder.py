"""A run's folder before and after training: claimed once, with the config in it, and taken away if nothing ran."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from nettrain.errors import ConfigError
from nettrain.run.files import replace_file

_RESULTS = ("summary.json", "metrics.csv", "checkpoints")


def claim(folder: Path) -> None:
    """Raise `ConfigError` if the folder holds a run already: its files would be mixed with the new ones."""
    if any((folder / name).exists() for name in _RESULTS):
        raise ConfigError(f"hydra.run.dir={folder}: the folder holds a run already; choose another one.")


def discard(folder: Path) -> None:
    """Remove the folder, and the dates above it, as far as they are empty."""
    for empty in [folder, *folder.parents][:3]:
        try:
            empty.rmdir()
        except OSError:
            return


def save_config(folder: Path, config: dict[str, Any], hydra: DictConfig | None) -> None:
    """Write `.hydra/config.yaml`, from which the run can be repeated, and Hydra's own settings, if given, beside it."""
    replace_file(folder / ".hydra" / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(config)).encode())
    if hydra is None:
        return
    overrides = OmegaConf.to_yaml(OmegaConf.create(list(hydra.overrides.task)))
    replace_file(folder / ".hydra" / "hydra.yaml", OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra})).encode())
    replace_file(folder / ".hydra" / "overrides.yaml", overrides.encode())
