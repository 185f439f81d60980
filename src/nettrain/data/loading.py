"""`load`: from a data set's config to the arrays that a run trains on."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nettrain.data.encoding import Encoder
from nettrain.data.memory import enough_memory
from nettrain.data.sources import Dataset
from nettrain.data.splits import monitored_split, split
from nettrain.data.table import Table
from nettrain.data.target import with_positive


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

    @property
    def notes(self) -> list[str]:
        """Sentences on what was decided while the table was read and encoded."""
        return [*self.table.notes, *self.encoder.notes]

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
        table = with_positive(table, dataset.positive)
        assert table.target is not None
        encoder = Encoder.fit(table, splits["train"], dataset.standardize)
        return Data(encoder.features(table), encoder.encode_target(table.target), splits, encoder, table)
