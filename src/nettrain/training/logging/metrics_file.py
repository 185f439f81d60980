"""metrics.csv: a row of numbers for each epoch of a run."""

import math
from pathlib import Path

from nettrain.storage.atomic import append, replace_file
from nettrain.storage.reading import LARGEST_TABLE, read_text

NAME = "metrics.csv"
FIRST = ("epoch", "step", "seconds", "train_loss", "val_loss", "lr")  # the columns of a run without epochs


class MetricsFile:
    """The table of one run in its folder. Rows are kept in memory until `flush`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.columns: list[str] = []
        self.header = ""  # while it is not written yet
        self.lines: list[str] = []  # not written yet

    def rewind(self, epoch: int) -> bool:
        """Take back the rows after this epoch; whether there was a table."""
        if not self.path.exists():
            return False
        lines = read_text(self.path, LARGEST_TABLE, "replace").splitlines(keepends=True)
        width = lines[0].count(",") if lines else 0
        whole = [line for line in lines[1:] if line.endswith("\n") and line.count(",") == width]  # others are torn
        rows = [row for row in whole if _epoch_of(row) <= epoch]
        self.columns = lines[0].strip().split(",") if rows else []
        replace_file(self.path, "".join([lines[0], *rows]).encode() if rows else b"")
        return True

    def epoch(self, numbers: dict[str, float]) -> None:
        """Add one row."""
        if not self.columns:
            self.columns = list(numbers)
            self.header = ",".join(self.columns) + "\n"
        if added := [name for name in numbers if name not in self.columns]:  # a run that goes on records more
            self._widen(added)
        self.lines.append(",".join(repr(numbers.get(name, math.nan)) for name in self.columns) + "\n")

    def flush(self, sync: bool = False) -> None:
        """Append the rows to the file; with `sync` they are on the disk when this returns."""
        if self.lines:
            append(self.path, (self.header + "".join(self.lines)).encode(), sync)
            self.header, self.lines = "", []

    def columns_only(self) -> None:
        """Write a table without rows, for a run without epochs."""
        replace_file(self.path, (",".join(FIRST) + "\n").encode())

    def _widen(self, added: list[str]) -> None:
        """Give the rows that are written further columns, without values."""
        self.flush()
        rows = [row + ",nan" * len(added) for row in self.path.read_text().splitlines()[1:]]
        self.columns += added
        replace_file(self.path, "".join(f"{line}\n" for line in [",".join(self.columns), *rows]).encode())


def _epoch_of(row: str) -> float:
    """The number at the beginning of a row; infinite where there is none."""
    number = row.partition(",")[0]
    return int(number) if number.isdecimal() and len(number) < 16 else math.inf
