"""Tables that a page brings, as files that the command line can read: drawings, uploads, columns of shipped data."""

import base64
import binascii
import csv
import hashlib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nettrain.data.bundled import bundled
from nettrain.data.opening import open_table
from nettrain.errors import ConfigError, DataError
from nettrain.storage.atomic import replace_file, storage_error

BUNDLED = ("iris", "wine", "breast_cancer", "diabetes")
LOOKED_AT = 200  # cells of a column, to tell numbers from texts
MOST_POINTS = 2000
FORMATS = (".csv", ".tsv", ".txt", ".parquet", ".xlsx")


class Tables:
    """A folder of tables. A file's name has a hash of what is in it, so that the same table is the same file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def drawing(self, points: Sequence[Sequence[float]], classes: bool) -> dict[str, Any]:
        """The table of points (x1, x2, number of a class) of a plane, or (x, y) of a curve."""
        if not 4 <= len(points) <= MOST_POINTS:
            raise DataError(f"drawing: it has {len(points)} points; there must be 4 to {MOST_POINTS}.")
        rows = [["x1", "x2", "class"] if classes else ["x", "y"]]
        for point in points:
            numbers = [f"{float(number):.4g}" for number in point[:2]]
            rows.append([*numbers, "ABCDEF"[int(point[2]) % 6]] if classes else numbers)
        return self.described(self._write("drawing", ".csv", _csv(rows)))

    def shipped(self, name: str) -> dict[str, Any]:
        """The table of a data set that lies in the package, so that two of its columns can be chosen."""
        if name not in BUNDLED:
            raise ConfigError(f"{name}: there is no such table; choose from {', '.join(BUNDLED)}.")
        table = bundled(name)
        assert table.target is not None
        target = [table.classes[i] for i in table.target] if table.classes else table.target.tolist()
        columns = [*(values.tolist() for values in table.columns.values()), target]
        rows = [[*table.columns, table.target_name], *map(list, zip(*columns, strict=True))]
        return self.described(self._write(name, ".csv", _csv(rows)))

    def upload(self, name: str, content: str) -> dict[str, Any]:
        """A file of somebody's, whose bytes are in base64."""
        path = Path(name)
        if path.suffix.lower() not in FORMATS:
            raise DataError(f"{name}: its name must end in one of {', '.join(FORMATS)}.")
        try:
            data = base64.b64decode(content, validate=True)
        except binascii.Error:
            raise DataError(f"{name}: it did not arrive as it was sent; try again.") from None
        stem = re.sub(r"[^\w-]+", "-", path.stem, flags=re.ASCII).strip("-")[:40] or "table"
        return self.described(self._write(stem, path.suffix.lower(), data))

    def _write(self, stem: str, suffix: str, content: bytes) -> Path:
        path = self.folder / f"{stem}-{hashlib.sha256(content).hexdigest()[:8]}{suffix}"
        if not path.exists():
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise storage_error(self.folder, error) from error
            replace_file(path, content)
        return path

    def described(self, path: Path) -> dict[str, Any]:
        """The path, and of each column its name and whether it holds numbers."""
        columns = open_table(str(path)).columns
        numeric = [_are_numbers(column.slice(0, LOOKED_AT).to_pylist()) for column in columns.values()]
        named = [{"name": name, "number": number} for name, number in zip(columns, numeric, strict=True)]
        return {"path": path.as_posix(), "columns": named}


def _are_numbers(cells: Sequence[Any]) -> bool:
    texts = [str(cell) for cell in cells if cell not in (None, "")]
    try:
        return bool([float(text) for text in texts])
    except ValueError:
        return False


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
