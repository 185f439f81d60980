"""The data of one run, or of the rows of a stack, as tensors on the device, and the batches of their epochs."""

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from nettrain import random
from nettrain.inputs import Input, each
from nettrain.preparation.prepared import PreparedRun
from nettrain.profile import stage
from nettrain.ranks.ranks import ALONE, Ranks
from nettrain.samples import Sizes, X, ready_tensor, split
from nettrain.training.stack.resident import Resident
from nettrain.training.stack.rows import to_device


class Batches:
    """The splits of the runs, and the batches of their epochs: x (..., n, *shape) or a dictionary of such, y (..., n),
    or (..., n, m) for several targets.

    `...` is nothing where all runs see the same samples in the same order, and K, one for each row, otherwise. Rows
    with the same data share one copy of them, from which each batch is gathered. Of a tensor that is `resident`, bytes
    or ids, `splits` hold no more than the numbers of the samples, so that rows with different splits share it, too.

    Of several `ranks`, which share one run, each is given its part of every batch by `of_epoch`.
    """

    def __init__(
        self, runs: Sequence[PreparedRun], device: torch.device, dtype: torch.dtype, ranks: Ranks = ALONE
    ) -> None:
        first = runs[0]
        self.device, self.ranks = device, ranks
        self.seeds = [run.config.seed for run in runs]
        data = list({id(run.data): run.data for run in runs}.values())
        position = {id(d): i for i, d in enumerate(data)}
        self.copies = np.array([position[id(run.data)] for run in runs])  # of the data, by row
        self.copies_there = to_device(self.copies, device)
        self.shared = len(data) == 1 and len(set(self.seeds)) == 1
        self.sizes = {name: np.array([len(d.splits[name]) for d in data]) for name in first.data.splits}  # of each copy
        self.bs, self.per_epoch, self.last = first.batch_size, first.updates_per_epoch, first.last_batch
        self.used = (self.per_epoch - 1) * self.bs + self.last  # samples of an epoch
        classes = torch.int64 if first.data.y.dtype.kind == "i" else dtype
        arrays, inputs = (each(_listed, *values) for values in ([d.x for d in data], [d.inputs for d in data]))
        self.resident = each(partial(_resident, device, dtype), arrays, inputs)
        self.splits: dict[str, tuple[Any, Tensor]] = {}  # x and y
        self.kept: dict[str, tuple[int | None, Tensor]] = {}  # of each split the order that was asked for last
        self.weights: dict[str, Tensor] = {}  # of the samples of each split, where they have some
        for name in first.data.splits:
            x = each(partial(_joined, [d.splits[name] for d in data], dtype), arrays, inputs, self.resident)
            y = torch.cat([torch.as_tensor(d.y[d.splits[name]], dtype=classes) for d in data])
            self.splits[name] = each(lambda tensor: tensor.to(device), x), y.to(device)
            weights = [torch.as_tensor(d.weights[d.splits[name]], dtype=dtype) for d in data if d.weights is not None]
            if weights:
                self.weights[name] = torch.cat(weights).to(device)

    @property
    def size(self) -> dict[str, int]:
        """The samples of each split; of the row that has most, where they are not equally many."""
        return {name: int(sizes[self.copies].max()) for name, sizes in self.sizes.items()}

    def by_size(self, split: str) -> dict[int, list[int]]:
        """The rows by how many samples they have in a split."""
        rows: dict[int, list[int]] = {}
        for row, size in enumerate(self.sizes[split][self.copies].tolist()):
            rows.setdefault(size, []).append(row)
        return rows

    def order(self, split: str, epoch: int | None = None) -> Tensor:
        """The samples of a split, numbers (..., n) of those in `splits`; those of training in the order of an epoch.

        Without an epoch the last sample of a row that has fewer than others is repeated. The tensor is kept for who
        asks again, and must not be changed.
        """
        if split not in self.kept or self.kept[split][0] != epoch:
            self.kept[split] = epoch, self._order_of_rows(split, epoch)
        return self.kept[split][1]

    def _order_of_rows(self, split: str, epoch: int | None) -> Tensor:
        keys = list(zip(self.seeds, self.sizes[split][self.copies].tolist(), strict=True))
        different = list(dict.fromkeys(keys))
        orders = [self._order(*key, self.size[split], epoch) for key in different]
        if self.shared:
            return to_device(orders[0], self.device)
        position = {key: i for i, key in enumerate(different)}
        of_rows = to_device(np.array([position[key] for key in keys]), self.device)
        return to_device(torch.stack(orders), self.device)[of_rows] + to_device(self._starts(split), self.device)

    def _order(self, seed: int, n: int, most: int, epoch: int | None) -> Tensor:
        if epoch is None:
            return torch.arange(most).clamp(max=n - 1)
        if self.bs == n:  # the order within a batch changes nothing but the rounding of sums
            return torch.arange(n)
        return random.permutation(seed, epoch, n)[: self.used]

    def of_epoch(self, epoch: int, first: int = 0) -> Iterator[tuple[X, Tensor]]:
        """x and y of every batch from the batch `first` on, the training split in the order of this epoch."""
        index, sizes = self.order("train", epoch)[..., first * self.bs :], cast(Sizes, self.bs)
        if self.ranks.size > 1:
            samples = list(self.samples_of_epoch(epoch, first))
            starts = range(0, self.bs * len(samples), self.bs)
            index = index[torch.cat([start + some for start, some in zip(starts, samples, strict=True)])]
            sizes = [len(some) for some in samples]
        if self.shared:  # one permuted copy, of which the batches are views
            with stage("batch"):
                x, y = self._gather("train", index)
            yield from self._batches(x, y, sizes)
        else:
            for numbers in index.split(self.bs, dim=-1):
                with stage("batch"):
                    batch = self.at("train", numbers)
                yield batch

    def samples_of_epoch(self, epoch: int, first: int = 0) -> Iterator[Tensor]:
        """The numbers in the whole batch of the samples (n,) of every batch of `of_epoch`."""
        of_batch, of_last = (self._samples(size) for size in (self.bs, self.last))
        yield from itertools.repeat(of_batch, self.per_epoch - 1 - first)
        yield of_last

    def _samples(self, size: int) -> Tensor:
        part = self.ranks.part(size)
        return torch.arange(part.start, part.stop, device=self.device)

    def at(self, split: str, numbers: Tensor) -> tuple[X, Tensor]:
        """x and y of the samples with these numbers (..., n), as `order` gives them."""
        x, y = self._gather(split, numbers)
        return self._ready(x), y

    def floats(self, split: str) -> Tensor:
        """x of a split, as a model takes it, all copies one after another; `order` gives the numbers of its samples."""
        x, _ = self.splits[split]
        if self.resident is None:
            return x
        parts = x.split(self.sizes[split].tolist())
        return torch.cat([self.resident.batch(part, torch.tensor(i)) for i, part in enumerate(parts)])

    def weights_at(self, split: str, numbers: Tensor) -> Tensor | None:
        """The weights of these samples; None where all count alike."""
        return _at(numbers, self.weights[split]) if self.weights else None

    def targets(self, split: str, epoch: int | None = None) -> Tensor:
        """y (..., n) of a split, in the order of `order`."""
        return _at(self.order(split, epoch), self.splits[split][1])

    def weights_of(self, split: str, epoch: int | None = None) -> Tensor | None:
        """The weights of a split's samples, of the shape of `targets`; None where all count alike."""
        return self.weights_at(split, self.order(split, epoch))

    def weights_of_epoch(self, epoch: int, first: int = 0) -> Iterator[Tensor | None]:
        """The weights of every batch of `of_epoch`."""
        weights, sample = self.weights_of("train", epoch), 0 if self.shared else 1
        all_of_them = (
            itertools.repeat(None, self.per_epoch) if weights is None else iter(weights.split(self.bs, sample))
        )
        yield from itertools.islice(all_of_them, first, None)

    def parts(self, split: str, size: int, part: slice = slice(None)) -> Iterator[tuple[X, Tensor]]:
        """A whole split in its own order, or a part of it, `size` samples at a time."""
        if self.shared:
            x, y = self.splits[split]
            yield from self._batches(each(lambda tensor: tensor[part], x), y[part], size)
        else:
            for numbers in self.order(split).split(size, dim=-1):
                yield self.at(split, numbers)

    def _batches(self, x: X, y: Tensor, size: Sizes) -> Iterator[tuple[X, Tensor]]:
        """Samples that all rows share, `size` at a time."""
        for part_x, part_y in zip(split(x, size, 0), y.split(size), strict=True):
            yield self._ready(part_x), part_y

    def _ready(self, x: X) -> X:
        """Samples as a model takes them, where x holds no more than their numbers."""
        if self.resident is None:
            return x
        copies = self.copies_there[0] if self.shared else self.copies_there
        return each(lambda part, resident: part if resident is None else resident.batch(part, copies), x, self.resident)

    def _starts(self, split: str) -> Tensor:
        """Where each row's samples begin in the split, (K, 1)."""
        sizes = self.sizes[split]
        return torch.as_tensor((np.cumsum(sizes) - sizes)[self.copies, None])

    def _gather(self, split: str, index: Tensor) -> tuple[X, Tensor]:
        x, y = self.splits[split]
        return each(partial(_at, index), x), _at(index, y)

    def select(self, rows: list[int]) -> None:
        """Go on with these rows alone; data that none of them uses are dropped."""
        self.kept = {}
        self.seeds = [self.seeds[row] for row in rows]
        used, self.copies = np.unique(self.copies[rows], return_inverse=True)
        self.copies_there = to_device(self.copies, self.device)
        copies = torch.as_tensor(used).to(self.device)
        for name, (x, y) in self.splits.items():
            if len(used) < len(self.sizes[name]):
                kept = np.isin(np.arange(len(self.sizes[name])), used).repeat(self.sizes[name])
                index = torch.as_tensor(np.flatnonzero(kept)).to(self.device)
                self.splits[name] = each(lambda part, i=index: part.index_select(0, i), x), y[index]
                if self.weights:
                    self.weights[name] = self.weights[name][index]
                self.sizes[name] = self.sizes[name][used]
        each(lambda resident: resident and resident.select(copies), self.resident)
        self.shared = len(used) == 1 and len(set(self.seeds)) == 1


def _at(index: Tensor, values: Tensor) -> Tensor:
    """The samples (..., n, *shape) of these numbers (..., n)."""
    return values.index_select(0, index.flatten()).unflatten(0, index.shape)


def _listed(*values: Any) -> list[Any]:
    return list(values)


def _resident(
    device: torch.device, dtype: torch.dtype, arrays: list[np.ndarray], inputs: list[Input]
) -> Resident | None:
    return None if inputs[0].kind == "numbers" else Resident(arrays, inputs, device, dtype)


def _joined(
    rows: list[np.ndarray],
    dtype: torch.dtype,
    arrays: list[np.ndarray],
    inputs: list[Input],
    resident: Resident | None,
) -> Tensor:
    """A split of all data, one after another: the samples, or the numbers of those in what is resident."""
    if resident is not None:
        return torch.cat([resident.samples(i, some) for i, some in enumerate(rows)])
    return torch.cat(
        [ready_tensor(dtype, array[r], input) for r, array, input in zip(rows, arrays, inputs, strict=True)]
    )
