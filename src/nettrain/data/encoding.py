"""`Encoder`: what turns a table into the numbers that a network sees, learnt from the training rows alone."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from nettrain.data.columns import Column
from nettrain.data.encoded_columns import Numeric
from nettrain.data.encoded_ids import Embedded
from nettrain.data.encoded_numbers import Piecewise
from nettrain.data.fitting import EncodedColumn, Scalars, column_of, fit_columns
from nettrain.data.memory import enough_memory
from nettrain.data.number_options import NumberOptions
from nettrain.data.opening import TableLike, table_name
from nettrain.data.opening_new import open_new
from nettrain.data.raw_table import RawTable
from nettrain.data.read_options import ReadOptions
from nettrain.data.several_targets import label_sets, new_targets
from nettrain.data.table import Table
from nettrain.data.target import class_indices, rows_with_target, target_numbers
from nettrain.data.target_power import fit_target, powered, unpowered
from nettrain.data.tensor_columns import TensorColumn
from nettrain.data.values import normalized
from nettrain.data.weights import rates, read_exposure, read_weights
from nettrain.data.wording import brief, place, quoted
from nettrain.errors import DataError
from nettrain.inputs import FEATURES, Input, Inputs, described
from nettrain.wording import counted


@dataclass
class Encoder:
    """Features and target of a table, as `fit` learnt them from its training rows.

    `task`, `target_name`, `targets` and `classes` are the table's. A regression target is `(y - target_mean) /
    target_scale` (0 and 1 for the other tasks), where `target_power` is not 1 behind the transform of Yeo and Johnson;
    `target_unit` stood beside its numbers. Of several targets these four are lists; with a `label_separator` they are
    labels in the cells of the one column `target_name`. Where there is a `target_range`, the lowest and the highest
    number of each target as the network sees it, predictions stay within it. A row counts as much as the column
    `weight_name` says, times the weight of its class, where there are such; with a column `exposure_name` the target is
    that per unit of exposure. New tables are read with the `options` of the table.
    """

    columns: list[EncodedColumn]
    task: str
    target_name: str
    classes: list[str]
    target_mean: float | list[float]
    target_scale: float | list[float]
    target_unit: str | list[str] = ""
    options: ReadOptions = field(default_factory=ReadOptions)
    weight_name: str = ""
    exposure_name: str = ""
    class_weights: list[Any] = field(default_factory=list)  # of each class; of labels a pair each, without and with it
    targets: list[str] = field(default_factory=list)
    label_separator: str = ""
    target_power: float | list[float] = 1.0
    target_range: list[list[float]] = field(default_factory=list)

    @classmethod
    def fit(
        cls,
        table: Table,
        rows: np.ndarray,
        standardize: bool,
        numbers: NumberOptions | None = None,
        transform: str = "none",
        clip: bool = False,
    ) -> "Encoder":
        """Learn from the `rows` (indices) of `table`; without `standardize` numbers keep their scale.

        `numbers` say how columns of numbers are encoded, by default as standardised numbers; a column's own kind counts
        more. `transform`, one of `TRANSFORMS`, is that of a target of numbers, whose range `clip` has it learn.
        """
        columns = fit_columns(table, rows, standardize, numbers or NumberOptions())
        encoder = cls(columns, table.task, table.target_name, table.classes, 0.0, 1.0, targets=table.targets)
        encoder = encoder.unscaled
        if table.task == "regression" and table.target is not None:
            encoder = encoder.with_scale(*fit_target(np.atleast_2d(table.target[rows].T).T, transform, standardize))
            if clip:
                of_each = np.atleast_2d(encoder.encode_target(table.target[rows]).T)
                encoder.target_range = [[float(of_one.min()), float(of_one.max())] for of_one in of_each]
        encoder.label_separator = table.label_separator
        encoder.weight_name, encoder.exposure_name = table.weight_name, table.exposure_name
        if table.options is not None:
            encoder.learn_from_file(table, table.options)
        return encoder

    def with_scale(self, means: Sequence[float], scales: Sequence[float], powers: Sequence[float]) -> "Encoder":
        """The same with the target's mean, scale and power, or those of each of several targets."""
        if self.targets:
            return replace(self, target_mean=list(means), target_scale=list(scales), target_power=list(powers))
        mean, scale, power = (float(values[0]) for values in (means, scales, powers))
        return replace(self, target_mean=mean, target_scale=scale, target_power=power)

    @property
    def unscaled(self) -> "Encoder":
        """The same with targets in their own units."""
        count = max(1, len(self.targets))
        return self.with_scale([0.0] * count, [1.0] * count, [1.0] * count)

    def learn_from_file(self, table: Table, options: ReadOptions) -> None:
        """How the file was read; and that no column of somebody's own that was constant in training rules later."""
        self.options, units = options, [table.units.get(name, "") for name in self.target_columns]
        self.target_unit = units if len(units) > 1 else units[0]
        for column in self.scalars:
            if isinstance(column, Numeric):
                column.unit = table.units.get(column.name, "")
            column.constant = column.has_one_value

    @property
    def notes(self) -> list[str]:
        """How many bins numbers have; and a sentence on each column from whose values nothing could be learnt."""
        binned = [column.bins for column in self.scalars if isinstance(column, Piecewise) and column.bins]
        of_columns = f"{counted(len(binned), 'column')} of numbers: at most {max(binned, default=0)} of each"
        bins = [f"{counted(sum(binned), 'feature')} for bins of {of_columns}"] if binned else []
        return bins + [
            f"column {quoted(column.name)} has one value in all training rows: any other will count as that one"
            for column in self.scalars
            if column.constant
        ]

    @property
    def target_text(self) -> str:
        """What the target is, in words: `3 classes`, `2 classes, yes is positive`, `numbers` or `3 labels`."""
        if self.targets:
            return f"{len(self.targets)} {'labels' if self.classes else 'numbers'}"
        if self.task == "binary":
            return f"2 classes, {brief(self.classes[1])} is positive"
        return f"{len(self.classes)} classes" if self.classes else "numbers"

    @property
    def target_columns(self) -> list[str]:
        """The columns of the target, or of several targets."""
        return [self.target_name] if self.label_separator or not self.targets else self.targets

    @property
    def scalars(self) -> list[Scalars]:
        """The columns of numbers, categories, dates and words, which are one vector of features."""
        return [column for column in self.columns if not isinstance(column, TensorColumn)]

    @property
    def tensors(self) -> list[TensorColumn]:
        """The columns that are a tensor of x each."""
        return [column for column in self.columns if isinstance(column, TensorColumn)]

    @property
    def feature_names(self) -> list[str]:
        """The names of the D features: the column's, `column=category` and `column missing`."""
        return [name for column in self.scalars for name in column.feature_names]

    @cached_property
    def inputs(self) -> Inputs:
        """What a model is told of x: of its only tensor, or of each by name, the vector of features as `features`."""
        inputs = {column.name: column.input for column in self.tensors}
        if self.scalars:
            ids = tuple(column.vocabulary for column in self.scalars if isinstance(column, Embedded))
            inputs[FEATURES] = Input((len(self.feature_names),), vocabularies=ids)
        return inputs if len(inputs) > 1 else next(iter(inputs.values()))

    @property
    def inputs_text(self) -> str:
        """Such as `64 features` or `x of 1 x 8 x 8 bytes`."""
        if not self.tensors:
            return counted(len(self.feature_names), "feature")
        return (
            described(self.inputs) if len(self.columns) > 1 else f"{self.columns[0].name} of {described(self.inputs)}"
        )

    def features(self, table: Table) -> Any:
        """x of each row: the features, float64 of shape (n, D); or tensors as they are in the table, see `inputs`.

        Raises `DataError` where a column is not in `table`.
        """
        for column in self.columns:
            if column.name not in table.columns:
                raise DataError(f"{place(table.source, column=column.name)}: the model needs it, and it is not there.")
        x = {column.name: table.columns[column.name] for column in self.tensors}
        if self.scalars:
            x[FEATURES] = self._vectors(table)
        return x if len(x) > 1 else next(iter(x.values()))

    def _vectors(self, table: Table) -> np.ndarray:
        """The features of all columns but tensors, (n, D), written where they stay: a table may fill the memory."""
        rows = len(table.columns[self.scalars[0].name])
        vectors, start = np.empty((rows, len(self.feature_names))), 0
        for column in self.scalars:
            end = start + len(column.feature_names)
            vectors[:, start:end] = column.features(table.columns[column.name])
            start = end
        return vectors

    def encode_target(self, target: np.ndarray) -> np.ndarray:
        """A `Table.target`, (n,) or (n, m), as the network sees it: class indices, or standardised numbers."""
        if self.task != "regression":
            return target
        numbers = powered(target, np.asarray(self.target_power))
        return (numbers - np.asarray(self.target_mean)) / np.asarray(self.target_scale)

    def in_units(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers (n,) or (n, m) as the network sees them, in the units of a regression target."""
        numbers = numbers * np.asarray(self.target_scale) + np.asarray(self.target_mean)
        power = np.asarray(self.target_power)
        return numbers if (power == 1).all() else np.asarray(unpowered(numbers, power))

    def weights(self, table: Table) -> np.ndarray | None:
        """How much each row of a table counts, (n,), or each target of it, (n, m); None where all count alike."""
        assert table.target is not None
        of_rows = table.weights
        if of_rows is not None and self.targets:
            of_rows = np.repeat(of_rows[:, None], len(self.targets), axis=1)
        if not self.class_weights:
            return of_rows
        weights = np.array(self.class_weights)
        of_class = weights[np.arange(len(weights)), table.target] if self.targets else weights[table.target]
        return of_class if of_rows is None else of_rows * of_class

    def read(
        self,
        table: "TableLike | Any",
        with_target: bool = False,
        options: ReadOptions | None = None,
        copied: Sequence[str] = (),
    ) -> Table:
        """A new table as the kind of table that the model was trained on: a path, a pandas DataFrame, or arrays.

        It is read with the `options` of the training table unless there are others. Columns are found by name; others
        are ignored, unless they are to be `copied`. The target is read only `with_target`, and must be there then. What
        the training rows had not is listed in the table's `findings`. Raises `DataError` with row and column for a
        missing column, a text where a number is needed, and a missing or unknown label.
        """
        with enough_memory(table_name(table)):
            target_name = self.target_name if with_target else None
            raw = open_new(table, options or self.options, self.tensors, self.target_columns, target_name)
            target = weights = counts = None
            if with_target:
                raw, target = self._read_target(raw)
                weights = self._read_weights(raw)
                if self.exposure_name:
                    raw.need(self.exposure_name, "in which the target was counted")
                    counts = target
                    target, weights = rates(target, weights, read_exposure(Column(raw, self.exposure_name)))
            columns, findings = {}, []
            for column in self.columns:
                name = normalized(column.name)
                if not isinstance(column, TensorColumn) and column.constant and name not in raw.columns:
                    columns[column.name] = column.stand_in(raw.rows)
                    continue
                raw.need(name, "which the model was trained with")
                columns[column.name], found = column.read(Column(raw, name, trusted=True))
                findings += found
            for name in map(normalized, copied):
                raw.need(name, "which keep names")
        copies = {name: raw.columns[name] for name in map(normalized, copied)}
        kind = self.target_name, self.task, self.classes
        read = Table(
            columns,
            target,
            *kind,
            raw.source,
            raw.notes,
            findings,
            row_number=raw.row_number,
            copied=copies,
            weights=weights,
            counts=counts,
        )
        read.targets = self.targets
        return read

    def _read_weights(self, raw: RawTable) -> np.ndarray | None:
        if not self.weight_name:
            return None
        raw.need(self.weight_name, "which says how much each row counts")
        return read_weights(Column(raw, self.weight_name))

    def _read_target(self, raw: RawTable) -> tuple[RawTable, np.ndarray]:
        names = [normalized(name) for name in self.target_columns]
        for name in names:
            raw.need(name, "which is a target" if len(names) > 1 else "which is the target")
            if raw.options.drop_missing_target:
                raw = rows_with_target(raw, name)
        columns = [Column(raw, name, trusted=True) for name in names]
        if self.label_separator:
            return raw, label_sets(columns[0], self.label_separator, self.targets)
        if self.targets:
            return raw, new_targets(columns, self.task, list(self.target_unit))
        column = columns[0]
        assert isinstance(self.target_unit, str)
        if self.task == "regression":
            return raw, target_numbers(column, self.target_unit)
        return raw, class_indices(column, self.classes)

    @cached_property
    def state(self) -> str:
        """Everything, as JSON, which keeps it exactly."""
        columns = [{k: v for k, v in vars(column).items() if k != "input"} for column in self.columns]
        # What a run does not have is not there, as before it could be.
        perhaps = "targets", "label_separator", "target_range"
        values = {k: v for k, v in vars(self).items() if k != "inputs" and (v or k not in perhaps)}
        if self.target_power == 1:
            del values["target_power"]
        return json.dumps({**values, "columns": columns, "options": vars(self.options)}, default=vars)

    @classmethod
    def from_state(cls, state: str) -> "Encoder":
        """The encoder whose `state` this was; one of an earlier version knows neither ranges nor options."""
        content = json.loads(state)
        columns = [column_of(column) for column in content["columns"]]
        options = ReadOptions(**content.get("options", {}))
        if len(content.get("class_weights", [])) not in (0, len(content.get("targets") or content["classes"])):
            raise ValueError("class_weights")
        return cls(**{**content, "columns": columns, "options": options})
