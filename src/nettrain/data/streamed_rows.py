"""`StreamedRows`: x of a table in Parquet files, which is read and encoded when it is needed, a window at a time."""

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nettrain.data import stream_order
from nettrain.data.columns import Column
from nettrain.data.encoded_columns import Categorical
from nettrain.data.encoding import Encoder
from nettrain.data.matching import matched
from nettrain.data.memory import release
from nettrain.data.parquet_files import ParquetFiles
from nettrain.data.raw_table import RawTable
from nettrain.data.stream_order import Hand, hands, part_size, shuffled_hands
from nettrain.data.values import normalized

WINDOW_BYTES = 2**24  # of the features of a window in float32
COLUMN_BYTES, OPEN_BYTES, MOST_OPEN = 3 * 2**20, 200 * 2**20, 8  # of row groups that are read side by side
AHEAD = 1  # windows that are read before they are needed


def everything(n: int) -> slice:
    """All of n rows."""
    return slice(n)


Part = Callable[[int], slice]


class Window(NamedTuple):
    """Rows of a table, by their numbers `rows` (n,), and their x (n, D)."""

    rows: np.ndarray
    x: np.ndarray


@dataclass
class StreamedRows:
    """x of shape (n, D) on disk, as `encoder` makes it of the `files`.

    `names` say which category each text of a column is that the training rows hold. Rows are asked for by an index
    array or a `RowSet`.
    """

    files: ParquetFiles
    encoder: Encoder
    names: dict[str, dict[str, str]]

    def __len__(self) -> int:
        return self.files.rows

    @property
    def window(self) -> int:
        """The rows of a window, about."""
        return max(1024, WINDOW_BYTES // (4 * self.width))

    @property
    def hand(self) -> int:
        """How many row groups are read side by side: pages of all of their columns are in memory."""
        return min(MOST_OPEN, max(1, OPEN_BYTES // (COLUMN_BYTES * len(self.encoder.columns))))

    @property
    def width(self) -> int:
        """D."""
        return len(self.encoder.feature_names)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """x of some rows (indices, or a slice), in float64."""
        asked = np.arange(len(self))[rows]
        order = np.argsort(asked, kind="stable")
        found = [window.x for window in self.in_order(asked[order], np.float64)]
        result = np.empty((len(asked), self.width))
        result[order] = np.concatenate(found) if found else 0.0
        return result

    def in_order(self, rows: Any, dtype: Any) -> Iterator[Window]:
        """x of ascending rows in the order of the files."""
        groups = self.files.groups
        bounds = rows.searchsorted([*(group.start for group in groups), self.files.rows])
        needed = np.flatnonzero(np.diff(bounds)).tolist()
        one_by_one = [hand for n in needed for hand in hands(groups, [n], self.window, 1)]
        return self._ahead(one_by_one, rows, dtype, 0)

    def shuffled(
        self, rows: Any, seed: int, epoch: int, dtype: Any, first: int = 0, part: Part = everything
    ) -> Iterator[Window]:
        """The windows of an epoch from window `first` on, with those of the ascending `rows` that lie in them.

        Of the n rows of a window those that `part(n)` leaves are read alone, and no row group without any.
        """
        todo = shuffled_hands(self.files.groups, seed, epoch, self.window, self.hand)
        return self._ahead(todo, rows, dtype, first, part)

    def rows_of_windows(self, rows: Any, seed: int, epoch: int) -> Iterator[np.ndarray]:
        """The rows of the windows of `shuffled`, for which nothing is read."""
        for hand in shuffled_hands(self.files.groups, seed, epoch, self.window, self.hand):
            for part in range(hand.parts):
                yield np.concatenate([self._rows(rows, n, part, hand.parts) for n in hand.groups])

    def _rows(self, rows: Any, number: int, part: int, parts: int) -> np.ndarray:
        """Those of the ascending rows that lie in a part of a row group."""
        group = self.files.groups[number]
        size = part_size(group.rows, parts)
        bounds = group.start + min(part * size, group.rows), group.start + min((part + 1) * size, group.rows)
        first, last = rows.searchsorted(bounds)
        return rows[first:last]

    def _ahead(
        self, todo: Sequence[Hand], rows: Any, dtype: Any, first: int, part: Part = everything
    ) -> Iterator[Window]:
        """Windows, which a thread of its own reads while the one before is used."""
        release()  # what the pass before has left
        windows = self._windows(todo, rows, dtype, first, part)
        with ThreadPoolExecutor(1, "nettrain-read") as reader:
            waiting: deque[Future[Window | None]] = deque()
            try:
                while True:
                    while len(waiting) <= AHEAD:
                        waiting.append(reader.submit(next, windows, None))
                    if (window := waiting.popleft().result()) is None:
                        return
                    yield window
            finally:
                for future in waiting:
                    future.cancel()

    def _windows(self, todo: Sequence[Hand], rows: Any, dtype: Any, first: int, share: Part) -> Iterator[Window]:
        names = [normalized(column.name) for column in self.encoder.columns]
        position = 0
        for hand in todo:
            if position + hand.parts <= first:
                position += hand.parts
                continue
            groups = [self.files.groups[n] for n in hand.groups]
            wanted_of_parts = [
                _shared([self._rows(rows, n, part, hand.parts) for n in hand.groups], share)
                for part in range(hand.parts)
            ]
            used = [any(map(len, of_group)) for of_group in zip(*wanted_of_parts, strict=True)]
            reading = [self.files.read(group, names, stream_order.BATCH) for group in groups]
            for part, wanted in enumerate(wanted_of_parts):
                x = np.empty((sum(map(len, wanted)), self.width), dtype) if position >= first else None
                end = 0
                for group, batches, some in itertools.compress(zip(groups, reading, wanted, strict=True), used):
                    size = part_size(group.rows, hand.parts)
                    begins = group.start + part * size
                    for raw in itertools.islice(batches, size // stream_order.BATCH):
                        here = some[slice(*np.searchsorted(some, (begins, begins + raw.rows)))]
                        if x is not None and len(here):
                            self._encode(raw, here - begins, x[end : end + len(here)])
                            end += len(here)
                        begins += raw.rows
                position += 1
                if x is not None and len(x):
                    yield Window(np.concatenate(wanted), x)

    def _encode(self, raw: RawTable, rows: np.ndarray, x: np.ndarray) -> None:
        """Write the features of some rows (indices) of a part into x."""
        first, everything = 0, len(rows) == raw.rows
        for encoded in self.encoder.scalars:
            column = Column(raw, normalized(encoded.name), trusted=True)
            width = len(encoded.feature_names)
            if isinstance(encoded, Categorical):
                places = self._places(encoded, column)
                codes = places if everything else places[rows]
                x[:, first : first + width] = encoded.features_of(codes)
            else:
                values, _ = encoded.read(column)
                x[:, first : first + width] = encoded.features(values if everything else values[rows])
            first += width

    def _places(self, encoded: Categorical, column: Column) -> np.ndarray:
        """The number of each cell's category, (n,); -1 where training rows had none such."""
        texts, codes = column.distinct
        place = {category: i for i, category in enumerate(encoded.categories)}
        known = self.names[encoded.name]
        named = {text: known[text] for text in texts if text in known}
        new = [text for text in texts if text not in known]
        named |= matched(new, [c for c in encoded.known if c is not None], column.raw.options.ignore_case)
        return np.array([*(place.get(named.get(text, text), -1) for text in texts), place.get(None, -1)])[codes]


def _shared(of_groups: list[np.ndarray], part: Part) -> list[np.ndarray]:
    """Those of a window's rows, in each of its row groups, that a part of the window has."""
    ends = np.cumsum([0, *map(len, of_groups)])
    first, last, _ = part(int(ends[-1])).indices(int(ends[-1]))
    return [rows[max(0, first - end) : max(0, last - end)] for rows, end in zip(of_groups, ends, strict=False)]
