"""metrics.csv, read back: a row of numbers for each epoch."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from nettrain.errors import CheckpointError
from nettrain.storage.reading import LARGEST_TABLE, read_text

NEEDED = ("epoch", "step", "seconds", "train_loss", "lr")  # columns


def read_columns(folder: Path) -> dict[str, np.ndarray]:
    """The columns of a run's metrics.csv, each (epochs,). Raises `CheckpointError` for a damaged table."""
    return _columns(_text(folder), folder)


def read_table(folder: Path) -> Any:
    """A run's metrics.csv as a pandas table, a row per epoch. Raises `CheckpointError` for a damaged one."""
    import pandas

    text = _text(folder)
    _columns(text, folder)
    return pandas.read_csv(io.StringIO(text))


def _text(folder: Path) -> str:
    return read_text(folder / "metrics.csv", LARGEST_TABLE)


def _columns(text: str, folder: Path) -> dict[str, np.ndarray]:
    header, *rows = text.splitlines() or [""]
    names = header.split(",")
    try:
        table = np.array([row.split(",") for row in rows], dtype=float).reshape(len(rows), len(names))
    except ValueError as error:
        raise CheckpointError(
            f"{folder / 'metrics.csv'}: damaged: its rows are not numbers for each column."
        ) from error
    columns = dict(zip(names, table.T, strict=True))
    missing = [name for name in NEEDED if name not in columns]
    if missing or len(columns) < len(names):
        what = f"there is no column {missing[0]}" if missing else "two columns have one name"
        raise CheckpointError(f"{folder / 'metrics.csv'}: damaged: {what}.")
    for name in ("epoch", "step"):
        if not (np.isfinite(columns[name]).all() and (columns[name] >= 0).all()):
            raise CheckpointError(f"{folder / 'metrics.csv'}: damaged: the numbers in {name} count nothing.")
    return columns
