"""What the pictures and the tests of the course need to know of a run, beyond what its folder says."""

from collections.abc import Callable

import numpy as np
import pandas
import torch
from omegaconf import OmegaConf
from torch import Tensor

from nettrain import Run
from nettrain.config.build import load_config
from nettrain.objective import Objective
from nettrain.preparation.prepare import prepare
from nettrain.preparation.prepared import PreparedRun
from nettrain.storage.checkpoint_files import load_checkpoint
from nettrain.vector import flatten

SMALLEST = 1e-17  # of a difference of losses in float64; a logarithmic axis has no 0

Curve = Callable[[np.ndarray], np.ndarray]


def prepared(run: Run) -> PreparedRun:
    """The run as it was before its first update: its data, and its model with the initial weights."""
    container = OmegaConf.to_container(run.config)
    assert isinstance(container, dict)
    return prepare(load_config(container), run.folder)


def training_points(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """x (n,) and y (n,) of the training split, in their own units; the data have one input."""
    data = prepared(run).data
    rows = data.splits["train"]
    (x,) = data.table.columns.values()
    assert data.table.target is not None
    return np.asarray(x)[rows], data.table.target[rows]


def last_weights(run: Run) -> dict[str, Tensor]:
    """The weights after the last epoch; `run.model` has those of the best one."""
    weights: dict[str, Tensor] = load_checkpoint(run.folder / "checkpoints" / "last.pt")["model"]
    return weights


def last_curve(run: Run) -> Curve:
    """The prediction (m,) at inputs (m,) after the last epoch, in the data's own units."""
    run.model.load_state_dict(last_weights(run))
    return lambda at: run.predict(pandas.DataFrame({"x": at}))["prediction"].to_numpy()


def least_loss(run: Run) -> float:
    """The least training loss of a model that is linear in its weights, and has a number to predict."""
    before = prepared(run)
    x, y = training_tensors(before)
    objective = Objective(before.model, before.head)
    # The logits are linear in w, so those of the unit vectors are the columns of the design matrix.
    design = objective.logits(torch.eye(before.parameters, dtype=x.dtype), x).squeeze(-1).detach().T.numpy()
    w = np.linalg.lstsq(design, y.numpy(), rcond=None)[0]
    return float(np.mean((design @ w - y.numpy()) ** 2))


def excess(run: Run, counter: str = "step") -> tuple[np.ndarray, np.ndarray]:
    """The epoch or step, (n,), and the training loss above the least one, (1, n), from before the first update on."""
    before = prepared(run)
    x, y = training_tensors(before)
    start = float(Objective(before.model, before.head).value(flatten(before.model), x, y))
    at, loss = from_zero(run, run.metrics["train_loss"], start)
    at = at if counter == "epoch" else np.append(0, run.metrics["step"])
    return at, np.maximum(loss - least_loss(run), SMALLEST)


def first_gradient_norms(run: Run) -> list[float]:
    """The norm of the gradient of each layer's weight matrix, on the whole training split before the first update."""
    before = prepared(run)
    objective, w = Objective(before.model, before.head), flatten(before.model)
    _, g = objective.gradient(w, *training_tensors(before))
    return [float(part.norm()) for name, part in objective.layout.views(g).items() if name.endswith("weight")]


def training_tensors(before: PreparedRun) -> tuple[Tensor, Tensor]:
    """x (n, D) and y (n,) of the training split, as the network sees them."""
    rows, dtype = before.data.splits["train"], getattr(torch, before.config.precision)
    y = torch.as_tensor(before.data.y[rows])
    return torch.as_tensor(before.data.x[rows], dtype=dtype), y.to(dtype) if y.is_floating_point() else y


def from_zero(run: Run, values: pandas.Series, start: float) -> tuple[np.ndarray, np.ndarray]:
    """The epochs from 0 on, (n,), and a column of the metrics, (1, n), that began with `start`."""
    return np.append(0, run.metrics["epoch"]), np.append(start, values)[None]
