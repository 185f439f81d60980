"""Numbers of each row of a large table, in memory in the smallest type that holds all of them exactly."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

FLOATS: tuple[type, ...] = (np.float32, np.float64)
AT_ONCE = 2**20  # numbers that are computed together
COUNTS: tuple[type, ...] = (np.uint8, np.uint16, np.int32)


class Compact:
    """n numbers of which some after others become known; they are in `values`, (n,), of one of some types."""

    def __init__(self, size: int, types: Sequence[type]) -> None:
        self.types = list(types)
        self.values: np.ndarray = np.empty(size, self.types[0])

    def put(self, start: int, numbers: np.ndarray) -> None:
        """Numbers `start`, `start` + 1, ...; none of them is NaN."""
        with np.errstate(over="ignore"):
            while not (numbers.astype(self.types[0]) == numbers).all():
                self.values = self.values.astype(self.types[1])
                del self.types[0]
        self.values[start : start + len(numbers)] = numbers

    def replaced(self, by: np.ndarray) -> "Compact":
        """Whole numbers by[value] in the place of each value."""
        result = Compact(len(self.values), COUNTS)
        for first in range(0, len(self.values), AT_ONCE):
            result.put(first, by[self.values[first : first + AT_ONCE]])
        return result


@dataclass(frozen=True, eq=False)
class Restored:
    """(values - mean) / scale, in float64, or int64 where the values are whole: (n,), computed for the rows asked for.

    `np.asarray` gives all of them.
    """

    values: np.ndarray
    mean: float = 0.0
    scale: float = 1.0

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.int64 if self.values.dtype.kind in "iu" else np.float64)

    @property
    def size(self) -> int:
        return self.values.size

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Any) -> np.ndarray:
        numbers = self.values[rows].astype(self.dtype)
        return numbers if self.dtype.kind == "i" else (numbers - self.mean) / self.scale

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def scaled(self, mean: float, scale: float) -> "Restored":
        """The same values with another mean and scale."""
        return replace(self, mean=mean, scale=scale)


def pairwise_sum(part: Callable[[int, int], np.ndarray], first: int, last: int, at_once: int = AT_ONCE) -> float:
    """The sum of numbers `first`, ..., `last` - 1, of which `part(first, last)` gives some in float64.

    It adds in the order of NumPy's sum of one array, halves of halves, and so has its bits.
    """
    if last - first <= at_once:
        return float(np.add.reduce(part(first, last)))
    half = (last - first) // 2
    half -= half % 8
    return pairwise_sum(part, first, first + half, at_once) + pairwise_sum(part, first + half, last, at_once)
