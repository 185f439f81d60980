"""The numbers of a layer of a small network, which a figure shows unit by unit."""

from dataclasses import dataclass

import numpy as np


@dataclass
class LayerNumbers:
    """A layer before an update: weights (outputs, inputs), biases, what it gives (outputs, b), and gradients of all."""

    weight: np.ndarray
    bias: np.ndarray
    output: np.ndarray
    weight_gradient: np.ndarray
    bias_gradient: np.ndarray
    delta: np.ndarray
