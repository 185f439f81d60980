"""Where a function has to be known so that it can be drawn: points over one or two inputs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

INPUTS = 121  # points along each of two inputs
INPUT = 401  # points along a single one


@dataclass
class Grid:
    """The points of a rectangle: `a` (n,) along its horizontal axis, `b` (m,) along its vertical one."""

    a: np.ndarray
    b: np.ndarray

    @property
    def points(self) -> np.ndarray:
        """All of them, (m n, 2), row by row."""
        return np.stack(np.meshgrid(self.a, self.b), axis=-1).reshape(-1, 2)

    def table(self, values: ArrayLike) -> np.ndarray:
        """The values at the points, (m n, ...), as a table (m, n, ...)."""
        array = np.asarray(values, float)
        return array.reshape(len(self.b), len(self.a), *array.shape[1:])


def over_two_inputs(x: ArrayLike, classes: int = 2) -> Grid:
    """A grid around samples (n, 2), coarser where each point has the probabilities of more than a hundred classes."""
    low, high = _margins(np.asarray(x, float))
    points = int(INPUTS / max(1.0, (classes / 100) ** 0.5))
    return Grid(*(np.linspace(low[i], high[i], max(points, 31)) for i in (0, 1)))


def over_one_input(x: ArrayLike) -> np.ndarray:
    """Inputs (m,) from below the least of the samples (n,) to above the largest one."""
    (low,), (high,) = _margins(np.asarray(x, float).reshape(-1, 1))
    return np.linspace(low, high, INPUT)


def _margins(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lower and upper limits of the columns, widened by 8 %."""
    low, high = points.min(0), points.max(0)
    margin = 0.08 * np.where(high > low, high - low, 1.0)
    return low - margin, high + margin
