"""What goes on inside the network: the numbers of each layer after an epoch, for one run or for every row of a stack.

Vanishing and exploding gradients show in the norms, units that have stopped learning in the shares. All are
reductions over the last axes, so that rows do not mix and nothing is read from the device.
"""

import torch
from torch import Tensor

from nettrain.run.stack import Stack
from nettrain.run.units import unit_shares


def watched(stack: Stack, gradient: Tensor | None, change: Tensor) -> dict[str, Tensor]:
    """What `watch` asks for, each (...), as `<what>/<layer>`; gradient and change (..., P) of the last update."""
    settings = stack.setups[0].settings.watch
    values = layer_norms(stack, gradient, change) if settings.layers else {}
    return {**values, **unit_shares(stack)} if settings.units else values


def layer_norms(stack: Stack, gradient: Tensor | None, change: Tensor) -> dict[str, Tensor]:
    """`gradient_norm/<layer>` = ||g|| and `update_to_weight/<layer>` = ||change of w|| / ||w|| of its parameters."""
    layers = stack.objective.layout.layers
    sizes = [part.stop - part.start for part in layers.values()]

    def norms(vector: Tensor) -> list[Tensor]:
        return [torch.linalg.vector_norm(part, dim=-1) for part in vector.split(sizes, dim=-1)]

    values = {}
    if gradient is not None:
        values = {f"gradient_norm/{name}": norm for name, norm in zip(layers, norms(gradient), strict=True)}
    for name, moved, size in zip(layers, norms(change), norms(stack.w), strict=True):
        values[f"update_to_weight/{name}"] = moved / size
    return values
