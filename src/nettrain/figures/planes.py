"""Planes in the space of the weights, over which the loss is a surface.

Two weights span such a plane themselves, three the planes through the end of the path along two of them. Of more
weights two planes through the end are drawn: along the two principal directions of the path (Lorch, 2016), and along
two random directions that are, in each layer, as long as its weights (Li et al., 2018).
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nettrain.figures.grids import Grid


@dataclass
class Plane:
    """A plane in the space of the weights: `origin` (P,), `directions` (2, P), the `names` of its axes.

    The directions are orthonormal, but for a plane of which a square of -`reach` to `reach` is drawn without a path.
    """

    origin: np.ndarray
    directions: np.ndarray
    names: tuple[str, str]
    reach: float | None = None

    def coordinates(self, w: np.ndarray) -> np.ndarray:
        """The projection (..., 2) of weights (..., P)."""
        return (w - self.origin) @ self.directions.T

    def points(self, coordinates: np.ndarray) -> np.ndarray:
        """The weights (..., P) at coordinates (..., 2)."""
        return self.origin + coordinates @ self.directions


def planes(path: ArrayLike, names: Sequence[str] | None = None) -> list[Plane]:
    """The planes in which a path (S, P) is seen best: those of two or three weights, else one.

    `names` are the weights', by default w1, w2, ... Raises `ValueError` for fewer than two weights.
    """
    w = np.asarray(path, float)
    size = w.shape[1]
    if size < 2:
        raise ValueError("a surface needs two weights")
    end = w[-1]
    if size <= 3:
        named = list(names or [f"w{i + 1}" for i in range(size)])
        axes = np.eye(size)
        return [
            Plane(end * (1 - axes[i] - axes[j]), axes[[i, j]], (named[i], named[j]))
            for i, j in itertools.combinations(range(size), 2)
        ]
    _, scale, principal = np.linalg.svd(w - end, full_matrices=False)
    if len(scale) > 1 and scale[1] > 1e-6 * scale[0]:
        share = scale**2 / np.sum(scale**2)
        return [Plane(end, principal[:2], (_principal("1st", share[0]), _principal("2nd", share[1])))]
    both = np.stack([w[0] - end, np.random.default_rng(0).normal(size=size)], axis=1)  # the path is straight
    return [Plane(end, np.linalg.qr(both)[0].T, ("direction of the path", "a random direction"))]


def _principal(which: str, share: float) -> str:
    return f"{which} principal direction ({share:.0%})"


def random_plane(end: ArrayLike, layers: Iterable[slice], seed: int = 0) -> Plane:
    """A plane through the weights `end` (P,) along two random directions; `layers` are where each layer lies in them.

    One step along either is, in every layer, as long as the layer's weights.
    """
    w = np.asarray(end, float)
    drawn = np.random.default_rng(seed).normal(size=(2, w.size))
    for part in layers:
        length = np.linalg.norm(drawn[:, part], axis=1, keepdims=True)
        drawn[:, part] *= np.linalg.norm(w[part]) / np.maximum(length, 1e-300)
    return Plane(w, drawn, ("1st random direction, in lengths of the weights", "2nd random direction"), reach=1.0)


def around_path(path: ArrayLike, plane: Plane, size: int = 41) -> tuple[Grid, np.ndarray]:
    """A grid of `size` x `size` points in a plane, in its own coordinates, and the path (S, P) in them, (S, 2).

    In a plane with a `reach` the path is its end alone, (1, 2).
    """
    w = np.asarray(path, float)
    way = np.zeros((1, 2)) if plane.reach else plane.coordinates(w)
    low, high = way.min(0), way.max(0)
    # A path that is short beside its weights would be drawn under a magnifying glass.
    shown = max(float((high - low).max()), 0.1 * float(np.linalg.norm(w[-1])) / np.sqrt(w.shape[1]), 1e-6)
    reach = np.full(2, plane.reach) if plane.reach else np.maximum(0.65 * (high - low), 0.4 * shown)
    middle = (low + high) / 2
    return Grid(*(np.linspace(middle[i] - reach[i], middle[i] + reach[i], size) for i in (0, 1))), way
