"""A sweep's result: results.csv with a row per run, and the leaderboard that is printed at the end."""

import json
import math
import statistics
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

_folder: Path | None = None  # of the sweep that this process runs


class SweepFolder(Callback):
    """Hydra's callback that tells where a sweep writes."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        global _folder
        _folder = Path(config.hydra.sweep.dir)


def finish() -> int:
    """Write the results of the sweep that has run, if there was one; the exit code that its failed runs call for."""
    if _folder is None or not _folder.is_dir():
        return 0
    runs = read_runs(_folder)
    if not runs:
        return 0
    write_results(_folder / "results.csv", runs)
    print(leaderboard(runs), flush=True)
    print(f"folder       {_folder}", flush=True)
    return max((run.get("exit_code", 0) for run in runs), default=0)


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """One dictionary per run of a sweep, by number: its number, its overrides and its summary."""
    runs = []
    for path in sorted(folder.glob("*/summary.json"), key=lambda path: (len(path.parent.name), path.parent.name)):
        overrides = path.parent / ".hydra" / "overrides.yaml"
        given = list(OmegaConf.load(overrides)) if overrides.exists() else []
        pairs = dict(str(text).lstrip("+~").split("=", 1) for text in given if "=" in str(text))
        runs.append({"run": path.parent.name, **pairs, **json.loads(path.read_text())})
    return runs


def write_results(path: Path, runs: list[dict[str, Any]]) -> None:
    """A row per run; the columns are all overrides and all entries of the summaries."""
    import csv

    columns = list(dict.fromkeys(key for run in runs for key in run))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(runs)


def leaderboard(runs: list[dict[str, Any]], most: int = 20) -> str:
    """A table of the sweep's choices, best first: mean and standard deviation over the seeds of each.

    Choices are ranked by the mean of the best validation loss; those with runs that did not complete come last.
    """
    keys = [key for key in _overrides(runs[0]) if len({run.get(key) for run in runs}) > 1]
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault(tuple(str(run.get(key, "")) for key in keys), []).append(run)
    measured = [name for name in ("best_val_loss", "test_accuracy", "test_r2") if any(name in run for run in runs)]
    ranked = sorted(groups.items(), key=lambda group: (_incomplete(group[1]), _mean(group[1], "best_val_loss")))
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


def _overrides(run: dict[str, Any]) -> dict[str, Any]:
    keys = list(run)
    return {key: run[key] for key in keys[1 : keys.index("status")] if key != "seed"}


def _values(group: list[dict[str, Any]], column: str) -> list[float]:
    return [run[column] for run in group if run["status"] == "completed" and run.get(column) is not None]


def _incomplete(group: list[dict[str, Any]]) -> int:
    return sum(run["status"] != "completed" for run in group)


def _mean(group: list[dict[str, Any]], column: str) -> float:
    values = _values(group, column)
    return statistics.fmean(values) if values else math.inf


def _spread(group: list[dict[str, Any]], column: str) -> str:
    values = _values(group, column)
    if not values:
        return "-"
    deviation = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.4g}{deviation}"
