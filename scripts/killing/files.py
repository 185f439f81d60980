"""What a run or a sweep has left: whole files after every kill, and at the end the same bits."""

import csv
import json
import logging
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nettrain.storage.checkpoint_files import load_checkpoint, load_newest

logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it warns of what was taken back


def runs(folder: Path) -> list[Path]:
    """The folders of the runs that have begun: this one, or those of a sweep."""
    return sorted(path.parents[1] for path in folder.rglob(".hydra/config.yaml"))


def check(folder: Path) -> bool:
    """Raise `AssertionError` or `CheckpointError` for a file that is torn or lost; whether a run has a checkpoint."""
    for path in folder.rglob("*.json"):
        json.loads(path.read_text())
    return sum(_check_run(run) for run in runs(folder)) > 0


def _check_run(folder: Path) -> bool:
    table = folder / "metrics.csv"
    lines = table.read_text().splitlines(keepends=True) if table.exists() else []
    if lines and not lines[-1].endswith("\n"):
        lines.pop()  # the kernel may end an append between two pages when the process is killed
    assert all(line.endswith("\n") and line.count(",") == lines[0].count(",") for line in lines), table
    epochs = [int(line.partition(",")[0]) for line in lines[1:]]
    assert epochs == list(range(1, len(epochs) + 1)), epochs
    checkpoints = folder / "checkpoints"
    if (checkpoints / "best.pt").exists():
        load_checkpoint(checkpoints / "best.pt")
    names = [name for name in ("last.pt", "previous.pt") if (checkpoints / name).exists()]
    for name in names:  # not even the newest may be torn
        load_checkpoint(checkpoints / name)
    if not names:
        return False
    last, _ = load_newest(checkpoints / "last.pt")
    assert last["epoch"] <= len(epochs), "rows that the checkpoint has counted are missing"
    return True


def result(folder: Path) -> dict[str, Any]:
    """Everything that a run or a sweep has come to, but its seconds and how it was asked for."""
    left = [str(path) for path in folder.rglob("*.tmp")]
    assert not left, left
    table = folder / "results.csv"
    results = {"results.csv": _without_seconds(table)} if table.exists() else {}
    return {**results, **{str(run.relative_to(folder)): _run_result(run) for run in runs(folder)}}


def _run_result(folder: Path) -> dict[str, Any]:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    checkpoints = {name: load_checkpoint(folder / "checkpoints" / name) for name in ("last.pt", "best.pt")}
    return {
        "metrics.csv": _without_seconds(folder / "metrics.csv"),
        "TensorBoard": [(point.step, point.value) for point in events.Scalars("loss/train")],
        "checkpoints": _plain(checkpoints),
        "summary.json": _plain(json.loads((folder / "summary.json").read_text())),
    }


def _without_seconds(path: Path) -> list[list[str]]:
    header, *rows = list(csv.reader(path.open()))
    kept = [i for i, name in enumerate(header) if name != "seconds"]
    return [[row[i] for i in kept] for row in [header, *rows]]


def _plain(value: Any) -> Any:
    """Values whose equality is that of all bits."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if key not in ("seconds", "config")}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return repr(value)


def difference(one: Any, other: Any, path: str = "") -> str | None:
    """The name of the first thing in which two results differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        found = (difference(one[key], other[key], f"{path}/{key}") for key in one)
        return next((name for name in found if name), None)
    return None if one == other else path or "/"
