"""`StreamedData`: what a run trains on whose table stays on disk; a few bytes of each row are in memory."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from nettrain.data.compact import Restored, pairwise_sum
from nettrain.data.loading import Data
from nettrain.data.row_sets import in_parts


@dataclass(frozen=True, eq=False)
class RowWeights:
    """How much rows count, (n,), computed in float64 for the rows asked for: what `of_rows` has, times the weight
    `of_classes` of each one's class, divided by `mean`."""

    of_rows: Restored | None
    of_classes: np.ndarray | None
    target: Restored
    mean: float = 1.0

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, rows: Any) -> np.ndarray:
        weights: Any = 1.0 if self.of_classes is None else self.of_classes[self.target[rows]]
        return np.asarray((weights if self.of_rows is None else self.of_rows[rows] * weights) / self.mean)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(np.float64 if dtype is None else dtype, copy=False)


@dataclass
class StreamedData(Data):
    """`Data` whose x, `StreamedRows`, stays on disk; y and the weights, `Restored` and `RowWeights`, are in memory in a
    few bytes for each row, and the splits, `RowSet`s, in bits.

    Rows are numbered through all files.
    """

    streamed = True

    @property
    def floats(self) -> int:
        """Those of the windows that are in memory at a time."""
        return 3 * min(len(self.x), self.x.window) * self.x.width

    @cached_property
    def weights(self) -> Any:
        weights, rows = self.unscaled_weights, self.splits["train"]
        if weights is None:
            return None
        return replace(weights, mean=pairwise_sum(lambda i, j: weights[rows[i:j]], 0, len(rows)) / len(rows))

    @property
    def unscaled_weights(self) -> Any:
        of_rows, of_classes = self.table.weights, self.encoder.class_weights
        if of_rows is None and not of_classes:
            return None
        return RowWeights(of_rows, np.array(of_classes) if of_classes else None, self.table.target)  # type: ignore[arg-type]

    def _class_totals(self, weighted: bool) -> np.ndarray:
        classes, weights = len(self.encoder.classes), self.table.weights if weighted else None
        totals: np.ndarray = np.zeros(classes, np.int64 if weights is None else np.float64)
        for rows in in_parts(self.splits["train"]):
            if weights is None:
                totals += np.bincount(self.y[rows], minlength=classes)
            else:  # the sums go on where they are, as in one pass over all rows
                codes = np.concatenate([np.arange(classes), self.y[rows]])
                totals = np.bincount(codes, np.concatenate([totals, weights[rows]]), minlength=classes)
        return totals

    @cached_property
    def _in_units(self) -> Data:
        assert self.table.target is not None
        return replace(self, y=self.table.target, encoder=self.encoder.unscaled)

    @cached_property
    def digest(self) -> str:
        """A hash of the files, the encoder, the targets and the splits."""
        hashed = hashlib.sha256(f"{self.x.files.hash} {self.encoder.state}".encode())
        for values in [self.y, *self.splits.values(), *([] if self.weights is None else [self.weights])]:
            for part in in_parts(values):
                hashed.update(np.ascontiguousarray(part).data)
        return hashed.hexdigest()
