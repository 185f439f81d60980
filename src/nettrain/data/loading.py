"""`Data`, `encode`: from a table to the arrays that a run trains on."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np

from nettrain.data.dataset import Dataset
from nettrain.data.encoding import Encoder
from nettrain.data.memory import enough_memory
from nettrain.data.splits import monitored_split
from nettrain.data.splitting import Partition, Split, Stratified
from nettrain.data.table import Table
from nettrain.data.target import with_order, with_positive
from nettrain.data.weights import class_weights, label_weights, require_weight
from nettrain.data.wording import quoted
from nettrain.errors import ConfigError, DataError
from nettrain.inputs import Inputs, each
from nettrain.registry import is_ours
from nettrain.wording import listed


@dataclass
class Data:
    """`x` as `Encoder.features` gives it: (n, D) float64, or tensors (n, *shape) of `inputs`.

    `y` of shape (n,), or (n, m) for several targets, holds int64 classes or standardised float64; `splits` has the
    index arrays "train", "val" and "test", the last two empty where no rows are set aside. `encoder` is fitted on the
    training rows; `table` is what was loaded. An epoch visits `samples_per_epoch` of the training rows, None: all.
    `limits` are those of `limited`, `given` the splits that chance has not drawn.
    Where a run has several members, `members` are the splits of each (see `members.py`), and in `splits` a row trains
    or validates where it does so for any of them: it may do both.
    """

    streamed: ClassVar[bool] = False  # whether x is read from disk while it trains

    x: Any
    y: np.ndarray
    splits: dict[str, np.ndarray]
    encoder: Encoder
    table: Table
    samples_per_epoch: int | None = None
    limits: tuple[int | None, float | None] = (None, None)
    given: tuple[str, ...] = ()
    members: tuple[dict[str, np.ndarray], ...] = ()

    def member(self, number: int) -> "Data":
        """The data of one member."""
        return replace(self, splits=self.members[number], members=())

    @property
    def inputs(self) -> Inputs:
        """What a model is told of x."""
        return self.encoder.inputs

    def rows(self, rows: np.ndarray) -> Any:
        """x of some rows (indices)."""
        return each(lambda values: values[rows], self.x)

    @property
    def floats(self) -> int:
        """How many floats a run holds of x: those of each number, and the number of each sample of bytes and ids."""
        held = each(
            lambda values, input: values.size if input.kind == "numbers" else 2 * len(values), self.x, self.inputs
        )
        return sum(held.values()) if isinstance(held, dict) else int(held)

    @cached_property
    def weights(self) -> np.ndarray | None:
        """How much each row counts, of y's shape with mean 1 over the training rows; None where all count alike."""
        weights = self.unscaled_weights
        return None if weights is None else weights / weights[self.splits["train"]].mean(0)

    @property
    def unscaled_weights(self) -> np.ndarray | None:
        """As `weights`, of whatever mean."""
        return self.encoder.weights(self.table)

    def with_class_weights(self, asked: Any) -> "Data":
        """The same with weights of classes, see `class_weights`; as it is for None."""
        if asked is None:
            return self
        key = json.dumps(asked, sort_keys=True, default=str)
        if key not in self._by_class_weights:
            rows, table = self.splits["train"], self.table
            if table.targets and table.classes:
                of_rows = None if table.weights is None else table.weights[rows]
                weights: list[Any] = label_weights(asked, table.targets, self.y[rows], of_rows)
            else:
                weights = class_weights(asked, table.classes, partial(self._class_totals, weighted=True))
            weighted = replace(self, encoder=replace(self.encoder, class_weights=weights))
            of_all_rows = weighted.unscaled_weights
            assert of_all_rows is not None
            require_weight(of_all_rows, self.splits, table.source)
            self._by_class_weights[key] = weighted
        return self._by_class_weights[key]

    def _class_totals(self, weighted: bool) -> np.ndarray:
        """The training rows of each class, or the sums of their weights, (C,)."""
        rows, weights = self.splits["train"], self.table.weights if weighted else None
        return np.bincount(self.y[rows], None if weights is None else weights[rows], len(self.encoder.classes))

    @cached_property
    def _by_class_weights(self) -> dict[str, "Data"]:
        """Runs with the same weights share their data."""
        return {}

    def limited(self, most: int | None, share: float | None) -> "Data":
        """The same with fewer rows in each split: `most`, and this `share` of them; at least one, always the same."""
        if self.limits == (most, share):
            return self
        if (most, share) not in self._by_limits:
            fewer = [
                {name: rows[_some(len(rows), most, share)] for name, rows in splits.items()}
                for splits in (self.members or (self.splits,))
            ]
            limited = of_members(self, fewer) if self.members else replace(self, splits=fewer[0])
            self._by_limits[most, share] = replace(limited, limits=(most, share))
        return self._by_limits[most, share]

    @cached_property
    def _by_limits(self) -> dict[tuple[int | None, float | None], "Data"]:
        return {}

    @property
    def notes(self) -> list[str]:
        """Sentences on what was decided while the table was read and encoded."""
        return [*self.table.notes, *self.encoder.notes, *self._untrained_classes]

    @property
    def _untrained_classes(self) -> list[str]:
        """A sentence on classes that no training row has, so that they will never be predicted."""
        if self.encoder.classes and self.encoder.targets:
            there = self.y[self.splits["train"]].any(0)
            never = [quoted(name) for name, seen in zip(self.encoder.targets, there, strict=True) if not seen]
            return [f"no training row has the label {listed(never, 5)}: it cannot be learnt"] if never else []
        if not self.encoder.classes:
            return []
        rows = self._class_totals(weighted=False)
        missing = [quoted(name) for name, count in zip(self.encoder.classes, rows, strict=True) if not count]
        if not missing:
            return []
        return [f"no training row has the class {listed(missing, 5)}: it cannot be learnt"]

    def scaled_target(self, scaled: bool) -> "Data":
        """The same; unless `scaled`, with a regression target in its own units, neither shifted nor scaled."""
        return self if scaled or self.encoder.task != "regression" else self._in_units

    @cached_property
    def _in_units(self) -> "Data":
        encoder = self.encoder.unscaled
        assert self.table.target is not None
        return replace(self, y=encoder.encode_target(self.table.target), encoder=encoder)

    @property
    def monitored_split(self) -> str:
        """The split by whose loss epochs are compared."""
        return monitored_split([name for name, rows in self.splits.items() if len(rows)])

    @cached_property
    def digest(self) -> str:
        """A hash of the encoded data and their splits."""
        hashed = hashlib.sha256()
        for values in [*(self.x.values() if isinstance(self.x, dict) else [self.x]), self.y]:
            hashed.update(np.ascontiguousarray(values).data)
        for splits in self.members or (self.splits,):
            for rows in splits.values():
                hashed.update(rows.tobytes())
        if self.weights is not None:
            hashed.update(self.weights.tobytes())
        return hashed.hexdigest()


def of_members(data: Data, members: Sequence[dict[str, np.ndarray]]) -> Data:
    """The data of a run whose members have these splits; an epoch visits as many rows for each."""
    return replace(
        data,
        splits=joined(members),
        members=tuple(members),
        samples_per_epoch=min(len(splits["train"]) for splits in members),
    )


def joined(members: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The rows that are in each split for any of the members."""
    return {name: np.unique(np.concatenate([splits[name] for splits in members])) for name in members[0]}


def _some(n: int, most: int | None, share: float | None) -> np.ndarray:
    """Positions among n rows, drawn: tables may be sorted by their classes."""
    count = min(n if most is None else most, n if share is None else max(1, round(n * share)))
    return np.sort(np.random.default_rng(0).permutation(n)[:count])


def encode(
    dataset: Dataset, table: Table, seed: int, split: Split, splits: dict[str, np.ndarray] | None = None
) -> Data:
    """Split and encode a table that has been loaded, and perhaps split already.

    `dataset.split_seed`, or else the run's `seed`, draws the split. Raises `DataError` or `ConfigError` for a table or
    a split that cannot be used.
    """
    _check_table(dataset, table)
    assert table.target is not None
    split_seed = seed if dataset.split_seed is None else dataset.split_seed
    with enough_memory(table.source):
        given = splits or table.splits
        if table.splits and split != Stratified():
            raise ConfigError(f"split={split.name}: the data of {table.source} are split already; leave out split.")
        partition = Partition(given, tuple(given)) if given else split.partition(table, dataset.fractions, split_seed)
        if not given:
            if not is_ours(type(split)):
                _check_partition(split, partition, len(table.target))
            _refuse_unused(dataset, split, partition)
        splits = partition.rows
        table = with_positive(with_order(table, dataset.order), dataset.positive)
        assert table.target is not None
        if table.weights is not None:
            require_weight(table.weights, splits, table.source)
        of_target = dataset.target_transform, dataset.clip_predictions
        encoder = Encoder.fit(table, splits["train"], dataset.standardize, dataset, *of_target)
        x, y = encoder.features(table), encoder.encode_target(table.target)
        return Data(x, y, splits, encoder, table, partition.samples_per_epoch, given=partition.given)


def _check_table(dataset: Dataset, table: Any) -> None:
    """Raise `DataError` for what a data set of somebody's own has loaded and is no whole table."""
    if is_ours(type(dataset)):
        return
    where = f"data={dataset.name}"
    if not isinstance(table, Table):
        raise DataError(f"{where}: its load returns a {type(table).__name__}; it must return a nettrain.data.Table.")
    if table.target is None:
        raise DataError(f"{where}: its table has no target.")
    for name, column in table.columns.items():
        if len(column) != len(table.target):
            raise DataError(
                f"{where}: its column {quoted(name)} has {len(column)} rows, and its target {len(table.target)}; they "
                "must be equally many."
            )
    if table.target.ndim > 1 and table.target.shape[1:] != (len(table.targets),):
        raise DataError(
            f"{where}: its target has the shape {table.target.shape}, and its targets are {len(table.targets)}; they "
            "name each column of the target."
        )
    if table.classes and not 0 <= table.target.min() <= table.target.max() < len(table.classes):
        raise DataError(
            f"{where}: its target has values from {table.target.min()} to {table.target.max()}; with "
            f"{len(table.classes)} classes they are numbers from 0 to {len(table.classes) - 1}."
        )


def _check_partition(split: Split, partition: Any, n: int) -> None:
    """Raise `ConfigError` for what a split of somebody's own gives and does not divide n rows."""
    where = f"split={split.name}"
    if not isinstance(partition, Partition) or set(partition.rows) != {"train", "val", "test"}:
        raise ConfigError(f"{where}: its partition must be a Partition with the rows of train, val and test.")
    rows = np.concatenate(list(partition.rows.values()))
    if len(rows) and not 0 <= rows.min() <= rows.max() < n:
        raise ConfigError(
            f"{where}: it gives the row {rows.max() if rows.max() >= n else rows.min()}, and there are {n}."
        )
    numbers, counts = np.unique(rows, return_counts=True)
    if (counts > 1).any():
        raise ConfigError(
            f"{where}: it gives row {numbers[counts.argmax()]} twice; a row is in one split, and there once."
        )


def _refuse_unused(dataset: Dataset, split: Split, partition: Partition) -> None:
    """Raise `ConfigError` for a fraction that was asked for, of a split that is given in another way."""
    defaults = {field.name: field.default for field in fields(dataset)}
    for name in partition.given:
        key = f"{name}_fraction"
        if (asked := getattr(dataset, key)) not in (0, defaults[key]):
            raise ConfigError(
                f"data.{key}={asked}: split={split.name} says itself which rows are those of {name}; leave data.{key} "
                "out."
            )
