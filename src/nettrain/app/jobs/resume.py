"""Going on with a run from its last checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from nettrain.config.explain import warn
from nettrain.config.schema import GROUPS, Config, load_config, to_container
from nettrain.errors import CheckpointError, ConfigError, DataError
from nettrain.preparation.prepared import Setup
from nettrain.results.run_folder import Run
from nettrain.storage.files import load_checkpoint, load_newest, replace_by

_FREE = (
    *("epochs", "device", "tensorboard", "quiet", "engine", "figures", "profile"),
    *("resume", "trust", "budget", "checkpoint"),
)


def resumed_config(composed: DictConfig, overrides: Sequence[str]) -> tuple[Config, Path]:
    """The config of the run in the folder `composed.resume`, with the overrides that may change, and that folder.

    Raises `ConfigError` for an override that would make it another run, and `CheckpointError` for no run.
    """
    run = Run(composed.resume, trust=composed.trust)
    run.require_trust()
    saved = run.config
    for override in overrides:
        key = override.lstrip("+").partition("=")[0]
        if key.startswith("hydra"):
            continue
        path = f"{key}.name" if key in GROUPS else key
        given, had = OmegaConf.select(composed, path), OmegaConf.select(saved, path)
        if key.partition(".")[0] in _FREE:
            OmegaConf.update(saved, key, given, force_add=True)
        elif given != had or key == "experiment":
            raise ConfigError(
                f"{override}: resume goes on with the run's own {key}={had}; only {', '.join(_FREE[:5])}, budget.* and "
                "checkpoint.* may change."
            )
    container: dict[str, Any] = OmegaConf.to_container(saved)  # type: ignore[assignment]
    return load_config(container), run.folder


def is_complete(folder: Path, config: Config) -> bool:
    """Whether the run in the folder has ended by itself, and `config` is still the one it ended with."""
    run = Run(folder)
    if not (folder / "summary.json").exists() or run.summary.get("status") != "completed":
        return False
    # a change in these alone trains no further
    passing = ("resume", "quiet", "tensorboard", "figures", "device", "engine", "trust")
    saved, present = dict(run.config), OmegaConf.create(to_container(config))
    return all(saved[key] == present[key] for key in saved if key not in passing)


def last_checkpoint(setup: Setup) -> dict[str, Any] | None:
    """The last checkpoint of the run that `setup` goes on with.

    It is the one before if the last one is damaged, and None if the run ended before it had saved any; it says so.

    Raises `CheckpointError` for a damaged file or one of another model, and `DataError` if the data have changed.
    """
    path = setup.folder / "checkpoints" / "last.pt"
    if not any(path.parent.glob("*.pt")):
        warn(f"{setup.folder}: the run ended before it had saved a checkpoint; it begins again.")
        return None
    last, warning = load_newest(path)
    if warning:
        warn(warning)
    shapes = {name: tensor.shape for name, tensor in setup.model.state_dict().items()}
    missing = {"model", "data"} - last.keys()
    if missing:
        raise CheckpointError(f"{path}: it is no checkpoint of nettrain's, it has no {', '.join(sorted(missing))}.")
    if {name: tensor.shape for name, tensor in last["model"].items()} != shapes:
        raise CheckpointError(f"{path}: it belongs to another model than {setup.config['model']['name']}.")
    if last["data"] != setup.data.digest:
        raise DataError(f"{setup.data.table.source}: the data have changed since the run in {setup.folder} began.")
    return last


def checkpoint_before(folder: Path) -> dict[str, Any] | None:
    """The checkpoint that the run in `folder` saved before its last one; None where there is none that can be read."""
    try:
        return load_checkpoint(folder / "checkpoints" / "previous.pt")
    except CheckpointError:
        return None


def go_back(folder: Path) -> None:
    """Make the checkpoint before the last one the last one: what is recorded may now be taken back to it."""
    replace_by(folder / "checkpoints" / "last.pt", folder / "checkpoints" / "previous.pt")
