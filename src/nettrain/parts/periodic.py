"""Periodic embeddings of numbers (PBLD; Holzmüller et al., 2024, after Gorishniy et al., 2022), for one run or for K.

Of each number x the first layer is given x and three numbers w cos(2 pi f x + b) + c, of which all but x are learnt: k
frequencies f, drawn from N(0, sigma^2), k phases b, uniform in [-pi, pi], and three times k weights w and a bias c.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

WIDTH = 3  # numbers of an embedding beside the number itself

Tensors = dict[str, Tensor]


class Waves(NamedTuple):
    """The numbers x (..., n, D, 1), and the cosine and the sine of their angles (..., n, D, k)."""

    x: Tensor
    cos: Tensor
    sin: Tensor


class Periodic(nn.Module):
    """The parameters for the first `count` (D) features of a vector."""

    def __init__(self, count: int, frequencies: int, sigma: float) -> None:
        super().__init__()
        self.count, self.size = count, count * WIDTH
        self.frequency = nn.Parameter(torch.randn(count, frequencies) * sigma)
        self.phase = nn.Parameter((2 * torch.rand(count, frequencies) - 1) * math.pi)
        self.weight = nn.Parameter(torch.randn(WIDTH, count, frequencies) / math.sqrt(frequencies))
        self.bias = nn.Parameter(torch.zeros(WIDTH, count))

    def waves(self, parameters: Tensors, x: Tensor) -> Waves:
        """The waves of the numbers in x (..., n, features); rows may share x."""
        numbers = x[..., : self.count].unsqueeze(-1)
        frequency, phase = (parameters[f"periodic.{name}"].unsqueeze(-3) for name in ("frequency", "phase"))
        angles = 2 * math.pi * numbers * frequency + phase
        return Waves(numbers, angles.cos(), angles.sin())

    def embedded(self, parameters: Tensors, waves: Waves) -> Tensor:
        """The embeddings (..., n, 3 D)."""
        weight, bias = parameters["periodic.weight"], parameters["periodic.bias"]
        # Sums of elementwise products: they stack and compile, and the matrices of single numbers are small.
        parts = [
            (waves.cos * weight[..., j, :, :].unsqueeze(-3)).sum(-1) + bias[..., j, :].unsqueeze(-2)
            for j in range(WIDTH)
        ]
        return torch.cat(parts, dim=-1)

    def write_gradients(self, parameters: Tensors, waves: Waves, d: Tensor, gradients: Tensors) -> None:
        """Write the gradients of those parameters that are not frozen, for the derivative d (..., n, 3 D)."""
        weight, of_cos = parameters["periodic.weight"], torch.zeros_like(waves.cos)
        of_weight, of_bias = (gradients.get(f"periodic.{name}") for name in ("weight", "bias"))
        for j in range(WIDTH):
            part = d[..., j * self.count : (j + 1) * self.count]
            of_cos = of_cos + part.unsqueeze(-1) * weight[..., j, :, :].unsqueeze(-3)
            if of_weight is not None:
                of_weight[..., j, :, :].copy_((waves.cos * part.unsqueeze(-1)).sum(-3))
            if of_bias is not None:
                of_bias[..., j, :].copy_(part.sum(-2))
        of_angles = -of_cos * waves.sin
        if "periodic.phase" in gradients:
            gradients["periodic.phase"].copy_(of_angles.sum(-3))
        if "periodic.frequency" in gradients:
            gradients["periodic.frequency"].copy_(2 * math.pi * (of_angles * waves.x).sum(-3))
