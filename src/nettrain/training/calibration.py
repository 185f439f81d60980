"""Temperature scaling: one number that takes overconfidence back (Guo et al., 2017)."""

import math

import torch
from torch import Tensor

from nettrain.objective import Objective
from nettrain.parts.heads import Head
from nettrain.samples import with_doubles
from nettrain.training.engines.protocol import Engine
from nettrain.training.epoch import best_weights, evaluate, measured, scaled
from nettrain.training.stack.rows import Tensors, take
from nettrain.training.stack.stack import Stack
from nettrain.training.stack.stream_batches import StreamBatches

WIDTH = 0.5  # standard deviation of the prior of log T, which speaks up where validation rows are few
MOST = math.log(100.0)  # of log T, up and down
HALVINGS = 60
MOST_ROWS = 2**18  # validation rows of a table on disk that are looked at


@torch.no_grad()
def temperatures(stack: Stack, engine: Engine) -> Tensors:
    """Each row's `temperature`, and the loss of its validation rows with it, `calibrated_val_loss`; each (...).

    The temperature is 1 where no other lowers that loss. Nothing for runs that are not calibrated.
    """
    if not stack.runs[0].calibrated:
        return {}
    z, y, weights = (None if tensor is None else with_doubles(tensor) for tensor in _validation(stack, engine))
    assert z is not None
    assert y is not None
    head, sizes = stack.objective.head, stack.batches.by_size("val")
    of_rows = y.expand(z.shape[:-1]), torch.ones_like(z[..., 0]) if weights is None else weights.expand(z.shape[:-1])
    if len(sizes) == 1:
        temperature = solve(head, z, *of_rows)
    else:  # rows with fewer samples repeat the last one, which counts once
        temperature = z.new_ones(len(z), dtype=torch.float64)
        for size, rows in sizes.items():
            temperature[rows] = solve(head, *(take(t, rows)[:, :size] for t in (z, *of_rows)))
    before, after = (measured(stack, "val", logits, y, weights)["loss"] for logits in (z, scaled(z, temperature)))
    better = after < before
    return {
        "temperature": temperature.where(better, 1.0),
        "calibrated_val_loss": after.where(better, before),
    }


def _validation(stack: Stack, engine: Engine) -> tuple[Tensor, Tensor, Tensor | None]:
    """z (..., n, outputs) with the best weights, y and weights of the validation rows.

    Of many rows on disk they are those of `MOST_ROWS` that are spread evenly over them.
    """
    batches, objective = stack.batches, stack.objective
    with best_weights(stack) as w:
        if not isinstance(batches, StreamBatches) or batches.size["val"] <= MOST_ROWS:
            return engine.forward("val", w), batches.targets("val"), batches.weights_of("val")
        x, y, weights = batches.some_of("val", MOST_ROWS)
        return objective.predict_logits(w, x), y, weights


@torch.no_grad()
def temperature(objective: Objective, z: Tensor, y: Tensor, weights: Tensor | None) -> Tensors:
    """The same of validation rows with logits z (n, outputs), targets y (n,) and weights (n,), for one run."""
    hot = solve(objective.head, z, y, torch.ones_like(z[..., 0]) if weights is None else weights)
    before, after = (objective.measure(logits, y, weights)["loss"] for logits in (z, scaled(z, hot)))
    return {"temperature": hot.where(after < before, 1.0), "calibrated_val_loss": torch.minimum(after, before)}


@torch.no_grad()
def evaluate_best(stack: Stack, engine: Engine) -> Tensors:
    """The loss and metrics of the test split with the best weights of every row, each (...), as `test_<metric>`.

    Where the runs are calibrated their logits are divided by the `temperatures`, which stand beside them.
    """
    found = temperatures(stack, engine)
    if not stack.batches.size["test"]:
        return found
    with best_weights(stack) as w:
        return found | evaluate(stack, engine, "test", w, found.get("temperature"))


def solve(head: Head, z: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """The temperature T (...) of logits z (..., n, outputs) by which the loss of z / T is least, in float64.

    It minimises sum_i w_i loss(z_i / T, y_i) + (log T)^2 / (2 WIDTH^2) by bisection of the derivative.
    """
    z, low = z.double(), z.new_full(z.shape[:-2], -MOST, dtype=torch.float64)
    high = -low
    for _ in range(HALVINGS):
        u = (low + high) / 2  # = -log T
        hot = z * u.exp()[..., None, None]
        slope = ((head.loss_gradient(hot, y) * hot).sum(-1) * weights).sum(-1) + u / WIDTH**2
        low, high = low.where(slope > 0, u), high.where(slope <= 0, u)
    return (-(low + high) / 2).exp()
