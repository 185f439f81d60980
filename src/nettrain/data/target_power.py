"""The transform of Yeo and Johnson (2000), by which a target with heavy tails becomes more like a normal one.

    t(y) = ((1 + y)^p - 1) / p               for y >= 0, log(1 + y) where p = 0
    t(y) = -((1 - y)^(2 - p) - 1) / (2 - p)  for y < 0, -log(1 - y) where p = 2

A power p of 1 changes nothing. For 0 <= p <= 2 it maps all numbers onto all numbers, and is undone for any of them.
"""

from typing import Any

import numpy as np

from nettrain.data.encoded_columns import means_and_scales

TRANSFORMS = ("none", "log", "yeo_johnson")


def powered(y: np.ndarray, power: np.ndarray) -> np.ndarray:
    """t(y) of numbers (..., m), for powers (m,) or one power, in float64."""
    if np.all(power == 1):
        return y
    size = np.log1p(np.abs(y))
    exponent = np.broadcast_to(np.where(y >= 0, power, 2 - power), y.shape)
    flat = exponent == 0
    bent = np.sign(y) * np.where(flat, size, np.expm1(exponent * size) / np.where(flat, 1, exponent))
    return np.where(power == 1, y, bent)


def unpowered(t: Any, power: Any, library: Any = np) -> Any:
    """The y with t(y) = t, of numbers in float64 for powers that broadcast with them: arrays, or torch's tensors."""
    exponent = library.where(t >= 0, power, 2 - power)
    flat = exponent == 0
    size = library.log1p(exponent * abs(t)) / library.where(flat, 1.0, exponent)
    bent = library.sign(t) * library.expm1(library.where(flat, abs(t), size))
    return library.where(power == 1, t, bent)


def fit_target(y: np.ndarray, transform: str, standardize: bool) -> tuple[list[float], list[float], list[float]]:
    """Mean, scale and power of each of m targets with the numbers (n, m), for a transform of `TRANSFORMS`."""
    powers = [{"none": 1.0, "log": 0.0}.get(transform, 1.0)] * y.shape[1]
    if transform == "yeo_johnson":
        powers = [best_power(numbers) for numbers in y.T]
    if not standardize:
        return [0.0] * len(powers), [1.0] * len(powers), powers
    means, scales = means_and_scales(np.ascontiguousarray(powered(y, np.array(powers)).T))
    return means.tolist(), scales.tolist(), powers


def best_power(y: np.ndarray) -> float:
    """The power between 0 and 2 with which t(y) of the numbers (n,) is most likely a sample of a normal distribution.

    It is 1 where all numbers are the same.
    """
    from scipy.optimize import minimize_scalar

    if np.ptp(y) == 0:
        return 1.0
    tilt = (np.sign(y) * np.log1p(np.abs(y))).mean()

    def unlikelihood(power: float) -> float:
        return float(0.5 * np.log(powered(y, np.array(power)).var()) - (power - 1) * tilt)

    return float(minimize_scalar(unlikelihood, bounds=(0, 2), method="bounded", options={"xatol": 1e-6}).x)
