"""What the model of a run's folder predicts for new tables, and how good that is."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrain.data import Table
from nettrain.data.findings import Finding, merged
from nettrain.data.memory import enough_memory
from nettrain.data.new_tables import new_tables
from nettrain.data.opening import TableLike, table_name
from nettrain.data.queries import Query
from nettrain.data.read_options import ReadOptions
from nettrain.data.wording import share
from nettrain.errors import ConfigError, DataError
from nettrain.inputs import total_size
from nettrain.parts.heads.base import equal_shares
from nettrain.parts.metrics import confusion_matrix, of_each_class
from nettrain.parts.named_metrics import NamedMetric, named_metric
from nettrain.preparation.heads import check_support
from nettrain.results.saved_run import SavedRun
from nettrain.terminal import warn
from nettrain.training.device import usual_torch
from nettrain.wording import counted

PART = 1 << 22  # numbers of a table's features that are computed at a time


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

        Of several targets these are `prediction_<target>` and, for labels, `probability_<label>`.
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

        parts = list(self.predict_in_parts(table, strict, keep, interval, **options))
        predictions = parts[0] if len(parts) == 1 else pandas.concat(parts, ignore_index=True)
        return predictions.set_axis(table.index) if isinstance(table, pandas.DataFrame) else predictions

    def predict_in_parts(
        self,
        table: "TableLike | None" = None,
        strict: bool = False,
        keep: Sequence[str] = (),
        interval: float | None = None,
        **options: Any,
    ) -> Iterator[Any]:
        """What `predict` gives, for some rows after others where the table lies in large Parquet files.

        They need not fit into memory. What is said of the rows, or with `strict` refused, is when all have been read.
        """
        self._check_interval(interval)
        source, options = _source(table, options)
        findings, rows, lost, first = list[Finding](), list[int](), 0, ""
        copied = [keep] if isinstance(keep, str) else keep
        for read in new_tables(self.encoder, source, ReadOptions.of(options, self.encoder.options), copied):
            predictions, finite = self._predicted(read, interval)
            findings += read.findings
            rows.append(len(finite))
            if not finite.all():
                first, lost = first or _first_not_finite(read, finite), lost + int((~finite).sum())
            yield predictions
        sentences = [finding.text for finding in merged(findings, rows)]
        if lost:
            sentences.append(f"{_not_finite(lost, sum(rows))}, and left empty; {first}")
        self._report(sentences, table_name(source), strict)

    @usual_torch()
    def _predicted(self, read: Table, interval: float | None) -> tuple[Any, Tensor]:
        """The pandas table of predictions for a new table's rows, and for which rows (n,) they are finite."""
        members, finite = self._outputs(read)
        columns = self._predictions(self._together(members), finite, interval)
        if len(members) > 1:
            columns |= self._spread(members, finite)
        return _with_copied(read, columns), finite

    def _spread(self, members: Tensor, finite: Tensor) -> dict[str, Any]:
        """How far the members differ with their logits (K, n, outputs), in the units of the target."""
        if self.encoder.classes:
            spread = self.head.spread(members).double().numpy()
        else:
            spread = self.encoder.in_units(self.head.predict(members).double().numpy()).std(0, ddof=1)
        return self._of_each_target({"spread": np.where(finite, spread.T, np.nan).T})

    def _predictions(self, z: Tensor, finite: Tensor, interval: float | None) -> dict[str, Any]:
        """The columns of predictions from logits z (n, outputs); empty for rows that are not `finite` (n,)."""
        classes = self.encoder.classes
        if not classes:
            numbers = self.head.predictions(z)
            if interval is not None:
                numbers["lower"], numbers["upper"] = self.head.interval(z, interval).unbind(-1)
            in_units = {name: self.encoder.in_units(values.double().numpy()) for name, values in numbers.items()}
            return self._of_each_target({name: np.where(finite, v.T, np.nan).T for name, v in in_units.items()})
        if self.encoder.targets:
            there, p = self.head.predict(z), self.head.mean(z)
            written = there.numpy() if finite.all() else _or_none(there, finite)
            p = p.where(finite.unsqueeze(-1), torch.nan)
            return self._of_each_target({"prediction": written, "probability": p.numpy()})
        labels = _as_written(classes)
        predicted = [
            labels[i] if known else None
            for i, known in zip(self.head.predict(z).tolist(), finite.tolist(), strict=True)
        ]
        columns: dict[str, Any] = {"prediction": predicted if finite.all() else np.array(predicted, dtype=object)}
        probabilities = self.head.mean(z).where(finite.unsqueeze(-1), torch.nan).T.tolist()
        return columns | {f"probability_{name}": p for name, p in zip(classes, probabilities, strict=True)}

    def _of_each_target(self, columns: dict[str, np.ndarray]) -> dict[str, Any]:
        """Columns (n,) as they are, and of several targets, (n, m), one for each."""
        if not self.encoder.targets:
            return {name: values.tolist() for name, values in columns.items()}
        return {
            f"{name}_{target}": of_target.tolist()
            for name, values in columns.items()
            for target, of_target in zip(self.encoder.targets, values.T, strict=True)
        }

    @cached_property
    def classes(self) -> Any:
        """Precision, recall and F1 of each class or label on the test rows (without any of validation, or training).

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
        if data.streamed:
            columns = of_each_class(self._confusion_in_parts(split))
            return {"class": list(names), **{name: values.tolist() for name, values in columns.items()}}
        rows = data.splits[split]
        weights = self.encoder.weights(data.table)
        counts = None if weights is None else torch.as_tensor(weights[rows])
        predicted = self.head.predict(self.logits_of(split))
        y = torch.as_tensor(data.y[rows])
        if self.encoder.targets:
            of_rows = None if counts is None else counts.mT
            of_labels = of_each_class(confusion_matrix(predicted.mT, y.mT, len(names), of_rows))
            there = {name: values[..., 1].tolist() for name, values in of_labels.items()}
            return {"label": list(self.encoder.targets), **there}
        columns = of_each_class(confusion_matrix(predicted, y, len(names), counts))
        return {"class": list(names), **{name: values.tolist() for name, values in columns.items()}}

    def _confusion_in_parts(self, split: str) -> Tensor:
        """The confusion matrix of a split of data that are read from disk."""
        classes, weights = len(self.encoder.classes), self.data.unscaled_weights
        confusion = torch.zeros(classes, classes, dtype=torch.float64)
        for window in self.data.x.in_order(self.data.splits[split], np.float64):
            predicted, y = self.head.predict(self.logits(window.x)), torch.as_tensor(self.data.y[window.rows])
            counts = None if weights is None else torch.as_tensor(weights[window.rows])
            confusion += confusion_matrix(predicted, y, classes, counts)
        return confusion

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
        source, options = _source(table, options)
        read = self.encoder.read(source, True, ReadOptions.of(options, self.encoder.options))
        self._report(read.unfamiliar, read.source, strict)
        assert read.target is not None
        check_support(self.head, read)
        members, finite = self._outputs(read)
        if not finite.all():
            lost, first = _not_finite(int((~finite).sum()), len(finite)), _first_not_finite(read, finite)
            raise DataError(f"{read.source}: {lost}, so that nothing can be measured; {first}.")
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
        sizes = len(self.encoder.classes), len(self.encoder.targets)
        return [named_metric(path, *sizes) for path in self._parts.metrics]

    def _outputs(self, read: Table) -> tuple[Tensor, Tensor]:
        """The logits (K, n, outputs) of a new table's rows by each member, and for which rows (n,) all are finite."""
        with enough_memory(read.source):
            parts = read.in_parts(max(1, PART // total_size(self.encoder.inputs)))
            z = torch.cat([self.member_logits(self.encoder.features(part)) for part in parts], dim=1)
        return z, z.isfinite().all(-1).all(0)

    def _together(self, z: Tensor) -> Tensor:
        """The logits (n, outputs) of all members together, (K, n, outputs); of a single model its own, bit for bit."""
        together = self.head.combined(z, equal_shares(z)) if len(z) > 1 else z[0]
        return self.final(together)

    def _report(self, sentences: list[str], source: str, strict: bool) -> None:
        """Say each of the sentences on a table; with `strict` raise `DataError` with the first instead."""
        if sentences and strict:
            more = f" (and {counted(len(sentences) - 1, 'other finding')})" if len(sentences) > 1 else ""
            raise DataError(f"{source}: {sentences[0]}{more}; strict=true refuses such rows.")
        for sentence in sentences:
            warn(f"{source}: {sentence}.")


def _source(table: "TableLike | None", options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The rows that are asked for, a table or a `Query`, and the options of how they are read."""
    query, database = options.pop("query", None), options.pop("database", None)
    if (table is None) == (query is None):
        what = "a table and a query were given" if query else "neither a table nor a query was given"
        raise ConfigError(f"{what}; one of them says which rows are read.")
    if database is not None and query is None:
        raise ConfigError(f"data.database={database}: a query, data.query=..., says what is read of it.")
    return (Query(query, database) if query is not None else table), options


def _with_copied(read: Table, columns: dict[str, Any]) -> Any:
    """A pandas table with the columns that are copied, and those of the predictions."""
    import pandas
    import pyarrow

    if clash := [name for name in read.copied if name in columns]:
        raise ConfigError(f"keep={clash[0]}: predictions have a column of this name; give the table's another one.")
    whole = {pyarrow.int64(): pandas.Int64Dtype()}.get  # an id is no float because one of them is missing
    copied = {
        name: column.to_pandas(types_mapper=whole if column.null_count else None).array
        for name, column in read.copied.items()
    }
    return pandas.DataFrame({**copied, **columns})


def _not_finite(count: int, rows: int) -> str:
    """What is said of rows for which the model's output is not finite."""
    return f"{share(count, rows, 'prediction')} {'is' if count == 1 else 'are'} not finite"


def _first_not_finite(table: Table, finite: Tensor) -> str:
    """Which row of a table is the first that is not `finite` (n,)."""
    return f"the first is that of row {table.row_number(int((~finite).nonzero()[0]))}"


def _or_none(predicted: Tensor, finite: Tensor) -> np.ndarray:
    """Predictions (n, m), nothing in the rows that are not `finite` (n,)."""
    values = predicted.numpy().astype(object)
    values[~finite.numpy()] = None
    return values


def _as_written(classes: list[str]) -> list[Any]:
    """Class names as the numbers that they are in the table, where all of them are whole numbers."""
    try:
        numbers = [int(name) for name in classes]
    except ValueError:
        return classes
    return numbers if [str(number) for number in numbers] == classes else classes
