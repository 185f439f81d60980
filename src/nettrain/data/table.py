"""`Table`: a data set as named columns and a target, before anything is scaled or split."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nettrain.data.findings import Finding
from nettrain.data.images import ImageFormat
from nettrain.data.raw_table import count_from_1
from nettrain.data.read_options import ReadOptions

if TYPE_CHECKING:
    import pyarrow as pa


class ColumnSummary(NamedTuple):
    """What a column of a file was taken for: its kind or `left out`, its missing cells, and what its values are."""

    name: str
    kind: str
    missing: int
    values: str


@dataclass
class Table:
    """`n` rows of named feature columns and, where there is one, their target.

    `columns` maps a name to an array of shape (n,): float64 with NaN for a missing number, or object with None for a
    missing text; or, for a tensor of x, to one of shape (n, *shape): floats, bytes, or integers, which are ids below
    `vocabulary` or, where that is None, below the largest one + 1. Those in `images` came from files of that format.
    `target` has shape (n,): int64 indices into `classes`, or float64 for regression; None for a table without one.
    `task` is "binary" (index 1 is the positive class), "multiclass" or "regression" (`classes` is empty). Of several
    targets `targets` are the names, `target` has shape (n, m), and `task` is "regression", or "multilabel" with 1 where
    a label is there and 0 where it is not (`classes` are these); with a `label_separator` the labels stand in one
    column, `target_name`. `source` is the name or path that messages give; `notes` are sentences on what reading
    decided and left out, `findings` what the training rows had not, for a new table. `units` are what stands beside the
    numbers of a column in the file, `%` or a currency, and `options` how the file is written; a table of somebody's own
    has one. `copied` are columns as they stand in the table, on request. `weights`, float64 of shape (n,), say how much
    each row counts, and `weight_name` from which column they come; None where all count alike. With a column of
    exposures, `exposure_name`, the target is that per unit of exposure, `counts`, (n,), are the target as it stands in
    the table, and `weights` are times the exposure. `split_values`, (n,), are those of the column or the files that
    decide about the split, float64 moments or numbers or object texts; None where no column of a table of somebody's
    own does. `splits` are the rows of each split where the data came with them. `kinds` are those of columns that are
    neither numbers nor categories by their arrays: `date`, seconds since 1970 (see `Moments`, also for `date_orders`),
    and `hash`, texts whose words are counted in `hash_features`; and of numbers that are encoded in a way of their own
    (`ENCODINGS`). `overview` says what each column of a table of somebody's own was taken for.
    """

    columns: dict[str, np.ndarray]
    target: np.ndarray | None
    target_name: str
    task: str
    classes: list[str]
    source: str
    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    options: ReadOptions | None = None
    row_number: Callable[[int], int | str] = count_from_1
    copied: dict[str, "pa.ChunkedArray"] = field(default_factory=dict)
    weights: np.ndarray | None = None
    counts: np.ndarray | None = None
    split_values: np.ndarray | None = None
    kinds: dict[str, str] = field(default_factory=dict)
    date_orders: dict[str, str] = field(default_factory=dict)
    hash_features: int = 32
    overview: list[ColumnSummary] = field(default_factory=list)
    weight_name: str = ""
    exposure_name: str = ""
    vocabulary: int | None = None
    images: dict[str, ImageFormat] = field(default_factory=dict)
    splits: dict[str, np.ndarray] | None = None
    targets: list[str] = field(default_factory=list)
    label_separator: str = ""

    def in_parts(self, rows: int) -> Iterator["Table"]:
        """The columns of `rows` rows after others."""
        count = len(next(iter(self.columns.values())))
        for first in range(0, count, rows):
            yield replace(self, columns={name: values[first : first + rows] for name, values in self.columns.items()})

    @property
    def unfamiliar(self) -> list[str]:
        """Sentences on what the training rows had not."""
        return [finding.text for finding in self.findings]
