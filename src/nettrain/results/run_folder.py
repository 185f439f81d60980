"""A run's folder, read back: its config, its numbers, its model, and what the model predicts."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor, nn

from nettrain import data
from nettrain.config.build import build_model, choose_head, load_config, place_paths, relative_paths
from nettrain.config.own_parts import load_parts, saved_sources
from nettrain.config.schema import Config
from nettrain.data import Data, Encoder, Table
from nettrain.data.memory import enough_memory
from nettrain.data.opening import TableLike
from nettrain.data.read_options import ReadOptions
from nettrain.data.wording import share
from nettrain.errors import CheckpointError, ConfigError, DataError
from nettrain.objective import Objective
from nettrain.parts import models
from nettrain.parts.heads import Head
from nettrain.parts.metrics import confusion_matrix, of_each_class
from nettrain.parts.named_metrics import NamedMetric, is_of_sklearn, named_metric
from nettrain.preparation.heads import check_support
from nettrain.random import seeded
from nettrain.results.metrics_table import read_columns, read_table
from nettrain.results.summary import read_summary
from nettrain.storage.checkpoint_files import load_checkpoint
from nettrain.storage.reading import read_yaml
from nettrain.terminal import warn
from nettrain.training.checkpoint_schema import USABLE, require_checkpoint
from nettrain.training.device import usual_torch
from nettrain.vector import flatten
from nettrain.wording import counted


class RunFolder:
    """A run that has been trained, in `folder`; it predicts with the weights of its best epoch.

    Nothing that the folder holds is executed, with one exception: a model that is neither nettrain's own nor a class of
    `torch.nn` is imported by the name in the run's config, and only if `trust` is True. `loaded` are the run's data
    where they have been loaded already, and `module` is its model where that was handed over in Python. Raises
    `CheckpointError` for a folder that holds no run or a damaged one.
    """

    def __init__(
        self, folder: str | Path, trust: bool = False, loaded: Data | None = None, module: nn.Module | None = None
    ) -> None:
        self.folder, self.trust, self._loaded, self._module = Path(folder), trust, loaded, module
        if not (self.folder / ".hydra" / "config.yaml").is_file():
            hint = "; nettrain.Sweep reads a sweep" if any(self.folder.glob("*/summary.json")) else ""
            raise CheckpointError(f"{self.folder}: no run is there (it has no .hydra/config.yaml){hint}.")

    @cached_property
    def config(self) -> DictConfig:
        """The composed config."""
        return OmegaConf.create(read_config(self.folder))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """summary.json."""
        return read_summary(self.folder)

    @cached_property
    def metrics(self) -> Any:
        """metrics.csv as a pandas table, a row per epoch."""
        return read_table(self.folder)

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """The columns of metrics.csv as arrays, for which pandas need not be imported."""
        return read_columns(self.folder)

    @cached_property
    def data(self) -> Data:
        """The data that the run was trained on, loaded and split again; `DataError` if they are no longer the same."""
        loaded = self._loaded or data.load(self._parts.data, self._parts.seed)
        loaded = loaded.scaled_target(self._parts.head.standardizes).with_class_weights(self._parts.class_weight)
        if self._loaded is None and self._trained_on not in (None, loaded.digest):
            raise DataError(
                f"{loaded.table.source}: these are not the data that the run in {self.folder} was trained on: they "
                "have changed, or this version of nettrain reads them in another way."
            )
        return loaded

    @cached_property
    def trajectory(self) -> tuple[list[int], Tensor] | None:
        """Epochs (S,) and the weights after them (S, P), where the run has kept them (see `figures`)."""
        points = load_checkpoint(self.folder / "checkpoints" / "last.pt").get("path")
        return (points["epochs"], points["w"]) if points else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r})"

    @cached_property
    def encoder(self) -> Encoder:
        """What turns a table into features, as it was fitted on the training split."""
        try:
            return Encoder.from_state(self._checkpoint["encoder"])
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.folder}: this version of nettrain cannot read the checkpoint's encoder."
            ) from error

    @cached_property
    def head(self) -> Head:
        """The output head."""
        return choose_head(self._parts.head, self.encoder)

    @cached_property
    @usual_torch()
    def model(self) -> nn.Module:
        """The module with the weights of the best epoch; it gives logits (n, outputs) of features (n, D)."""
        self._require_trusted_model()
        with seeded(self._parts.seed):  # its first weights are drawn, and of no use
            model = build_model(self._parts, self.encoder, self.head, self._module)
        try:
            model.load_state_dict(self._checkpoint["model"])
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"{self.folder}: the checkpoint does not fit the model of the config.") from error
        return model.eval()

    @cached_property
    def part_sources(self) -> list[str]:
        """The modules and files with parts of the user's own that the run needs: its copies of files, if it has any."""
        listed = self.config.get("parts") or []
        if not isinstance(listed, list | ListConfig) or not all(isinstance(source, str) for source in listed):
            raise CheckpointError(f"{self.folder}: damaged: the parts in its config are no list of texts.")
        return saved_sources(self.folder / ".hydra", list(listed))

    def require_trust(self) -> None:
        """Raise `ConfigError` if the run needs code of somebody else's, and it is not trusted.

        The model's, or that of metrics. Parts of the user's own are imported.
        """
        self._require_trusted_model()
        for path in self._parts.metrics:
            if not (is_of_sklearn(path) or self.trust):
                raise self._distrust(f"it measures {path}")

    def _require_trusted_model(self) -> None:
        model = self._parts.model
        if isinstance(model, models.Module) and model.foreign and not self.trust:
            raise self._distrust(f"its model is {model.foreign[0]}")

    def _distrust(self, what: str) -> ConfigError:
        return ConfigError(
            f"{self.folder}: {what}, code that belongs neither to nettrain nor to torch; if you trust the folder's "
            "origin, use trust=true on the command line, Run(folder, trust=True) in Python."
        )

    @usual_torch()
    def predict(
        self,
        table: TableLike,
        strict: bool = False,
        keep: Sequence[str] = (),
        interval: float | None = None,
        **options: Any,
    ) -> Any:
        """A pandas table with `prediction`, and `probability_<class>` for classifiers, for each row of a table.

        `table` is a path to a table file, or a pandas table, with the columns that the run was trained on. It is read
        as the training table was; `options`, such as `decimal="comma"`, are for one that is written in another way.
        What the rows have that training had not is said, a line for each column. A prediction that is not finite is
        left empty, which is said, too. With `strict` both are a `DataError`. `keep` are columns of the table, such as
        an id, that are copied in front of the predictions. With an `interval`, such as 0.9, numbers come with `lower`
        and `upper`, between which the true one lies with that probability.
        """
        import pandas

        self._check_interval(interval)
        read = self._read(table, strict, options, copied=[keep] if isinstance(keep, str) else keep)
        z, finite = self._outputs(read)
        if not finite.all():
            self._report([_not_finite(read, finite, "and left empty")], read.source, strict)
        index = table.index if isinstance(table, pandas.DataFrame) else None
        columns = self._predictions(z, finite, interval)
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

        if not self.encoder.classes:
            raise ConfigError(f"{self.folder}: the run predicts numbers, and there are no classes.")
        data, names = self.data, self.encoder.classes
        rows = data.splits[next(name for name in ("test", "val", "train") if len(data.splits[name]))]
        weights = self.encoder.weights(data.table)
        counts = None if weights is None else torch.as_tensor(weights[rows])
        predicted = self.head.predict(self.logits(data.x[rows]))
        columns = of_each_class(confusion_matrix(predicted, torch.as_tensor(data.y[rows]), len(names), counts))
        return pandas.DataFrame({"class": names, **{name: values.tolist() for name, values in columns.items()}})

    def _check_interval(self, interval: float | None) -> None:
        if interval is not None and self.encoder.classes:
            raise ConfigError(f"interval={interval}: the run in {self.folder} predicts classes, not numbers.")
        if interval is not None and not 0 < interval < 1:
            raise ConfigError(f"interval={interval}: it must be greater than 0 and less than 1.")

    @usual_torch()
    def evaluate(self, table: TableLike, strict: bool = False, **options: Any) -> dict[str, float]:
        """The mean loss and the head's metrics on a table that has the target, too.

        For `strict` and `options` see `predict`. Raises `DataError` where the model's output is not finite for a row.
        """
        read = self._read(table, strict, options, with_target=True)
        assert read.target is not None
        check_support(self.head, read)
        z, finite = self._outputs(read)
        if not finite.all():
            raise DataError(f"{read.source}: {_not_finite(read, finite, 'so that nothing can be measured')}.")
        y = torch.as_tensor(self.encoder.encode_target(read.target))
        weights = self.encoder.weights(read)
        if weights is not None and not weights.any():
            raise DataError(f"{read.source}: all rows have the weight 0; at least one must count.")
        counts = None if weights is None else torch.as_tensor(weights)
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
        table: TableLike,
        strict: bool,
        options: dict[str, Any],
        with_target: bool = False,
        copied: Sequence[str] = (),
    ) -> Table:
        """A new table, and what is unfamiliar in it said or refused."""
        read = self.encoder.read(table, with_target, ReadOptions.of(options, self.encoder.options), copied)
        self._report(read.unfamiliar, read.source, strict)
        return read

    def _outputs(self, read: Table) -> tuple[Tensor, Tensor]:
        """The logits (n, outputs) of a new table's rows, and for which rows (n,) all are finite."""
        with enough_memory(read.source):
            z = self.logits(self.encoder.features(read))
        return z, z.isfinite().all(-1)

    def _report(self, sentences: list[str], source: str, strict: bool) -> None:
        """Say each of the sentences on a table; with `strict` raise `DataError` with the first instead."""
        if sentences and strict:
            more = f" (and {counted(len(sentences) - 1, 'other finding')})" if len(sentences) > 1 else ""
            raise DataError(f"{source}: {sentences[0]}{more}; strict=true refuses such rows.")
        for sentence in sentences:
            warn(f"{source}: {sentence}.")

    @cached_property
    def objective(self) -> Objective:
        """The head's loss of the model, as a function of its weights."""
        objective = Objective(self.model, self.head, buffers=dict(self.model.named_buffers()))
        if not self.encoder.classes:
            objective.target_mean = torch.tensor([self.encoder.target_mean], dtype=torch.float64)
            objective.target_scale = torch.tensor([self.encoder.target_scale], dtype=torch.float64)
        return objective

    def logits(self, features: np.ndarray, w: Tensor | None = None) -> Tensor:
        """The logits (n, outputs) of encoded features (n, D), with the weights w (P,) or those of the best epoch."""
        w = flatten(self.model) if w is None else w
        return self.objective.predict_logits(w, torch.as_tensor(features, dtype=w.dtype))

    @cached_property
    def _parts(self) -> Config:
        if self.part_sources and not self.trust:
            raise self._distrust(f"it needs {', '.join(self.part_sources)}")
        load_parts(self.part_sources)
        try:
            return load_config(OmegaConf.to_container(self.config))  # type: ignore[arg-type]
        except (OmegaConfBaseException, AttributeError) as error:
            why = str(error).splitlines()[0]
            raise CheckpointError(f"{self.folder}: this version of nettrain cannot read its config: {why}") from error

    @property
    def _trained_on(self) -> str | None:
        """The fingerprint of the data that the run was trained on; None for one without a checkpoint."""
        paths = [self.folder / "checkpoints" / name for name in ("best.pt", "last.pt")]
        return next((_usable(path)["data"] for path in paths if path.exists()), None)

    @cached_property
    def _checkpoint(self) -> dict[str, Any]:
        folder = self.folder / "checkpoints"
        if (folder / "best.pt").exists():
            return _usable(folder / "best.pt")
        last = _usable(folder / "last.pt")
        if not all(tensor.isfinite().all() for tensor in last["model"].values()):
            raise CheckpointError(f"{self.folder}: the run diverged in its first epoch and has no usable weights.")
        return last


def _usable(path: Path) -> dict[str, Any]:
    """A checkpoint with what a prediction needs."""
    checkpoint = load_checkpoint(path)
    require_checkpoint(checkpoint, path, USABLE)
    return checkpoint


def read_config(folder: Path) -> dict[str, Any]:
    """The config of the run in the folder as plain containers. Raises `CheckpointError` where there is none."""
    path = folder / ".hydra" / "config.yaml"
    container = read_yaml(path)
    if not isinstance(container, dict):
        raise CheckpointError(f"{path}: not the config of a run.")
    config = OmegaConf.create(container)
    if not relative_paths(config):
        return container
    return _placed(config, folder / ".hydra" / "hydra.yaml")


def _placed(config: DictConfig, settings: Path) -> dict[str, Any]:
    """The config of an earlier version, in which paths are those of the working directory that Hydra has noted."""
    hydra: Any = read_yaml(settings, interpolations=True) if settings.is_file() else None
    with suppress(KeyError, TypeError):  # it has not
        place_paths(config, Path(hydra["hydra"]["runtime"]["cwd"]))
    return OmegaConf.to_container(config)  # type: ignore[return-value]


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
