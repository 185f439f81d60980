"""Heads for numbers: their mean, their mean and spread, counts."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch import distributions as families
from torch.distributions import constraints

from nettrain.errors import ConfigError
from nettrain.parts import metrics
from nettrain.parts.heads.base import Head, InUnits, average, log_average, unchanged
from nettrain.registry import option


@dataclass
class Location(Head):
    """A head that fits where the numbers lie, (..., n) = z, and no spread around it."""

    tasks: ClassVar[tuple[str, ...]] = ("regression",)

    def mean(self, z: Tensor) -> Tensor:
        return z.squeeze(-1)

    def interval(self, z: Tensor, level: float) -> Tensor:
        raise ConfigError(
            f"interval={level}: head={self.name} fits no spread around its predictions; head=normal and "
            "head=quantile do."
        )


@dataclass
class IdentityMSE(Location):
    """Y given x is Normal(mu, 1), mu = z.

    -log p(y) = (y - z)^2 / 2 + log(2 pi) / 2; the loss is the squared error (y - z)^2, which is twice that but for
    the constant, so that it is the field's MSE and agrees with `torch.nn.MSELoss`.
    """

    name: str = "identity_mse"

    def distribution(self, z: Tensor) -> families.Normal:
        return families.Normal(z.squeeze(-1), 1.0)

    def loss(self, z: Tensor, y: Tensor, reduction: str = "none") -> Tensor:
        return F.mse_loss(z.squeeze(-1), y, reduction=reduction)

    def loss_gradient(self, z: Tensor, y: Tensor) -> Tensor:
        return 2 * (z - y.unsqueeze(-1))


@dataclass
class Huber(Location):
    """Y given x has the density exp(-h(y - z)) / Z; h(r) = r^2 / 2 for |r| <= delta, else delta (|r| - delta / 2).

    A normal distribution with the tails of an exponential one: outliers weigh less (Huber, 1964). The loss is h, as in
    `torch.nn.HuberLoss`; Z = sqrt(2 pi) erf(delta / sqrt(2)) + 2 / delta exp(-delta^2 / 2) does not depend on z.
    """

    name: str = "huber"
    delta: float = option(
        1.0,
        "distance beyond which a residual weighs linearly, in standard deviations of the target where it is "
        "standardised",
        above=0,
    )

    def distribution(self, z: Tensor) -> "HuberFamily":
        return HuberFamily(z.squeeze(-1), self.delta)

    def loss(self, z: Tensor, y: Tensor, reduction: str = "none") -> Tensor:
        return F.huber_loss(z.squeeze(-1), y, reduction=reduction, delta=self.delta)

    def loss_gradient(self, z: Tensor, y: Tensor) -> Tensor:
        return (z - y.unsqueeze(-1)).clamp(-self.delta, self.delta)


class HuberFamily(families.Distribution):
    """The density of `Huber` around `loc`."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {"loc": constraints.real}
    support = constraints.real

    def __init__(self, loc: Tensor, delta: float) -> None:
        self.loc, self.delta = loc, delta
        super().__init__(loc.shape)

    @property
    def mean(self) -> Tensor:
        return self.loc

    def log_prob(self, value: Tensor) -> Tensor:
        delta = self.delta
        z = math.sqrt(2 * math.pi) * math.erf(delta / math.sqrt(2)) + 2 / delta * math.exp(-(delta**2) / 2)
        return -F.huber_loss(self.loc, value, reduction="none", delta=delta) - math.log(z)


@dataclass
class Normal(Head):
    """Y given x is Normal(mu, s^2), mu = z_0 and log s^2 = z_1: the spread depends on x, too.

    -log p(y) = ((y - mu)^2 / s^2 + log s^2 + log(2 pi)) / 2. Of several members together it has the mean and the
    variance of their mixture (Lakshminarayanan et al., 2017).
    """

    name: str = "normal"
    tasks: ClassVar[tuple[str, ...]] = ("regression",)

    def outputs(self, classes: int) -> int:
        return 2

    def distribution(self, z: Tensor) -> families.Normal:
        return families.Normal(z[..., 0], (z[..., 1] / 2).exp())

    def combined(self, z: Tensor, shares: Tensor) -> Tensor:
        mu, log_variance = z.unbind(-1)
        mean = average(mu, shares)
        log_between = 2 * (mu - mean).abs().log()
        both = torch.logaddexp(log_variance, log_between)
        return torch.stack([mean, log_average(both, shares)], dim=-1)

    def loss(self, z: Tensor, y: Tensor, reduction: str = "none") -> Tensor:
        mu, log_variance = z.unbind(-1)
        losses = ((y - mu).square() * torch.exp(-log_variance) + log_variance + math.log(2 * math.pi)) / 2
        return losses if reduction == "none" else losses.sum()

    def loss_gradient(self, z: Tensor, y: Tensor) -> Tensor:
        mu, log_variance = z.unbind(-1)
        residual, precision = mu - y, torch.exp(-log_variance)
        return torch.stack([residual * precision, (1 - residual.square() * precision) / 2], dim=-1)


@dataclass
class Poisson(Head):
    """Y given x is Poisson(mu), log mu = z: counts.

    -log p(y) = mu - y z + log y!. Of several members together mu is the mean of theirs.
    """

    name: str = "poisson"
    tasks: ClassVar[tuple[str, ...]] = ("regression",)

    def distribution(self, z: Tensor) -> families.Poisson:
        return families.Poisson(z.squeeze(-1).exp())

    def combined(self, z: Tensor, shares: Tensor) -> Tensor:
        return log_average(z, shares)

    def loss(self, z: Tensor, y: Tensor, reduction: str = "none") -> Tensor:
        losses = z.squeeze(-1).exp() - y * z.squeeze(-1) + torch.lgamma(y + 1)
        return losses if reduction == "none" else losses.sum()

    def loss_gradient(self, z: Tensor, y: Tensor) -> Tensor:
        return z.exp() - y.unsqueeze(-1)

    def interval(self, z: Tensor, level: float) -> Tensor:
        from scipy.special import pdtr, pdtrik

        mu = z.squeeze(-1).double().exp().cpu().numpy()
        ends = []
        for tail in ((1 - level) / 2, (1 + level) / 2):  # the least k with P(Y <= k) >= tail
            k = np.maximum(np.ceil(pdtrik(tail, mu)), 0)
            below = np.maximum(k - 1, 0)
            ends.append(np.where(pdtr(below, mu) >= tail, below, k))
        return torch.as_tensor(np.stack(ends, axis=-1)).to(z)

    def metrics(
        self, z: Tensor, y: Tensor, in_units: InUnits = unchanged, weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        measured = super().metrics(z, y, in_units, weights)
        return {**measured, "deviance": metrics.poisson_deviance(in_units(self.mean(z)), in_units(y), weights)}
