"""A sweep's result: results.csv with a row per run, and the leaderboard that is printed at the end."""

import csv
import io
import json
import math
import statistics
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from nettrain.app.folder import discard
from nettrain.app.messages import tell
from nettrain.errors import Mistake, StorageError
from nettrain.run.files import locked, replace_file

_folder: Path | None = None  # of the sweep that this process runs
_locks = ExitStack()  # on it, until the process ends


@dataclass
class Entry:
    """A run of a sweep: the name of its folder, what it was asked for, and its summary."""

    run: str
    overrides: dict[str, str]
    summary: dict[str, Any]

    @property
    def completed(self) -> bool:
        """Whether the run came to its own end."""
        return bool(self.summary["status"] == "completed")


class SweepFolder(Callback):
    """Hydra's callback that tells where a sweep writes, and keeps other sweeps out of its folder."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        global _folder
        _folder = Path(config.hydra.sweep.dir)
        try:
            _locks.enter_context(locked(_folder))
        except Mistake as mistake:
            sys.exit(tell(mistake))  # Hydra would turn an exception into a warning


def underway() -> bool:
    """Whether this process runs a sweep."""
    return _folder is not None


def finish() -> int:
    """Write the results of the sweep that has run, if there was one; the exit code that its failed runs call for."""
    _locks.close()
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
    print(leaderboard(runs), flush=True)
    print(f"folder       {_folder}", flush=True)
    return max(codes)


def read_runs(folder: Path) -> list[Entry]:
    """The runs of a sweep that have ended, by number."""
    runs = []
    for path in sorted(folder.glob("*/summary.json"), key=lambda path: (len(path.parent.name), path.parent.name)):
        overrides = path.parent / ".hydra" / "overrides.yaml"
        given = list(OmegaConf.load(overrides)) if overrides.exists() else []
        pairs = dict(str(text).lstrip("+~").split("=", 1) for text in given if "=" in str(text))
        runs.append(Entry(path.parent.name, pairs, json.loads(path.read_text())))
    return runs


def write_results(path: Path, runs: list[Entry]) -> None:
    """A row per run; the columns are `run`, all overrides and all entries of the summaries.

    An entry that is named like an override, such as `epochs`, is in the column `summary.epochs`: how many were trained,
    beside how many were asked for.
    """
    asked = _union(run.overrides for run in runs)
    rows = [
        {"run": run.run, **run.overrides}
        | {f"summary.{key}" if key in asked else key: value for key, value in run.summary.items()}
        for run in runs
    ]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["run", *asked, *(key for key in _union(rows) if key not in ("run", *asked))])
    writer.writeheader()
    writer.writerows(rows)
    replace_file(path, text.getvalue().encode())


def leaderboard(runs: list[Entry], most: int = 20) -> str:
    """A table of the sweep's choices, best first: mean and standard deviation over the seeds of each.

    Choices are ranked by the mean of the best validation loss, or of the best training loss where no run has a
    validation split; those with runs that did not complete come last.
    """
    varied = [key for key in _union(run.overrides for run in runs) if key != "seed"]
    keys = [key for key in varied if len({run.overrides.get(key) for run in runs}) > 1]
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for run in runs:
        groups.setdefault(tuple(run.overrides.get(key, "") for key in keys), []).append(run)
    present = _union(run.summary for run in runs)
    loss = next((name for name in ("best_val_loss", "best_train_loss") if name in present), "train_loss")
    measured = [name for name in (loss, "test_accuracy", "test_r2") if name in present]
    ranked = sorted(groups.items(), key=lambda group: (_incomplete(group[1]), _mean(group[1], loss)))
    table = [[*(key.rpartition(".")[2] for key in keys), "runs", "bad", *measured]]
    for choice, group in ranked[:most]:
        numbers = [str(len(group)), str(_incomplete(group)), *(_spread(group, name) for name in measured)]
        table.append([*(value[:24] for value in choice), *numbers])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [f"{len(runs)} runs; mean ± standard deviation over {len(ranked[0][1])} runs of each choice"]
    lines += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    if len(ranked) > most:
        lines.append(f"... and {len(ranked) - most} more in results.csv")
    return "\n".join(lines)


def _union(mappings: Iterable[dict[str, Any]]) -> list[str]:
    """The keys of all mappings, in the order in which they first appear."""
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def _values(group: list[Entry], column: str) -> list[float]:
    return [run.summary[column] for run in group if run.completed and run.summary.get(column) is not None]


def _incomplete(group: list[Entry]) -> int:
    return sum(not run.completed for run in group)


def _mean(group: list[Entry], column: str) -> float:
    values = _values(group, column)
    return statistics.fmean(values) if values else math.inf


def _spread(group: list[Entry], column: str) -> str:
    values = _values(group, column)
    if not values:
        return "-"
    deviation = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.4g}{deviation}"
