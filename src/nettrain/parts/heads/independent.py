"""What makes of a head for one target one for several."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor, distributions
from torch.distributions import Distribution, constraints

from nettrain.parts import metrics
from nettrain.parts.heads.base import Head, InUnits, unchanged

MEASURED_ALONE = 20  # targets up to which each is measured by itself, too


class Independent(Head):
    """Targets Y_1, ..., Y_m that are independent given x, each of the family of `head`.

    As `torch.distributions.Independent`: y is (..., n, m), and z (..., n, m * outputs), the outputs of each target side
    by side. As p(y) = p(y_1) ... p(y_m), the loss is the sum of those of the targets. For labels, each of which is
    there (1) or not (0), it is that of independent Bernoulli distributions: multi-label classification.
    """

    def __init__(self, head: Head, targets: Sequence[str]) -> None:
        super().__init__(head.name)
        self.head, self.targets = head, targets

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (len(self.targets),)

    @property
    def for_classes(self) -> bool:
        return self.head.for_classes

    @property
    def standardizes(self) -> bool:
        return self.head.standardizes

    @property
    def support(self) -> constraints.Constraint:
        return self.head.support

    def outputs(self, classes: int) -> int:
        return len(self.targets) * self.head.outputs(classes)

    def distribution(self, z: Tensor) -> Distribution:
        return distributions.Independent(self.head.distribution(self._of_each(z)), 1)

    def loss(self, z: Tensor, y: Tensor, reduction: str = "none") -> Tensor:
        if reduction == "none":
            return self.loss_of_each(z, y).sum(-1)
        return self.head.loss(*self._side_by_side(z, y), reduction)

    def loss_of_each(self, z: Tensor, y: Tensor) -> Tensor:
        return self.head.loss(*self._side_by_side(z, y)).view(y.shape)

    def loss_gradient(self, z: Tensor, y: Tensor) -> Tensor:
        return self.head.loss_gradient(*self._side_by_side(z, y)).view(z.shape)

    def mean(self, z: Tensor) -> Tensor:
        """The mean of each target, (..., n, m): of a label the probability that it is there."""
        mean = self.head.mean(self._of_each(z))
        return mean[..., 1] if self.for_classes else mean

    def predict(self, z: Tensor) -> Tensor:
        return self.head.predict(self._of_each(z))

    def predictions(self, z: Tensor) -> dict[str, Tensor]:
        return self.head.predictions(self._of_each(z))

    def interval(self, z: Tensor, level: float) -> Tensor:
        return self.head.interval(self._of_each(z), level)

    def combined(self, z: Tensor, shares: Tensor) -> Tensor:
        return self.head.combined(self._of_each(z), shares.unsqueeze(-1)).flatten(-2)

    def spread(self, z: Tensor) -> Tensor:
        """That of each target, (..., n, m)."""
        return self.head.spread(self._of_each(z))

    def metrics(
        self, z: Tensor, y: Tensor, in_units: InUnits = unchanged, weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The means over the targets of what is measured of each, and that of each, as `<metric>_<target>`.

        Of labels also the share of samples all of whose labels are right, and the F1 of all labels together. Where a
        target has no such number, as the AUROC of a label that is nowhere, the mean is that of the others. Of more than
        `MEASURED_ALONE` targets there are the means alone.
        """
        z_of_each, y_of_each = self._of_each(z).movedim(-2, -3).contiguous(), y.mT.contiguous()
        of_each = None if weights is None else weights.mT
        measured = self.head.metrics(z_of_each, y_of_each, lambda values: in_units(values.mT).mT, of_each)
        together = {} if not self.for_classes else metrics.of_labels(self.predict(z), y, weights)
        return metrics.of_several(measured, self.names, together)

    @property
    def names(self) -> list[str]:
        """What the targets are called in the names of their metrics; none where they are not measured one by one."""
        return metric_suffixes(self.targets) if len(self.targets) <= MEASURED_ALONE else []

    def metric_names(self, classes: int) -> list[str]:
        z = torch.zeros(2, self.outputs(classes))
        y = torch.zeros(2, len(self.targets), dtype=torch.int64 if classes else z.dtype)
        return list(self.metrics(z, y))

    def _side_by_side(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The logits (..., n m, outputs) and y (..., n m), as if each target were a sample: so any head can take them.

        Programs are compiled for these shapes alone.
        """
        return self._of_each(z).flatten(-3, -2), y.flatten(-2)

    def _of_each(self, z: Tensor) -> Tensor:
        """The logits (..., n, m, outputs) of each target."""
        return z.unflatten(-1, (len(self.targets), -1))


def metric_suffixes(targets: Sequence[str]) -> list[str]:
    """The targets' names as parts of names of columns, letters, digits, `.`, `-` and `_`; no two are alike."""
    suffixes: list[str] = []
    for name in targets:
        plain = re.sub(r"[^\w.-]+", "_", name).strip("_") or "target"
        alike = sum(other == plain or other.startswith(f"{plain}__") for other in suffixes)
        suffixes.append(f"{plain}__{alike + 1}" if plain in suffixes else plain)
    return suffixes


def for_targets(head: Head, targets: Sequence[str]) -> Head:
    """The head for so many targets: itself for one, which has no name here."""
    return Independent(head, targets) if targets else head
