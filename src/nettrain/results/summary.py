"""summary.json, read back: how a run has ended, checked before anything is done with it."""

import math
from pathlib import Path
from typing import Any

from nettrain.data.splits import monitored_split
from nettrain.errors import CheckpointError
from nettrain.storage.reading import read_json, shown
from nettrain.training.checkpoint_schema import STATUSES

_COUNTS = (
    *("epochs", "updates", "updates_per_epoch", "function_evaluations", "gradient_evaluations"),
    *("hessian_vector_products", "parameters", "best_epoch", "skipped_updates", "lr_halvings"),
    *("fold", "split_seed", "members", "members_left_out"),
)
_NUMBERS = (
    "train_",
    "val_",
    "test_",
    "best_",
    "baseline_",
    "members_",
    "spread_",
)  # how the names of measured numbers begin


def read_summary(folder: Path) -> dict[str, Any]:
    """The summary of the run in the folder; raises `CheckpointError` where there is none, or a damaged one."""
    path = folder / "summary.json"
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no summary: the run has not ended, or it was killed.")
    summary = read_json(path)
    if not isinstance(summary, dict):
        raise CheckpointError(f"{path}: not the summary of a run.")
    if summary.get("status") not in STATUSES:
        raise CheckpointError(f"{path}: not the summary of a run: its status is {shown(summary.get('status'))}.")
    for name, value in summary.items():
        if not _fits(name, value):
            raise CheckpointError(f"{path}: damaged: {shown(name)} is {shown(value)}.")
    return summary


def best_monitored(summary: dict[str, Any]) -> float | None:
    """What the best epoch reached in the number that the run monitors; less is better, also where more of it is."""
    monitor = summary.get("monitor")
    if monitor is None:
        best = [name.removeprefix("best_").removesuffix("_loss") for name in summary if name.startswith("best_")]
        monitor = f"{monitored_split(best)}_loss"
    value = summary.get(f"best_{monitor}")
    return None if value is None else float(value) * summary.get("monitor_sign", 1)


def _fits(name: str, value: Any) -> bool:
    if name == "temperature":
        return type(value) in (int, float) and 0 < value < math.inf
    if name == "exit_code":
        return type(value) is int and 0 < value < 256
    if name in ("rows_train", "rows_val"):
        return type(value) is int and value > 0
    if name in ("reason", "message"):
        return value is None or isinstance(value, str)
    if name == "monitor":
        return isinstance(value, str)
    if name == "monitor_sign":
        return value in (-1, 1)
    if name in _COUNTS:
        return value is None or (type(value) is int and value >= 0)
    if name == "seconds" or name.startswith(_NUMBERS):
        return value is None or type(value) in (int, float)
    return True
