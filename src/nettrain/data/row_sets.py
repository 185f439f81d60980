"""`RowSet`: which rows of a large table are in a split, in a bit for each row."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

BLOCK = 2**16  # rows that are looked at together, a multiple of 8


class RowSet:
    """Ascending numbers of rows of a table of n rows, as an index array has them, in n / 8 bytes.

    A slice is an array, and so is what other indices choose; `np.asarray` makes an array of all of them.
    """

    def __init__(self, bits: np.ndarray, rows: int) -> None:
        """`bits` are those that `np.packbits` gives for `rows` truth values."""
        self.bits, self.rows = bits, rows
        self.dtype = np.dtype(np.int32 if rows < 2**31 else np.int64)
        counts = [int(np.unpackbits(self._block(i)).sum()) for i in range(-(-rows // BLOCK))]
        self.before = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])  # that are in the blocks before each

    def _block(self, first: int, last: int | None = None) -> np.ndarray:
        """The bytes of the blocks `first`, ..., `last`."""
        end = first if last is None else last
        return self.bits[first * BLOCK // 8 : (end + 1) * BLOCK // 8]

    def __len__(self) -> int:
        return int(self.before[-1])

    def __getitem__(self, ranks: Any) -> np.ndarray:
        if not (isinstance(ranks, slice) and ranks.step in (None, 1)):
            return np.asarray(self)[ranks]
        start, stop, _ = ranks.indices(len(self))
        if start >= stop:
            return np.empty(0, self.dtype)
        first, last = (np.searchsorted(self.before, (start, stop - 1), side="right") - 1).tolist()
        rows = np.flatnonzero(np.unpackbits(self._block(first, last))) + first * BLOCK
        return rows[start - self.before[first] : stop - self.before[first]].astype(self.dtype)

    def __iter__(self) -> Iterator[Any]:
        for rows in in_parts(self):
            yield from rows.tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def searchsorted(self, rows: Any) -> np.ndarray:
        """How many of the rows are below each of these numbers."""
        return np.array([self._below(int(row)) for row in rows], dtype=np.int64)

    def _below(self, row: int) -> int:
        block, rest = divmod(min(row, self.rows), BLOCK)
        return (
            int(self.before[block]) + int(np.unpackbits(self._block(block), count=rest).sum())
            if rest
            else int(self.before[block])
        )


def row_sets(rows: int, kinds: int, kind: Callable[[np.ndarray], np.ndarray]) -> list[RowSet]:
    """A set for each of so many kinds of rows; `kind` gives the kinds, uint8, of rows by their numbers."""
    bits = np.zeros((kinds, -(-rows // 8)), np.uint8)
    for first in range(0, rows, BLOCK):
        of_block = kind(np.arange(first, min(first + BLOCK, rows)))
        packed = np.packbits(of_block == np.arange(kinds, dtype=np.uint8)[:, None], axis=1)
        bits[:, first // 8 : first // 8 + packed.shape[1]] = packed
    return [RowSet(of_kind, rows) for of_kind in bits]


def in_parts(rows: Any, size: int = BLOCK) -> Iterator[Any]:
    """Some rows after others."""
    for first in range(0, len(rows), size):
        yield rows[first : first + size]
