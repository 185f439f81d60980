"""The data of one run, or of the rows of a stack, as tensors on the device."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from nettrain import random
from nettrain.preparation.prepared import Setup


class Samples:
    """The splits of the runs, and the batches of their epochs: x (..., n, D), y (..., n).

    `...` is nothing where all runs see the same samples in the same order, and K, one for each row, otherwise. Rows
    with the same data share one copy of them, from which each batch is gathered.
    """

    def __init__(self, setups: Sequence[Setup], device: torch.device, dtype: torch.dtype) -> None:
        first = setups[0]
        self.device = device
        self.seeds = [setup.settings.seed for setup in setups]
        data = list({id(setup.data): setup.data for setup in setups}.values())
        position = {id(d): i for i, d in enumerate(data)}
        self.copies = np.array([position[id(setup.data)] for setup in setups])  # of the data, by row
        self.shared = len(data) == 1 and len(set(self.seeds)) == 1
        self.size = {name: len(rows) for name, rows in first.data.splits.items()}
        self.bs = first.settings.batch_size(first.n_train)
        self.used = first.updates_per_epoch * self.bs if first.settings.drop_last else first.n_train
        classes = torch.int64 if first.data.y.dtype.kind == "i" else dtype
        self.splits: dict[str, tuple[Tensor, Tensor]] = {}
        for name in first.data.splits:
            x = torch.cat([torch.as_tensor(d.x[d.splits[name]], dtype=dtype) for d in data])
            y = torch.cat([torch.as_tensor(d.y[d.splits[name]], dtype=classes) for d in data])
            self.splits[name] = x.to(device), y.to(device)

    def order(self, split: str, epoch: int | None = None) -> Tensor:
        """The samples of a split, numbers (..., n) of those in `splits`; those of training in the order of an epoch."""
        n = self.size[split]
        if epoch is None or self.bs == n:  # the order within a batch changes nothing but the rounding of sums
            index = torch.arange(n)
        elif self.shared:
            index = random.permutation(self.seeds[0], epoch, n)[: self.used]
        else:
            orders = {seed: random.permutation(seed, epoch, n)[: self.used] for seed in set(self.seeds)}
            index = torch.stack([orders[seed] for seed in self.seeds])
        return (index if self.shared else index + self._starts(split)).to(self.device)

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """x and y of every batch, the training split in the order of this epoch."""
        index = self.order("train", epoch)
        if self.shared:  # one permuted copy, of which the batches are views
            x, y = self._gather("train", index)
            yield from zip(x.split(self.bs), y.split(self.bs), strict=True)
        else:
            for batch in index.split(self.bs, dim=-1):
                yield self._gather("train", batch)

    def targets(self, split: str, epoch: int | None = None) -> Tensor:
        """y (..., n) of a split, in the order of `order`."""
        return self.splits[split][1].take(self.order(split, epoch))

    def parts(self, split: str, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """A whole split in its own order, `size` samples at a time."""
        if self.shared:
            x, y = self.splits[split]
            yield from zip(x.split(size), y.split(size), strict=True)
        else:
            starts = self._starts(split)
            for part in torch.arange(self.size[split]).split(size):
                yield self._gather(split, (starts + part).to(self.device))

    def _starts(self, split: str) -> Tensor:
        """Where each row's samples begin in the split, (K, 1)."""
        return torch.as_tensor(self.copies[:, None] * self.size[split])

    def _gather(self, split: str, index: Tensor) -> tuple[Tensor, Tensor]:
        x, y = self.splits[split]
        return x.index_select(0, index.flatten()).unflatten(0, index.shape), y.take(index)

    def select(self, rows: list[int]) -> None:
        """Go on with these rows alone; data that none of them uses are dropped."""
        self.seeds = [self.seeds[row] for row in rows]
        kept, self.copies = np.unique(self.copies[rows], return_inverse=True)
        for name, (x, y) in self.splits.items():
            index = torch.as_tensor(kept).to(self.device)
            blocks = [tensor.unflatten(0, (-1, self.size[name])) for tensor in (x, y)] if self.size[name] else []
            if blocks and len(kept) < len(blocks[0]):
                self.splits[name] = blocks[0].index_select(0, index).flatten(0, 1), blocks[1][index].flatten()
        self.shared = len(kept) == 1 and len(set(self.seeds)) == 1
