"""Made-up points: of a curve, and of two classes in the plane that no straight line separates."""

from collections.abc import Callable

import numpy as np


def curve(
    f: Callable[[np.ndarray], np.ndarray],
    samples: int,
    noise: float,
    seed: int,
    low: float = -1.0,
    high: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """x uniform in [low, high] and y = f(x) with normal noise, both (samples,)."""
    generator = np.random.Generator(np.random.PCG64(seed))
    x = generator.uniform(low, high, samples)
    return x, f(x) + noise * generator.standard_normal(samples)


def moons(samples: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two interleaved half circles of radius 1 with normal noise: points (samples, 2), classes (samples,)."""
    upper = np.linspace(0, np.pi, samples // 2)
    lower = np.linspace(0, np.pi, samples - samples // 2)
    x = np.concatenate([np.cos(upper), 1 - np.cos(lower)])
    y = np.concatenate([np.sin(upper), 0.5 - np.sin(lower)])
    return _noisy(x, y, noise, seed), _classes(samples)


def spirals(samples: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two spirals of one and a half turns, radius 0 to 3 pi, with normal noise: points and classes as `moons`."""
    classes = _classes(samples)
    # Equal steps of the squared angle put the points at about equal distances along the spiral.
    first, second = samples // 2, samples - samples // 2
    angle = 3 * np.pi * np.sqrt(np.concatenate([np.linspace(0, 1, first), np.linspace(0, 1, second)]))
    turned = angle + np.pi * classes
    return _noisy(angle * np.cos(turned), angle * np.sin(turned), noise, seed), classes


def _classes(samples: int) -> np.ndarray:
    return (np.arange(samples) >= samples // 2).astype(np.int64)


def _noisy(x: np.ndarray, y: np.ndarray, noise: float, seed: int) -> np.ndarray:
    generator = np.random.Generator(np.random.PCG64(seed))
    return np.stack([x, y], axis=1) + noise * generator.standard_normal((len(x), 2))
