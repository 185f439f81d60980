"""An Excel file: the cells of its first sheet that holds any."""

import datetime
import io
import zipfile
from typing import TYPE_CHECKING, Any

from nettrain.data import files
from nettrain.data.values import shortest
from nettrain.data.wording import place, quoted
from nettrain.errors import DataError
from nettrain.wording import counted, listed

if TYPE_CHECKING:
    import pyarrow as pa


def parse(data: bytes, header: bool, source: str) -> tuple[list[str], list["pa.ChunkedArray"], list[int], list[str]]:
    """The names of the columns, the columns, the row of the sheet at which each data row stands, and notes.

    Without a `header` columns are called 1, 2, ... Formulas count as the values that were saved with them. Raises
    `DataError` where openpyxl is not installed, and for a file that it cannot read or that holds no table.
    """
    try:
        import openpyxl
    except ImportError:
        raise DataError(
            f"{source}: Excel files are read by openpyxl, which is not installed; pip install 'nettrain[excel]' "
            "installs it, or save the table as CSV."
        ) from None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files.check_size(sum(member.file_size for member in archive.infolist()), source)
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
        title, rows = next(((sheet.title, rows) for sheet in sheets if (rows := _rows(sheet))), ("", []))
    except Exception as error:  # openpyxl does not say what it raises for a damaged file
        if isinstance(error, MemoryError | DataError):
            raise
        raise DataError(f"{source}: the file is no Excel file, or a damaged one; save it again.") from None
    if not rows:
        raise DataError(f"{source}: the file is empty; a table needs a row of column names and rows below it.")
    others = [quoted(sheet.title) for sheet in sheets if sheet.title != title]
    notes = [f"sheet {quoted(title)} is read, and not {listed(others)}"] if others else []
    width = max(len(cells) for _, cells in rows)
    if header:
        (first, names), *rows = rows
        if not rows:
            raise DataError(f"{source}: there is a row of column names and no row below it; a table needs rows.")
        long = next((row for row, cells in rows if len(cells) > len(names)), None)
        if long is not None:
            raise DataError(
                f"{place(source, long)}: there are cells beyond the {counted(len(names), 'column name')} of row {first}"
                "; name their columns, or delete them."
            )
        titles = ["" if name is None else _text(name).strip() for name in names]
    else:
        titles = [str(i + 1) for i in range(width)]
    columns = [_column([cells[i] if i < len(cells) else None for _, cells in rows]) for i in range(len(titles))]
    return titles, columns, [row for row, _ in rows], notes


def _rows(sheet: Any) -> list[tuple[int, list[Any]]]:
    """The rows that hold anything, by their number, each without empty cells at its end."""
    sheet.reset_dimensions()  # what the file says of them may be wrong
    rows = []
    for number, values in enumerate(sheet.iter_rows(values_only=True), start=1):
        cells = list(values)
        while cells and (cells[-1] is None or cells[-1] == ""):
            cells.pop()
        if cells:
            rows.append((number, cells))
    return rows


def _column(cells: list[Any]) -> "pa.ChunkedArray":
    """Numbers, truth values or moments where all cells are such, else texts."""
    import pyarrow as pa

    kinds = {type(cell) for cell in cells if cell is not None}
    if len(kinds) == 1 and kinds <= {int, float, bool, datetime.datetime, datetime.date}:
        try:
            return pa.chunked_array([pa.array(cells)])
        except pa.ArrowException:  # a whole number of more than 64 bits
            pass
    if kinds == {int, float}:
        return pa.chunked_array([pa.array([None if cell is None else float(cell) for cell in cells])])
    return pa.chunked_array([pa.array([None if cell is None else _text(cell) for cell in cells], pa.string())])


def _text(cell: Any) -> str:
    if isinstance(cell, float):
        return shortest(cell)
    if isinstance(cell, datetime.datetime) and cell.time() == datetime.time():
        return str(cell.date())
    return str(cell)
