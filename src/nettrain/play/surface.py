"""The loss over two weights, with the paths of the lanes, where a model has no more than three."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from nettrain.figures.grids import Grid
from nettrain.minimization import minimize
from nettrain.parts.models import RowModule
from nettrain.play.lane import PATHS, Lane
from nettrain.preparation.prepared import PreparedRun
from nettrain.samples import ready
from nettrain.vector import Layout

SIZE = 41  # points along each weight
FAR = 25.0  # beyond which a minimum is not shown: of classes that a line separates it is at infinity
MOST_POINTS = 400  # of a path
ROWS = 512  # training samples on which the loss is computed


class Surface:
    """The training loss of a model with two or three weights.

    It is drawn over the first two; a third one is the present one of the lane in focus. The limits only grow, so that
    the picture stands still.
    """

    def __init__(self, run: PreparedRun, starts: Sequence[np.ndarray]) -> None:
        rows = run.data.splits["train"][:ROWS]
        dtype = run.config.dtype
        self.x = ready(run.data.rows(rows), run.data.inputs, dtype)
        y = torch.as_tensor(run.data.y[rows])
        self.y, self.dtype = y if run.data.encoder.classes else y.to(dtype), dtype
        model = run.model.to("cpu")
        assert isinstance(model, RowModule)
        self.model, self.head, self.layout = model, run.head, Layout.of(model)
        best = self._minimum(starts[0])
        self.points = [*starts, *([best] if best is not None else [])]
        self.best = best

    @classmethod
    def of(cls, lanes: Sequence[Lane]) -> "Surface | None":
        """That of lanes with one model of two or three weights; None for any others."""
        first = lanes[0].runs[0]
        alike = all(
            Layout.of(lane.runs[0].model) == Layout.of(first.model) and lane.runs[0].head == first.head
            for lane in lanes
        )
        return cls(first, [lane.path[0] for lane in lanes]) if alike and first.parameters in PATHS else None

    def _loss(self, w: torch.Tensor) -> torch.Tensor:
        """The mean loss with weights w (..., P)."""
        z = self.model.logits(self.layout.views(w), self.x)
        return self.head.loss(z, self.y.expand(z.shape[:-1])).mean(-1)

    def _minimum(self, start: np.ndarray) -> np.ndarray | None:
        with torch.random.fork_rng(devices=[]):
            found = minimize(self._loss, torch.as_tensor(start, dtype=self.dtype), "bfgs", max_updates=60)
        w: np.ndarray = found.w.double().numpy()
        return w if np.isfinite(w).all() and np.abs(w - start).max() < FAR else None

    def names(self) -> list[str]:
        """What the weights are called: w1, w2, ... of one parameter, else by their parameters."""
        if len(self.layout.names) == 1:
            return [f"w{i + 1}" for i in range(self.layout.size)]
        pairs = zip(self.layout.names, self.layout.sizes, strict=True)
        short = [(name.rpartition(".")[2], size) for name, size in pairs]
        return [name if size == 1 else f"{name}[{i}]" for name, size in short for i in range(size)]

    @torch.no_grad()
    def shown(self, lanes: Sequence[Lane], focus: Lane) -> dict[str, Any]:
        """The grid, the loss at its points, row by row, the paths of all lanes in it, and where the minimum is."""
        paths = [_thinned(np.array(lane.path)[:, :2]) for lane in lanes]
        fixed = np.array(self.points)[:, :2]
        far = max(float(np.ptp(fixed, axis=0).max()), 1.0)
        ends = np.concatenate([fixed, *paths])
        near = np.abs(ends - fixed.mean(0)).max(-1) < 2 * far  # a lane that diverges leaves the picture
        low, high = ends[near].min(0), ends[near].max(0)
        reach = np.maximum(high - low, 0.6 * max(float((high - low).max()), 0.5))
        middle = (low + high) / 2
        grid = Grid(*(np.linspace(middle[i] - 0.62 * reach[i], middle[i] + 0.62 * reach[i], SIZE) for i in (0, 1)))
        w = np.tile(focus.path[-1], (SIZE * SIZE, 1))
        w[:, :2] = grid.points
        loss = self._loss(torch.as_tensor(w, dtype=self.dtype)).double().numpy()
        names = self.names()
        return {
            "names": names[:2],
            "third": [names[2], float(focus.path[-1][2])] if len(names) > 2 else None,
            "a": [float(grid.a[0]), float(grid.a[-1])],
            "b": [float(grid.b[0]), float(grid.b[-1])],
            "size": SIZE,
            "loss": [float(f"{v:.5g}") if np.isfinite(v) else None for v in loss.tolist()],
            "paths": [path.tolist() for path in paths],
            "minimum": None if self.best is None else self.best[:2].tolist(),
        }


def _thinned(path: np.ndarray) -> np.ndarray:
    """At most so many points of a path as can be told apart, the last one among them."""
    kept = np.unique(np.linspace(0, len(path) - 1, min(len(path), MOST_POINTS)).round().astype(int))
    return path[kept]
