"""`load`: from a data set's config to the arrays that a run trains on."""

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from nettrain.data.encoding import Encoder
from nettrain.data.memory import enough_memory
from nettrain.data.sources import Dataset
from nettrain.data.splits import monitored_split, split
from nettrain.data.table import Table
from nettrain.data.target import with_order, with_positive
from nettrain.data.weights import class_weights, require_weight


@dataclass
class Data:
    """`x` of shape (n, D) float64; `y` of shape (n,), int64 classes or standardised float64; the rows of each split.

    `splits` has the index arrays "train", "val" and "test", the last two empty where no rows are set aside.
    `encoder` is fitted on the training rows; `table` is what was loaded.
    """

    x: np.ndarray
    y: np.ndarray
    splits: dict[str, np.ndarray]
    encoder: Encoder
    table: Table

    @cached_property
    def weights(self) -> np.ndarray | None:
        """How much each row counts, (n,) with mean 1 over the training rows; None where all count alike."""
        weights = self.encoder.weights(self.table)
        return None if weights is None else weights / weights[self.splits["train"]].mean()

    def with_class_weights(self, asked: Any) -> "Data":
        """The same with weights of classes, see `class_weights`; as it is for None."""
        if asked is None:
            return self
        key = json.dumps(asked, sort_keys=True, default=str)
        if key not in self._by_class_weights:
            rows, table = self.splits["train"], self.table
            of_rows = None if table.weights is None else table.weights[rows]
            weights = class_weights(asked, table.classes, self.y[rows], of_rows)
            weighted = replace(self, encoder=replace(self.encoder, class_weights=weights))
            of_rows = weighted.encoder.weights(table)
            assert of_rows is not None
            require_weight(of_rows, self.splits, table.source)
            self._by_class_weights[key] = weighted
        return self._by_class_weights[key]

    @cached_property
    def _by_class_weights(self) -> dict[str, "Data"]:
        """Runs with the same weights share their data."""
        return {}

    @property
    def notes(self) -> list[str]:
        """Sentences on what was decided while the table was read and encoded."""
        return [*self.table.notes, *self.encoder.notes]

    def scaled_target(self, scaled: bool) -> "Data":
        """The same; unless `scaled`, with a regression target in its own units, neither shifted nor scaled."""
        return self if scaled or self.encoder.task != "regression" else self._in_units

    @cached_property
    def _in_units(self) -> "Data":
        encoder = replace(self.encoder, target_mean=0.0, target_scale=1.0)
        assert self.table.target is not None
        return replace(self, y=encoder.encode_target(self.table.target), encoder=encoder)

    @property
    def monitored_split(self) -> str:
        """The split by whose loss epochs are compared."""
        return monitored_split([name for name, rows in self.splits.items() if len(rows)])

    @cached_property
    def digest(self) -> str:
        """A hash of the encoded data and their splits."""
        hashed = hashlib.sha256(self.x.tobytes() + self.y.tobytes())
        for rows in self.splits.values():
            hashed.update(rows.tobytes())
        if self.weights is not None:
            hashed.update(self.weights.tobytes())
        return hashed.hexdigest()


def load(dataset: Dataset, seed: int) -> Data:
    """Load, split and encode; `dataset.split_seed`, or else the run's `seed`, draws the split.

    Raises `DataError` or `ConfigError` for a table or a split that cannot be used.
    """
    return encode(dataset, dataset.load(), seed)


def encode(dataset: Dataset, table: Table, seed: int, splits: dict[str, np.ndarray] | None = None) -> Data:
    """`load` for a table that has been loaded, and perhaps split."""
    assert table.target is not None
    split_seed = seed if dataset.split_seed is None else dataset.split_seed
    with enough_memory(table.source):
        splits = splits or split(table.target, table.task, dataset.val_fraction, dataset.test_fraction, split_seed)
        table = with_positive(with_order(table, dataset.order), dataset.positive)
        assert table.target is not None
        if table.weights is not None:
            require_weight(table.weights, splits, table.source)
        encoder = Encoder.fit(table, splits["train"], dataset.standardize)
        return Data(encoder.features(table), encoder.encode_target(table.target), splits, encoder, table)
