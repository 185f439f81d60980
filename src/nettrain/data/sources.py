"""The data sets; each class is the config schema of its own `configs/data/<name>.yaml`.

A new one is a subclass of `Dataset` with a field `name` and a method `load`, and its yaml.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Optional

import numpy as np
from omegaconf import MISSING

from nettrain.data import toys
from nettrain.data.bundled import bundled
from nettrain.data.files import files_hash
from nettrain.data.images import ImageFormat
from nettrain.data.memory import enough_memory
from nettrain.data.number_options import NumberOptions
from nettrain.data.opening import TableLike, table_name
from nettrain.data.parquet_files import bytes_as_numbers
from nettrain.data.read_options import ReadOptions
from nettrain.data.reading import KINDS, read_table
from nettrain.data.splitting import Files, Fractions, Split, Stratified
from nettrain.data.table import Table
from nettrain.data.target import TASKS
from nettrain.data.tensor_columns import TensorOptions
from nettrain.errors import DataError
from nettrain.registry import option

LARGE = 2**31  # bytes of cells beyond which a table in Parquet files is read in parts


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


@dataclass
class Bundled(Dataset):
    """A data set that lies in the package."""

    def load(self) -> Table:
        return bundled(self.name)


@dataclass
class Digits(Bundled):
    """1797 handwritten digits, 8 x 8 grey values, 10 classes (scikit-learn)."""

    name: str = "digits"


@dataclass
class Iris(Bundled):
    """150 iris flowers, 4 measures, 3 species (scikit-learn)."""

    name: str = "iris"


@dataclass
class Wine(Bundled):
    """178 Italian wines, 13 chemical measures, 3 growers (scikit-learn)."""

    name: str = "wine"


@dataclass
class BreastCancer(Bundled):
    """569 tumours, 30 measures, malignant or benign (scikit-learn)."""

    name: str = "breast_cancer"


@dataclass
class Diabetes(Bundled):
    """442 diabetes patients, 10 measures, progression after a year (regression, scikit-learn)."""

    name: str = "diabetes"


@dataclass
class Linnerud(Bundled):
    """20 men of a fitness club, 3 exercises; their weight, waist and pulse (several targets, scikit-learn)."""

    name: str = "linnerud"

    def load(self) -> Table:
        return bundled(self.name, 3)


@dataclass
class Quadratic(Dataset):
    """Noisy points of the parabola y = w1 x^2 + w2 x + w3, with x uniform in [-1, 1]."""

    name: str = "quadratic"
    w1: float = option(2.0, "factor of x^2")
    w2: float = option(-3.0, "factor of x")
    w3: float = option(1.0, "constant term")
    noise: float = option(0.1, "standard deviation of the noise added to y", minimum=0)
    samples: int = option(128, "number of points", minimum=4)
    data_seed: int = option(0, "seed of the points", "chance", per_row=True, minimum=0)
    val_fraction: float = option(0.25, "share of the rows for validation", minimum=0, below=1)
    test_fraction: float = option(0.25, "share of the rows for the test", minimum=0, below=1)
    standardize: bool = option(
        False, "scale each feature to mean 0 and standard deviation 1, computed on the training rows"
    )

    def load(self) -> Table:
        x, y = toys.curve(lambda x: self.w1 * x**2 + self.w2 * x + self.w3, self.samples, self.noise, self.data_seed)
        return Table({"x": x}, y, "y", "regression", [], self.name)


@dataclass
class Sine(Dataset):
    """Noisy points of y = sin(2 pi x), with x uniform in [-1, 1]: two periods."""

    name: str = "sine"
    noise: float = option(0.2, "standard deviation of the noise added to y", minimum=0)
    samples: int = option(128, "number of points", minimum=4)
    data_seed: int = option(0, "seed of the points", "chance", per_row=True, minimum=0)
    val_fraction: float = option(0.25, "share of the rows for validation", minimum=0, below=1)
    test_fraction: float = option(0.25, "share of the rows for the test", minimum=0, below=1)

    def load(self) -> Table:
        x, y = toys.curve(lambda x: np.sin(2 * np.pi * x), self.samples, self.noise, self.data_seed)
        return Table({"x": x}, y, "y", "regression", [], self.name)


@dataclass
class Moons(Dataset):
    """Two interleaved half circles in the plane, two classes."""

    name: str = "moons"
    samples: int = option(500, "number of points", minimum=4)
    noise: float = option(0.2, "standard deviation of the noise added to each coordinate", minimum=0)
    data_seed: int = option(0, "seed of the points", "chance", per_row=True, minimum=0)

    def load(self) -> Table:
        points, classes = toys.moons(self.samples, self.noise, self.data_seed)
        return _plane(points, classes, ["upper", "lower"], self.name)


@dataclass
class Spirals(Dataset):
    """Two spirals around each other in the plane, two classes."""

    name: str = "spirals"
    samples: int = option(500, "number of points", minimum=4)
    noise: float = option(0.2, "standard deviation of the noise added to each coordinate", minimum=0)
    data_seed: int = option(0, "seed of the points", "chance", per_row=True, minimum=0)

    def load(self) -> Table:
        points, classes = toys.spirals(self.samples, self.noise, self.data_seed)
        return _plane(points, classes, ["first", "second"], self.name)


@dataclass
class Tabular(TensorOptions, ReadOptions, Dataset):
    """A table of your own: which column is the target, and how the others are read."""

    target: Any = option(MISSING, "column to predict, or a list of several: numbers, or labels of 0 and 1")
    task: str = option("auto", "kind of target; auto: from its values", choices=TASKS)
    label_separator: str = option(
        ";", "sign between the labels in a cell, where data.task=multilabel has one column as its target"
    )
    columns: dict[str, str] = option(
        {},
        "kinds of single columns, data.columns.<name>=...: number, category, embedding (learnt for each "
        "category), date, hash (words of a text), drop; or numbers that are encoded as data.numbers may say: standard, "
        "piecewise, quantile, robust",
        choices=KINDS,
    )
    hash_features: int = option(32, "features among which the words of a hashed column are shared out", minimum=1)
    embed_above: int | None = option(
        None,
        "number of categories beyond which a model learns an embedding of each, in place of a 0/1 feature; null: never",
        minimum=1,
    )
    categorical: list[str] = option([], "columns to treat as categories even if they hold numbers")
    drop: list[str] = option([], "columns to ignore")
    weight: str | None = option(None, "column that says how much each row counts in loss and metrics; null: all alike")
    exposure: str | None = option(
        None, "column of the time or amount in which the target was counted, with which rates are learnt; null: none"
    )

    def read(
        self,
        table: "TableLike | dict[str, str]",
        split: Split | None = None,
        images: Mapping[str, ImageFormat] | None = None,
    ) -> Table:
        """The table in a file, in files by the split to which their rows belong, or a pandas table, as the keys say.

        `images` names its columns of paths of images.
        """
        split = split or Stratified()
        with enough_memory(self.source):
            read = read_table(
                table,
                self.target,
                self.task,
                self.categorical,
                self.drop,
                split.rows_per_class(self.fractions),
                self.read_options,
                self.weight,
                split,
                self.columns,
                self,
                images,
                self.exposure,
                self.embed_above,
                self.label_separator,
            )
        read.hash_features = self.hash_features
        return read

    @property
    def read_options(self) -> ReadOptions:
        """How the table is read."""
        return ReadOptions(**{field.name: getattr(self, field.name) for field in fields(ReadOptions)})


@dataclass
class File:
    """Where a table lies."""

    path: str = option(
        MISSING,
        "path or URL of the table: .csv, .tsv, .txt, .parquet, .xlsx; also packed: .gz, .bz2, .xz, .zst, .zip; or path "
        "of a folder of Parquet files, or a pattern such as 2024-*.csv",
        is_path=True,
    )


@dataclass
class Csv(Tabular, File):
    """A table of your own, in a CSV, Parquet or Excel file."""

    name: str = "csv"
    stream: Optional[bool] = option(  # noqa: UP045
        None, "read Parquet files in parts while training; null: those with more than 2 GiB, at 8 bytes for each cell"
    )

    def load(self) -> Table:
        return self.read(self.path)

    def streamed(self, split: Split) -> bool:
        """Whether the table is never held in memory as a whole."""
        if self.stream is None:
            return not isinstance(split, Files) and bytes_as_numbers(self.path) > LARGE
        return self.stream

    def load_for(self, split: Split) -> Table:
        return self.read(split.paths(self.path) if isinstance(split, Files) else self.path, split)

    @property
    def source(self) -> str:
        return table_name(self.path)

    def file_hash(self, split: Split | None = None) -> str | None:
        paths = split.paths(self.path).values() if isinstance(split, Files) else [self.path]
        hashes = [files_hash(path) for path in paths]
        return None if None in hashes else "+".join(filter(None, hashes))


@dataclass
class Frame(Tabular):
    """A table that is handed over in Python, `nettrain.train(..., data=table)`; also arrays."""

    name: str = "frame"
    ids: Optional[bool] = option(  # noqa: UP045
        None,
        "whether whole numbers in arrays and lists, other than bytes, are ids, such as those of words, which stay as "
        "they are; false: numbers like any other; null: for a module of one's own they are, and x of shape (n, D) has "
        "numbers for nettrain's models",
    )

    def load(self) -> Table:
        raise DataError(
            "data=frame: its table was handed over in Python, and is not kept; nettrain.train(..., data=<table>) "
            "takes it."
        )


def _plane(points: np.ndarray, classes: np.ndarray, names: list[str], source: str) -> Table:
    return Table({"x1": points[:, 0], "x2": points[:, 1]}, classes, "class", "binary", names, source)
