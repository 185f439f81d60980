"""The metrics of samples that come in parts, joined from those of each part: nothing is held of the samples.

Shapes as in `metrics`: labels (..., n), scores (..., n); one value a row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from nettrain.parts import metrics

MEANS = ("loss", "accuracy", "mse", "mae", "deviance", "coverage")  # metrics that are means over the samples
JOINED = (*MEANS, "rmse", "r2", "balanced_accuracy", "f1", "auroc")
AT_ONCE = 2**20  # positive ones of two classes that are ranked together


@dataclass(frozen=True)
class JoinedMetrics:
    """Sums from which metrics follow, of all parts that have been added: float64 tensors with the rows of the parts.

    `sums` are those of the weights (`weight`) and of the means times them; of classes the `confusion` matrix, of
    numbers y's `mean` and sum of squared deviations, `squares` (Chan et al., 1979). Only for AUROC all samples' scores,
    float32 (..., n), and whether they are positive are held, and their weights.
    """

    sums: dict[str, Tensor] = field(default_factory=dict)
    held: dict[str, list[Tensor]] = field(default_factory=dict)

    def added(
        self,
        measured: Mapping[str, Tensor],
        predicted: Tensor,
        y: Tensor,
        classes: int,
        score: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> "JoinedMetrics":
        """With a part that has these metrics, of predicted and true classes or, where `classes` is 0, numbers (..., n).

        `score` is that by which AUROC orders the samples of two classes.
        """
        counted = weights is not None
        weights = torch.ones_like(y, dtype=torch.float64) if weights is None else weights.double().expand(y.shape)
        weight = weights.sum(-1)
        parts = {name: torch.where(weight > 0, measured[name] * weight, 0.0) for name in MEANS if name in measured}
        parts["weight"] = weight
        held = dict(self.held)
        if classes:
            parts["confusion"] = metrics.confusion_matrix(predicted, y, classes, weights if counted else None)
            if score is not None:
                new = {"score": score.float(), "positive": y.bool()} | ({"weights": weights} if counted else {})
                held = {name: [*held.get(name, []), tensor.clone()] for name, tensor in new.items()}
        sums = {name: self.sums[name] + value if self.sums else value for name, value in parts.items()}
        if not classes:
            sums |= self._with_moments(y.double(), weights, sums["weight"])
        return replace(self, sums=sums, held=held)

    def _with_moments(self, y: Tensor, weights: Tensor, total: Tensor) -> dict[str, Tensor]:
        weight = weights.sum(-1)
        mean = torch.where(weight > 0, (y * weights).sum(-1) / weight, 0.0)
        squares = ((y - mean.unsqueeze(-1)).square() * weights).sum(-1)
        if not self.sums:
            return {"mean": mean, "squares": squares}
        share, delta = torch.where(total > 0, weight / total, 0.0), mean - self.sums["mean"]
        joined = self.sums["squares"] + squares + delta.square() * self.sums["weight"] * share
        return {"mean": self.sums["mean"] + delta * share, "squares": joined}

    def changed(self, change: Callable[[Tensor], Tensor]) -> "JoinedMetrics":
        """With every tensor changed, such as to some of its rows."""
        held = {name: [change(tensor) for tensor in tensors] for name, tensors in self.held.items()}
        return JoinedMetrics({name: change(tensor) for name, tensor in self.sums.items()}, held)

    @property
    def state(self) -> dict[str, Tensor]:
        """Everything, by names of which those of what is held begin with `held.`."""
        return {**self.sums, **{f"held.{name}": torch.cat(tensors, -1) for name, tensors in self.held.items()}}

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> "JoinedMetrics":
        """What has this state."""
        held = {name.removeprefix("held."): [t] for name, t in state.items() if name.startswith("held.")}
        return cls({name: tensor for name, tensor in state.items() if not name.startswith("held.")}, held)

    @property
    def values(self) -> dict[str, Tensor]:
        """The metrics of all samples, (...)."""
        sums = self.sums
        values = {name: sums[name] / sums["weight"] for name in MEANS if name in sums}
        if "confusion" in sums:
            f1 = metrics.f1(sums["confusion"])[..., 1] if self.held else metrics.macro_f1(sums["confusion"])
            values |= {"balanced_accuracy": metrics.balanced_accuracy(sums["confusion"]), "f1": f1}
            if self.held:
                values["auroc"] = self._auroc()
            nowhere = values["accuracy"].isnan()
            return {name: v if name == "loss" else v.masked_fill(nowhere, torch.nan) for name, v in values.items()}
        values["rmse"] = values["mse"].sqrt()
        values["r2"] = torch.where(sums["squares"] > 0, 1 - sums["mse"] / sums["squares"], torch.nan)
        return values

    def _auroc(self) -> Tensor:
        score, positive = (torch.cat(self.held[name], -1) for name in ("score", "positive"))
        if "weights" in self.held:
            return metrics.auroc(score, positive.long(), torch.cat(self.held["weights"], -1))
        rows = (
            zip(score.flatten(0, -2), positive.flatten(0, -2), strict=True) if score.dim() > 1 else [(score, positive)]
        )
        areas = torch.tensor([_area(*(t.cpu().numpy() for t in row)) for row in rows], dtype=torch.float64)
        return areas.view(score.shape[:-1]).to(score.device)


def _area(score: np.ndarray, positive: np.ndarray) -> float:
    """The area under the ROC curve, as `metrics.auroc` gives it, in little memory."""
    negatives, positives = np.sort(score[~positive]), np.sort(score[positive])
    if np.isnan(score).any() or not len(negatives) or not len(positives):
        return float("nan")
    below = 0  # twice the pairs in which the negative one has the lower score, ties once
    for first in range(0, len(positives), AT_ONCE):
        some = positives[first : first + AT_ONCE]
        below += sum(int(negatives.searchsorted(some, side).sum()) for side in ("left", "right"))
    return below / (2 * len(positives) * len(negatives))
