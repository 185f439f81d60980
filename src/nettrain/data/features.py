"""The features of a table: what each column is taken for, its values, and what is said of it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from nettrain.data.columns import Column
from nettrain.data.images import ImageFormat, load_images
from nettrain.data.inference import (
    infer,
    notes_on_category,
    notes_on_dates,
    notes_on_numbers,
    read_as,
    reason_to_leave_out,
    summary,
)
from nettrain.data.number_options import ENCODINGS
from nettrain.data.raw_table import RawTable
from nettrain.data.table import ColumnSummary
from nettrain.data.tensor_columns import TensorOptions, note_on_channels, tensor_values
from nettrain.data.wording import override, quoted


@dataclass
class Features:
    """Reads columns one after another; what they are is asked for, or seen in their values.

    `asked` are the kinds of columns that somebody has named, `categorical` those among them for which a list is no
    tensor, `images` columns of paths. Of more than `embed_above` categories each is to be embedded. The order of day
    and month is noted where nobody has said it (`dates_seen`). The other fields are those of a `Table`; `read_columns`
    are the columns of numbers and texts that were kept.
    """

    raw: RawTable
    asked: Mapping[str, str]
    categorical: Collection[str]
    tensors: TensorOptions
    images: Mapping[str, ImageFormat]
    dates_seen: bool
    embed_above: int | None = None
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    date_orders: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    overview: list[ColumnSummary] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    read_columns: list[Column] = field(default_factory=list)

    def read(self, name: str) -> None:
        """Take in a column, or say why it is left out. Raises `DataError` for cells that it cannot hold."""
        column = Column(self.raw, name)
        if name in self.images:
            self.columns[name], _ = load_images(column, self.images[name])
        elif name not in self.categorical and (arrays := tensor_values(column, self.tensors)) is not None:
            self.columns[name] = arrays
            self.notes += note_on_channels(name, arrays.shape[1:], str(arrays.dtype))
        elif name in self.raw.index and name not in self.asked:
            keep = override("categorical", name)
            self.notes.append(f"column {quoted(name)} is the index of a pandas table: left out ({keep} keeps it)")
        else:
            self._read_scalars(name, column)

    def _read_scalars(self, name: str, column: Column) -> None:
        asked = name in self.asked
        kind, cells, order = read_as(column, self.asked[name]) if asked else infer(column)
        if kind == "category" and not asked and self.embed_above is not None:
            kind = "embedding" if len(set(cells)) > self.embed_above else kind
        note = None if asked else reason_to_leave_out(name, cells, kind)
        self.overview.append(summary(name, "left out" if note else kind, cells))
        if note:
            self.notes.append(note)
            return
        self.columns[name] = cells
        self.read_columns.append(column)
        if self.asked.get(name) in ENCODINGS:
            self.kinds[name] = self.asked[name]
        if kind in ("date", "hash", "embedding"):
            self.kinds[name], self.date_orders[name] = kind, order
            self.notes += notes_on_dates(name, order) if self.dates_seen else []
        if kind in ("category", "embedding") and not asked:
            self.notes += notes_on_category(column)
        if kind == "number":
            self.units[name] = column.numbers.unit
            self.notes += notes_on_numbers(column, f"{override('categorical', name)} keeps the texts")
