"""`load_stream`: from a table in Parquet files, larger than memory, to the data that a run trains on."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nettrain import random
from nettrain.data.column_plan import ColumnPlan, Statistics
from nettrain.data.columns import Column
from nettrain.data.compact import COUNTS, FLOATS, Compact, Restored
from nettrain.data.drawing import NAMES, Fractions
from nettrain.data.encoded_columns import Numeric
from nettrain.data.encoded_numbers import encoded
from nettrain.data.encoding import Encoder
from nettrain.data.fitting import EncodedColumn, ids_last
from nettrain.data.inference import FEW_CATEGORIES, MANY_CATEGORIES
from nettrain.data.memory import release
from nettrain.data.parquet_files import ParquetFiles
from nettrain.data.raw_table import RawTable
from nettrain.data.row_sets import row_sets
from nettrain.data.several_targets import target_names
from nettrain.data.splits import check_fractions
from nettrain.data.splitting import Random, Split, Stratified
from nettrain.data.stream_statistics import SAMPLE, DateStatistics, NumberStatistics, Spread, TextStatistics
from nettrain.data.streamed_data import StreamedData
from nettrain.data.streamed_rows import StreamedRows
from nettrain.data.table import ColumnSummary, Table
from nettrain.data.target import class_indices, read_target, target_numbers, with_order, with_positive
from nettrain.data.weights import read_weights, require_weight
from nettrain.data.wording import as_kind, override, place, quoted
from nettrain.errors import ConfigError, DataError
from nettrain.wording import counted, listed

if TYPE_CHECKING:
    from nettrain.data.sources import Tabular

PASS_ROWS = 2**14  # that are looked at together


def load_stream(dataset: "Tabular", path: str, seed: int, split: Split) -> StreamedData:
    """As `load`, in one pass over the files with bounded memory; x stays on disk.

    What a column is shows in its type and, for texts, in rows of some row groups; a later cell that is no such thing is
    a mistake. Means, scales, categories and classes are those of all training rows; the median that stands for missing
    numbers is that of about `SAMPLE` of them, and so are quantiles. Each row is in the split that a hash of its number
    and the seed says.

    Raises `DataError` and `ConfigError` for whatever cannot be used.
    """
    _refuse(dataset, split)
    fractions = dataset.fractions
    files = ParquetFiles(path, dataset.read_options)
    check_fractions(fractions["val"], fractions["test"], files.rows)
    plan = ColumnPlan.of(dataset, files)
    dataset.require_scaling(dataset.standardize, plan.encodings)
    split_seed = seed if dataset.split_seed is None else dataset.split_seed
    statistics = plan.statistics()
    sets = row_sets(files.rows, len(NAMES), lambda rows: _member(split_seed, rows, fractions))
    splits: dict[str, Any] = dict(zip(NAMES, sets, strict=True))
    _require_rows(splits, fractions, files)
    targets = Compact(files.rows, FLOATS if plan.task == "regression" else COUNTS)
    weights = None if plan.weight is None else Compact(files.rows, FLOATS)
    text_at: dict[str, int] = {}
    for group in files.groups:
        start = group.start
        for raw in files.read(group, plan.columns, PASS_ROWS):
            rows = np.arange(start, start + raw.rows)
            member = _member(split_seed, rows, fractions)
            train = member == 0
            sampled = train & (random.uniform(split_seed + 1, rows) < SAMPLE / files.rows)
            for name, of_column in statistics.items():
                of_column.add(Column(raw, name), train, sampled)
            column_of_target = Column(raw, plan.target, trusted=True)
            if plan.task == "regression":
                targets.put(start, target_numbers(column_of_target, plan.target_unit))
            else:
                targets.put(start, _codes(column_of_target, text_at))
            if weights is not None and plan.weight is not None:
                weights.put(start, read_weights(Column(raw, plan.weight)))
            start += raw.rows
    release()
    classes, notes, task, order = list[str](), list(plan.notes), plan.task, np.empty(0)
    if task != "regression":
        classes, order = _classes(text_at, plan, files)
        task = "binary" if len(classes) == 2 and dataset.task != "multiclass" else "multiclass"
    columns, names = list[EncodedColumn](), dict[str, dict[str, str]]()
    overview: list[ColumnSummary] = []
    for name, of_column in statistics.items():
        column, texts, summary, note = _fitted(name, of_column, plan, dataset, files)
        overview.append(summary)
        if column is None:
            notes.append(note)
        else:
            columns.append(column)
            names[column.name] = texts
    columns = ids_last(_encoded_numbers(columns, statistics, plan, dataset))
    if not columns:
        raise DataError(f"{path}: no column is left to predict {quoted(plan.target)} from; a table needs features.")
    # The target of a table of one row for each text, until it is known in which order the classes are.
    table = Table({}, order, plan.target, task, classes, path, notes, units=plan.units, options=files.options)
    table.row_number, table.overview, table.weight_name = files.row_number, overview, plan.weight or ""
    table = with_positive(with_order(table, dataset.order), dataset.positive)
    if task != "regression":
        assert table.target is not None
        targets = targets.replaced(table.target)
    target = Restored(targets.values)
    table.target = target  # type: ignore[assignment]
    if weights is not None:
        table.weights = Restored(weights.values)  # type: ignore[assignment]
        require_weight(table.weights, splits, path)
    of_target = Spread()
    if task == "regression":
        of_target = Spread.of(target, splits["train"])
        if of_target.low == of_target.high:
            where = place(path, column=plan.target)
            raise DataError(f"{where}: every training row has {of_target.low:g}; a target has to vary.")
    scaled = task == "regression" and dataset.standardize
    scale = (of_target.center, of_target.scale) if scaled else (0.0, 1.0)
    encoder = Encoder(columns, task, plan.target, table.classes, *scale, weight_name=table.weight_name)
    encoder.learn_from_file(table, files.options)
    where = f"{counted(len(files.groups), 'row group')} of {counted(len(files.paths), 'file')}"
    notes.insert(0, f"the table stays on disk and is read in parts, {where}; each row is in a split by chance")
    x = StreamedRows(files, encoder, names)
    return StreamedData(x, target.scaled(*scale), splits, encoder, table)  # type: ignore[arg-type]


def _encoded_numbers(
    columns: Sequence[EncodedColumn], statistics: Mapping[str, Statistics], plan: ColumnPlan, dataset: "Tabular"
) -> list[EncodedColumn]:
    """The columns, those of numbers encoded as asked, by what the sample of the training rows has."""
    of_numbers = {name: s for name, s in statistics.items() if isinstance(s, NumberStatistics)}
    numeric = [column for column in columns if isinstance(column, Numeric)]
    samples = [np.concatenate(of_numbers[column.name].sample) for column in numeric]
    made = {column.name: column for column in encoded(numeric, plan.encodings, samples, samples, dataset)}
    return [made.get(column.name, column) for column in columns]


def _refuse(dataset: "Tabular", split: Split) -> None:
    if not isinstance(split, Random | Stratified):
        raise ConfigError(
            f"split={split.name}: it has to see the whole table, and this one is read in parts; use split=random, or "
            "data.stream=false."
        )
    if len(targets := target_names(dataset.target)) > 1 or dataset.task == "multilabel":
        raise ConfigError(
            f"data.target=[{listed(targets)}]: a table that is read in parts has one target, of numbers or classes; "
            "use data.stream=false."
        )
    if dataset.exposure is not None:
        raise ConfigError(
            f"data.exposure={dataset.exposure}: a table that is read in parts has no exposures; use data.stream=false."
        )
    if dataset.drop_missing_target:
        raise ConfigError(
            "data.drop_missing_target=true: a table that is read in parts keeps all its rows; leave those without a "
            "target out of the files, or use data.stream=false."
        )

    if dataset.target_transform != "none":
        raise ConfigError(
            f"data.target_transform={dataset.target_transform}: the target of a table that is read in parts is not "
            "transformed; use data.stream=false."
        )
    if dataset.clip_predictions:
        raise ConfigError(
            "data.clip_predictions=true: the range of a target is not learnt from a table that is read in parts; use "
            "data.stream=false."
        )
    if dataset.binning != "quantile":
        raise ConfigError(
            f"data.binning={dataset.binning}: a table that is read in parts has bins at quantiles; use "
            "data.binning=quantile, or data.stream=false."
        )


def _member(seed: int, rows: np.ndarray, fractions: Fractions) -> np.ndarray:
    """The number in `NAMES` of each row's split, uint8."""
    drawn = random.uniform(seed, rows)
    val, test = fractions["val"], fractions["test"]
    return np.where(drawn < val, 1, np.where(drawn < val + test, 2, 0)).astype(np.uint8)


def _require_rows(splits: Mapping[str, Any], fractions: Mapping[str, float], files: ParquetFiles) -> None:
    for name, rows in splits.items():
        if not len(rows) and (name == "train" or fractions[name] > 0):
            raise DataError(
                f"{files.source}: of {counted(files.rows, 'row')} none is in the {name} split; use more rows, or "
                "another data.val_fraction, data.test_fraction or data.split_seed."
            )


def _codes(target: Column, text_at: dict[str, int]) -> np.ndarray:
    """The number of each cell's text, int32; `text_at` gets the new ones. `DataError` with row for a missing one."""
    texts, codes = target.distinct
    if (codes == len(texts)).any():
        class_indices(target, texts)  # which says what is missing
    places = np.array([text_at.setdefault(text, len(text_at)) for text in texts], dtype=np.int32)
    return places[codes]


def _classes(text_at: Mapping[str, int], plan: ColumnPlan, files: ParquetFiles) -> tuple[list[str], np.ndarray]:
    """The classes, and the one, int64, of each number of a text."""
    import pyarrow as pa

    several = [text for text in text_at for _ in range(3)]  # as many rows as make numbers classes
    raw = RawTable(files.source, {plan.target: pa.chunked_array([several], pa.string())}, options=files.options)
    column = Column(raw, plan.target)
    task = "binary" if plan.task == "binary" and len(text_at) == 2 else "multiclass"
    indices, _, classes, _ = read_target(column, task, 1)
    return classes, indices[::3]


def _fitted(
    name: str, statistics: Statistics, plan: ColumnPlan, dataset: "Tabular", files: ParquetFiles
) -> tuple[EncodedColumn | None, dict[str, str], ColumnSummary, str]:
    """The encoded column, what its texts are called, a line on it, and why it is left out, if it is."""
    kind, texts = plan.kinds[name], dict[str, str]()
    column: EncodedColumn | None = None
    different, about, where = 0, "", f"column {quoted(name)}"
    note = ""
    if isinstance(statistics, TextStatistics):
        missing, known = statistics.missing, statistics.filled
        empty = RawTable(files.source, {}, options=files.options)
        texts = statistics.names(name, empty)
        different, about = len(set(texts.values())), counted(len(set(texts.values())), "value")
        if kind == "hash":
            column = statistics.hashed(name, dataset.hash_features)
        elif name not in plan.forced and (
            different > MANY_CATEGORIES or (different > FEW_CATEGORIES and different > known / 2)
        ):
            many = f"more than {MANY_CATEGORIES}" if different > MANY_CATEGORIES else str(different)
            note = f"{where} has {many} different texts: left out ({override('categorical', name)} keeps it, "
            note += f"{as_kind(name, 'hash')} counts its words)"
        elif kind == "embedding" or (name not in plan.forced and different > (dataset.embed_above or np.inf)):
            kind, column = "embedding", statistics.embedded(name, texts)
        else:
            column = statistics.fit(name, texts)
        constant = different == 1 and not missing and kind != "hash"
        value = quoted(next(iter(texts.values()), ""))
    else:
        spread = statistics.spread if isinstance(statistics, NumberStatistics) else statistics.moments.spread
        missing = statistics.missing if isinstance(statistics, NumberStatistics) else statistics.moments.missing
        different = spread.count
        constant, value = spread.low == spread.high and not missing, f"{spread.low:.15g}"
        if different:
            column = statistics.fit(dataset.standardize) if isinstance(statistics, DateStatistics) else None
            if isinstance(statistics, NumberStatistics):
                column = statistics.fit(name, dataset.standardize)
                about = f"{spread.low:.6g} to {spread.high:.6g}"
    if name not in plan.forced and not different:
        column, note = None, f"{where} is empty in the training rows: left out"
    elif name not in plan.forced and constant:
        column, note = None, f"{where} is {value} in every training row: left out"
    if isinstance(column, Numeric):
        column.unit = plan.units.get(name, "")
    return column, texts, ColumnSummary(name, "left out" if column is None else kind, missing, about), note
