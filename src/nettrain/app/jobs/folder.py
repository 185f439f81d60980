"""A run's folder before and after training: claimed once, with the config in it, and taken away if nothing ran."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from nettrain.config.own_parts import copies
from nettrain.errors import ConfigError
from nettrain.storage.atomic import remove_file, replace_file
from nettrain.storage.locks import remove_empty
from nettrain.storage.yaml_text import yaml_text

_RESULTS = ("summary.json", "metrics.csv", "checkpoints")
_CHECKPOINTS = ("best.pt", "last.pt", "previous.pt")
_made: list[Path] = []  # the folders that were not there before this process


class MadeFolders(Callback):
    """Hydra's callback that notes which folders Hydra is about to make; `discard` leaves all others alone."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        _made[:] = missing(Path(config.hydra.run.dir))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _made[:] = missing(Path(config.hydra.sweep.dir))


def missing(folder: Path) -> list[Path]:
    """Which of a folder and those above it are not there yet."""
    folder = folder.absolute()
    return [path for path in [folder, *folder.parents] if not path.exists()]


def holds_run(folder: Path) -> bool:
    """Whether the folder holds a run, finished or not."""
    return any((folder / name).exists() for name in _RESULTS)


def claim(folder: Path) -> None:
    """Raise `ConfigError` if the folder holds a run already: its files would be mixed with the new ones."""
    if holds_run(folder):
        raise ConfigError(f"hydra.run.dir={folder}: the folder already holds a run; choose another one.")


def discard(folder: Path, made: Sequence[Path] | None = None) -> None:
    """Of the folder and those above it, remove those that were `made` for it, by default Hydra's, as far as empty.

    One that another run is using stays, and so does one that was there before.
    """
    folder, made = folder.absolute(), _made if made is None else made
    for empty in [path for path in (folder, *folder.parents) if path in made]:
        if not remove_empty(empty):
            return


def clear(folder: Path) -> None:
    """Remove what a run has written, for one that is to begin anew in its folder, which is locked."""
    # Without its checkpoints the run is one that begins anew, whatever else there is: best.pt goes before the others.
    names = [f"checkpoints/{name}" for name in _CHECKPOINTS]
    events = [path.name for path in folder.glob("events.out.tfevents.*")]
    for name in [*names, *events, "summary.json", "metrics.csv", "error.txt"]:
        remove_file(folder / name)
    remove_empty(folder / "checkpoints")


def hydra_settings(node: DictConfig) -> dict[str, Any]:
    """Hydra's own node as plain containers, its interpolations as they stand."""
    settings: dict[str, Any] = OmegaConf.to_container(node, enum_to_str=True)  # type: ignore[assignment]
    return settings


def save_config(folder: Path, config: str, hydra: dict[str, Any] | None) -> None:
    """Write `.hydra/config.yaml`, from which the run can be repeated, and Hydra's own settings, if given, beside it."""
    replace_file(folder / ".hydra" / "config.yaml", config.encode())
    if hydra is not None:
        replace_file(folder / ".hydra" / "hydra.yaml", yaml_text({"hydra": hydra}).encode(), durable=False)
        save_overrides(folder, hydra["overrides"]["task"])


def save_parts(folder: Path, sources: Sequence[str]) -> None:
    """Keep copies of the files with parts of the user's own, without which the run cannot be read."""
    for name, content in copies(sources).items():
        replace_file(folder / ".hydra" / name, content)


def save_overrides(folder: Path, overrides: list[str]) -> None:
    """Write `.hydra/overrides.yaml`, what the run was asked for."""
    replace_file(folder / ".hydra" / "overrides.yaml", yaml_text(overrides).encode(), durable=False)
