"""In-place updates `x <- ...` with a coefficient that is a number (one run) or a tensor of shape (K, 1) (K runs).

Both forms round alike, and as `torch.optim` does: which operations do is measured by the tests.
"""

import math

import numpy as np
import torch
from torch import Tensor

Coefficient = float | Tensor
Scalars = float | np.ndarray  # a hyperparameter of one run, or those of K runs and of many steps


def add_scaled_(x: Tensor, y: Tensor, a: Coefficient) -> Tensor:
    """x <- x + a y."""
    return x.addcmul_(y, a) if isinstance(a, Tensor) else x.add_(y, alpha=a)


def add_scaled_square_(x: Tensor, y: Tensor, a: Coefficient) -> Tensor:
    """x <- x + a y^2."""
    return x.addcmul_(a * y, y) if isinstance(a, Tensor) else x.addcmul_(y, y, value=a)


def add_scaled_ratio_(x: Tensor, y: Tensor, d: Tensor, a: Coefficient) -> Tensor:
    """x <- x + a y / d."""
    return x.addcdiv_(a * y, d) if isinstance(a, Tensor) else x.addcdiv_(y, d, value=a)


def add_scaled(x: Tensor, y: Tensor, a: Coefficient) -> Tensor:
    """x + a y."""
    return x.addcmul(y, a) if isinstance(a, Tensor) else x.add(y, alpha=a)


def as_in(dtype: torch.dtype, numbers: np.ndarray) -> np.ndarray:
    """The numbers, those beyond the range of `dtype` infinite, as in its arithmetic: torch refuses them."""
    return np.where(np.abs(numbers) > torch.finfo(dtype).max, np.copysign(np.inf, numbers), numbers)


def power(base: Scalars, exponent: Scalars) -> Scalars:
    """base ** exponent as the C library computes it, as `torch.optim` has it; NumPy's may differ in the last bit."""
    if isinstance(base, np.ndarray) or isinstance(exponent, np.ndarray):
        bases, i = np.unique(base, return_inverse=True)
        exponents, j = np.unique(exponent, return_inverse=True)
        powers = np.vectorize(math.pow, otypes=[float])(bases[:, None], exponents)  # each of them once
        return powers[i.reshape(np.shape(base)), j.reshape(np.shape(exponent))]
    return math.pow(base, exponent)
