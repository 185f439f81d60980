"""How rows are divided into training, validation and test splits; each class is the schema of `configs/split/<name>`.

A new one is a subclass of `Split` with a field `name` and a method `partition`, and its yaml.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Optional

import numpy as np
from omegaconf import MISSING

from nettrain.data.drawing import NAMES, Fractions, Rows, completed, groups_of, stratified, target_of, values_of
from nettrain.data.label_splits import label_folds
from nettrain.data.partitions import folds, split_groups, split_times
from nettrain.data.splits import split
from nettrain.data.table import Table
from nettrain.data.wording import place, quoted
from nettrain.errors import ConfigError, DataError
from nettrain.registry import option
from nettrain.wording import listed

_WORDS = {"train": "train", "val": "val", "validation": "val", "test": "test"}


class Partition(NamedTuple):
    """The rows of each split, ascending int64 indices by its name; no row is in two.

    `given` are the splits whose sizes are not those of data.val_fraction and data.test_fraction. An epoch visits
    `samples_per_epoch` of the training rows, drawn anew each time; None: all.
    """

    rows: Rows
    given: tuple[str, ...] = ()
    samples_per_epoch: int | None = None


@dataclass
class Split(ABC):
    """What all ways to divide rows have in common.

    Where a part has a key `column`, the values of that column are the table's `split_values`, moments as numbers with
    `by_time`; without it the column is no feature.
    """

    by_time: ClassVar[bool] = False

    name: str = ""

    @abstractmethod
    def partition(self, table: Table, fractions: Fractions, seed: int) -> Partition:
        """The rows of the splits "train", "val" and "test", a pure function of the arguments."""

    def redrawn(self, table: Table, partition: Partition, seed: int) -> Partition:
        """The same test rows with others of the rest that validate, for a member of the run with this seed of its own.

        By default the same: which rows validate may not be for chance to decide.
        """
        return partition

    def of_folds(self, folds: int) -> "Fold":
        """The folds that divide rows in the way of this split, see `folds`.

        Raises `ConfigError` for a split that says which rows validate.
        """
        raise ConfigError(
            f"folds={folds}: split={self.name} says itself which rows validate; use members={folds}, or "
            "split=stratified, random, group or fold."
        )

    def rows_per_class(self, fractions: Fractions) -> int:
        """How many rows each class must have."""
        return 1

    @property
    def decides(self) -> str | None:
        """The column whose values decide; None where none does."""
        return getattr(self, "column", None)

    @property
    def described(self) -> str:
        """What the plan says of it."""
        return f"{self.name}: "


@dataclass
class Random(Split):
    """Rows are drawn at random."""

    name: str = "random"

    def partition(self, table: Table, fractions: Fractions, seed: int) -> Partition:
        return Partition(split(target_of(table), "regression", fractions["val"], fractions["test"], seed))

    def redrawn(self, table: Table, partition: Partition, seed: int) -> Partition:
        return _redrawn(target_of(table), "regression", partition, seed)

    def of_folds(self, folds: int) -> "Fold":
        return Fold(folds=folds, stratify=False)


@dataclass
class Stratified(Split):
    """Rows are drawn at random, of each class or label its share; of a target of numbers just at random."""

    name: str = "stratified"

    def partition(self, table: Table, fractions: Fractions, seed: int) -> Partition:
        return Partition(stratified(target_of(table), table.task, fractions, seed))

    def redrawn(self, table: Table, partition: Partition, seed: int) -> Partition:
        return _redrawn(target_of(table), table.task, partition, seed)

    def of_folds(self, folds: int) -> "Fold":
        return Fold(folds=folds)

    def rows_per_class(self, fractions: Fractions) -> int:
        return 1 + sum(fraction > 0 for fraction in fractions.values())

    @property
    def described(self) -> str:
        return ""


@dataclass
class Group(Split):
    """All rows with one value of a column, such as those of a patient, are in one split."""

    name: str = "group"
    column: str = option(MISSING, "column whose values are the groups; it is no feature")

    def partition(self, table: Table, fractions: Fractions, seed: int) -> Partition:
        return Partition(split_groups(groups_of(table, self.column), fractions["val"], fractions["test"], seed))

    def redrawn(self, table: Table, partition: Partition, seed: int) -> Partition:
        if not len(partition.rows["val"]):
            return partition
        rest = _rest(partition)
        groups = np.unique(groups_of(table, self.column)[rest], return_inverse=True)[1]
        drawn = split_groups(groups, len(partition.rows["val"]) / len(rest), 0, seed)
        return _with_others(partition, rest, drawn)

    def of_folds(self, folds: int) -> "Fold":
        return Fold(folds=folds, column=self.column)


@dataclass
class Time(Split):
    """The earliest rows train, the latest ones test, those between validate; rows of one time stay together."""

    by_time: ClassVar[bool] = True

    name: str = "time"
    column: str = option(MISSING, "column of dates, times or numbers; it stays a feature unless data.drop names it")

    def partition(self, table: Table, fractions: Fractions, seed: int) -> Partition:
        values = values_of(table, self.column)
        if values.dtype == object:
            raise DataError(f"{place(table.source, column=self.column)}: split=time needs times or numbers.")
        return Partition(split_times(values, fractions["val"], fractions["test"]))


@dataclass
class ByColumn(Split):
    """A column says for each row whether it trains (train), validates (val) or tests (test)."""

    name: str = "column"
    column: str = option(MISSING, "column with the words train, val (or validation) and test; it is no feature")

    def partition(self, table: Table, fractions: Fractions, seed: int) -> Partition:
        values = values_of(table, self.column)
        words = np.array([_WORDS.get(str(value).lower(), "") for value in values])
        if not all(words):
            row = int((words == "").argmax())
            raise DataError(
                f"{place(table.source, table.row_number(row), self.column)}: found {quoted(str(values[row]))}; "
                f"split=column needs {listed(_WORDS)}."
            )
        rows = {name: np.flatnonzero(words == name) for name in NAMES}
        return Partition(*completed(rows, self.name, table, fractions, seed))

    def redrawn(self, table: Table, partition: Partition, seed: int) -> Partition:
        return _redrawn(target_of(table), table.task, partition, seed)


@dataclass
class Files(Split):
    """The rows of each split lie in a file of their own."""

    name: str = "files"
    train: Optional[str] = option(None, "file with the training rows; null: data.path", is_path=True)  # noqa: UP045
    val: Optional[str] = option(  # noqa: UP045
        None, "file with the validation rows; null: data.val_fraction of the training rows", is_path=True
    )
    test: Optional[str] = option(  # noqa: UP045
        None, "file with the test rows; null: data.test_fraction of the training rows", is_path=True
    )

    def paths(self, path: str) -> dict[str, str]:
        """The file of each split that has one; `path` is data.path."""
        if self.train is not None and self.train != path:
            raise ConfigError(
                f"split.train={self.train}: data.path={path} names another training file; leave out one of the two."
            )
        files = {"train": path, "val": self.val, "test": self.test}
        return {name: file for name, file in files.items() if file is not None}

    def partition(self, table: Table, fractions: Fractions, seed: int) -> Partition:
        if table.split_values is None:
            raise ConfigError("split=files: only data=csv is read from files.")
        rows = {name: np.flatnonzero(table.split_values == name) for name in NAMES}
        return Partition(*completed(rows, self.name, table, fractions, seed))

    def redrawn(self, table: Table, partition: Partition, seed: int) -> Partition:
        return _redrawn(target_of(table), table.task, partition, seed)


@dataclass
class Fold(Split):
    """One of k folds validates, the others train; the test rows are set aside before."""

    name: str = "fold"
    folds: int = option(5, "number of folds (k)", minimum=2)
    fold: int = option(
        0,
        "which fold validates, from 0; split.fold=range(k) trains all, as repetitions",
        "chance",
        per_row=True,
        minimum=0,
    )
    stratify: bool = option(True, "let each fold have its share of every class or label; for numbers it does nothing")
    column: Optional[str] = option(  # noqa: UP045
        None, "column whose values are groups, none of which is cut; it is no feature; null: no groups"
    )

    def partition(self, table: Table, fractions: Fractions, seed: int) -> Partition:
        if self.fold >= self.folds:
            raise ConfigError(
                f"split.fold={self.fold}: with split.folds={self.folds} the folds are numbered from 0 to "
                f"{self.folds - 1}."
            )
        target = target_of(table)
        strata = target if self.stratify and table.classes else None
        groups = None if self.column is None else groups_of(table, self.column)
        if groups is None:
            kind = "regression" if strata is None else table.task
            test = stratified(target, kind, {"val": 0, "test": fractions["test"]}, seed)["test"]
        else:
            test = split_groups(groups, 0, fractions["test"], seed)["test"]
        rest = np.setdiff1d(np.arange(len(target)), test)
        in_rest = None if groups is None else np.unique(groups[rest], return_inverse=True)[1]
        if strata is not None and table.targets and in_rest is None:
            fold = label_folds(strata[rest], self.folds, seed)
        else:
            of_rest = None if strata is None else np.unique(strata[rest], axis=0, return_inverse=True)[1].ravel()
            fold = folds(len(rest), self.folds, seed, of_rest, in_rest)
        rows = {"train": rest[fold != self.fold], "val": rest[fold == self.fold], "test": test}
        return Partition(rows, ("val",), len(rest) - int(np.bincount(fold).max()))

    def of_folds(self, folds: int) -> "Fold":
        if self.fold:
            raise ConfigError(f"folds={folds}: each of them validates a member; leave out split.fold={self.fold}.")
        return replace(self, folds=folds)

    @property
    def described(self) -> str:
        return f"fold {self.fold} of 0 to {self.folds - 1}: "


def _redrawn(target: np.ndarray, task: str, partition: Partition, seed: int) -> Partition:
    """With other validation rows of those that do not test, as many as before; the same where these are given."""
    val = len(partition.rows["val"])
    if not val or "val" in partition.given:
        return partition
    rest = _rest(partition)
    drawn = stratified(target[rest], task, {"val": val / len(rest), "test": 0.0}, seed)
    return _with_others(partition, rest, drawn)


def _rest(partition: Partition) -> np.ndarray:
    """The rows that do not test."""
    return np.sort(np.concatenate([partition.rows["train"], partition.rows["val"]]))


def _with_others(partition: Partition, rest: np.ndarray, drawn: Rows) -> Partition:
    """The partition with these of the `rest` training and validating."""
    rows = {"train": rest[drawn["train"]], "val": rest[drawn["val"]], "test": partition.rows["test"]}
    return partition._replace(rows=rows)
