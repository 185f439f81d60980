"""What a run was before its first update, and the least loss that its model can have: what figures compare with."""

import numpy as np
import torch
from torch import Tensor

from nettrain.data.splits import monitored_split
from nettrain.results.run_folder import RunFolder
from nettrain.samples import X, ready

SMALLEST = 1e-17  # of a difference of losses in float64; a logarithmic axis has no 0


def training_batch(run: RunFolder, most: int | None = None) -> tuple[X, Tensor]:
    """The first rows of the training split, by default all, as the network sees them: x (n, *shape) and y (n,)."""
    rows, dtype = run.data.splits["train"][:most], run.first_weights.dtype
    y = torch.as_tensor(run.data.y[rows])
    return ready(run.data.rows(rows), run.data.inputs, dtype), y if run.encoder.classes else y.to(dtype)


@torch.no_grad()
def first_loss(run: RunFolder) -> float:
    """The training loss before the first update."""
    x, y = training_batch(run)
    return float(run.objective.value(run.first_weights, x, y))


@torch.no_grad()
def least_loss(run: RunFolder) -> float | None:
    """The least training loss of a model that is linear in its weights and predicts a number; None for any other."""
    w = least_weights(run)
    if w is None:
        return None
    x, y = training_batch(run)
    return float(run.objective.value(w, x, y))


@torch.no_grad()
def least_weights(run: RunFolder) -> Tensor | None:
    """The weights (P,) of least squares, of a model as for `least_loss`."""
    if run.encoder.classes or run.encoder.targets or not _is_linear(run):
        return None
    x, y = training_batch(run)
    # The logits are linear in w, so those of the unit vectors are the columns of the design matrix.
    eye = torch.eye(len(run.first_weights), dtype=run.first_weights.dtype)
    design = run.objective.logits(eye, x).squeeze(-1).T.double().numpy()
    w = np.linalg.lstsq(design, y.double().numpy(), rcond=None)[0]
    return torch.as_tensor(w, dtype=run.first_weights.dtype)


def excess(run: RunFolder) -> np.ndarray | None:
    """The training loss above the least one, (epochs + 1,), the first before any update; None where it is unknown.

    It counts as infinite from the epoch on in which a run diverged.
    """
    least = least_loss(run)
    if least is None or monitored_split(split for split in run.data.splits if len(run.data.splits[split])) != "train":
        return None
    loss = np.append(first_loss(run), run.columns["train_loss"])
    return np.where(np.isnan(loss), np.inf, np.maximum(loss - least, SMALLEST))


def first_gradients(run: RunFolder) -> dict[str, float]:
    """The norm of the gradient of each weight matrix on the training split before the first update."""
    x, y = training_batch(run)
    _, g = run.objective.gradient(run.first_weights, x, y)
    views = run.objective.layout.views(g)
    return {name.removesuffix(".weight"): float(g.norm()) for name, g in views.items() if name.endswith("weight")}


def _is_linear(run: RunFolder) -> bool:
    return str(run.config.model.get("name", "")) in ("linear", "polynomial") and run.head.name == "identity_mse"
