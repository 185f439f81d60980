"""The head for several quantiles at once."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, constraints

from nettrain.errors import ConfigError
from nettrain.parts import metrics
from nettrain.parts.heads.base import Head, InUnits, average, inverse_softplus, unchanged
from nettrain.registry import option


@dataclass
class Quantile(Head):
    """The quantiles q_1 < ... < q_m of Y given x at several levels t_1 < ... < t_m.

    q_1 = z_1 and q_k = q_(k-1) + softplus(z_k), so that they never cross. The loss is the sum of the pinball losses
    max(t (y - q), (t - 1) (y - q)) (Koenker and Bassett, 1978), each of which is the negative log-likelihood of an
    asymmetric Laplace distribution but for its constant. Of several members together each quantile is the mean of
    theirs.
    """

    name: str = "quantile"
    tasks: ClassVar[tuple[str, ...]] = ("regression",)
    levels: list[float] = option(
        [0.05, 0.5, 0.95], "levels of the quantiles, ascending; that nearest to 0.5 is the prediction", above=0, below=1
    )

    def __post_init__(self) -> None:
        if not self.levels or list(self.levels) != sorted(set(self.levels)):
            raise ConfigError(f"head.levels={list(self.levels)}: head.levels must ascend, such as [0.05,0.5,0.95].")

    @property
    def support(self) -> constraints.Constraint:
        return constraints.real

    def outputs(self, classes: int) -> int:
        return len(self.levels)

    def distribution(self, z: Tensor) -> Distribution:
        """Y as each of the levels sees it: an event has the same number for every level."""
        levels = torch.tensor(self.levels, dtype=z.dtype, device=z.device)
        return torch.distributions.Independent(AsymmetricLaplace(self.quantiles(z), levels), 1)

    def quantiles(self, z: Tensor) -> Tensor:
        """q, (..., n, m)."""
        q = [z[..., :1]]
        for k in range(1, z.shape[-1]):
            q.append(q[-1] + F.softplus(z[..., k : k + 1]))
        return torch.cat(q, dim=-1)

    def combined(self, z: Tensor, shares: Tensor) -> Tensor:
        q = average(self.quantiles(z), shares)
        return torch.cat([q[..., :1], inverse_softplus(q.diff(dim=-1))], dim=-1)

    def mean(self, z: Tensor) -> Tensor:
        """The quantile whose level is nearest to 0.5, (..., n)."""
        middle = min(range(len(self.levels)), key=lambda k: abs(self.levels[k] - 0.5))
        return self.quantiles(z)[..., middle]

    def loss(self, z: Tensor, y: Tensor, reduction: str = "none") -> Tensor:
        residuals = (y.unsqueeze(-1) - self.quantiles(z)).unbind(-1)
        terms = [torch.maximum(t * r, (t - 1) * r) for t, r in zip(self.levels, residuals, strict=True)]
        losses = torch.stack(terms, dim=-1).sum(-1)
        return losses if reduction == "none" else losses.sum()

    def loss_gradient(self, z: Tensor, y: Tensor) -> Tensor:
        above = self.quantiles(z) > y.unsqueeze(-1)
        parts: list[Tensor] = []
        total = torch.zeros_like(y)
        for k in reversed(range(len(self.levels))):  # z_k moves q_k and all beyond
            total = total + (above[..., k].to(z.dtype) - self.levels[k])
            parts.append(total * torch.sigmoid(z[..., k]) if k else total)
        return torch.stack(parts[::-1], dim=-1)

    def interval(self, z: Tensor, level: float) -> Tensor:
        q, tails = self.quantiles(z), ((1 - level) / 2, (1 + level) / 2)
        ends = [[q[..., k] for k, t in enumerate(self.levels) if math.isclose(t, tail)] for tail in tails]
        if not all(ends):
            needed = ",".join(f"{tail:.6g}" for tail in tails)
            raise ConfigError(
                f"interval={level}: it lies between the levels {needed}, and the run has head.levels={self.levels}."
            )
        return torch.stack([end for end, *_ in ends], dim=-1)

    def predictions(self, z: Tensor) -> dict[str, Tensor]:
        named = zip(self.levels, self.quantiles(z).unbind(-1), strict=True)
        return {**super().predictions(z), **{f"quantile_{level:g}": q for level, q in named}}

    def metrics(
        self, z: Tensor, y: Tensor, in_units: InUnits = unchanged, weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        measured = super().metrics(z, y, in_units, weights)
        if len(self.levels) > 1:
            q = self.quantiles(z)
            measured["coverage"] = metrics.mean((q[..., 0] <= y) & (y <= q[..., -1]), weights)
        return measured


class AsymmetricLaplace(Distribution):
    """The density t (1 - t) exp(-max(t (y - q), (t - 1) (y - q))), whose quantile at the level t is q."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "q": constraints.real,
        "level": constraints.unit_interval,
    }
    support = constraints.real

    def __init__(self, q: Tensor, level: Tensor) -> None:
        self.q, self.level = torch.broadcast_tensors(q, level)
        super().__init__(self.q.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        residual, t = value - self.q, self.level
        return torch.log(t * (1 - t)) - torch.maximum(t * residual, (t - 1) * residual)
