"""Arrays as the columns of a table: those in a file of NumPy's, or of somebody's in Python."""

import math
import re
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nettrain.data.files import check_size
from nettrain.data.list_cells import check_sample, plain, tensor_cells
from nettrain.data.raw_table import SPLITS, RawTable
from nettrain.data.wording import nearest, place, quoted
from nettrain.errors import DataError
from nettrain.wording import joined, listed

if TYPE_CHECKING:
    import pyarrow as pa

Arrays = dict[str, np.ndarray]
SUFFIXES = (".npz", ".npy")


def is_arrays(path: Path) -> bool:
    """Whether arrays lie at a path: a file of NumPy's, or a folder of such."""
    return path.suffix.lower() in SUFFIXES or (path.is_dir() and any(path.glob("*.npy")))


def read_arrays(path: Path, source: str) -> Arrays:
    """The arrays of an .npz file, or those of a folder of .npy files, by name.

    Raises `DataError` where there is no such file, for a damaged one, and for an array of Python's objects.
    """
    if path.is_dir():
        files = {file.stem: file for file in sorted(path.glob("*.npy"))}
        if not files:
            raise DataError(f"{source}: there is no .npy file in this folder; write arrays as x.npy and y.npy.")
        return {name: _array(file) for name, file in files.items()}
    if not path.is_file():
        raise DataError(f"{source}: there is no such file; correct the path.")
    if path.suffix.lower() != ".npz":
        raise DataError(
            f"{source}: arrays are read from an .npz file, or from a folder with x.npy and y.npy; name one of these."
        )
    loaded = _load(path, source)
    if not isinstance(loaded, dict):
        raise DataError(f"{source}: the file is no .npz file, or a damaged one; write it again with numpy.savez.")
    return loaded


def _array(file: Path) -> np.ndarray:
    loaded = _load(file, str(file))
    if isinstance(loaded, dict):
        raise DataError(f"{file}: the file is no .npy file, or a damaged one; write it again with numpy.save.")
    return loaded


def _unpacked_size(path: Path) -> int:
    with zipfile.ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def _load(path: Path, source: str) -> np.ndarray | Arrays:
    # NumPy leaves a file open that it opened itself and found to be damaged.
    try:
        with path.open("rb") as file:
            loaded: Any = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                return cast("np.ndarray", loaded)
            check_size(_unpacked_size(path), source)
            return {name: _checked(loaded, name, source) for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _unreadable(source, error) from None


def _checked(loaded: Any, name: str, source: str) -> np.ndarray:
    try:
        array: np.ndarray = loaded[name]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(f"{source}, {name}", error) from None
    return array


def _unreadable(source: str, error: Exception) -> DataError:
    if "Object arrays" in str(error):
        return DataError(
            f"{source}: the array holds Python's objects, which are not read; make numbers or texts of it."
        )
    return DataError(f"{source}: the file is no NumPy file, or a damaged one; write it again.")


def with_splits(arrays: Arrays, source: str) -> tuple[Arrays, dict[str, np.ndarray] | None]:
    """Arrays x_train, y_train, x_test, ... as one x and y, and the rows of each split; None without such names."""
    found = {name: match.groups() for name in arrays if (match := re.fullmatch(r"(.+)_(train|val|test)", name))}
    if not any(split == "train" for _, split in found.values()):
        return arrays, None
    if rest := [name for name in arrays if name not in found]:
        raise DataError(
            f"{source}: beside arrays of splits, such as {next(iter(found))}, there is {rest[0]}; rename it."
        )
    names = list(dict.fromkeys(name for name, _ in found.values()))
    present = [split for split in SPLITS if split in {split for _, split in found.values()}]
    parts: list[Arrays] = []
    for split in present:
        for name in names:
            if f"{name}_{split}" not in arrays:
                there = listed(key for key, (_, of) in found.items() if of == split)
                raise DataError(f"{source}: there is {there}, and no {name}_{split}; each split needs all arrays.")
        parts.append({name: arrays[f"{name}_{split}"] for name in names})
    return joined_splits(dict(zip(present, parts, strict=True)), source)


def joined_splits(parts: Mapping[str, Arrays], source: str) -> tuple[Arrays, dict[str, np.ndarray]]:
    """The arrays of several splits one after another, and the rows of each."""
    one = parts["train"]
    for split, arrays in parts.items():
        samples(arrays, f"{source}, {split}")
        for name, array in arrays.items():
            if name not in one or array.shape[1:] != one[name].shape[1:]:
                raise DataError(
                    f"{source}: {name} of {split} has samples of shape {array.shape[1:]}, and that of train of "
                    f"{one[name].shape[1:] if name in one else 'nothing'}; they must be alike."
                )
    ends = np.cumsum([len(next(iter(arrays.values()))) for arrays in parts.values()])
    rows = dict(zip(parts, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))
    whole = {name: np.concatenate([arrays[name] for arrays in parts.values()]) for name in one}
    return whole, {name: rows.get(name, np.arange(0)) for name in SPLITS}


def samples(arrays: Arrays, source: str) -> int:
    """How many samples arrays have; `DataError` for those that differ in that, and for one that is a number."""
    for name, array in arrays.items():
        if array.ndim == 0:
            raise DataError(f"{source}: {name} is a single number, not an array of samples; leave it out.")
    sizes = {name: len(array) for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        found = joined([f"{name} has {size}" for name, size in sizes.items()])
        raise DataError(f"{source}: {found} samples; all arrays must have as many.")
    if not sizes or not next(iter(sizes.values())):
        raise DataError(f"{source}: there are no samples.")
    return next(iter(sizes.values()))


def target_arrays(arrays: Arrays, targets: Sequence[str]) -> tuple[Arrays, list[str]]:
    """A single target y of shape (n, m) as m arrays y0, y1, ... (n,), and their names; others as they are."""
    array = arrays.get(targets[0]) if len(targets) == 1 else None
    if array is None or array.ndim != 2 or array.shape[1] < 2:
        return arrays, list(targets)
    names = _numbered(targets[0], array)
    others = {name: values for name, values in arrays.items() if name != targets[0]}
    return others | dict(zip(names, array.T, strict=True)), names


def new_target_arrays(arrays: Arrays, targets: Sequence[str]) -> Arrays:
    """The arrays of a new table, of which one (n, m) may be that of which `target_arrays` made these targets."""
    for name, array in arrays.items():
        if array.ndim == 2 and _numbered(name, array) == list(targets):
            return target_arrays(arrays, [name])[0]
    return arrays


def _numbered(name: str, array: np.ndarray) -> list[str]:
    return [f"{name}{i}" for i in range(array.shape[1])]


def raw_table(
    arrays: Arrays, source: str, targets: Collection[str], is_tensor: Callable[[str, np.ndarray], bool]
) -> RawTable:
    """Arrays as columns: x (n, *shape) as one, x (n, D) of plain numbers as x0, x1, ..., and (n,) as it is.

    `is_tensor(name, array)` says which arrays of shape (n, D) are one column, too.
    """
    import pyarrow as pa

    samples(arrays, source)
    columns: dict[str, pa.ChunkedArray] = {}
    for name, array in arrays.items():
        if name in targets or array.ndim == 1:
            columns[name] = _column(array, place(source, column=name), name in targets)
        elif array.ndim > 2 or is_tensor(name, array):
            where = place(source, column=name)
            check_sample(array.shape[1:], where)
            columns[name] = tensor_cells(plain(array, where))
        else:
            where = place(source, column=name)
            columns |= {key: _column(array[:, i], where) for i, key in enumerate(_numbered(name, array))}
    return RawTable(source, columns)


def need_target(arrays: Arrays, targets: Sequence[str], source: str) -> None:
    """Raise `DataError` where there is no array of a target, or nothing else."""
    target = next((name for name in targets if name not in arrays), None)
    if target is not None:
        raise DataError(
            f"{source}: there is no array {quoted(target)}{nearest(target, arrays)}, which data.target names; there "
            f"{'are' if len(arrays) > 1 else 'is'} {listed(arrays) or 'none'}."
        )
    if len(arrays) == len(targets):
        called = quoted(listed(targets, 5))
        raise DataError(f"{source}: beside the target {called} there is no array to predict it from.")


def _column(array: np.ndarray, where: str, is_target: bool = False) -> "pa.ChunkedArray":
    import pyarrow as pa

    if array.ndim > 1 and math.prod(array.shape[1:]) == 1:
        array = array.reshape(len(array))
    if array.ndim > 1:
        several = f", or ({len(array)}, m) for several targets" if is_target and array.ndim > 2 else ""
        raise DataError(f"{where}: the target has the shape {array.shape}; it must be ({len(array)},){several}.")
    if array.dtype.kind in "SU":
        array = array.astype(str)
    elif array.dtype.kind not in "biuf":
        raise DataError(f"{where}: found values of type {array.dtype}; numbers and texts are read.")
    elif array.dtype.itemsize > 8 or not array.dtype.isnative:
        array = array.astype(np.float64)
    return pa.chunked_array([pa.array(array, from_pandas=True)])


def named(values: Any, name: str = "x") -> Arrays:
    """A dictionary of arrays, or a single one under a name."""
    return {str(k): as_array(v) for k, v in values.items()} if isinstance(values, Mapping) else {name: as_array(values)}


def as_array(values: Any) -> np.ndarray:
    """An array, a tensor on any device, or a list of numbers as an array."""
    detached = values.detach().cpu() if hasattr(values, "detach") else values
    return np.asarray(detached)


def stacked(samples: Iterable[Any]) -> Any:
    """The x of many samples as one array, or as a dictionary of arrays."""
    samples = list(samples)
    if isinstance(samples[0], Mapping):
        return {name: np.stack([as_array(sample[name]) for sample in samples]) for name in samples[0]}
    return np.stack([as_array(sample) for sample in samples])
