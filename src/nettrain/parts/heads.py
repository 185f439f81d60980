"""Output heads: a head is the family of distributions of Y given X.

The network gives logits `z` of shape (..., n, outputs); the family says which link turns them into parameters of
the distribution, which negative log-likelihood is the loss, what is predicted, and what is measured.
Targets `y` have shape (..., n): class indices, or numbers.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from nettrain.parts import metrics

FEW = 16  # classes, below which torch normalises many samples at once much faster than each sample by itself


@dataclass
class Head(ABC):
    """What every head offers; `tasks` names the kinds of target that it fits."""

    name: str = ""
    tasks: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def outputs(self, classes: int) -> int:
        """How many numbers per sample the network has to give; `classes` is 0 for regression."""

    @abstractmethod
    def mean(self, z: Tensor) -> Tensor:
        """The link: the distribution's mean, probabilities (..., n, C) for classes, (..., n) for numbers."""

    @abstractmethod
    def loss(self, z: Tensor, y: Tensor, reduction: str = "none") -> Tensor:
        """The negative log-likelihood of every sample, (..., n), up to constants; their sum with reduction="sum"."""

    @abstractmethod
    def loss_gradient(self, z: Tensor, y: Tensor) -> Tensor:
        """The derivative of every sample's loss by its logits, of the shape of z."""

    @abstractmethod
    def predict(self, z: Tensor) -> Tensor:
        """The most probable value of Y, (..., n): a class index, or a number."""

    @abstractmethod
    def metrics(self, z: Tensor, y: Tensor) -> dict[str, Tensor]:
        """What is measured beside the loss, each of shape (...)."""


@dataclass
class Auto:
    """The natural head of the target: sigmoid_bce for two classes, softmax_ce for more, identity_mse for numbers.

    It is the head whose `tasks` name the target's kind first.
    """

    name: str = "auto"


@dataclass
class SigmoidBCE(Head):
    """Y given x is Bernoulli(p), p = sigmoid(z).

    -log p(y) = -y log sigmoid(z) - (1 - y) log(1 - sigmoid(z)) = max(z, 0) - z y + log(1 + exp(-|z|)),
    binary cross-entropy, in the last form finite for every finite z.
    """

    name: str = "sigmoid_bce"
    tasks: ClassVar[tuple[str, ...]] = ("binary",)

    def outputs(self, classes: int) -> int:
        return 1

    def mean(self, z: Tensor) -> Tensor:
        return torch.cat([torch.sigmoid(-z), torch.sigmoid(z)], dim=-1)

    def loss(self, z: Tensor, y: Tensor, reduction: str = "none") -> Tensor:
        return F.binary_cross_entropy_with_logits(z.squeeze(-1), y.to(z.dtype), reduction=reduction)

    def loss_gradient(self, z: Tensor, y: Tensor) -> Tensor:
        p = torch.exp(-z).add_(1).reciprocal_()  # torch.sigmoid rounds differently at the end of a tensor
        return p - y.unsqueeze(-1)

    def predict(self, z: Tensor) -> Tensor:
        return (z.squeeze(-1) > 0).long()

    def metrics(self, z: Tensor, y: Tensor) -> dict[str, Tensor]:
        predicted = self.predict(z)
        confusion = metrics.confusion_matrix(predicted, y, 2)
        return {
            "accuracy": metrics.accuracy(predicted, y),
            "balanced_accuracy": metrics.balanced_accuracy(confusion),
            "f1": metrics.f1(confusion)[..., 1],
            "auroc": metrics.auroc(z.squeeze(-1), y),
        }


@dataclass
class SoftmaxCE(Head):
    """Y given x is Categorical(p), p_c = softmax(z)_c = exp(z_c) / sum_k exp(z_k).

    -log p(y) = log sum_k exp(z_k) - z_y, cross-entropy, by log-sum-exp finite for every finite z.
    """

    name: str = "softmax_ce"
    tasks: ClassVar[tuple[str, ...]] = ("multiclass", "binary")

    def outputs(self, classes: int) -> int:
        return classes

    def mean(self, z: Tensor) -> Tensor:
        return torch.softmax(z, dim=-1)

    def loss(self, z: Tensor, y: Tensor, reduction: str = "none") -> Tensor:
        if z.shape[-1] >= FEW:
            losses = F.cross_entropy(z.flatten(0, -2), y.flatten(), reduction="none").view(y.shape)
        else:
            log_p = torch.log_softmax(z.mT.contiguous(), dim=-2)
            losses = -log_p.gather(-2, y.unsqueeze(-2)).squeeze(-2)
        return losses if reduction == "none" else losses.sum()

    def loss_gradient(self, z: Tensor, y: Tensor) -> Tensor:
        return torch.softmax(z, dim=-1).scatter_(-1, y.unsqueeze(-1), -1.0, reduce="add")

    def predict(self, z: Tensor) -> Tensor:
        return z.argmax(-1)

    def metrics(self, z: Tensor, y: Tensor) -> dict[str, Tensor]:
        predicted = self.predict(z)
        confusion = metrics.confusion_matrix(predicted, y, z.shape[-1])
        return {
            "accuracy": metrics.accuracy(predicted, y),
            "balanced_accuracy": metrics.balanced_accuracy(confusion),
            "f1": metrics.macro_f1(confusion),
        }


@dataclass
class IdentityMSE(Head):
    """Y given x is Normal(mu, 1), mu = z.

    -log p(y) = (y - z)^2 / 2 + log(2 pi) / 2; the loss is the squared error (y - z)^2, which is twice that but for
    the constant, so that it is the field's MSE and agrees with `torch.nn.MSELoss`.
    """

    name: str = "identity_mse"
    tasks: ClassVar[tuple[str, ...]] = ("regression",)

    def outputs(self, classes: int) -> int:
        return 1

    def mean(self, z: Tensor) -> Tensor:
        return z.squeeze(-1)

    def loss(self, z: Tensor, y: Tensor, reduction: str = "none") -> Tensor:
        return F.mse_loss(z.squeeze(-1), y, reduction=reduction)

    def loss_gradient(self, z: Tensor, y: Tensor) -> Tensor:
        return 2 * (z - y.unsqueeze(-1))

    def predict(self, z: Tensor) -> Tensor:
        return z.squeeze(-1)

    def metrics(self, z: Tensor, y: Tensor) -> dict[str, Tensor]:
        predicted = self.predict(z)
        return {
            "mse": metrics.mse(predicted, y),
            "mae": metrics.mae(predicted, y),
            "r2": metrics.r2(predicted, y),
        }
