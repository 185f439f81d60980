"""Cells that are arrays or lists: a column of them as one array (n, *shape)."""

import json
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from nettrain.data.columns import Column
from nettrain.data.wording import override, place, quoted
from nettrain.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


def tensor_cells(array: np.ndarray) -> "pa.ChunkedArray":
    """An array (n, *shape) as a column, of which the memory is its own."""
    import pyarrow as pa

    values = pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), math.prod(array.shape[1:]))
    kind = pa.fixed_shape_tensor(values.type.value_type, array.shape[1:])
    return pa.chunked_array([pa.ExtensionArray.from_storage(kind, values)])


def check_sample(shape: tuple[int, ...], where: str) -> None:
    """Raise `DataError` for samples of a shape that holds no number."""
    if not math.prod(shape):
        raise DataError(f"{where}: a sample has the shape {shape}, which holds no number.")


def arrays_of_cells(values: Any) -> np.ndarray | None:
    """The arrays or tensors that a pandas column holds as one; None where it holds anything else, or several shapes."""
    cells = list(values)
    if not all(hasattr(cell, "__array__") and getattr(cell, "ndim", 0) for cell in cells):
        return None
    arrays = [np.asarray(cell) for cell in cells]
    return np.stack(arrays) if len({(a.shape, a.dtype.kind) for a in arrays}) == 1 else None


def plain(array: np.ndarray, where: str) -> np.ndarray:
    """The array in one of the types that torch has for numbers; `DataError` for anything else."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "b":
        return array.astype(np.float32)
    if kind not in "iuf":
        raise DataError(f"{where}: found values of type {array.dtype}; numbers are read.")
    wanted = {("f", 2): "f4", ("f", 16): "f8", ("u", 2): "i4", ("u", 4): "i8", ("u", 8): "i8"}.get((kind, size))
    if wanted is None:
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    if size == 8 and array.max(initial=0) > np.iinfo(np.int64).max:
        raise DataError(f"{where}: found {array.max()}; whole numbers end at {np.iinfo(np.int64).max}.")
    return array.astype(wanted)


def check_finite(column: Column, values: np.ndarray) -> None:
    """Raise `DataError` with the first row that holds a number which is missing or infinite."""
    for first in range(0, len(values), 4096):
        wrong = ~np.isfinite(values[first : first + 4096])
        if wrong.any():
            row = first + int(wrong.reshape(len(wrong), -1).any(axis=1).argmax())
            number = values[row][wrong[row - first]].flat[0]
            raise column.mistake(row, f"found {number}; the numbers of arrays must be there and finite.")


def cell_arrays(column: Column) -> np.ndarray | None:
    """The cells of a column as one array (n, *shape), where they are arrays, lists, or texts such as `[1, 2, 3]`.

    Raises `DataError` with the row for a cell that is missing, of another shape than the first one, or no list.
    """
    import pyarrow as pa
    from pyarrow import types

    cells = column.raw.columns[column.name]
    if isinstance(cells.type, pa.FixedShapeTensorType):
        _check_there(column, cells)
        chunks = [_tensors(chunk) for chunk in cells.chunks]
        return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)
    if types.is_string(cells.type) or types.is_large_string(cells.type):
        lists = _texts_as_lists(column, cells)
        return None if lists is None else _array_of(column, lists)
    if types.is_list(cells.type) or types.is_large_list(cells.type) or types.is_fixed_size_list(cells.type):
        return _array_of(column, cells)
    return None


def _remedy(column: Column) -> str:
    return f"leave the column out with {override('drop', column.name)}"


def _tensors(chunk: Any) -> np.ndarray:
    """An arrow array of tensors (n, *shape) in memory that is its own where their dimensions are in order."""
    if chunk.type.permutation not in (None, list(range(len(chunk.type.shape)))):
        array: np.ndarray = chunk.to_numpy_ndarray()
        return array
    return np.asarray(chunk.storage.flatten()).reshape(-1, *chunk.type.shape)


def _check_there(column: Column, cells: "pa.ChunkedArray") -> None:
    if cells.null_count:
        row = int(np.asarray(cells.is_null()).argmax())
        raise column.mistake(row, f"the list is missing; fill it in, or {_remedy(column)}.")


def _texts_as_lists(column: Column, cells: "pa.ChunkedArray") -> "pa.ChunkedArray | None":
    import pyarrow as pa

    example = next((cell.as_py() for cell in cells if cell.is_valid and cell.as_py().strip()), "")
    if not re.fullmatch(r"\s*\[.*\]\s*", example, re.DOTALL) or not _is_list(_parsed(example)):
        return None
    lists: list[Any] = []
    for row, text in enumerate(cells.to_pylist()):
        if text is None or not text.strip():
            raise column.mistake(row, f"the list is missing; fill it in, or {_remedy(column)}.")
        value = _parsed(text)
        if not _is_list(value):
            raise column.mistake(
                row, f"found {quoted(text)}, which is no list of numbers; correct it, or {_remedy(column)}."
            )
        shape, expected = _shape_of(value), _shape_of(lists[0] if lists else value)
        if shape != expected:
            raise _other_shape(column, row, shape, expected)
        lists.append(value)
    try:
        return pa.chunked_array([pa.array(lists)])
    except pa.ArrowException:
        return pa.chunked_array([pa.array(np.array(lists, dtype=float).tolist())])


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _is_list(value: Any) -> bool:
    """Whether it is a list of numbers, or of such lists."""
    return isinstance(value, list) and all(
        _is_list(item) or (isinstance(item, int | float) and not isinstance(item, bool)) for item in value
    )


def _shape_of(value: Any) -> tuple[Any, ...] | None:
    """The shape of nested lists; None where they are ragged."""
    if not isinstance(value, list):
        return ()
    inner = {_shape_of(item) for item in value}
    if len(inner) > 1 or None in inner:
        return None
    return (len(value), *(inner.pop() if inner else ()))  # type: ignore[misc]


def _other_shape(column: Column, row: int, found: Any, expected: Any) -> DataError:
    what = "lists of different lengths" if found is None else f"a list of shape {found}"
    first = "lists of one length" if expected is None else f"the shape {expected}"
    return column.mistake(
        row, f"found {what}, where the first row has {first}; all must have one shape; {_remedy(column)} otherwise."
    )


def _array_of(column: Column, cells: "pa.ChunkedArray") -> np.ndarray:
    """Lists, perhaps nested, as an array."""
    import pyarrow as pa
    from pyarrow import compute, types

    _check_there(column, cells)
    values, shape = pa.concat_arrays(cells.chunks), [len(cells)]
    while types.is_list(values.type) or types.is_large_list(values.type) or types.is_fixed_size_list(values.type):
        lengths = np.asarray(compute.list_value_length(values).fill_null(-1))
        wrong = lengths != lengths[0] if len(lengths) else np.zeros(0, dtype=bool)
        if wrong.any():
            place_of = int(wrong.argmax())
            row = place_of // math.prod(shape[1:])
            found, expected = (" x ".join(map(str, [*shape[1:], int(lengths[i])])) for i in (place_of, 0))
            raise column.mistake(
                row,
                f"found a list of {found} numbers, where the first one has {expected}; all must have one shape; "
                f"{_remedy(column)} otherwise.",
            )
        shape.append(int(lengths[0]) if len(lengths) else 0)
        values = values.flatten()
    if values.null_count:
        row = int(np.asarray(values.is_null()).argmax()) // max(1, math.prod(shape[1:]))
        raise column.mistake(row, f"a number of the list is missing; fill it in, or {_remedy(column)}.")
    if types.is_decimal(values.type):
        values = values.cast(pa.float64())
    if not (types.is_integer(values.type) or types.is_floating(values.type) or types.is_boolean(values.type)):
        where = place(column.raw.source, column=column.name)
        raise DataError(f"{where}: found lists of the type {values.type}; lists of numbers are read.")
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(shape)
