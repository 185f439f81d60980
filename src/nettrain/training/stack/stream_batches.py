"""The batches of data that are read from disk while they are trained on."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from nettrain import random
from nettrain.data.row_sets import in_parts
from nettrain.data.streamed_rows import StreamedRows, Window
from nettrain.preparation.prepared import PreparedRun
from nettrain.profile import stage
from nettrain.ranks.ranks import ALONE, Ranks
from nettrain.samples import as_tensor

HELD = 2**26  # bytes of the validation split's x up to which it stays in memory
EVALUATED = 2**14  # samples, at most, of which outputs are computed at once, so that little is in memory


class StreamBatches:
    """As `Batches`, of runs that have the same seed and the same `StreamedData`: x (n, D), y (n,).

    The order of an epoch is that of `StreamedRows.shuffled`, the rows of each window shuffled; batches are cut from the
    windows one after another. It does not depend on what has been read before, nor on how far reading is ahead.

    Of several `ranks` each reads its part of every window, and is given those samples of each batch that lie in it.
    """

    shared, resident = True, None

    def __init__(
        self, runs: Sequence[PreparedRun], device: torch.device, dtype: torch.dtype, ranks: Ranks = ALONE
    ) -> None:
        first = runs[0]
        self.ranks = ranks
        self.device, self.dtype, self.seed, self.rows = device, dtype, first.config.seed, len(runs)
        self.bs, self.per_epoch, self.last = first.batch_size, first.updates_per_epoch, first.last_batch
        self.used = (self.per_epoch - 1) * self.bs + self.last
        data = first.data
        self.x: StreamedRows = data.x
        self.splits, self.inputs = data.splits, data.inputs
        self.y, self.weights = data.y, data.weights
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
        if self.ranks.size > 1:
            yield from self._own_of_epoch(epoch, first, number)
            return
        windows = self.x.shuffled(self.splits["train"], self.seed, epoch, self.numbers, number)
        skipped = first * self.bs - behind
        for x, y in itertools.islice(_cut(self._shuffled(windows, epoch), self.bs, skipped), self.per_epoch - first):
            yield x.to(self.device), y.to(self.device)

    def _own_of_epoch(self, epoch: int, first: int, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """As `of_epoch`, of what this rank has of the windows from window `number` on."""
        read = self.x.shuffled(self.splits["train"], self.seed, epoch, self.numbers, number, self.ranks.part)
        nothing = Window(np.empty(0, np.int64), np.empty((0, self.x.width), self.numbers))

        def values() -> Iterator[tuple[int, list[Tensor]]]:
            for window, (end, places, order) in enumerate(self._places(epoch)):
                if window < number:
                    places, order = places[:0], order[:0]
                own = next(read) if len(order) else nothing
                with stage("batch"):
                    x, y = as_tensor(own.x).index_select(0, order), self._targets(own.rows[order.numpy()])
                yield end, [places, x, y]

        for _, x, y in self._by_batch(values(), first):
            yield x.to(self.device), y.to(self.device)

    def samples_of_epoch(self, epoch: int, first: int = 0) -> Iterator[Tensor]:
        """The numbers in the whole batch of the samples (n,) of every batch of `of_epoch`."""
        values = ((end, [places]) for end, places, _ in self._places(epoch))
        for batch, (places,) in enumerate(self._by_batch(values, first), first):
            yield (places - batch * self.bs).to(self.device)

    def _places(self, epoch: int) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Of every window of an epoch the samples behind which it ends, and of this rank's samples in it the numbers
        in the epoch and those in the rank's part of the window, both (n,), in the order of the epoch."""
        begins = 0
        for rows in self.x.rows_of_windows(self.splits["train"], self.seed, epoch):
            order, part = self._order(epoch, rows) if len(rows) else torch.arange(0), self.ranks.part(len(rows))
            places = ((order >= part.start) & (order < part.stop)).nonzero().squeeze(-1)
            yield begins + len(rows), begins + places, order[places] - part.start
            begins += len(rows)

    def _by_batch(self, windows: Iterator[tuple[int, list[Tensor]]], first: int) -> Iterator[list[Tensor]]:
        """The tensors of windows, of which the first one has the numbers in the epoch, batch by batch from `first` on.

        A window comes with the number of samples behind which it ends.
        """
        waiting: list[Sequence[Tensor]] = []
        batch = first
        for end, tensors in windows:
            begins = int(torch.searchsorted(tensors[0], first * self.bs))
            tensors = [tensor[begins:] for tensor in tensors]
            while batch < self.per_epoch and end >= (bound := min((batch + 1) * self.bs, self.used)):
                n = int(torch.searchsorted(tensors[0], bound))
                yield _joined([*waiting, [tensor[:n] for tensor in tensors]])
                tensors, waiting, batch = [tensor[n:] for tensor in tensors], [], batch + 1
            if batch == self.per_epoch:
                return
            waiting.append([tensor.clone() for tensor in tensors])  # which holds no whole window

    def parts(self, split: str, size: int, part: slice = slice(None)) -> Iterator[tuple[Tensor, Tensor]]:
        """A whole split in the order of the files, or a part of it, `size` samples at a time."""
        rows = self.splits[split][part]
        if split == "val" and len(rows) * self.x.width * np.dtype(self.numbers).itemsize <= HELD:
            if split not in self.held:
                nothing = torch.empty(0, self.x.width, dtype=self.dtype)
                windows = [as_tensor(window.x) for window in self.x.in_order(rows, self.numbers)] or [nothing]
                self.held[split] = torch.cat(windows).to(self.device)
            yield from zip(self.held[split].split(size), self.targets(split)[part].split(size), strict=True)
        else:
            for x, y in _cut(self._with_targets(self.x.in_order(rows, self.numbers)), min(size, EVALUATED)):
                yield x.to(self.device), y.to(self.device)

    def some_of(self, split: str, most: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """x, y and the weights of `most` samples of a split, evenly spread over it, or of all where there are fewer."""
        rows = self.splits[split]
        rows = np.asarray(rows)[np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64)]
        x = torch.cat([as_tensor(window.x) for window in self.x.in_order(rows, self.numbers)])
        weights = None if self.weights is None else self._weights(rows).to(self.device)
        return x.to(self.device), self._targets(rows).to(self.device), weights

    def targets(self, split: str, epoch: int | None = None) -> Tensor:
        """y (n,) of a split, in the order of its files or of an epoch."""
        return self._in_order(self._targets, split, epoch)

    def weights_of(self, split: str, epoch: int | None = None) -> Tensor | None:
        """The weights (n,) of a split's samples, in the order of `targets`; None where all count alike."""
        return None if self.weights is None else self._in_order(self._weights, split, epoch)

    def targets_of_epoch(self, epoch: int, first: int = 0) -> Iterator[Tensor]:
        """y of every batch of `of_epoch`."""
        return self._of_epoch(self._targets, epoch, first)

    def weights_of_epoch(self, epoch: int, first: int = 0) -> Iterator[Tensor | None]:
        """The weights of every batch of `of_epoch`."""
        if self.weights is None:
            return itertools.repeat(None, self.per_epoch - first)
        return self._of_epoch(self._weights, epoch, first)

    def targets_between(self, split: str, first: int, last: int) -> Tensor:
        """y of samples `first`, ..., `last` - 1 of a split in the order of the files."""
        return self._targets(self.splits[split][first:last]).to(self.device)

    def weights_between(self, split: str, first: int, last: int) -> Tensor | None:
        """The weights of samples `first`, ..., `last` - 1 of a split in the order of the files."""
        return None if self.weights is None else self._weights(self.splits[split][first:last]).to(self.device)

    def select(self, rows: list[int]) -> None:
        """Go on with these rows alone."""
        self.rows = len(rows)

    def _targets(self, rows: np.ndarray) -> Tensor:
        y = torch.as_tensor(self.y[rows])
        return y if y.dtype == torch.int64 else y.to(self.dtype)

    def _weights(self, rows: np.ndarray) -> Tensor:
        assert self.weights is not None
        return torch.as_tensor(self.weights[rows]).to(self.dtype)

    def _in_order(self, values: Callable[[np.ndarray], Tensor], split: str, epoch: int | None) -> Tensor:
        if epoch is None:
            return torch.cat([values(rows) for rows in in_parts(self.splits[split])] or [values(np.empty(0, int))])
        return torch.cat(list(self._of_epoch(values, epoch, 0)))

    def _of_epoch(self, values: Callable[[np.ndarray], Tensor], epoch: int, first: int) -> Iterator[Tensor]:
        """Those of every batch from the batch `first` on."""
        windows = self.x.rows_of_windows(self.splits["train"], self.seed, epoch)
        ordered = ((values(rows[self._order(epoch, rows).numpy()]),) for rows in windows if len(rows))
        for (batch,) in itertools.islice(_cut(ordered, self.bs, first * self.bs), self.per_epoch - first):
            yield batch.to(self.device)

    def _order(self, epoch: int, rows: np.ndarray) -> Tensor:
        """The order of a window's rows."""
        return random.permutation(self.seed, epoch, len(rows), int(rows[0]))

    def _shuffled(self, windows: Iterator[Window], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for window in windows:
            with stage("batch"):
                order = self._order(epoch, window.rows)
                x, y = as_tensor(window.x).index_select(0, order), self._targets(window.rows[order.numpy()])
            yield x, y

    def _with_targets(self, windows: Iterator[Window]) -> Iterator[tuple[Tensor, Tensor]]:
        for window in windows:
            yield as_tensor(window.x), self._targets(window.rows)


def _cut(windows: Iterator[Sequence[Tensor]], size: int, skipped: int = 0) -> Iterator[Sequence[Tensor]]:
    """Tensors of `size` samples at a time, the last ones of what is left; the first `skipped` samples are left out."""
    waiting: list[Sequence[Tensor]] = []
    for window in windows:
        behind, skipped = skipped, max(0, skipped - len(window[0]))
        values = [tensor[behind:] for tensor in window]
        there, n = sum(len(part[0]) for part in waiting), len(values[0])
        if waiting and there + n >= size:
            yield _joined([*waiting, [tensor[: size - there] for tensor in values]])
            values, waiting = [tensor[size - there :] for tensor in values], []
            n = len(values[0])
        whole = 0 if waiting else n // size * size
        for first in range(0, whole, size):
            yield [tensor[first : first + size] for tensor in values]
        if whole < n:
            waiting.append([tensor[whole:].clone() for tensor in values])  # which holds no whole window
    if waiting:
        yield _joined(waiting)


def _joined(parts: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    return [torch.cat(tensors) for tensors in zip(*parts, strict=True)]
