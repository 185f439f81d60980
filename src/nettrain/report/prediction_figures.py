"""Figures of what a model predicts, and of the function that it is, for a finished run and for one that is training."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from nettrain.data import Data
from nettrain.data.encoding import Numeric
from nettrain.figures.grids import over_one_input, over_two_inputs
from nettrain.parts.heads import Head
from nettrain.report.pictures import Picture

NUMBERS = 1_000_000  # probabilities of which curves are drawn
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
        classes = encoder.classes
        predicted = model.head.predict(z).numpy()
        some = _some(len(y), max(1, NUMBERS // len(classes)))
        curves = model.head.mean(z[some]).double().numpy(), classes
        of = f"on {_of(len(some), rows)} of the {split} split"
        reliability = f"what predicted probabilities mean {of}: the larger a point, the more samples"
        return [
            Picture("confusion", f"true and predicted classes {on}", "confusion", (y, predicted, classes), True),
            Picture("roc", f"receiver operating characteristic {of}", "roc", (y[some], *curves), True),
            Picture("precision_recall", f"precision and recall {of}", "precision_recall", (y[some], *curves), True),
            Picture("calibration", reliability, "calibration", (y[some], *curves), True),
        ]
    some = _some(len(y), POINTS)
    values, true = _numbers(model, z[some]), y[some] * encoder.target_scale + encoder.target_mean
    arguments, of = (true, values, encoder.target_name), f"on {_of(len(some), rows)} of the {split} split"
    return [
        Picture("predicted", f"predicted and true values {of}", "predicted_against_true", arguments, True),
        Picture("residuals", f"what the predictions miss {of}", "residuals", arguments, True),
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

    It is called with weights w (P,), by default the present ones, and a title.
    """
    encoder = model.data.encoder
    numeric = [column for column in encoder.columns if isinstance(column, Numeric) and not column.indicator]
    if len(numeric) != len(encoder.columns) or len(numeric) != (2 if encoder.classes else 1):
        return None
    mean, scale = np.array([c.mean for c in numeric]), np.array([c.scale for c in numeric])
    names, train = [c.name for c in numeric], model.data.splits["train"]
    rows = train[_some(len(train), POINTS)]
    x, y = model.data.rows(rows) * scale + mean, model.data.y[rows]

    def boundary(w: Tensor | None = None, title: str = "Decision boundary") -> tuple[Any, ...]:
        grid = over_two_inputs(x, len(encoder.classes))
        p = np.asarray(model.head.mean(model.logits((grid.points - mean) / scale, w)))
        return grid, p, x, y, names, encoder.classes, title

    def curve(w: Tensor | None = None, title: str = "Fitted curve") -> tuple[Any, ...]:
        at = over_one_input(x)
        prediction = _numbers(model, model.logits((at[:, None] - mean) / scale, w))
        true = y * encoder.target_scale + encoder.target_mean
        return at, prediction, x, true, names[0], encoder.target_name, title

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
    encoder = model.data.encoder
    values: Any = model.head.predict(z).double() * encoder.target_scale + encoder.target_mean
    return np.asarray(values)
