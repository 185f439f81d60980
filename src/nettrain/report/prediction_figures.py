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


class Predictor(Protocol):
    """What predicts: a run, or a model in training."""

    @property
    def data(self) -> Data:
        """The data with their splits."""

    @property
    def head(self) -> Head:
        """The output head."""

    def logits(self, features: np.ndarray, w: Tensor | None = None) -> Tensor:
        """The logits (n, outputs) of encoded features (n, D), with the weights w (P,) or the present ones."""


def predictions(model: Predictor, split: str) -> list[Picture]:
    """How good the predictions for a split are."""
    rows, encoder = model.data.splits[split], model.data.encoder
    z, y = model.logits(model.data.x[rows]), model.data.y[rows]
    on = f"on the {len(rows)} samples of the {split} split"
    if encoder.classes:
        classes = encoder.classes
        predicted, p = model.head.predict(z).numpy(), model.head.mean(z).double().numpy()
        reliability = f"what predicted probabilities mean {on}: the larger a point, the more samples"
        return [
            Picture("confusion", f"true and predicted classes {on}", "confusion", (y, predicted, classes), True),
            Picture("roc", f"receiver operating characteristic {on}", "roc", (y, p, classes), True),
            Picture("precision_recall", f"precision and recall {on}", "precision_recall", (y, p, classes), True),
            Picture("calibration", reliability, "calibration", (y, p, classes), True),
        ]
    values, true = _numbers(model, z), y * encoder.target_scale + encoder.target_mean
    arguments = (true, values, encoder.target_name)
    return [
        Picture("predicted", f"predicted and true values {on}", "predicted_against_true", arguments, True),
        Picture("residuals", f"what the predictions miss {on}", "residuals", arguments, True),
    ]


def function_pictures(model: Predictor) -> list[Picture]:
    """The function that the model is, where its inputs are few enough."""
    arguments = function_over_inputs(model)
    if arguments is None:
        return []
    if model.data.encoder.classes:
        caption = "where the most probable class changes, with the training samples"
        return [Picture("decision_boundary", caption, "decision_boundary", arguments, True)]
    caption = "the prediction over the input, with the training samples"
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
    names, rows = [c.name for c in numeric], model.data.splits["train"]
    x, y = model.data.x[rows] * scale + mean, model.data.y[rows]

    def boundary(w: Tensor | None = None, title: str = "Decision boundary") -> tuple[Any, ...]:
        grid = over_two_inputs(x)
        p = np.asarray(model.head.mean(model.logits((grid.points - mean) / scale, w)))
        return grid, p, x, y, names, encoder.classes, title

    def curve(w: Tensor | None = None, title: str = "Fitted curve") -> tuple[Any, ...]:
        at = over_one_input(x)
        prediction = _numbers(model, model.logits((at[:, None] - mean) / scale, w))
        true = y * encoder.target_scale + encoder.target_mean
        return at, prediction, x, true, names[0], encoder.target_name, title

    return boundary if encoder.classes else curve


def _numbers(model: Predictor, z: Tensor) -> np.ndarray:
    """The predictions of logits in the units of the target."""
    encoder = model.data.encoder
    values: Any = model.head.predict(z).double() * encoder.target_scale + encoder.target_mean
    return np.asarray(values)
