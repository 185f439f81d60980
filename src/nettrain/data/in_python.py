"""Data that somebody has in Python, as a table: frames, arrays, tensors, data sets of torch or Hugging Face."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nettrain.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

TARGET = "y"  # the column of a target that is given as an array
SPLITS = ("train", "val", "test")
_WHAT_WOULD_DO = (
    "it must be a DataFrame (pandas, polars), a data set (torch, Hugging Face), a pair (x, y) of arrays or tensors, "
    "or a dictionary of these with train, val and test"
)


@dataclass
class InPython:
    """A pandas table; the rows of each split where they are given, and the target's name where arrays had none."""

    frame: "pd.DataFrame"
    splits: dict[str, np.ndarray] | None = None
    target: str | None = None


def from_python(data: Any) -> InPython:
    """The data as a table; of arrays x (n, D) and y (n,) the columns are x0, x1, ... and y.

    Raises `DataError` for what is none of the kinds of data that `nettrain.train` takes.
    """
    import pandas as pd

    if not isinstance(data, Mapping) or hasattr(data, "to_pandas"):
        return _table(data)
    unknown = [name for name in data if name not in SPLITS]
    if unknown or "train" not in data:
        what = f"found a split {unknown[0]!r}" if unknown else "there is no train"
        raise DataError(f"data: {what}; its splits are train, and val and test if there are any.")
    tables = {name: _table(data[name]) for name in SPLITS if name in data}
    for name, table in tables.items():
        if list(table.frame.columns) != list(tables["train"].frame.columns):
            raise DataError(f"data: the columns of {name} are not those of train; they must be the same, in one order.")
    ends = np.cumsum([len(table.frame) for table in tables.values()])
    rows = dict(zip(tables, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))
    frame = pd.concat([table.frame for table in tables.values()], ignore_index=True)
    return InPython(frame, {name: rows.get(name, np.arange(0)) for name in SPLITS}, tables["train"].target)


def _table(data: Any) -> InPython:
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return InPython(data)
    if hasattr(data, "to_pandas"):  # polars, Hugging Face's datasets, pyarrow
        converted = data.to_pandas()
        if isinstance(converted, pd.DataFrame):
            return InPython(converted)
    if isinstance(data, tuple) and len(data) == 2:
        return _of_arrays(*map(_array, data))
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, str | list | tuple):
        first = data[0] if len(data) else None
        if isinstance(first, tuple) and len(first) == 2:  # a map-style torch.utils.data.Dataset
            samples = [data[i] for i in range(len(data))]
            x, y = (np.stack([_array(sample[i]) for sample in samples]) for i in (0, 1))
            return _of_arrays(x, y)
    raise DataError(f"data: found a value of type {type(data).__name__}; {_WHAT_WOULD_DO}.")


def _of_arrays(x: np.ndarray, y: np.ndarray) -> InPython:
    import pandas as pd

    if x.ndim != 2 or y.ndim != 1 or len(x) != len(y):
        raise DataError(
            f"data: x has the shape {x.shape} and y {y.shape}; they must be (n, D) and (n,), with a row for each "
            "sample."
        )
    frame = pd.DataFrame({f"x{i}": x[:, i] for i in range(x.shape[1])})
    frame[TARGET] = y
    return InPython(frame, target=TARGET)


def _array(values: Any) -> np.ndarray:
    """An array, a tensor on any device, or a list of numbers as an array."""
    detached = values.detach().cpu() if hasattr(values, "detach") else values
    return np.asarray(detached)
