"""Figures of what a model predicts, and of the function that it is, for a finished run and for one that is training."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch import Tensor

from nettrain.data import Data
from nettrain.data.encoding import Numeric
from nettrain.parts.heads import Head

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass
class Picture:
    """A figure that can be drawn: its `name`, which is also its file's, and what is to be seen in it."""

    name: str
    caption: str
    draw: Callable[[], "Figure"]
    measured: bool = False  # of predictions or weights, which no curve in TensorBoard shows


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
    from nettrain import figures

    rows, encoder = model.data.splits[split], model.data.encoder
    z, y = model.logits(model.data.x[rows]), model.data.y[rows]
    on = f"on the {len(rows)} samples of the {split} split"
    made = partial(Picture, measured=True)
    if encoder.classes:
        predicted, p = model.head.predict(z).numpy(), model.head.mean(z).double().numpy()
        classes = encoder.classes
        return [
            made("confusion", f"true and predicted classes {on}", lambda: figures.confusion(y, predicted, classes)),
            made("roc", f"receiver operating characteristic {on}", lambda: figures.roc(y, p, classes)),
            made("precision_recall", f"precision and recall {on}", lambda: figures.precision_recall(y, p, classes)),
            made(
                "calibration",
                f"what predicted probabilities mean {on}: the larger a point, the more samples",
                lambda: figures.calibration(y, p, classes),
            ),
        ]
    values, true = _numbers(model, z), y * encoder.target_scale + encoder.target_mean
    name = encoder.target_name
    return [
        made(
            "predicted",
            f"predicted and true values {on}",
            lambda: figures.predicted_against_true(true, values, name),
        ),
        made("residuals", f"what the predictions miss {on}", lambda: figures.residuals(true, values, name)),
    ]


def function_pictures(model: Predictor, w: Tensor | None = None) -> list[Picture]:
    """The function that the model is with weights w (P,) or the present ones, where its inputs are few enough."""
    draw = function_over_inputs(model)
    if draw is None:
        return []
    name, caption = (
        ("decision_boundary", "where the most probable class changes, with the training samples")
        if model.data.encoder.classes
        else ("fitted_curve", "the prediction over the input, with the training samples")
    )
    return [Picture(name, caption, partial(draw, w), measured=True)]


def function_over_inputs(model: Predictor) -> Callable[..., "Figure"] | None:
    """What draws the function that weights w (P,) give, of two inputs for classes or of one for numbers, if so many."""
    from nettrain import figures

    encoder = model.data.encoder
    numeric = [column for column in encoder.columns if isinstance(column, Numeric) and not column.indicator]
    if len(numeric) != len(encoder.columns) or len(numeric) != (2 if encoder.classes else 1):
        return None
    mean, scale = np.array([c.mean for c in numeric]), np.array([c.scale for c in numeric])
    names, rows = [c.name for c in numeric], model.data.splits["train"]
    x, y = model.data.x[rows] * scale + mean, model.data.y[rows]
    if encoder.classes:

        def boundary(w: Tensor | None, title: str = "Decision boundary") -> "Figure":
            def p(grid: np.ndarray) -> np.ndarray:
                return np.asarray(model.head.mean(model.logits((grid - mean) / scale, w)))

            return figures.decision_boundary(p, x, y, names, encoder.classes, title)

        return boundary

    def curve(w: Tensor | None, title: str = "Fitted curve") -> "Figure":
        def predict(grid: np.ndarray) -> np.ndarray:
            return _numbers(model, model.logits((grid[:, None] - mean) / scale, w))

        true = y * encoder.target_scale + encoder.target_mean
        return figures.fitted_curve(predict, x, true, names[0], encoder.target_name, title)

    return curve


def _numbers(model: Predictor, z: Tensor) -> np.ndarray:
    """The predictions of logits in the units of the target."""
    encoder = model.data.encoder
    values: Any = model.head.predict(z).double() * encoder.target_scale + encoder.target_mean
    return np.asarray(values)
