"""Data that somebody has in Python: frames, arrays, tensors, data sets of torch or Hugging Face."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nettrain.data.arrays import (
    Arrays,
    as_array,
    joined_splits,
    named,
    new_target_arrays,
    raw_table,
    samples,
    stacked,
    target_arrays,
)
from nettrain.data.opening import TableLike, open_table
from nettrain.data.raw_table import SPLITS, RawTable
from nettrain.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

X, TARGET = "x", "y"  # the columns of samples and of a target that are given as arrays
SOURCE = "data"  # what messages call arrays
_WHAT_WOULD_DO = (
    "it must be a DataFrame (pandas, polars), a data set (torch, Hugging Face), a pair (x, y) of arrays or tensors, "
    "or a dictionary of these with train, val and test"
)

_LOADERS = {"train_dataloader": "train", "val_dataloader": "val", "test_dataloader": "test"}


@dataclass
class InPython:
    """A pandas table, or arrays by name; the rows of each split where they are given; the targets' names of arrays."""

    data: "pd.DataFrame | Arrays"
    splits: dict[str, np.ndarray] | None = None
    targets: Sequence[str] = ()

    def table(self, ids: bool) -> TableLike:
        """As a table; arrays x (n, D) are columns x0, x1, ..., unless they hold whole numbers that are `ids`."""
        if not isinstance(self.data, dict):
            return self.data
        raw = _as_table(self.data, self.targets, lambda _, array: ids and array.dtype.kind in "iu")
        return replace(raw, row_number=self._numbered)

    def _numbered(self, row: int) -> str:
        """The row of a message, and its index in the arrays, of which each split may have its own."""
        for name, rows in (self.splits or {}).items():
            if len(rows) and rows[0] <= row <= rows[-1]:
                return f"{_numbered(row - int(rows[0]))} of {name}"
        return _numbered(row)


def from_python(data: Any) -> InPython:
    """The data as a table, or as arrays: x (n, *shape), or several by name, and y (n,), or (n, m) for m targets.

    Raises `DataError` for what is none of the kinds of data that `nettrain.train` takes.
    """
    import pandas as pd

    if not isinstance(data, Mapping) or hasattr(data, "to_pandas"):
        return _one(data)
    if "validation" in data and "val" not in data:  # as Hugging Face's data sets call it
        data = {"val" if name == "validation" else name: part for name, part in data.items()}
    unknown = [name for name in data if name not in SPLITS]
    if unknown or "train" not in data:
        what = f"found a split {unknown[0]!r}" if unknown else "there is no train"
        raise DataError(f"data: {what}; its splits are train, and val and test if there are any.")
    parts = {name: _one(data[name]) for name in SPLITS if name in data}
    targets = parts["train"].targets
    if all(isinstance(part.data, dict) for part in parts.values()):
        arrays, splits = joined_splits({name: part.data for name, part in parts.items()}, SOURCE)  # type: ignore[misc]
        return InPython(arrays, splits, targets)
    frames = {name: _frame(part) for name, part in parts.items()}
    for name, frame in frames.items():
        if list(frame.columns) != list(frames["train"].columns):
            raise DataError(f"data: the columns of {name} are not those of train; they must be the same, in one order.")
    ends = np.cumsum([len(frame) for frame in frames.values()])
    rows = dict(zip(frames, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))
    whole = pd.concat(frames.values(), ignore_index=True)
    return InPython(whole, {name: rows.get(name, np.arange(0)) for name in SPLITS}, targets)


def new_table(data: Any, tensors: Collection[str], targets: Sequence[str]) -> Any:
    """New rows as `Encoder.read` takes them: a path or a DataFrame as it is, arrays as columns.

    Arrays are x (n, *shape), several by name, a pair (x, y), or a `torch.utils.data.Dataset`. Those called as one of
    the `tensors` are one column, also of shape (n, D), and a single x is called as the only one of them. y becomes the
    `targets`.
    """
    name = next(iter(tensors)) if len(tensors) == 1 else X
    is_x = isinstance(data, np.ndarray) or hasattr(data, "detach")
    if is_x or (isinstance(data, Mapping) and not hasattr(data, "to_pandas")):
        arrays = new_target_arrays(named(data, name), targets)
    elif isinstance(data, tuple) or _is_torch_dataset(data):
        found = _one(data)
        if not isinstance(found.data, dict):
            return found.data
        known = targets if len(found.targets) == len(targets) else found.targets
        called = {X: name, **dict(zip(found.targets, known, strict=True))}
        arrays = {called.get(key, key): array for key, array in found.data.items()}
    else:
        return data
    return replace(_as_table(arrays, targets, lambda name, _: name in tensors), row_number=_numbered)


def _numbered(row: int) -> str:
    return f"{row + 1} (index {row})"


def _as_table(arrays: Arrays, targets: Sequence[str], is_tensor: Callable[[str, np.ndarray], bool]) -> RawTable:
    import pandas as pd

    x = arrays.get(X)
    if x is not None and x.ndim == 2 and arrays.keys() <= {X, *targets} and not is_tensor(X, x):
        samples(arrays, SOURCE)
        frame = pd.DataFrame({f"{X}{i}": x[:, i] for i in range(x.shape[1])})
        frame = frame.assign(**{name: arrays[name] for name in targets if name in arrays})
        return replace(open_table(frame), source=SOURCE)
    return raw_table(arrays, SOURCE, targets, is_tensor)


def _one(data: Any) -> InPython:
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return InPython(data)
    if hasattr(data, "to_pandas"):  # polars, Hugging Face's datasets, pyarrow
        converted = data.to_pandas()
        if isinstance(converted, pd.DataFrame):
            return InPython(converted)
    if isinstance(data, tuple) and len(data) == 2:
        return _of_arrays(*data)
    if _is_torch_dataset(data):
        pairs = [data[i] for i in range(len(data))]
        try:
            return _of_arrays(stacked(x for x, _ in pairs), stacked(y for _, y in pairs))
        except ValueError:
            raise DataError("data: the samples of the data set differ in shape; all must have one.") from None
    found = f"data: found a value of type {type(data).__name__}"
    if loaders := [name for name in _LOADERS if hasattr(data, name)]:
        given = ", ".join(f"{_LOADERS[name]!r}: data.{name}().dataset" for name in loaders)
        setup = ", after data.setup()" if hasattr(data, "setup") else ""
        raise DataError(
            f"{found}, whose loaders cut batches, which nettrain does itself; hand over their data sets{setup}: "
            f"data={{{given}}}."
        )
    if hasattr(data, "dataset") and hasattr(data, "batch_size"):
        raise DataError(
            f"{found}, which cuts batches, as nettrain does itself; hand over its data set, data=loader.dataset, and "
            f"bs={data.batch_size}."
        )
    raise DataError(f"{found}; {_WHAT_WOULD_DO}.")


def _is_torch_dataset(data: Any) -> bool:
    """Whether it has samples (x, y) by number, as a map-style torch.utils.data.Dataset."""
    if isinstance(data, str | list | tuple | Mapping) or hasattr(data, "columns"):
        return False
    if not (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        return False
    first = data[0] if len(data) else None
    return isinstance(first, tuple) and len(first) == 2


def _frame(part: InPython) -> "pd.DataFrame":
    import pandas as pd

    if not isinstance(part.data, pd.DataFrame):
        raise DataError("data: some splits are tables, and others are arrays of samples; all must be of one kind.")
    return part.data


def _of_arrays(x: Any, y: Any) -> InPython:
    try:
        arrays, target = named(x, X), as_array(y)
    except ValueError:  # lists of different lengths
        raise DataError("data: the samples of x differ in shape; all must have one.") from None
    if TARGET in arrays:
        raise DataError(f"data: an array of x is called {TARGET}, as the target is; rename it.")
    if isinstance(x, Mapping):
        if not arrays:
            raise DataError("data: x is an empty dictionary; it must hold an array for each input.")
    elif arrays[X].ndim < 2 or target.ndim not in (1, 2) or len(arrays[X]) != len(target):
        raise DataError(
            f"data: x has the shape {arrays[X].shape} and y {target.shape}; they must be (n, D), or (n, *shape), and "
            f"(n,), or (n, m) for m targets, with a row for each sample."
        )
    samples({**arrays, TARGET: target}, SOURCE)
    of_target, targets = target_arrays({TARGET: target}, [TARGET])
    if clash := arrays.keys() & of_target.keys():
        raise DataError(f"data: an array of x is called {clash.pop()}, as a target is; rename it.")
    return InPython({**arrays, **of_target}, targets=targets)
