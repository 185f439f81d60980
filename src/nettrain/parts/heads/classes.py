"""Heads for labels: Bernoulli and categorical distributions, and one for ordered classes."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli, Categorical

from nettrain.parts import metrics
from nettrain.parts.heads.base import Head, InUnits, inverse_softplus, log_average, unchanged
from nettrain.registry import option

FEW = 16  # classes, below which torch normalises many samples at once much faster than each sample by itself


@dataclass
class Classifier(Head):
    """A head whose loss may be softened: -sum_c q_c (1 - p_c)^gamma log p_c, with p the probabilities of the classes.

    q_y = 1 - s + s / C for the true class and s / C for the others, s the label smoothing (Szegedy et al., 2016); gamma
    is that of the focal loss (Lin et al., 2017). With s = gamma = 0 it is the cross-entropy -log p_y.
    """

    label_smoothing: float = option(
        0.0, "share of each label that is spread evenly over all classes; 0: none", minimum=0, below=1
    )
    focal: float = option(
        0.0, "exponent gamma of the focal loss, by which samples weigh less that are predicted well; 0: none", minimum=0
    )

    @property
    def _is_plain(self) -> bool:
        return self.label_smoothing == 0 and self.focal == 0

    def _softened(self, log_p: Tensor, y: Tensor) -> Tensor:
        """The loss (..., n) of log-probabilities (..., n, C)."""
        smoothing = self.label_smoothing
        terms = _one_hot(log_p, y, 1 - smoothing).add_(smoothing / log_p.shape[-1]) * log_p
        if self.focal:
            others = -torch.expm1(log_p)  # 1 - p
            terms = terms * others.clamp(min=torch.finfo(log_p.dtype).tiny) ** self.focal
        return -terms.sum(-1)


@dataclass
class SigmoidBCE(Classifier):
    """Y given x is Bernoulli(p), p = sigmoid(z).

    -log p(y) = -y log sigmoid(z) - (1 - y) log(1 - sigmoid(z)) = max(z, 0) - z y + log(1 + exp(-|z|)),
    binary cross-entropy, in the last form finite for every finite z.
    """

    name: str = "sigmoid_bce"
    tasks: ClassVar[tuple[str, ...]] = ("binary",)
    has_temperature: ClassVar[bool] = True

    def distribution(self, z: Tensor) -> Bernoulli:
        return Bernoulli(logits=z.squeeze(-1))

    def mean(self, z: Tensor) -> Tensor:
        return torch.cat([torch.sigmoid(-z), torch.sigmoid(z)], dim=-1)

    def loss(self, z: Tensor, y: Tensor, reduction: str = "none") -> Tensor:
        if self._is_plain:
            return F.binary_cross_entropy_with_logits(z.squeeze(-1), y.to(z.dtype), reduction=reduction)
        losses = self._softened(F.logsigmoid(torch.cat([-z, z], dim=-1)), y)
        return losses if reduction == "none" else losses.sum()

    def loss_gradient(self, z: Tensor, y: Tensor) -> Tensor:
        if not self._is_plain:
            return super().loss_gradient(z, y)
        p = torch.exp(-z).add_(1).reciprocal_()  # torch.sigmoid rounds differently at the end of a tensor
        return p - y.unsqueeze(-1)

    def combined(self, z: Tensor, shares: Tensor) -> Tensor:
        return log_average(F.logsigmoid(z), shares) - log_average(F.logsigmoid(-z), shares)

    def predict(self, z: Tensor) -> Tensor:
        return (z.squeeze(-1) > 0).long()

    def score(self, z: Tensor) -> Tensor:
        return z.squeeze(-1)

    def metrics(
        self, z: Tensor, y: Tensor, in_units: InUnits = unchanged, weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        return metrics.of_classes(self.predict(z), y, 2, self.score(z), weights)


@dataclass
class SoftmaxCE(Classifier):
    """Y given x is Categorical(p), p_c = softmax(z)_c = exp(z_c) / sum_k exp(z_k).

    -log p(y) = log sum_k exp(z_k) - z_y, cross-entropy, by log-sum-exp finite for every finite z.
    """

    name: str = "softmax_ce"
    tasks: ClassVar[tuple[str, ...]] = ("multiclass", "binary")
    has_temperature: ClassVar[bool] = True

    def distribution(self, z: Tensor) -> Categorical:
        return Categorical(logits=z)

    def mean(self, z: Tensor) -> Tensor:
        return torch.softmax(z, dim=-1)

    def loss(self, z: Tensor, y: Tensor, reduction: str = "none") -> Tensor:
        if not self._is_plain:
            losses = self._softened(torch.log_softmax(z, dim=-1), y)
        elif z.shape[-1] >= FEW:
            losses = F.cross_entropy(z.flatten(0, -2), y.flatten(), reduction="none").view(y.shape)
        else:
            log_p = torch.log_softmax(z.mT.contiguous(), dim=-2)
            losses = -log_p.gather(-2, y.unsqueeze(-2)).squeeze(-2)
        return losses if reduction == "none" else losses.sum()

    def loss_gradient(self, z: Tensor, y: Tensor) -> Tensor:
        if not self._is_plain:
            return super().loss_gradient(z, y)
        return torch.softmax(z, dim=-1).scatter_(-1, y.unsqueeze(-1), -1.0, reduce="add")

    def combined(self, z: Tensor, shares: Tensor) -> Tensor:
        return log_average(torch.log_softmax(z, dim=-1), shares)

    def predict(self, z: Tensor) -> Tensor:
        return z.argmax(-1)

    def score(self, z: Tensor) -> None:
        return None

    def metrics(
        self, z: Tensor, y: Tensor, in_units: InUnits = unchanged, weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        return metrics.of_classes(self.predict(z), y, z.shape[-1], weights=weights)


@dataclass
class Ordinal(Head):
    """Y given x is one of C ordered classes: P(Y > c) = sigmoid(g_c), where g_0 > g_1 > ... > g_(C-2).

    g_0 = z_0 and g_c = g_(c-1) - softplus(z_c), so that the order holds for every z: cumulative logits (McCullagh,
    1980) with thresholds that may depend on x. As 1 - exp(-softplus(z)) = sigmoid(z), with l = log sigmoid
    log p_0 = l(-g_0), log p_c = l(g_(c-1)) + l(-g_c) + l(z_c), log p_(C-1) = l(g_(C-2)).
    """

    name: str = "ordinal"
    tasks: ClassVar[tuple[str, ...]] = ("multiclass", "binary")

    def outputs(self, classes: int) -> int:
        return classes - 1

    def distribution(self, z: Tensor) -> Categorical:
        return Categorical(logits=self._log_probabilities(z))

    def mean(self, z: Tensor) -> Tensor:
        return self._log_probabilities(z).exp()

    def loss(self, z: Tensor, y: Tensor, reduction: str = "none") -> Tensor:
        log_p = self._log_probabilities(z)
        losses = -(_one_hot(log_p, y) * log_p).sum(-1)
        return losses if reduction == "none" else losses.sum()

    def metrics(
        self, z: Tensor, y: Tensor, in_units: InUnits = unchanged, weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        return {**super().metrics(z, y, in_units, weights), "mae": metrics.mae(self.predict(z), y, weights)}

    def loss_gradient(self, z: Tensor, y: Tensor) -> Tensor:
        above, last = self._above(z), z.shape[-1] - 1
        is_class = _one_hot(torch.empty(*z.shape[:-1], last + 2, dtype=z.dtype, device=z.device), y)
        parts: list[Tensor] = []
        total = torch.zeros_like(z[..., 0])
        for c in range(last, -1, -1):  # z_c moves g_c and all beyond
            g = above[..., c]
            total = total + is_class[..., c] * torch.sigmoid(g) - is_class[..., c + 1] * torch.sigmoid(-g)
            slope = torch.sigmoid(z[..., c])
            parts.append(-slope * total - is_class[..., c] * (1 - slope) if c else total)
        return torch.stack(parts[::-1], dim=-1)

    def combined(self, z: Tensor, shares: Tensor) -> Tensor:
        g = self._above(z)
        g = log_average(F.logsigmoid(g), shares) - log_average(F.logsigmoid(-g), shares)
        return torch.cat([g[..., :1], inverse_softplus(g[..., :-1] - g[..., 1:])], dim=-1)

    def _above(self, z: Tensor) -> Tensor:
        """g, (..., n, C - 1)."""
        g = [z[..., :1]]
        for c in range(1, z.shape[-1]):
            g.append(g[-1] - F.softplus(z[..., c : c + 1]))
        return torch.cat(g, dim=-1)

    def _log_probabilities(self, z: Tensor) -> Tensor:
        above = self._above(z)
        zero = torch.zeros_like(z[..., :1])
        inner = torch.cat([zero, F.logsigmoid(z[..., 1:]), zero], dim=-1)
        return torch.cat([zero, F.logsigmoid(above)], dim=-1) + torch.cat([F.logsigmoid(-above), zero], dim=-1) + inner


def _one_hot(like: Tensor, y: Tensor, value: float = 1.0) -> Tensor:
    """`value` at class y and 0 elsewhere, (..., n, C) as `like`."""
    return torch.zeros_like(like).scatter_(-1, y.unsqueeze(-1), value, reduce="add")
