"""`read_table`: a file of somebody's own as a `Table`."""

from collections.abc import Mapping, Sequence

from nettrain.data.columns import Column
from nettrain.data.features import Features
from nettrain.data.images import ImageFormat
from nettrain.data.inference import (
    note_on_missing_words,
)
from nettrain.data.joining import FILE, open_files, open_tables
from nettrain.data.moments import moments
from nettrain.data.number_options import ENCODINGS
from nettrain.data.opening import TableLike, table_name
from nettrain.data.read_options import ReadOptions
from nettrain.data.screening import leaks, nearly_constant
from nettrain.data.several_targets import LABEL, MULTILABEL, read_label_sets, read_targets, target_names
from nettrain.data.splitting import Split
from nettrain.data.table import Table
from nettrain.data.target import read_target, rows_with_target
from nettrain.data.tensor_columns import TensorOptions
from nettrain.data.values import normalized
from nettrain.data.weights import rates, read_exposure, read_weights
from nettrain.data.wording import quoted
from nettrain.errors import ConfigError, DataError
from nettrain.wording import listed

# Of columns, as `data.columns` names them.
KINDS = ("number", "category", "embedding", "date", "hash", "drop", *ENCODINGS)


def read_table(
    table: "TableLike | dict[str, str]",
    target: str | Sequence[str],
    task: str = "auto",
    categorical: list[str] | None = None,
    drop: list[str] | None = None,
    rows_per_class: int = 1,
    options: ReadOptions | None = None,
    weight: str | None = None,
    split: Split | None = None,
    kinds: dict[str, str] | None = None,
    tensors: TensorOptions | None = None,
    images: Mapping[str, ImageFormat] | None = None,
    exposure: str | None = None,
    embed_above: int | None = None,
    label_separator: str = ";",
) -> Table:
    """The table in a text file (comma, semicolon, tab, bar or blanks), a Parquet or an Excel file, or a DataFrame.

    A dictionary has a file for each split; then the table's `split_values` are these splits. Otherwise they are the
    values of the column that decides about the `split`, if one does; it is a feature only where it holds times.

    Each column but `target`, or several of them, is a feature: numbers or dates if nearly all of its cells are, else
    categories, and categories in any case if `categorical` names it. Columns in `drop`, without a name, without a
    value, with the same value in every row, with hardly any text twice (names, free text), and pandas' index are left
    out; all but the first with a sentence in `notes`, which also say what was read in a way that somebody may want
    otherwise. `kinds`, some of `KINDS`, decide for the columns that they name; of more than `embed_above` categories
    each is to be embedded. For `task` and `rows_per_class` see `read_target`. The column `weight` says how much each
    row counts. A column of arrays or lists is a tensor of x (see `TensorOptions`), and so is one of paths that `images`
    names. Raises `DataError` for whatever cannot be used.
    """
    targets = target_names(target)
    categorical, drop = ([normalized(name) for name in names or []] for names in (categorical, drop))
    weight, exposure = (None if name is None else normalized(name) for name in (weight, exposure))
    for option, name in (("weight", weight), ("exposure", exposure)):
        if name in targets:
            raise DataError(
                f"{table_name(table)}: data.{option} names the target {quoted(name)}; it is for another column."
            )
    kinds = {normalized(name): kind for name, kind in (kinds or {}).items()}
    for option, names in (("drop", drop), ("categorical", categorical), ("columns", list(kinds))):
        if named := [name for name in targets if name in names]:
            raise DataError(
                f"{table_name(table)}: data.{option} names the target {quoted(named[0])}; it is for the other columns."
            )
    decides = normalized(split.decides) if split and split.decides else None
    if decides in targets:
        raise DataError(
            f"{table_name(table)}: split.column names the target {quoted(decides)}; it is for another column."
        )
    if isinstance(table, dict):
        raw, decides = open_tables(table, options), FILE
    else:
        raw = open_files(table, options)
    for name in drop:
        raw.need(name, "which data.drop names")
    raw = raw.without([name for name in drop if name != decides])
    for name in targets:
        raw.need(name, "which data.target names")
        if name in raw.repeated:
            raise DataError(
                f"{raw.source}: several columns are called {quoted(name)}, which data.target names; rename or delete "
                "the others."
            )
    for name in categorical:
        raw.need(name, "which data.categorical names")
    for name in kinds:
        raw.need(name, "which data.columns names")
    raw = raw.without([name for name, kind in kinds.items() if kind == "drop" and name != decides])
    kinds |= dict.fromkeys(categorical, "category")
    if weight is not None:
        raw.need(weight, "which data.weight names")
    if exposure is not None:
        raw.need(exposure, "which data.exposure names")
    if decides is not None:
        raw.need(decides, "which split.column names")
    if raw.options.drop_missing_target:
        for name in targets:
            raw = rows_with_target(raw, name)
    split_values, by_time = None, split is not None and split.by_time
    no_features = {*targets, weight, exposure}
    if decides is not None:
        split_values = moments(Column(raw, decides)) if by_time else Column(raw, decides).texts
        if not by_time or decides in drop or kinds.get(decides) == "drop":
            no_features.add(decides)
        if not by_time and kinds.get(decides, "drop") != "drop":
            raise DataError(
                f"{raw.source}: the column {quoted(decides)} decides about the split, and is no feature; leave it out "
                "of data.categorical and data.columns."
            )
    weights = read_weights(Column(raw, weight)) if weight is not None else None
    target_columns = [Column(raw, name) for name in targets]
    if exposure is not None and task == "auto":
        task = "regression"
    several, in_one_column = targets if len(targets) > 1 else [], task == MULTILABEL and len(targets) == 1
    if in_one_column:
        values, several = read_label_sets(target_columns[0], label_separator)
        found_task, classes, notes_on_target = MULTILABEL, LABEL, list[str]()
    elif several:
        values, found_task, classes, notes_on_target = read_targets(target_columns, task)
    else:
        values, found_task, classes, notes_on_target = read_target(target_columns[0], task, rows_per_class)
    counts = None
    if exposure is not None:
        if found_task != "regression":
            raise ConfigError(f"data.exposure={exposure}: data.task={task} has classes, and nothing is counted.")
        counts = values
        values, weights = rates(values, weights, read_exposure(Column(raw, exposure)))
    notes = [*raw.notes, *([raw.doubt] if raw.doubt else []), *notes_on_target]
    tensors, images = tensors or TensorOptions(), images or {}
    for name in images:
        raw.need(name, "which data.image names")
    features = Features(raw, kinds, categorical, tensors, images, options is None or options.dates == "auto")
    features.embed_above = embed_above
    for name in raw.columns:
        if name not in no_features:
            features.read(name)
    notes += features.notes
    called = listed(targets, 5)
    if not features.columns:
        why = f" ({'; '.join(notes)})" if notes else ""
        raise DataError(
            f"{raw.source}: no column is left to predict {quoted(called)} from{why}; a table needs features."
        )
    units = {c.name: c.numbers.unit for c in target_columns} if found_task == "regression" else {}
    units = {name: unit for name, unit in {**units, **features.units}.items() if unit}
    read_in = Table(
        features.columns, values, called, found_task, classes, raw.source, notes, [], units, raw.options, raw.row_number
    )
    read_in.targets, read_in.label_separator = several, label_separator if in_one_column else ""
    read_in.kinds, read_in.date_orders, read_in.overview = features.kinds, features.date_orders, features.overview
    read_in.counts, read_in.exposure_name = counts, exposure or ""
    read_in.weights, read_in.weight_name, read_in.split_values = weights, weight or "", split_values
    read_in.vocabulary, read_in.images = tensors.vocabulary, dict(images)
    notes += [
        *note_on_missing_words([*([] if in_one_column else target_columns), *features.read_columns]),
        *nearly_constant(read_in),
        *leaks(read_in),
    ]
    return read_in
