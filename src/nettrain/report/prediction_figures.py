"""Figures of what a model predicts, and of the function that it is, for a finished run and for one that is training."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from nettrain.data import Data
from nettrain.data.encoded_columns import Numeric
from nettrain.data.wording import quoted
from nettrain.figures.grids import over_one_input, over_two_inputs
from nettrain.parts.heads import Head
from nettrain.parts.heads.independent import metric_suffixes
from nettrain.report.pictures import Picture

NUMBERS = 1_000_000  # probabilities of which curves are drawn
TARGETS = 6  # of several that are drawn, each in figures of its own
POINTS = 10_000  # samples that are drawn as points: more cover each other, and take seconds


class Predictor(Protocol):
    """What predicts: a run, or a model in training."""

    @property
    def data(self) -> Data:
        """The data with their splits."""

    @property
    def head(self) -> Head:
        """The output head."""

    def logits(self, features: Any, w: Tensor | None = None) -> Tensor:
        """The logits (n, outputs) of samples as in `data.x`, with the weights w (P,) or the present ones."""

    def logits_of(self, split: str) -> Tensor:
        """The logits (n, outputs) of the rows of a split, as of rows that the model has not seen."""


def predictions(model: Predictor, split: str) -> list[Picture]:
    """How good the predictions for a split are."""
    rows, encoder = model.data.splits[split], model.data.encoder
    z, y = model.logits_of(split), model.data.y[rows]
    on = f"on the {len(rows)} samples of the {split} split"
    if encoder.classes:
        classes = encoder.targets or encoder.classes
        some = _some(len(y), max(1, NUMBERS // len(classes)))
        curves = model.head.mean(z[some]).double().numpy(), classes
        of = f"on {_of(len(some), rows)} of the {split} split"
        reliability = f"what predicted probabilities mean {of}: the larger a point, the more samples"
        pairs = (y, model.head.predict(z).numpy(), classes)
        confusion = Picture("confusion", f"true and predicted classes {on}", "confusion", pairs, True)
        return [
            *([] if encoder.targets else [confusion]),
            Picture("roc", f"receiver operating characteristic {of}", "roc", (y[some], *curves), True),
            Picture("precision_recall", f"precision and recall {of}", "precision_recall", (y[some], *curves), True),
            Picture("calibration", reliability, "calibration", (y[some], *curves), True),
        ]
    some = _some(len(y), POINTS)
    values, true = _numbers(model, z[some]), encoder.in_units(y[some])
    of = f"on {_of(len(some), rows)} of the {split} split"
    if not encoder.targets:
        return _of_numbers(true, values, encoder.target_name, of)
    pictures = []
    suffixes = metric_suffixes(encoder.targets)[:TARGETS]
    for suffix, name, of_true, predicted in zip(suffixes, encoder.targets, true.T, values.T, strict=False):
        pictures += _of_numbers(of_true, predicted, name, f"of {quoted(name)} {of}", f"_{suffix}")
    return pictures


def _of_numbers(true: np.ndarray, predicted: np.ndarray, target: str, of: str, suffix: str = "") -> list[Picture]:
    """The pictures of a target of numbers (n,)."""
    arguments = (true, predicted, target)
    return [
        Picture(f"predicted{suffix}", f"predicted and true values {of}", "predicted_against_true", arguments, True),
        Picture(f"residuals{suffix}", f"what the predictions miss {of}", "residuals", arguments, True),
    ]


def function_pictures(model: Predictor) -> list[Picture]:
    """The function that the model is, where its inputs are few enough."""
    arguments = function_over_inputs(model)
    if arguments is None:
        return []
    rows = model.data.splits["train"]
    samples = "the training samples" if len(rows) <= POINTS else f"{_of(POINTS, rows)} of the training split"
    if model.data.encoder.classes:
        caption = f"where the most probable class changes, with {samples}"
        return [Picture("decision_boundary", caption, "decision_boundary", arguments, True)]
    caption = f"the prediction over the input, with {samples}"
    return [Picture("fitted_curve", caption, "fitted_curve", arguments, True)]


def function_over_inputs(model: Predictor) -> Callable[..., tuple[Any, ...]] | None:
    """What gives the arguments of the figure of a function of two inputs for classes, or of one for numbers, if it is.

    It is called with weights w (P,), by default the present ones, a title, and the inputs to be drawn, a grid or an
    array, by default those around the samples.
    """
    encoder = model.data.encoder
    numeric = [column for column in encoder.columns if isinstance(column, Numeric) and not column.indicator]
    if encoder.targets or len(numeric) != len(encoder.columns) or len(numeric) != (2 if encoder.classes else 1):
        return None
    names, train = [c.name for c in numeric], model.data.splits["train"]
    rows = train[_some(len(train), POINTS)]
    x = np.stack([c.filled(model.data.table.columns[c.name][rows]) for c in numeric], axis=1)
    y = model.data.y[rows]

    def features(points: np.ndarray) -> np.ndarray:
        return np.concatenate([column.features(points[:, i]) for i, column in enumerate(numeric)], axis=1)

    def boundary(w: Tensor | None = None, title: str = "Decision boundary", inputs: Any = None) -> tuple[Any, ...]:
        grid = over_two_inputs(x, len(encoder.classes)) if inputs is None else inputs
        p = np.asarray(model.head.mean(model.logits(features(grid.points), w)))
        return grid, p, x, y, names, encoder.classes, title

    def curve(w: Tensor | None = None, title: str = "Fitted curve", inputs: Any = None) -> tuple[Any, ...]:
        at = over_one_input(x) if inputs is None else inputs
        prediction = _numbers(model, model.logits(features(at[:, None]), w))
        return at, prediction, x, encoder.in_units(y), names[0], encoder.target_name, title

    return boundary if encoder.classes else curve


def _some(count: int, most: int) -> np.ndarray:
    """At most so many of `count` samples, ascending, drawn at random: always the same ones."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def _of(drawn: int, rows: np.ndarray) -> str:
    return f"the {drawn} samples" if drawn == len(rows) else f"{drawn} of the {len(rows)} samples"


def _numbers(model: Predictor, z: Tensor) -> np.ndarray:
    """The predictions of logits in the units of the target."""
    return model.data.encoder.in_units(np.asarray(model.head.predict(z).double()))
