"""`Dataset`: what all data sets have in common; each class is the config schema of its own `configs/data/<name>.yaml`.

A new one is a subclass of `Dataset` with a field `name` and a method `load`, and its yaml.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Optional

from nettrain.data.drawing import Fractions
from nettrain.data.number_options import NumberOptions
from nettrain.data.splitting import Split
from nettrain.data.table import Table
from nettrain.data.target_power import TRANSFORMS
from nettrain.registry import option


@dataclass
class Dataset(NumberOptions, ABC):
    """What all data sets have in common: how they are split and scaled."""

    name: str = ""
    val_fraction: float = option(0.15, "share of the rows for validation", minimum=0, below=1)
    test_fraction: float = option(0.15, "share of the rows for the test", minimum=0, below=1)
    split_seed: Optional[int] = option(  # noqa: UP045
        None, "seed of the split; null: the seed of the run", "chance", per_row=True, minimum=0
    )
    standardize: bool = option(
        True, "scale each feature to mean 0 and standard deviation 1, computed on the training rows"
    )
    target_transform: str = option(
        "none",
        "transform of a target of numbers before it is scaled, which predictions undo: log: log(1 + y), for numbers of "
        "at least 0; yeo_johnson: the power transform that makes the training rows most like a normal sample",
        choices=TRANSFORMS,
    )
    clip_predictions: bool = option(
        False, "keep predicted numbers within the range that the target has in the training rows"
    )
    positive: Optional[str] = option(  # noqa: UP045
        None, "of two classes the positive one, for f1 and auroc; null: the last by name"
    )

    order: Optional[list[str]] = option(  # noqa: UP045
        None, "all classes from the lowest to the highest, for head=ordinal; null: sorted by value or name"
    )

    @abstractmethod
    def load(self) -> Table:
        """The whole table."""

    def load_for(self, split: Split) -> Table:
        """The whole table, with what the split is made by where that is none of its columns."""
        return self.load()

    @property
    def fractions(self) -> Fractions:
        """The shares of the rows for validation and test."""
        return {"val": self.val_fraction, "test": self.test_fraction}

    @property
    def source(self) -> str:
        """What messages call the data."""
        return self.name

    def file_hash(self, split: Split | None = None) -> str | None:
        """A hash of the files that the table is read from; None where there is no such file."""
        return None
