"""The batches of data that are read from disk while they are trained on."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrain import random
from nettrain.data.streamed_rows import StreamedRows, Window
from nettrain.preparation.prepared import PreparedRun
from nettrain.profile import stage
from nettrain.samples import as_tensor

HELD = 2**26  # bytes of the validation split's x up to which it stays in memory
EVALUATED = 2**14  # samples, at most, of which outputs are computed at once, so that little is in memory


class StreamBatches:
    """As `Batches`, of runs that have the same seed and the same `StreamedData`: x (n, D), y (n,).

    The order of an epoch is that of `StreamedRows.shuffled`, the rows of each window shuffled; batches are cut from the
    windows one after another. It does not depend on what has been read before, nor on how far reading is ahead.
    """

    shared, resident = True, None

    def __init__(self, runs: Sequence[PreparedRun], device: torch.device, dtype: torch.dtype) -> None:
        first = runs[0]
        self.device, self.dtype, self.seed, self.rows = device, dtype, first.config.seed, len(runs)
        self.bs, self.per_epoch, self.last = first.batch_size, first.updates_per_epoch, first.last_batch
        self.used = (self.per_epoch - 1) * self.bs + self.last
        data = first.data
        self.x: StreamedRows = data.x
        self.splits, self.inputs = data.splits, data.inputs
        self.y = torch.as_tensor(data.y, dtype=torch.int64 if data.y.dtype.kind == "i" else dtype)
        self.weights = None if data.weights is None else torch.as_tensor(data.weights, dtype=dtype)
        self.held: dict[str, Tensor] = {}
        self.numbers = np.float64 if dtype == torch.float64 else np.float32

    @property
    def size(self) -> dict[str, int]:
        """The samples of each split."""
        return {name: len(rows) for name, rows in self.splits.items()}

    def by_size(self, split: str) -> dict[int, list[int]]:
        """The rows by how many samples they have in a split."""
        return {len(self.splits[split]): list(range(self.rows))}

    def of_epoch(self, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """x and y of every batch from the batch `first` on."""
        number, behind = 0, 0  # windows of which no batch is needed any more, and their samples
        for rows in self.x.rows_of_windows(self.splits["train"], self.seed, epoch):
            if behind + len(rows) > first * self.bs:
                break
            number, behind = number + 1, behind + len(rows)
        windows = self.x.shuffled(self.splits["train"], self.seed, epoch, self.numbers, number)
        skipped = first * self.bs - behind
        parts = self._cut(self._shuffled(windows, epoch), self.bs, skipped)
        yield from itertools.islice(parts, self.per_epoch - first)

    def parts(self, split: str, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """A whole split in the order of the files, `size` samples at a time."""
        rows = self.splits[split]
        if split == "val" and len(rows) * self.x.width * np.dtype(self.numbers).itemsize <= HELD:
            if split not in self.held:
                windows = [as_tensor(window.x) for window in self.x.in_order(rows, self.numbers)]
                self.held[split] = torch.cat(windows).to(self.device)
            yield from zip(self.held[split].split(size), self.targets(split).split(size), strict=True)
        else:
            yield from self._cut(self.x.in_order(rows, self.numbers), min(size, EVALUATED))

    def targets(self, split: str, epoch: int | None = None) -> Tensor:
        """y (n,) of a split, in the order of its files or of an epoch."""
        return self._in_order(self.y, split, epoch)

    def weights_of(self, split: str, epoch: int | None = None) -> Tensor | None:
        """The weights (n,) of a split's samples, in the order of `targets`; None where all count alike."""
        return None if self.weights is None else self._in_order(self.weights, split, epoch)

    def weights_of_epoch(self, epoch: int, first: int = 0) -> Iterator[Tensor | None]:
        """The weights of every batch of `of_epoch`."""
        weights = self.weights_of("train", epoch)
        left = itertools.repeat(None, self.per_epoch) if weights is None else iter(weights.split(self.bs))
        yield from itertools.islice(left, first, None)

    def select(self, rows: list[int]) -> None:
        """Go on with these rows alone."""
        self.rows = len(rows)

    def _in_order(self, values: Tensor, split: str, epoch: int | None) -> Tensor:
        if epoch is None:
            return values[torch.as_tensor(self.splits[split]).long()].to(self.device)
        windows = self.x.rows_of_windows(self.splits["train"], self.seed, epoch)
        filled = (rows for rows in windows if len(rows))
        ordered = [values[torch.as_tensor(rows).long()[self._order(epoch, rows)]] for rows in filled]
        return torch.cat(ordered)[: self.used].to(self.device)

    def _order(self, epoch: int, rows: np.ndarray) -> Tensor:
        """The order of a window's rows."""
        return random.permutation(self.seed, epoch, len(rows), int(rows[0]))

    def _shuffled(self, windows: Iterator[Window], epoch: int) -> Iterator[Window]:
        for window in windows:
            with stage("batch"):
                order = self._order(epoch, window.rows)
                window = Window(window.rows[order.numpy()], as_tensor(window.x).index_select(0, order).numpy())
            yield window

    def _cut(self, windows: Iterator[Window], size: int, skipped: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """x and y of `size` samples at a time, the last part what is left; the first `skipped` samples are left out."""
        waiting: list[tuple[Any, Any]] = []
        for window in windows:
            x, y = as_tensor(window.x), self.y[torch.as_tensor(window.rows).long()]
            x, y, skipped = x[skipped:], y[skipped:], max(0, skipped - len(y))
            there = sum(len(part) for _, part in waiting)
            if waiting and there + len(y) >= size:
                x, y, yield_x, yield_y = x[size - there :], y[size - there :], x[: size - there], y[: size - there]
                yield self._joined([*waiting, (yield_x, yield_y)])
                waiting = []
            whole = 0 if waiting else len(y) // size * size
            for first in range(0, whole, size):
                yield x[first : first + size].to(self.device), y[first : first + size].to(self.device)
            if whole < len(y):
                waiting.append((x[whole:].clone(), y[whole:]))
        if waiting:
            yield self._joined(waiting)

    def _joined(self, parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        x, y = (torch.cat(tensors).to(self.device) for tensors in zip(*parts, strict=True))
        return x, y
