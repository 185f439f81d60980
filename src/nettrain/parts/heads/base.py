"""What a head is: a family of distributions of Y, from which loss, prediction and metrics follow.

The network gives logits `z` of shape (..., n, outputs); the family says which link turns them into parameters of
the distribution. Its negative log-likelihood is the loss, and what is predicted and measured comes from it, too.
Targets `y` have shape (..., n): class indices, or numbers. A head of several targets (`Independent`) has y (..., n, m).
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from nettrain.parts import metrics
from nettrain.random import seeded

SAMPLES = 1999  # from which the quantiles of a family are estimated that has no formula for them

InUnits = Callable[[Tensor], Tensor]


def unchanged(values: Tensor) -> Tensor:
    """The values as they are."""
    return values


def equal_shares(z: Tensor) -> Tensor:
    """The shares of K members that count alike, for their logits z (K, ..., n, outputs)."""
    return z.new_full((len(z), *[1] * (z.dim() - 2)), 1 / len(z))


def average(values: Tensor, shares: Tensor) -> Tensor:
    """The mean over the members of values (K, ..., n) or (K, ..., n, C), of which each has its share (K, ..., n)."""
    shares = shares if values.dim() == shares.dim() else shares.unsqueeze(-1)
    return torch.where(shares > 0, values, 0.0).mul(shares).sum(0)


def log_average(logs: Tensor, shares: Tensor) -> Tensor:
    """The logarithm of the `average` of exp(logs), finite for all finite logs."""
    shares = shares if logs.dim() == shares.dim() else shares.unsqueeze(-1)
    return torch.where(shares > 0, logs + shares.log(), -torch.inf).logsumexp(0)


def inverse_softplus(values: Tensor) -> Tensor:
    """The z whose softplus log(1 + exp(z)) the values, greater than 0, are."""
    values = values.clamp(min=torch.finfo(values.dtype).tiny)
    return values + torch.log(-torch.expm1(-values))


def deviation(values: Tensor) -> Tensor:
    """The standard deviation (of a sample) over K members of values (K, ...); 0 for one."""
    return values.std(0) if len(values) > 1 else torch.zeros_like(values[0])


@dataclass
class Head(ABC):
    """A family of distributions of Y given X. A subclass names it with `distribution`; the rest follows.

    `tasks` are the kinds of target that it fits: "binary", "multiclass", or "regression" alone. A head whose loss has
    a closed form overrides `loss` and `loss_gradient`: it is faster, and more exact where numbers are large.
    """

    name: str = ""
    tasks: ClassVar[tuple[str, ...]] = ()
    has_temperature: ClassVar[bool] = False  # whether z / T are the logits of the same head, surer or less sure

    @abstractmethod
    def distribution(self, z: Tensor) -> Distribution:
        """Y given x, for logits z (..., n, outputs): a distribution of batch shape (..., n)."""

    def outputs(self, classes: int) -> int:
        """How many numbers per sample the network has to give; `classes` is 0 for regression.

        By default one for each class; one for numbers, and for a head that fits two classes alone.
        """
        return classes if self.for_classes and self.tasks != ("binary",) else 1

    def for_target(self, classes: int) -> "Head":
        """The head for a target of so many classes, 0 for numbers; another one where the head can fit both."""
        return self

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one sample's y, as in `torch.distributions`: () for one target, (m,) for several."""
        return ()

    @property
    def for_classes(self) -> bool:
        """Whether Y is a class, and not a number."""
        return "regression" not in self.tasks

    @property
    def standardizes(self) -> bool:
        """Whether a regression target may be shifted and scaled: by default where Y may be any real number."""
        return not self.for_classes and self.support in (constraints.real, constraints.real_vector)

    @property
    def support(self) -> constraints.Constraint:
        """The numbers that Y may be, for a head that fits numbers."""
        with _unchecked():
            support = self.distribution(torch.zeros(1, self.outputs(0))).support
        assert support is not None
        return support

    def loss(self, z: Tensor, y: Tensor, reduction: str = "none") -> Tensor:
        """The negative log-likelihood of every sample, (..., n), up to constants; their sum with reduction="sum"."""
        with _unchecked():
            losses = -self.distribution(z).log_prob(y.to(z.dtype))
        return losses if reduction == "none" else losses.sum()

    def loss_of_each(self, z: Tensor, y: Tensor) -> Tensor:
        """The loss of every sample, or of several targets that of each of them, of the shape of y."""
        return self.loss(z, y)

    def loss_gradient(self, z: Tensor, y: Tensor) -> Tensor:
        """The derivative of every sample's loss by its logits, of the shape of z and in memory of its own."""
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            loss = self.loss(leaf, y, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, leaf, materialize_grads=True)
        return gradient.contiguous()

    def mean(self, z: Tensor) -> Tensor:
        """The distribution's mean: probabilities (..., n, C) for classes, (..., n) for numbers."""
        with _unchecked():
            family = self.distribution(z)
            if not self.for_classes:
                return family.mean
            return family.log_prob(family.enumerate_support()).exp().movedim(0, -1)

    def predict(self, z: Tensor) -> Tensor:
        """The most probable class, or the mean of the numbers, (..., n)."""
        return self.mean(z).argmax(-1) if self.for_classes else self.mean(z)

    def score(self, z: Tensor) -> Tensor | None:
        """By what AUROC orders samples of two classes, (..., n): P(Y = 1); None where it is not measured."""
        p = self.mean(z)
        return p[..., 1] if p.shape[-1] == 2 else None

    def predictions(self, z: Tensor) -> dict[str, Tensor]:
        """What is written for each row of a table with numbers: columns (..., n) by name."""
        return {"prediction": self.predict(z)}

    def interval(self, z: Tensor, level: float) -> Tensor:
        """The numbers between which Y lies with probability `level`, (..., n, 2); as much lies below as above.

        The quantiles of a family that torch has no formula for are estimated from samples, always the same ones.
        """
        tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=z.dtype, device=z.device)
        with _unchecked():
            family = self.distribution(z)
            try:
                return torch.stack([family.icdf(tail) for tail in tails], dim=-1)
            except NotImplementedError:
                with seeded(0):
                    samples = family.sample(torch.Size([SAMPLES])).to(z.dtype)
                return samples.sort(0).values[(tails * (SAMPLES - 1)).round().long()].movedim(0, -1)

    def combined(self, z: Tensor, shares: Tensor) -> Tensor:
        """The logits (..., n, outputs) of the mean of the distributions of several members.

        z (K, ..., n, outputs) are those of the members; `shares`, (K, ..., n) or (K, ..., 1), say how much each counts
        and add up to 1. Where the mean is none of the family it is the member of the family that a head chooses. By
        default the logits have the mean of the probabilities where the link is the softmax or the logistic function,
        and are the mean of the logits elsewhere.
        """
        if self.for_classes:
            p = average(self.mean(z), shares)
            log_p = p.clamp(min=torch.finfo(p.dtype).tiny).log()
            if z.shape[-1] == 1 and p.shape[-1] == 2:
                log_p = log_p[..., 1:] - log_p[..., :1]
            if log_p.shape[-1] == z.shape[-1] and torch.allclose(self.mean(log_p), p, rtol=1e-4, equal_nan=True):
                return log_p
        return average(z, shares)

    def spread(self, z: Tensor) -> Tensor:
        """How far members differ in what they predict, (..., n), for their logits z (K, ..., n, outputs): their doubt.

        The standard deviation over the members of the number that each predicts, or of its probability of the class
        that all of them together predict.
        """
        if not self.for_classes:
            return deviation(self.predict(z))
        together = self.predict(self.combined(z, equal_shares(z))).expand(z.shape[:-1])
        return deviation(self.mean(z).gather(-1, together.unsqueeze(-1)).squeeze(-1))

    def metrics(
        self, z: Tensor, y: Tensor, in_units: InUnits = unchanged, weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        """What is measured beside the loss, each of shape (...).

        `in_units` gives numbers in the target's own units; `weights` say how much each sample counts, (..., n), or each
        target of it, (..., n, m).
        """
        if not self.for_classes:
            return metrics.of_numbers(in_units(self.predict(z)), in_units(y), weights)
        p = self.mean(z)
        return metrics.of_classes(self.predict(z), y, p.shape[-1], p[..., 1] if p.shape[-1] == 2 else None, weights)

    def metric_names(self, classes: int) -> list[str]:
        """The names of the metrics for so many classes, 0 for numbers."""
        z = torch.zeros(2, self.outputs(classes))
        return list(self.metrics(z, torch.zeros(2, dtype=torch.int64 if classes else z.dtype)))


@dataclass
class Auto:
    """The natural head of the target: sigmoid_bce for two classes, softmax_ce for more, identity_mse for numbers.

    It is the head whose `tasks` name the target's kind first.
    """

    name: str = "auto"
    standardizes: ClassVar[bool] = True


_lock, _inside, _checked = threading.Lock(), 0, True


@contextmanager
def _unchecked() -> Iterator[None]:
    """Within it torch's distributions do not check their arguments.

    A check waits for the device, cannot be compiled, and would end with an error a run whose divergence has a status.
    """
    global _inside, _checked
    with _lock:  # threads may train at the same time
        if not _inside:
            _checked = Distribution._validate_args
            Distribution.set_default_validate_args(False)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                Distribution.set_default_validate_args(_checked)
