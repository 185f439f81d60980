"""The metrics of samples that come in parts, joined from those of each part: nothing is held of the samples.

Shapes as in `metrics`: labels (..., n), scores (..., n); one value a row.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from nettrain.parts import metrics

MEANS = ("loss", "accuracy", "mse", "mae", "deviance", "coverage")  # metrics that are means over the samples
AT_ONCE, STRIDE = 2**20, 2**10  # samples that are ranked together, about; every how many an edge may lie


@dataclass(frozen=True)
class JoinedMetrics:
    """Sums from which metrics follow, of all parts that have been added: float64 tensors with the rows of the parts.

    `sums` are those of the weights (`weight`) and of the means times them; of classes the `confusion` matrix, of
    numbers the `residual` sum of squares, and y's `mean` and sum of squared deviations, `squares` (Chan et al., 1979).
    Only for AUROC all samples' scores, float32, are held, those of `positive` and `negative` ones, sorted in each part,
    and their weights.
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

        All rows have the same y. `score` is that by which AUROC orders the samples of two classes.
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
                new = _ranked(score.float(), y, weights if counted else None)
                held = {name: [*held.get(name, []), tensor] for name, tensor in new.items()}
        sums = {name: self.sums[name] + value if self.sums else value for name, value in parts.items()}
        if not classes:
            residual = ((y.double() - predicted).square() * weights).sum(-1)
            sums["residual"] = self.sums["residual"] + residual if self.sums else residual
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
        held = {name.removeprefix("held."): tensor for name, tensor in state.items() if name.startswith("held.")}
        ranked = dict[str, list[Tensor]]()
        for name in ("negative", "positive") if held else ():
            score, order = held[name].sort(dim=-1, stable=True)
            ranked[name] = [score]
            if f"{name} weights" in held:
                ranked[f"{name} weights"] = [held[f"{name} weights"].gather(-1, order)]
        return cls({name: tensor for name, tensor in state.items() if not name.startswith("held.")}, ranked)

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
        values["r2"] = torch.where(sums["squares"] > 0, 1 - sums["residual"] / sums["squares"], torch.nan)
        return values

    def _auroc(self) -> Tensor:
        shape = self.sums["weight"].shape
        areas = []
        for row in range(shape.numel()):
            of_row = {
                name: [tensor.reshape(shape.numel(), -1)[row].cpu().numpy() for tensor in parts]
                for name, parts in self.held.items()
            }
            no_weights = [None] * len(of_row["negative"])
            of_kinds = [
                list(zip(of_row[kind], of_row.get(f"{kind} weights", no_weights), strict=True))
                for kind in ("negative", "positive")
            ]
            areas.append(_area(*of_kinds))
        return torch.tensor(areas, dtype=torch.float64).view(shape).to(self.sums["weight"].device)


def _ranked(score: Tensor, y: Tensor, weights: Tensor | None) -> dict[str, Tensor]:
    """The scores of the negative and of the positive samples, sorted, and their weights."""
    ranked, positive = dict[str, Tensor](), y.flatten(0, -2)[0].bool() if y.dim() > 1 else y.bool()
    for name, chosen in (("negative", ~positive), ("positive", positive)):
        ranked[name], order = score[..., chosen].sort(dim=-1, stable=True)
        if weights is not None:
            ranked[f"{name} weights"] = weights[..., chosen].gather(-1, order)
    return ranked


Parts = Sequence[tuple[np.ndarray, np.ndarray | None]]


def _area(negatives: Parts, positives: Parts) -> float:
    """The area under the ROC curve of sorted scores and their weights, as `metrics.auroc` gives it, in little memory.

    Samples are ranked some at a time, those whose scores lie between two edges. All sums go on one by one, so that they
    do not depend on which parts there are.
    """
    scores = [score for score, _ in (*negatives, *positives) if len(score)]
    samples = np.sort(np.concatenate([score[::STRIDE] for score in scores]))
    if np.isnan(samples[-1]) or any(np.isnan(score[-1]) for score in scores):
        return float("nan")
    edges = np.unique(samples[:: AT_ONCE // STRIDE])
    pairs = below = positive = 0.0
    groups = zip(_between(negatives, edges), _between(positives, edges), strict=True)
    for (negative_scores, negative_weights), (score, weight) in groups:
        reached = np.concatenate([[below], negative_weights]).cumsum()
        lower = sum(reached[negative_scores.searchsorted(score, side)] for side in ("left", "right")) / 2
        pairs = np.concatenate([[pairs], lower * weight]).cumsum()[-1]
        positive, below = np.concatenate([[positive], weight]).cumsum()[-1], reached[-1]
    return float(pairs / (positive * below)) if positive and below else float("nan")


def _between(parts: Parts, edges: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Sorted scores below the first edge, between the first two, ..., and from the last one on, and their weights."""
    bounds = [[0, *score.searchsorted(edges).tolist(), len(score)] for score, _ in parts]
    for group in range(len(edges) + 1):
        places = [slice(*bound[group : group + 2]) for bound in bounds]
        score = np.concatenate([score[place] for (score, _), place in zip(parts, places, strict=True)])
        weights = [
            np.ones(place.stop - place.start) if weight is None else weight[place]
            for (_, weight), place in zip(parts, places, strict=True)
        ]
        order = score.argsort(kind="stable")
        yield score[order], np.concatenate(weights)[order]
