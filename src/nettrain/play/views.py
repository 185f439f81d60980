"""Where the functions that networks are get looked at: a grid over one or two inputs, and what the runs give there.

Shapes: K runs, `n` points of a grid, `D` features, `C` classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nettrain.data import Data
from nettrain.data.encoded_columns import Numeric
from nettrain.data.target_scale import TargetScale
from nettrain.data.wording import quoted
from nettrain.errors import ConfigError, Mistake
from nettrain.figures.grids import Grid
from nettrain.inputs import Input, one_of
from nettrain.parts.models import RowModule
from nettrain.preparation.prepared import PreparedRun
from nettrain.samples import ready
from nettrain.vector import Layout
from nettrain.wording import counted

LEVEL = 0.8  # of the interval that is drawn around a fitted curve
MARGIN = 0.12  # around the samples, as a share of their range


@dataclass
class Box:
    """The ranges of the inputs, and of a target of numbers, that are drawn: pairs of the least and the greatest."""

    inputs: list[tuple[float, float]]
    target: tuple[float, float]

    def grid(self, size: int) -> np.ndarray:
        """Points (n, inputs): `size` along each of two inputs, row by row from the bottom, or 4 `size` along one."""
        if len(self.inputs) == 1:
            return np.linspace(*self.inputs[0], 4 * size)[:, None]
        return Grid(*(np.linspace(*limits, size) for limits in self.inputs)).points


def inputs_of(data: Data) -> list[Numeric]:
    """The one or two columns of numbers that are the inputs; `ConfigError` where there are others."""
    encoder = data.encoder
    numeric = [column for column in encoder.columns if isinstance(column, Numeric)]
    if encoder.targets or len(numeric) != len(encoder.columns) or len(numeric) not in (1, 2):
        named = ", ".join(quoted(column.name) for column in encoder.columns[:6])
        more = ", ..." if len(encoder.columns) > 6 else ""
        what = "several targets" if encoder.targets else f"{counted(len(encoder.columns), 'column')} ({named}{more})"
        raise ConfigError(
            f"data={data.table.source}: it has {what}, and nettrain-play draws functions of one or two columns of "
            "numbers with a single target; choose two columns, and leave out the others with data.drop=[...]."
        )
    return numeric


def box_of(data: Data) -> Box:
    """The ranges in which the samples lie, with a margin."""
    ranges = [_widened(column.filled(data.table.columns[column.name])) for column in inputs_of(data)]
    y = np.asarray(data.encoder.in_units(data.y), float) if not data.encoder.classes else np.array([0.0, 1.0])
    return Box(ranges, _widened(y))


def _widened(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = MARGIN * (high - low if high > low else 1.0)
    return low - margin, high + margin


class View:
    """What K runs of one shape give on a grid of a box with `size` points along an input."""

    def __init__(self, runs: Sequence[PreparedRun], device: torch.device, box: Box, size: int) -> None:
        first = runs[0]
        assert isinstance(first.model, RowModule)
        self.model, self.head, self.layout = first.model, first.head, Layout.of(first.model)
        self.classes = len(first.data.encoder.classes)
        self.target = TargetScale.of([run.data.encoder for run in runs], device, stacked=True)
        points, dtype, input = box.grid(size), first.config.dtype, one_of(first.data.inputs)
        assert isinstance(input, Input)
        features = [_features(run.data, points) for run in runs]
        if len(runs) > 1:
            self.x = torch.stack([torch.as_tensor(ready(x, input, dtype)) for x in features]).to(device)
        else:
            self.x = torch.as_tensor(ready(features[0], input, dtype)).to(device)
        self.has_interval = not self.classes and self._fits_interval()

    def _fits_interval(self) -> bool:
        try:
            self.head.interval(torch.zeros(1, self.head.outputs(0)), LEVEL)
        except Mistake:
            return False
        return True

    @torch.no_grad()
    def outputs(self, w: Tensor) -> np.ndarray:
        """Probabilities (K, n, C), or numbers in the target's units (K, n, 1), with the weights w (K, P).

        Beside the numbers the ends of the interval between which they lie, (K, n, 3), where the head has one.
        """
        z = self.model.logits(self.layout.views(w), self.x)
        if self.classes:
            return self.head.mean(z).double().cpu().numpy()
        values = [self.head.predict(z)]
        if self.has_interval:
            values += list(self.head.interval(z, LEVEL).unbind(-1))
        return torch.stack([self._in_units(value) for value in values], -1).cpu().numpy()

    def _in_units(self, values: Tensor) -> Tensor:
        return values.double() if self.target is None else self.target.in_units(values)

    @torch.no_grad()
    def hidden(self, w: Tensor) -> list[np.ndarray]:
        """The values of the hidden units of each layer, (n, units), of the first run, with the weights w (K, P)."""
        parameters = self.layout.views(w[0])
        x = self.x if self.x.dim() == 2 else self.x[0]
        return [self.model.activation(z).double().cpu().numpy() for _, z in self.model.hidden_units(parameters, x)]

    def inputs(self) -> np.ndarray:
        """The features (n, D) of the first run, as the first layer sees them."""
        return (self.x if self.x.dim() == 2 else self.x[0]).double().cpu().numpy()


def _features(data: Data, points: np.ndarray) -> np.ndarray:
    return np.concatenate([column.features(points[:, i]) for i, column in enumerate(inputs_of(data))], axis=1)
