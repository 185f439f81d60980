"""`TensorColumn`: a column whose cells are arrays of one shape, as a tensor of x: numbers, bytes or ids."""

from dataclasses import dataclass
from functools import cached_property
from typing import Optional

import numpy as np

from nettrain.data.columns import Column
from nettrain.data.findings import Finding
from nettrain.data.images import ImageFormat, load_images
from nettrain.data.list_cells import cell_arrays, check_finite, check_sample, plain
from nettrain.data.wording import place, quoted
from nettrain.errors import DataError
from nettrain.inputs import Input, Kind
from nettrain.registry import option

AT_ONCE = 2**22  # numbers of which mean and variance are computed at a time


@dataclass
class TensorOptions:
    """How arrays are understood."""

    ids: Optional[bool] = option(  # noqa: UP045
        True,
        "whether whole numbers in arrays and lists, other than bytes, are ids, such as those of words, which stay as "
        "they are; false: numbers like any other",
    )
    vocabulary: Optional[int] = option(  # noqa: UP045
        None, "number of ids, which are all below it; null: the largest one in the data + 1", minimum=1
    )


@dataclass
class TensorColumn:
    """A column of arrays of one `shape`; see `Input` for its kinds, and for mean and scale.

    With an `image` format the cells are paths of images. `last` is the largest id that occurred.
    """

    name: str
    shape: list[int]
    kind: Kind
    mean: list[float]
    scale: list[float]
    axis: int
    vocabulary: int = 0
    image: ImageFormat | None = None

    @classmethod
    def fit(
        cls, name: str, values: np.ndarray, rows: np.ndarray, standardize: bool, vocabulary: int | None
    ) -> "TensorColumn":
        """Learn from the `rows` of values (n, *shape); ids are counted in all of them."""
        shape = list(values.shape[1:])
        column = cls(name, shape, _kind(values), [0.0], [1.0], 0)
        if column.kind == "ids":
            column.vocabulary = vocabulary or int(values.max(initial=0)) + 1
            return column
        if not standardize:
            column.scale = [255.0] if column.kind == "bytes" else [1.0]
            return column
        axis = _axis(column.kind, shape)
        mean, scale = _mean_and_scale(values, rows, axis)
        column.mean, column.scale, column.axis = mean.tolist(), scale.tolist(), axis or 0
        return column

    @cached_property
    def input(self) -> Input:
        """What a model is told of it."""
        mean, scale = tuple(self.mean), tuple(self.scale)
        return Input(tuple(self.shape), self.kind, self.vocabulary, mean, scale, self.axis)

    def read(self, column: Column) -> tuple[np.ndarray, list[Finding]]:
        """The arrays of a new table's column, and what the training rows had not."""
        where = place(column.raw.source, column=self.name)
        values = cell_arrays(column)
        if values is None and self.image:
            return load_images(column, self.image, tuple(self.shape))
        if values is None:
            raise DataError(f"{where}: found no arrays; the model was trained with arrays of shape {self._shape}.")
        values = plain(values, where)
        if list(values.shape[1:]) != self.shape:
            found = tuple(map(int, values.shape[1:]))
            raise DataError(f"{where}: a sample has the shape {found}; the model was trained with {self._shape}.")
        whole = values.dtype.kind in "iu"
        if self.kind != "numbers" and not whole:
            raise DataError(f"{where}: found {values.dtype} numbers; the model was trained with {self.kind}.")
        if self.kind == "numbers":
            check_finite(column, values)
            return values.astype(np.float64) if whole else values, []
        most = self.vocabulary if self.kind == "ids" else 256
        check_ids(column, values, most, f"the model was trained with {self.kind} from 0 to {most - 1}")
        return values.astype(np.uint8) if self.kind == "bytes" else values, []

    @property
    def _shape(self) -> tuple[int, ...]:
        return tuple(self.shape)


def tensor_values(column: Column, options: TensorOptions) -> np.ndarray | None:
    """The cells of a training table's column (n, *shape) where they are arrays or lists: floats, bytes or integers.

    None for a column of anything else. Raises `DataError` with the row for a cell of another shape, a number that is
    not finite, a negative id and one that `options.vocabulary` has not.
    """
    values = cell_arrays(column)
    if values is None:
        return None
    where = place(column.raw.source, column=column.name)
    values = plain(values, where)
    check_sample(values.shape[1:], where)
    if values.dtype.kind in "iu" and values.dtype != np.uint8 and not options.ids:
        values = values.astype(np.float64)
    if _kind(values) == "numbers":
        check_finite(column, values)
    elif _kind(values) == "ids":
        most = options.vocabulary
        or_numbers = "data.ids=false makes numbers of them"
        has = f"data.vocabulary={most} has the ids 0 to {most - 1}" if most else f"ids are 0 or more; {or_numbers}"
        check_ids(column, values, most, has)
    return values


def check_ids(column: Column, values: np.ndarray, most: int | None, expected: str) -> None:
    """Raise `DataError` with row for a whole number that is negative, or not below `most`."""
    low, high = values.min(initial=0), values.max(initial=0)
    if low >= 0 and (most is None or high < most):
        return
    wrong = (values < 0) | (values >= (high + 1 if most is None else most))
    row = int(wrong.reshape(len(values), -1).any(axis=1).argmax())
    raise column.mistake(row, f"found {values[row][wrong[row]].flat[0]}; {expected}.")


def note_on_channels(name: str, shape: tuple[int, ...], dtype: str) -> list[str]:
    """A note on images whose channels come last."""
    if dtype != "uint8" or len(shape) != 3 or not shape[2] <= 4 < shape[0]:
        return []
    return [
        f"{quoted(name)} has the shape {shape}: images with their channels last, it seems, where torch's layers expect "
        "them first"
    ]


def _kind(values: np.ndarray) -> Kind:
    return "numbers" if values.dtype.kind == "f" else "bytes" if values.dtype == np.uint8 else "ids"


def _axis(kind: Kind, shape: list[int]) -> int | None:
    """Along which dimension of a sample means differ; None where there is one for all.

    Each number of a vector has its own, each feature of a sequence (steps, features), each channel of an image
    (channels, height, width) or (height, width, channels). Of bytes in fewer dimensions all are alike.
    """
    if len(shape) >= 3:
        return len(shape) - 1 if shape[-1] <= 4 < shape[0] else 0
    return None if kind == "bytes" else len(shape) - 1


def _mean_and_scale(values: np.ndarray, rows: np.ndarray, axis: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations (1 where that is 0) over some rows, some of them at a time."""
    dims = tuple(i for i in range(values.ndim) if axis is None or i != axis + 1)
    number = len(rows) * values[0].size // (1 if axis is None else values.shape[axis + 1])
    parts = np.array_split(rows, max(1, len(rows) * values[0].size // AT_ONCE))
    mean = sum(values[part].sum(axis=dims, dtype=np.float64) for part in parts) / number
    along = mean if axis is None else mean.reshape([-1 if i == axis else 1 for i in range(values.ndim - 1)])
    square = sum(np.square(values[part] - along).sum(axis=dims) for part in parts) / number
    scale = np.sqrt(square)
    return np.atleast_1d(mean), np.atleast_1d(np.where(scale <= 1e-12 * np.abs(mean), 1.0, scale))
