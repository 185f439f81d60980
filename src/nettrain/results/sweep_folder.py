"""A sweep's folder, read back; any runs and sweeps side by side; and results.csv, a row per run."""

import csv
import io
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from nettrain.config.scopes import hparams
from nettrain.errors import CheckpointError
from nettrain.results.comparison import Comparison, RunResult, typed, union
from nettrain.results.metrics_table import read_table
from nettrain.results.saved_config import read_config
from nettrain.results.summary import read_summary
from nettrain.storage.atomic import replace_file
from nettrain.storage.reading import read_yaml


class SweepFolder:
    """A sweep, in `folder`: its runs as tables. Raises `CheckpointError` for no sweep."""

    def __init__(self, folder: str | Path, trust: bool = False) -> None:
        self.folder, self.trust = Path(folder), trust
        if not any(self.folder.glob("*/summary.json")):
            hint = "; nettrain.Run reads a run" if (self.folder / "summary.json").is_file() else ""
            raise CheckpointError(f"{self.folder}: no sweep is there (no folder in it has a summary.json){hint}.")

    @cached_property
    def comparison(self) -> Comparison:
        """The runs by their settings, best first."""
        return Comparison(read_results(self.folder))

    @cached_property
    def results(self) -> Any:
        """A pandas table with a row per run, as results.csv; numbers, true, false and null in the overrides are values.

        So `results["optimizer.lr"] == 0.001` finds runs. What is null, or of no run, is missing (`isna`).
        """
        import pandas

        return pandas.DataFrame(_rows(self.comparison.runs, typed))

    @cached_property
    def metrics(self) -> Any:
        """A pandas table with a row per run and epoch: the metrics.csv of all runs, with a column `run`."""
        import pandas

        folders = [(run.name, Path(str(run.folder))) for run in self.comparison.runs]
        tables = [read_table(folder).assign(run=name) for name, folder in folders if (folder / "metrics.csv").exists()]
        return pandas.concat(tables, ignore_index=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r})"


def read_results(folder: Path, damaged: Callable[[CheckpointError], None] | None = None) -> list[RunResult]:
    """The runs of a sweep that have ended, by number.

    One whose files are damaged is handed to `damaged` and left out; without that its `CheckpointError` is raised.
    """
    results = []
    for path in sorted(folder.glob("*/summary.json"), key=lambda path: (len(path.parent.name), path.parent.name)):
        try:
            results.append(read_result(path.parent))
        except CheckpointError as error:
            if damaged is None:
                raise
            damaged(error)
    return results


def read_result(folder: Path) -> RunResult:
    """A run that has ended, from its folder."""
    return RunResult(folder.name, overrides_of_run(folder), read_summary(folder), folder)


def overrides_of_run(folder: Path) -> dict[str, str]:
    """What the run in a folder was asked for, by its keys. Raises `CheckpointError` for a damaged list of that."""
    path = folder / ".hydra" / "overrides.yaml"
    texts = (read_yaml(path) or []) if path.exists() else []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise CheckpointError(f"{path}: damaged: it is not a list of overrides.")
    return dict(text.lstrip("+~").split("=", 1) for text in texts if "=" in text)


def write_results(path: Path, runs: list[RunResult]) -> None:
    """A row per run; the columns are `run`, all overrides and all entries of the summaries.

    An entry that is named like an override, such as `epochs`, is in the column `summary.epochs`: how many were trained,
    beside how many were asked for.
    """
    asked, rows = union(run.overrides for run in runs), _rows(runs, str)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["run", *asked, *(key for key in union(rows) if key not in ("run", *asked))])
    writer.writeheader()
    writer.writerows(rows)
    replace_file(path, text.getvalue().encode())


def _rows(runs: Sequence[RunResult], value_of: Callable[[str], Any]) -> list[dict[str, Any]]:
    asked = union(run.overrides for run in runs)
    return [
        {"run": run.name, **{key: value_of(text) for key, text in run.overrides.items()}}
        | {f"summary.{key}" if key in asked else key: value for key, value in run.summary.items()}
        for run in runs
    ]


def gather(folders: Sequence[Path]) -> Comparison:
    """The runs in some folders, each that of a run or of a sweep, compared by what their configs differ in.

    Raises `CheckpointError` for a folder that holds neither.
    """
    runs: list[RunResult] = []
    for folder in folders:
        if (folder / "summary.json").is_file():
            there = [read_result(folder)]
        elif not (there := read_results(folder)):
            raise CheckpointError(f"{folder}: there is no run or sweep that has ended.")
        runs += [RunResult(str(run.folder), run.overrides, run.summary, run.folder) for run in there]
    if len(folders) > 1:
        for run, overrides in zip(runs, _differing([_settings(run) for run in runs]), strict=True):
            run.overrides = overrides
    return Comparison(runs)


def _settings(run: RunResult) -> dict[str, str]:
    """The whole config of a run as flat keys; what it was asked for, if it failed before it had one."""
    folder = Path(str(run.folder))
    if not (folder / ".hydra" / "config.yaml").exists():
        return run.overrides
    return {key: str(value) for key, value in hparams(read_config(folder)).items()}


def _differing(configs: list[dict[str, str]]) -> list[dict[str, str]]:
    """The keys in which configs differ, and their seeds; what follows from the choice of a part is left out.

    That is, if every run with the same optimizer has the same `optimizer.lr`, the optimizer says it all.
    """
    differing: list[str] = []
    for key in sorted(union(configs), key=lambda key: ("." in key, key != "data")):
        values = [config.get(key) for config in configs]
        if len(set(values)) == 1 or key == "seed":
            continue
        part = key.partition(".")[0]
        pairs = {(config.get(part), config.get(key)) for config in configs}
        if part == key or part not in differing or len(pairs) > len({name for name, _ in pairs}):
            differing.append(key)
    return [{key: config[key] for key in [*differing, "seed"] if key in config} for config in configs]
