"""What the model of a run's folder predicts for new tables, and how good that is."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrain.data import Table
from nettrain.data.memory import enough_memory
from nettrain.data.opening import TableLike
from nettrain.data.queries import Query
from nettrain.data.read_options import ReadOptions
from nettrain.data.wording import share
from nettrain.errors import ConfigError, DataError
from nettrain.parts.heads.base import equal_shares
from nettrain.parts.metrics import confusion_matrix, of_each_class
from nettrain.parts.named_metrics import NamedMetric, named_metric
from nettrain.preparation.heads import check_support
from nettrain.results.saved_run import SavedRun
from nettrain.terminal import warn
from nettrain.training.device import usual_torch
from nettrain.wording import counted


class RunFolder(SavedRun):
    """A run's folder, whose model predicts. See `SavedRun` for what it reads, and what it trusts."""

    @usual_torch()
    def predict(
        self,
        table: "TableLike | None" = None,
        strict: bool = False,
        keep: Sequence[str] = (),
        interval: float | None = None,
        **options: Any,
    ) -> Any:
        """A pandas table with `prediction`, and `probability_<class>` for classifiers, for each row of a table.

        `table` is a path or URL of a table file, or a pandas table, with the columns that the run was trained on; or
        what else it was trained on: a folder of images, an .npz file, arrays or tensors, a dictionary of them. In its
        place `query="select ..."`, with `database=` where it is not on files alone, says what is read. It is read as
        the training table was; `options`, such as `decimal="comma"`, are for one that is written in another way.
        What the rows have that training had not is said, a line for each column. A prediction that is not finite is
        left empty, which is said, too. With `strict` both are a `DataError`. `keep` are columns of the table, such as
        an id, that are copied in front of the predictions. With an `interval`, such as 0.9, numbers come with `lower`
        and `upper`, between which the true one lies with that probability. Of a run with several members there is
        `spread`: how far they differ, the standard deviation over them of the number that each predicts, or of its
        probability of the class that all together predict.
        """
        import pandas

        self._check_interval(interval)
        read = self._read(table, strict, options, copied=[keep] if isinstance(keep, str) else keep)
        members, finite = self._outputs(read)
        if not finite.all():
            self._report([_not_finite(read, finite, "and left empty")], read.source, strict)
        index = table.index if isinstance(table, pandas.DataFrame) else None
        columns = self._predictions(self._together(members), finite, interval)
        if len(members) > 1:
            spread = self.head.spread(members).double().where(finite, torch.nan) * self.encoder.target_scale
            columns["spread"] = spread.tolist()
        if clash := [name for name in read.copied if name in columns]:
            raise ConfigError(f"keep={clash[0]}: predictions have a column of this name; give the table's another one.")
        copied = {name: column.to_pandas().array for name, column in read.copied.items()}
        return pandas.DataFrame({**copied, **columns}, index=index)

    def _predictions(self, z: Tensor, finite: Tensor, interval: float | None) -> dict[str, Any]:
        """The columns of predictions from logits z (n, outputs); empty for rows that are not `finite` (n,)."""
        classes = self.encoder.classes
        if not classes:
            numbers = self.head.predictions(z)
            if interval is not None:
                numbers["lower"], numbers["upper"] = self.head.interval(z, interval).unbind(-1)
            in_units = {
                k: v.double() * self.encoder.target_scale + self.encoder.target_mean for k, v in numbers.items()
            }
            return {name: values.where(finite, torch.nan).tolist() for name, values in in_units.items()}
        labels = _as_written(classes)
        predicted = [labels[i] if known else None for i, known in zip(self.head.predict(z), finite, strict=True)]
        columns: dict[str, Any] = {"prediction": predicted if finite.all() else np.array(predicted, dtype=object)}
        probabilities = self.head.mean(z).where(finite.unsqueeze(-1), torch.nan).T.tolist()
        return columns | {f"probability_{name}": p for name, p in zip(classes, probabilities, strict=True)}

    @cached_property
    def classes(self) -> Any:
        """Precision, recall and F1 of each class on the test rows (without any, those of validation or of training).

        A pandas table with a row for each class, and its `rows`, in a number or, where these have weights, as the sum
        of them. Raises `ConfigError` for a run that predicts numbers.
        """
        import pandas

        return pandas.DataFrame(self.class_columns)

    @cached_property
    def class_columns(self) -> dict[str, list[Any]]:
        """The columns of `classes`, for which pandas need not be imported."""
        if not self.encoder.classes:
            raise ConfigError(f"{self.folder}: the run predicts numbers, and there are no classes.")
        data, names = self.data, self.encoder.classes
        split = next(name for name in ("test", "val", "train") if len(data.splits[name]))
        rows = data.splits[split]
        weights = self.encoder.weights(data.table)
        counts = None if weights is None else torch.as_tensor(weights[rows])
        predicted = self.head.predict(self.logits_of(split))
        columns = of_each_class(confusion_matrix(predicted, torch.as_tensor(data.y[rows]), len(names), counts))
        return {"class": list(names), **{name: values.tolist() for name, values in columns.items()}}

    def _check_interval(self, interval: float | None) -> None:
        if interval is not None and self.encoder.classes:
            raise ConfigError(f"interval={interval}: the run in {self.folder} predicts classes, not numbers.")
        if interval is not None and not 0 < interval < 1:
            raise ConfigError(f"interval={interval}: it must be greater than 0 and less than 1.")

    @usual_torch()
    def evaluate(self, table: "TableLike | None" = None, strict: bool = False, **options: Any) -> dict[str, float]:
        """The mean loss and the head's metrics on a table that has the target, too.

        For a query, `strict` and `options` see `predict`. Raises `DataError` where the model's output is not finite
        for a row.
        """
        read = self._read(table, strict, options, with_target=True)
        assert read.target is not None
        check_support(self.head, read)
        members, finite = self._outputs(read)
        if not finite.all():
            raise DataError(f"{read.source}: {_not_finite(read, finite, 'so that nothing can be measured')}.")
        y = torch.as_tensor(self.encoder.encode_target(read.target))
        weights = self.encoder.weights(read)
        if weights is not None and not weights.any():
            raise DataError(f"{read.source}: all rows have the weight 0; at least one must count.")
        counts = None if weights is None else torch.as_tensor(weights)
        z = self._together(members)
        numbers = replace(self.objective, named_metrics=self._named_metrics).measure(
            z, y if self.encoder.classes else y.to(z.dtype), counts
        )
        return {name: float(value) for name, value in numbers.items()}

    @cached_property
    def _named_metrics(self) -> list[NamedMetric]:
        self.require_trust()
        return [named_metric(path, len(self.encoder.classes)) for path in self._parts.metrics]

    def _read(
        self,
        table: "TableLike | None",
        strict: bool,
        options: dict[str, Any],
        with_target: bool = False,
        copied: Sequence[str] = (),
    ) -> Table:
        """A new table, and what is unfamiliar in it said or refused."""
        query, database = options.pop("query", None), options.pop("database", None)
        if (table is None) == (query is None):
            what = "a table and a query were given" if query else "neither a table nor a query was given"
            raise ConfigError(f"{what}; one of them says which rows are read.")
        if database is not None and query is None:
            raise ConfigError(f"data.database={database}: a query, data.query=..., says what is read of it.")
        rows = Query(query, database) if query is not None else table
        read = self.encoder.read(rows, with_target, ReadOptions.of(options, self.encoder.options), copied)
        self._report(read.unfamiliar, read.source, strict)
        return read

    def _outputs(self, read: Table) -> tuple[Tensor, Tensor]:
        """The logits (K, n, outputs) of a new table's rows by each member, and for which rows (n,) all are finite."""
        with enough_memory(read.source):
            z = self.member_logits(self.encoder.features(read))
        return z, z.isfinite().all(-1).all(0)

    def _together(self, z: Tensor) -> Tensor:
        """The logits (n, outputs) of all members together, (K, n, outputs); of a single model its own, bit for bit."""
        return self.head.combined(z, equal_shares(z)) if len(z) > 1 else z[0]

    def _report(self, sentences: list[str], source: str, strict: bool) -> None:
        """Say each of the sentences on a table; with `strict` raise `DataError` with the first instead."""
        if sentences and strict:
            more = f" (and {counted(len(sentences) - 1, 'other finding')})" if len(sentences) > 1 else ""
            raise DataError(f"{source}: {sentences[0]}{more}; strict=true refuses such rows.")
        for sentence in sentences:
            warn(f"{source}: {sentence}.")


def _not_finite(table: Table, finite: Tensor, consequence: str) -> str:
    """What is said of rows for which the model's output is not finite; `finite` (n,) says of which it is."""
    count, row = int((~finite).sum()), table.row_number(int((~finite).nonzero()[0]))
    of_all = share(count, len(finite), "prediction")
    return f"{of_all} {'is' if count == 1 else 'are'} not finite, {consequence}; the first is that of row {row}"


def _as_written(classes: list[str]) -> list[Any]:
    """Class names as the numbers that they are in the table, where all of them are whole numbers."""
    try:
        numbers = [int(name) for name in classes]
    except ValueError:
        return classes
    return numbers if [str(number) for number in numbers] == classes else classes
