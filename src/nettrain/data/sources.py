"""The data sets of a table of your own: in files, or handed over in Python."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Optional

from omegaconf import MISSING

from nettrain.data.dataset import Dataset
from nettrain.data.files import files_hash
from nettrain.data.images import ImageFormat
from nettrain.data.memory import enough_memory
from nettrain.data.number_options import ELSEWHERE
from nettrain.data.opening import TableLike, table_name
from nettrain.data.parquet_files import bytes_as_numbers
from nettrain.data.read_options import ReadOptions
from nettrain.data.reading import KINDS, read_table
from nettrain.data.splitting import Files, Split, Stratified
from nettrain.data.table import Table
from nettrain.data.target import TASKS
from nettrain.data.tensor_columns import TensorOptions
from nettrain.errors import DataError
from nettrain.registry import option

LARGE = 2**31  # bytes of cells beyond which a table in Parquet files is read in parts


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
        elsewhere=ELSEWHERE,
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
