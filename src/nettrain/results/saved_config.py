"""The config that a run has saved, as plain containers."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from nettrain.config.build import place_paths, relative_paths
from nettrain.config.schema import BEFORE, GROUPS
from nettrain.errors import CheckpointError
from nettrain.storage.reading import read_yaml


def read_config(folder: Path) -> dict[str, Any]:
    """The config of the run in the folder as plain containers. Raises `CheckpointError` where there is none."""
    path = folder / ".hydra" / "config.yaml"
    container = read_yaml(path)
    if not isinstance(container, dict):
        raise CheckpointError(f"{path}: not the config of a run.")
    for group, name in BEFORE.items():
        container.setdefault(group, {"name": name})
    for group in GROUPS:
        part = container.get(group)
        if not isinstance(part, dict) or not isinstance(part.get("name", part.get("_target_")), str):
            raise CheckpointError(f"{path}: damaged: it does not say which {group} the run has.")
    config = OmegaConf.create(container)
    if not relative_paths(config):
        return container
    return _placed(config, folder / ".hydra" / "hydra.yaml")


def _placed(config: DictConfig, settings: Path) -> dict[str, Any]:
    """The config of an earlier version, in which paths are those of the working directory that Hydra has noted."""
    hydra: Any = read_yaml(settings, interpolations=True) if settings.is_file() else None
    with suppress(KeyError, TypeError):  # it has not
        place_paths(config, Path(hydra["hydra"]["runtime"]["cwd"]))
    return OmegaConf.to_container(config)  # type: ignore[return-value]
