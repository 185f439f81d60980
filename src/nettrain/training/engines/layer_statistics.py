"""What goes on inside the network: the numbers of each layer after an epoch, for one run or for every row of a stack.

Vanishing and exploding gradients show in the norms, units that have stopped learning in the shares. All are
reductions over the last axes, so that rows do not mix and nothing is read from the device.
"""

import torch
from torch import Tensor

from nettrain.parts.models import RowModule
from nettrain.samples import X
from nettrain.training.engines.hidden_units import module_shares, row_module_shares
from nettrain.training.stack.stack import Stack
from nettrain.vector import Layout


@torch.no_grad()
def layer_statistics(stack: Stack, gradient: Tensor | None, change: Tensor) -> dict[str, Tensor]:
    """The numbers of the inside of the network, each (...); gradient and change (..., P) of the last update.

    The norms of the whole network, and what `watch` asks for, as `<what>/<layer>`.
    """
    if isinstance(stack.objective.model, RowModule):
        frozen = stack.objective.buffers
        return row_module_statistics(stack, stack.w, gradient, change, stack.first_samples, frozen)
    watch = stack.runs[0].config.watch
    values = norms(stack.objective.layout, stack.w, gradient, change, watch.layers)
    return {**values, **module_shares(stack)} if watch.units else values


def row_module_statistics(
    stack: Stack, w: Tensor, gradient: Tensor | None, change: Tensor, x: X, frozen: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The same for a module of nettrain's own as a function of w (..., P) and of some samples x (..., n, *shape).

    `frozen` are the parameters that are not in w.
    """
    objective, watch = stack.objective, stack.runs[0].config.watch
    assert isinstance(objective.model, RowModule)
    values = norms(objective.layout, w, gradient, change, watch.layers)
    shares = row_module_shares(objective.model, {**objective.layout.views(w), **frozen}, x) if watch.units else {}
    return {**values, **shares}


def norms(layout: Layout, w: Tensor, gradient: Tensor | None, change: Tensor, layers: bool) -> dict[str, Tensor]:
    """`gradient_norm` = ||g|| and `update_to_weight` = ||change of w|| / ||w||; with `layers` `.../<layer>`, too."""

    def norm(vector: Tensor, part: slice) -> Tensor:
        return torch.linalg.vector_norm(vector[..., part], dim=-1)

    values: dict[str, Tensor] = {}
    for parts in [{"": slice(None)}, *([{f"/{name}": part for name, part in layout.layers.items()}] if layers else [])]:
        if gradient is not None:
            values |= {f"gradient_norm{name}": norm(gradient, part) for name, part in parts.items()}
        values |= {f"update_to_weight{name}": norm(change, part) / norm(w, part) for name, part in parts.items()}
    return values
