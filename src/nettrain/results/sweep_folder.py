"""`Sweep`: the runs of a sweep, read back; and any runs or sweeps side by side."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from nettrain.app.sweep.sweep import read_entry, read_runs
from nettrain.errors import CheckpointError, ConfigError
from nettrain.preparation.prepare import hparams
from nettrain.report import html as page
from nettrain.report.prediction_figures import Picture
from nettrain.report.run_figures import find
from nettrain.report.sweep_figures import heat_map, sweep_pictures
from nettrain.results.comparison import Comparison, Entry, union
from nettrain.results.run_folder import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Sweep:
    """A sweep, in `folder`: its runs as tables, figures and `Run`s. Raises `CheckpointError` for no sweep."""

    def __init__(self, folder: str | Path, trust: bool = False) -> None:
        self.folder, self.trust = Path(folder), trust
        if not any(self.folder.glob("*/summary.json")):
            hint = "; nettrain.Run reads a run" if (self.folder / "summary.json").is_file() else ""
            raise CheckpointError(f"{self.folder}: no sweep is there (no folder in it has a summary.json){hint}.")

    @cached_property
    def comparison(self) -> Comparison:
        """The runs by their choices, best first."""
        return Comparison(read_runs(self.folder))

    @cached_property
    def runs(self) -> list[Run]:
        """The runs that have ended, by number."""
        return [Run(entry.folder, self.trust) for entry in self.comparison.runs if entry.folder is not None]

    @cached_property
    def results(self) -> Any:
        """A pandas table with a row per run: its number, its overrides and its summary."""
        import pandas

        rows = [{"run": entry.run, **entry.overrides, **entry.summary} for entry in self.comparison.runs]
        return pandas.DataFrame(rows)

    @cached_property
    def metrics(self) -> Any:
        """A pandas table with a row per run and epoch: the metrics.csv of all runs, with a column `run`."""
        import pandas

        tables = [(entry.run, Path(str(entry.folder)) / "metrics.csv") for entry in self.comparison.runs]
        read = [pandas.read_csv(path).assign(run=run) for run, path in tables if path.exists()]
        return pandas.concat(read, ignore_index=True)

    @property
    def figures(self) -> list[str]:
        """The names of all figures that can be drawn."""
        return [picture.name for picture in self._pictures]

    def plot(self, name: str = "curves") -> "Figure":
        """The figure of this name, one of `figures`."""
        return find(self._pictures, name).draw()

    def heat_map(self, x: str, y: str) -> "Figure":
        """The median result over any two keys, such as `optimizer.lr` and `bs`; `ConfigError` for one of no run's."""
        for key in (x, y):
            known = union(run.overrides for run in self.comparison.runs)
            if key not in known:
                raise ConfigError(f"{key}: no run of the sweep was given it; known are {', '.join(known)}.")
        return heat_map(self.comparison, x, y)

    @cached_property
    def _pictures(self) -> list[Picture]:
        return sweep_pictures(self.comparison)

    def __repr__(self) -> str:
        return f"Sweep({str(self.folder)!r})"

    def _repr_html_(self) -> str:
        return page.fragment([page.leaderboard_section(self.comparison)])


def gather(folders: Sequence[Path]) -> Comparison:
    """The runs in some folders, each that of a run or of a sweep, compared by what their configs differ in.

    Raises `CheckpointError` for a folder that holds neither.
    """
    entries: list[Entry] = []
    for folder in folders:
        if (folder / "summary.json").is_file():
            found = [read_entry(folder)]
        elif not (found := read_runs(folder)):
            raise CheckpointError(f"{folder}: no run and no sweep that has ended is there.")
        entries += [Entry(str(entry.folder), entry.overrides, entry.summary, entry.folder) for entry in found]
    if len(folders) > 1:
        for entry, given in zip(entries, _differing([_choices(entry) for entry in entries]), strict=True):
            entry.overrides = given
    return Comparison(entries)


def _choices(entry: Entry) -> dict[str, str]:
    """The whole config of a run as flat keys; what it was asked for, if it failed before it had one."""
    path = Path(str(entry.folder)) / ".hydra" / "config.yaml"
    if not path.exists():
        return entry.overrides
    return {key: str(value) for key, value in hparams(yaml.load(path.read_text(), yaml.CSafeLoader)).items()}


def _differing(configs: list[dict[str, str]]) -> list[dict[str, str]]:
    """The keys in which configs differ, and their seeds; what follows from the choice of a part is left out.

    That is, if every run with the same optimizer has the same `optimizer.lr`, the optimizer says it all.
    """
    kept: list[str] = []
    for key in sorted(union(configs), key=lambda key: ("." in key, key != "data")):
        values = [config.get(key) for config in configs]
        if len(set(values)) == 1 or key == "seed":
            continue
        given = [[config.get(part) for config in configs] for part in kept if "." not in part]
        if not any(len(set(zip(parts, values, strict=True))) == len(set(parts)) for parts in given):
            kept.append(key)
    return [{key: config[key] for key in [*kept, "seed"] if key in config} for config in configs]
