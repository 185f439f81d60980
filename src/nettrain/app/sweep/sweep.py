"""A sweep's result: results.csv with a row per run, and the leaderboard that is printed at the end."""

import csv
import io
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from nettrain.app.jobs.folder import discard
from nettrain.app.sweep import workers
from nettrain.config.explain import tell
from nettrain.errors import Mistake, StorageError
from nettrain.results.comparison import Comparison, Entry, counted, union
from nettrain.storage.files import locked, replace_file
from nettrain.terminal import painted

REPORT = "report.html"
_folder: Path | None = None  # of the sweep that this process runs
_drawn = False  # whether its report is to be drawn
_open = ExitStack()  # its lock, and what becomes of signals, until it ends


class SweepFolder(Callback):
    """Hydra's callback that tells where a sweep writes, and keeps other sweeps out of its folder."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        global _folder, _drawn
        _folder, _drawn = Path(config.hydra.sweep.dir), config.figures != "never"
        try:
            _open.enter_context(locked(_folder))
        except Mistake as mistake:
            sys.exit(tell(mistake))  # Hydra would turn an exception into a warning
        if "joblib" in config.hydra.launcher._target_:
            _open.enter_context(workers.passing_signals_on())


def underway() -> Path | None:
    """The folder of the sweep that this process runs, if it runs one."""
    return _folder


def finish() -> int:
    """Write the results of the sweep that has run, if there was one; the exit code that its failed runs call for."""
    _open.close()
    if _folder is None or not _folder.is_dir():
        return 0
    runs = read_runs(_folder)
    if not runs:
        if {path.name for path in _folder.iterdir()} <= {"multirun.yaml"}:  # no job could be composed
            (_folder / "multirun.yaml").unlink(missing_ok=True)
            discard(_folder)
        return 0
    codes = [run.summary.get("exit_code", 0) for run in runs]
    try:
        write_results(_folder / "results.csv", runs)
    except StorageError as error:
        codes.append(tell(error))
    comparison = Comparison(runs)
    print(leaderboard(comparison), flush=True)
    print(f"folder       {_folder}", flush=True)
    if _drawn:
        try:
            report_sweep(_folder, comparison)
        except StorageError as error:
            codes.append(tell(error))
        else:
            print(f"report       {_folder / REPORT}", flush=True)
    return max(codes)


def read_runs(folder: Path) -> list[Entry]:
    """The runs of a sweep that have ended, by number."""
    paths = sorted(folder.glob("*/summary.json"), key=lambda path: (len(path.parent.name), path.parent.name))
    return [read_entry(path.parent) for path in paths]


def read_entry(folder: Path) -> Entry:
    """A run that has ended, from its folder."""
    overrides = folder / ".hydra" / "overrides.yaml"
    given = yaml.load(overrides.read_text(), yaml.CSafeLoader) if overrides.exists() else []
    pairs = dict(str(text).lstrip("+~").split("=", 1) for text in given if "=" in str(text))
    return Entry(folder.name, pairs, json.loads((folder / "summary.json").read_text()), folder)


def report_sweep(folder: Path, comparison: Comparison) -> None:
    """Write report.html and figures/*.png into the sweep's folder."""
    from nettrain.report.write import report_runs

    report_runs(comparison, f"Sweep {folder}", folder / REPORT, folder / "figures")


def write_results(path: Path, runs: list[Entry]) -> None:
    """A row per run; the columns are `run`, all overrides and all entries of the summaries.

    An entry that is named like an override, such as `epochs`, is in the column `summary.epochs`: how many were trained,
    beside how many were asked for.
    """
    asked = union(run.overrides for run in runs)
    rows = [
        {"run": run.run, **run.overrides}
        | {f"summary.{key}" if key in asked else key: value for key, value in run.summary.items()}
        for run in runs
    ]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["run", *asked, *(key for key in union(rows) if key not in ("run", *asked))])
    writer.writeheader()
    writer.writerows(rows)
    replace_file(path, text.getvalue().encode())


def leaderboard(comparison: Comparison, most: int = 20, width: int = 80) -> str:
    """A table of the sweep's choices, best first, in `width` columns: mean and standard deviation over the seeds."""
    keys, measured = comparison.keys, comparison.measured
    table = [[*(key.rpartition(".")[2] for key in keys), "runs", "bad", *measured]]
    for choice in comparison.choices[:most]:
        numbers = [str(len(choice.runs)), str(choice.incomplete), *(choice.spread(name) for name in measured)]
        table.append([*comparison.shown(choice), *numbers])
    columns = _fitted([list(column) for column in zip(*table, strict=True)], len(keys), width)
    runs, choices = len(comparison.runs), comparison.choices
    header, best, *others = ["  ".join(row) for row in zip(*columns, strict=True)]
    sizes = sorted({len(choice.runs) for choice in choices})
    each = counted(sizes[0], "run") if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} runs"
    lines = [f"{counted(runs, 'run')}; mean ± standard deviation over {each} of each choice"]
    lines += [painted(header, "bold"), painted(best, "green"), *others]
    if len(choices) > most:
        lines.append(f"... and {len(choices) - most} more in results.csv")
    return "\n".join(lines)


def _fitted(columns: list[list[str]], keys: int, width: int) -> list[list[str]]:
    """The columns, aligned to the right; the widest of the first `keys` are shortened until all fit."""
    widths = [max(map(len, column)) for column in columns]
    while sum(widths) + 2 * (len(widths) - 1) > width and (widest := max(widths[:keys], default=0)) > 4:
        widths[widths.index(widest)] -= 1
    return [[_cell(cell, w) for cell in column] for column, w in zip(columns, widths, strict=True)]


def _cell(text: str, width: int) -> str:
    return text.rjust(width) if len(text) <= width else f"{text[: width - 1]}…"
