"""`ColumnPlan`: what the columns of a table are that is read in parts, by a preview of its rows."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nettrain.data.columns import Column
from nettrain.data.inference import MANY_CATEGORIES, infer, read_as
from nettrain.data.number_options import ENCODINGS
from nettrain.data.parquet_files import ParquetFiles
from nettrain.data.raw_table import RawTable
from nettrain.data.several_targets import target_names
from nettrain.data.stream_statistics import DateStatistics, NumberStatistics, TextStatistics
from nettrain.data.target import read_target
from nettrain.data.values import normalized
from nettrain.data.wording import quoted
from nettrain.errors import DataError

if TYPE_CHECKING:
    from nettrain.data.sources import Tabular

PREVIEWED, PREVIEW_ROWS = 8, 20_000  # row groups, and rows of each, by which it is decided what a column is

Statistics = NumberStatistics | TextStatistics | DateStatistics


@dataclass
class ColumnPlan:
    """What the columns of a table are, and what its target is.

    `kinds` are those of the features, `orders` those of days and months in dates, `units` what stands beside numbers;
    `forced` are the columns whose kind somebody has named, `encodings` those of numbers among them that are encoded in
    a way of their own.
    """

    kinds: dict[str, str]
    orders: dict[str, str]
    units: dict[str, str]
    target: str
    task: str
    weight: str | None
    notes: list[str]
    forced: frozenset[str]
    encodings: dict[str, str]

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys([*self.kinds, self.target, *([self.weight] if self.weight else [])]))

    @property
    def target_unit(self) -> str:
        return self.units.get(self.target, "")

    def statistics(self) -> dict[str, Statistics]:
        """Empty ones of every feature."""
        made: dict[str, Statistics] = {}
        for name, kind in self.kinds.items():
            if kind == "number":
                made[name] = NumberStatistics()
            elif kind == "date":
                made[name] = DateStatistics(name, self.orders[name])
            else:
                made[name] = TextStatistics(np.inf if name in self.forced else MANY_CATEGORIES)
        return made

    @classmethod
    def of(cls, dataset: "Tabular", files: ParquetFiles) -> "ColumnPlan":
        preview = _preview(files)
        (target,), drop = target_names(dataset.target), [normalized(name) for name in dataset.drop]
        weight = None if dataset.weight is None else normalized(dataset.weight)
        asked = {normalized(name): kind for name, kind in dataset.columns.items()}
        asked |= dict.fromkeys(map(normalized, dataset.categorical), "category")
        for name, why in [
            *((name, "which data.drop names") for name in drop),
            *((name, "which data.columns or data.categorical names") for name in asked),
            (target, "which data.target names"),
            *([(weight, "which data.weight names")] if weight is not None else []),
        ]:
            preview.need(name, why)
        if target in (weight, *drop, *asked):
            raise DataError(f"{files.source}: the target {quoted(target)} is named as another column, too.")
        column = Column(preview, target)
        _, task, _, notes = read_target(column, dataset.task, 1)
        units = {target: column.numbers.unit} if task == "regression" else {}
        kinds, orders = dict[str, str](), dict[str, str]()
        for name in preview.columns:
            if name in (target, weight, *drop) or asked.get(name) == "drop":
                continue
            if name.startswith("__index_level_") and name not in asked:
                notes.append(f"column {quoted(name)} is the index of a pandas table: left out")
                continue
            feature = Column(preview, name)
            if name in asked:
                kinds[name], _, orders[name] = read_as(feature, asked[name])
            elif feature.cells.null_count == len(feature.cells):  # nothing shows what will come
                kinds[name] = "number" if files.is_number[name] else "category"
            else:
                kinds[name], _, orders[name] = infer(feature)
            if kinds[name] == "number":
                units[name] = feature.numbers.unit
        units = {name: unit for name, unit in units.items() if unit}
        encodings = {name: kind for name, kind in asked.items() if kind in ENCODINGS}
        return cls(kinds, orders, units, target, task, weight, notes, frozenset(asked), encodings)


def _preview(files: ParquetFiles) -> RawTable:
    """Rows of some row groups, spread over the table, as one."""
    import pyarrow as pa

    numbers = np.unique(np.linspace(0, len(files.groups) - 1, PREVIEWED).round().astype(int))
    parts = [next(files.read(files.groups[n], list(files.names), PREVIEW_ROWS)) for n in numbers]
    tables = [pa.table(part.columns) for part in parts]
    whole = pa.concat_tables(tables, promote_options="permissive")
    ends = np.cumsum([part.rows for part in parts])

    def row_number(row: int) -> str:
        i = int(np.searchsorted(ends, row, side="right"))
        return f"{parts[i].row_number(row - (int(ends[i - 1]) if i else 0))} of {parts[i].source}"

    return RawTable(files.source, dict(zip(whole.column_names, whole.columns, strict=True)), row_number, files.options)
