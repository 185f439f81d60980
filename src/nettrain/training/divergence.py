"""Why a run has diverged: its last pass is repeated, and the sizes of what it computed are watched.

A pass is a function of where it began, so that nothing has to be recorded while runs train.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from nettrain.optimizers.solvers import Solver
from nettrain.parts.models import RowModule
from nettrain.training.engines.eager import update
from nettrain.training.run_state import HALVINGS, Row
from nettrain.training.stack.stack import Stack, to_host


def largest_values(
    stack: Stack, epoch: int, rates: np.ndarray, before: list[Tensor], behind: int, until: list[int]
) -> list[dict[str, float]]:
    """For each row the largest activation and gradient, in absolute value, of an epoch up to its batch `until`.

    `before` is a snapshot of the stack when `behind` batches of the epoch were behind it. The stack stays as it is.
    """
    present, found = stack.snapshot(), []
    stack.put_back(before)
    coefficients, noises = stack.coefficients(epoch, rates), stack.noises(epoch)
    for i, (x, y) in itertools.islice(enumerate(stack.samples.batches(epoch)), behind, max(until) + 1):
        activations = _largest_activation(stack, x)
        _, g = update(stack, x, y, coefficients[i], noises[i])
        found.append(torch.stack([activations, g.abs().amax(-1)], -1))
    stack.put_back(present)
    if not found:
        return [{} for _ in stack.setups]
    table = to_host(torch.stack(found)).reshape(len(found), -1, 2).double()  # steps, rows, what
    steps = table.where(~table.isnan(), 0.0).transpose(0, 1)
    own = [row[: max(0, last + 1 - behind)] for row, last in zip(steps, until, strict=True)]
    return [dict(zip(("activation", "gradient"), row.amax(0).tolist(), strict=True)) if len(row) else {} for row in own]


def reason(row: Row, epoch: int, finite_batches: int, largest: dict[str, float]) -> str:
    """Why a row has diverged in epoch 0, 1, ..., after so many batches whose loss was finite, and what may help."""
    setup = row.setup
    last = min((epoch + 1) * setup.updates_per_epoch, int(row.last["step"]))
    update = epoch * setup.updates_per_epoch + finite_batches + 1
    what = f"the loss of update {update} is not finite" if update <= last else f"update {last} gave no finite weights"
    if row.last.get("skipped_updates"):
        what = f"every update of epoch {epoch + 1} had to be skipped"
    sizes = " and ".join(f"the largest {name} was {value:.3g}" for name, value in largest.items())
    if isinstance(setup.optimizer, Solver):
        advice = "another optimizer or seed may help"
    elif row.halvings == HALVINGS:
        advice = f"optimizer.lr was halved {HALVINGS} times"
    else:
        clip = "" if setup.optimizer.clip_norm else ", optimizer.clip_norm=1"
        other = ", or on_divergence=restore_and_halve_lr" if setup.settings.on_divergence == "stop" else ""
        advice = f"an optimizer.lr below {setup.lr:g}{clip}{other} may help"
    return "; ".join([what, *([f"until then {sizes}"] if sizes else []), advice])


def _largest_activation(stack: Stack, x: Tensor) -> Tensor:
    """The largest activation, (...), of the network as it is evaluated; its outputs alone where vmap hides the rest."""
    watch = _Watch(lambda tensor: _largest(tensor, stack.stacked))
    with torch.enable_grad():
        x = x.detach().requires_grad_()  # so that activations need a gradient, and weights do not
        if isinstance(stack.objective.model, RowModule) or not stack.stacked:
            with watch:
                z = stack.objective.logits(stack.w.detach(), x)
        else:
            z = stack.objective.logits(stack.w.detach(), x)
    sizes = [*watch.found, _largest(z, stack.stacked)]
    return torch.stack(sizes).nan_to_num(nan=0.0, posinf=torch.inf).amax(0).detach()


def _largest(tensor: Tensor, stacked: bool) -> Tensor:
    """The largest absolute value, of each row in a stack."""
    size = tensor.detach().abs()
    return size.flatten(1).amax(1) if stacked else size.amax()


class _Watch(TorchFunctionMode):
    """Within it the results of torch's functions that depend on the input are measured."""

    def __init__(self, measure: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.measure = measure
        self.found: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.requires_grad and result.dim() > 1:
            with torch._C.DisableTorchFunction():
                self.found.append(self.measure(result))
        return result
