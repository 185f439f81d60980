"""What goes on inside the network: the numbers of each layer after an epoch, for one run or for every row of a stack.

Vanishing and exploding gradients show in the norms, units that have stopped learning in the shares. All are
reductions over the last axes, so that rows do not mix and nothing is read from the device.
"""

import torch
from torch import Tensor

from nettrain.parts.models import DenseNetwork
from nettrain.parts.slopes import can_die, can_saturate, steep
from nettrain.run.stack import Stack

SATURATED = 0.1  # of the greatest slope; a unit whose slope is less is saturated


def watched(stack: Stack, gradient: Tensor | None, change: Tensor) -> dict[str, Tensor]:
    """What `watch` asks for, each (...), as `<what>/<layer>`; gradient and change (..., P) of the last update."""
    settings = stack.setups[0].settings.watch
    values = layer_norms(stack, gradient, change) if settings.layers else {}
    return {**values, **unit_shares(stack)} if settings.units else values


def layer_norms(stack: Stack, gradient: Tensor | None, change: Tensor) -> dict[str, Tensor]:
    """`gradient_norm/<layer>` = ||g|| and `update_to_weight/<layer>` = ||change of w|| / ||w|| of its parameters."""
    norm = torch.linalg.vector_norm
    layers = stack.objective.layout.layers
    values = {}
    if gradient is not None:
        values = {f"gradient_norm/{name}": norm(gradient[..., part], dim=-1) for name, part in layers.items()}
    for name, part in layers.items():
        values[f"update_to_weight/{name}"] = norm(change[..., part], dim=-1) / norm(stack.w[..., part], dim=-1)
    return values


@torch.no_grad()
def unit_shares(stack: Stack) -> dict[str, Tensor]:
    """`dead/<layer>` and `saturated/<layer>` of the hidden layers, on the first samples of the training split.

    A unit is dead if all of them are on the side where its activation has slope 0; saturated is the share of
    activations whose slope is below a tenth of the greatest. Only activations with such slopes have them (ReLU; sigmoid
    and tanh).
    """
    model = stack.objective.model
    if not isinstance(model, DenseNetwork) or len(model.layers) == 1:
        return {}
    die, saturate = can_die(model.activation), can_saturate(model.activation)
    if not (die or saturate):
        return {}
    x, _ = next(stack.samples.parts("train", min(128, max(16, stack.samples.size["train"] // 8))))
    *hidden, _ = model.affine_outputs(stack.objective.layout.views(stack.w), x)
    values = {}
    for depth, z in enumerate(hidden):
        if die:
            low, high = steep(model.activation, 0.0)
            dead = (z.amax(-2) <= low) | (z.amin(-2) >= high)
            values[f"dead/layers.{depth}"] = dead.double().mean(-1)
        if saturate:
            low, high = steep(model.activation, SATURATED)
            values[f"saturated/layers.{depth}"] = ((z <= low) | (z >= high)).double().mean((-2, -1))
    return values
