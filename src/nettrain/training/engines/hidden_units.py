"""Hidden units that have stopped learning: the shares of dead and of saturated ones, layer by layer.

A unit is dead if all samples are on a side where its activation has slope 0; saturated is the share of activations
whose slope is below a tenth of the greatest. Only activations with such slopes have them: ReLU; sigmoid and tanh.
"""

import itertools
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, vmap
from torch.overrides import TorchFunctionMode

from nettrain.parts.models import RowModule
from nettrain.parts.slopes import Activation, can_die, can_saturate, steep
from nettrain.samples import X, sample_dim, with_doubles
from nettrain.training.stack.stack import Stack

SATURATED = 0.1  # of the greatest slope; a unit whose slope is less is saturated

# The functions by which torch's modules, and other people's, compute an activation.
_CALLS: list[tuple[Activation, list[Any]]] = [
    (torch.relu, [torch.relu, torch.relu_, F.relu, F.relu_, Tensor.relu, Tensor.relu_]),
    (torch.sigmoid, [torch.sigmoid, torch.sigmoid_, F.sigmoid, Tensor.sigmoid, Tensor.sigmoid_]),
    (torch.tanh, [torch.tanh, torch.tanh_, F.tanh, Tensor.tanh, Tensor.tanh_]),
]
_FUNCTIONS = {call: f for f, calls in _CALLS for call in calls}


def module_shares(stack: Stack) -> dict[str, Tensor]:
    """`dead/<layer>` and `saturated/<layer>`, each (...), on the first samples of the training split.

    Layers are named as their parameters are; those are meant that were called last before the activation.
    """
    objective, x = stack.objective, stack.first_samples
    model, parameters = objective.model, objective.layout.views(stack.w)
    model.eval()
    for f in _FUNCTIONS.values():
        _steep_parts(f)  # by autograd, which vmap would not let in

    def of_row(parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: X) -> dict[str, Tensor]:
        with _Activations({**parameters, **buffers}) as seen:
            functional_call(model, (parameters, buffers), (x,))
        return seen.shares

    if stack.stacked:
        x_dim = 0 if sample_dim(x, objective.inputs) else None
        return vmap(of_row, (0, 0, x_dim))(parameters, objective.buffers, x)
    return of_row(parameters, objective.buffers, x)


def row_module_shares(model: RowModule, parameters: dict[str, Tensor], x: X) -> dict[str, Tensor]:
    """The same for a module of nettrain's own, on the samples x (..., n, *shape)."""
    if not _steep_parts(model.activation):
        return {}
    shares: dict[str, Tensor] = {}
    for name, z in model.hidden_units(parameters, x):
        shares |= _shares(model.activation, z, name)
    return shares


@cache
def _steep_parts(f: Activation) -> dict[str, tuple[float, float]]:
    """Outside of which interval a unit counts as dead and as saturated; only what f has."""
    intervals = {"dead": steep(f, 0.0)} if can_die(f) else {}
    return {**intervals, "saturated": steep(f, SATURATED)} if can_saturate(f) else intervals


def _shares(f: Activation, z: Tensor, layer: str) -> dict[str, Tensor]:
    """Of an activation of z (..., n, width): the shares that there are for it, each (...)."""
    shares = {}
    for name, (low, high) in _steep_parts(f).items():
        dead = name == "dead"
        flat = (z.amax(-2, True) if dead else z) <= low
        if high < torch.inf:
            flat = flat | ((z.amin(-2, True) if dead else z) >= high)
        flat = with_doubles(flat)
        shares[f"{name}/{layer}"] = flat.sum((-2, -1), dtype=torch.float64) / flat.shape[-2:].numel()
    return shares


class _Activations(TorchFunctionMode):
    """Within it, the inputs of ReLU, sigmoid and tanh are looked at, and which layer was called before them."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.layers = {id(tensor): name.rpartition(".")[0] or name for name, tensor in tensors.items()}
        self.layer = "input"
        self.shares: dict[str, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        values = [*args, *(kwargs or {}).values()]
        f = _FUNCTIONS.get(func)
        if f is not None and values[0].dim() > 1:
            with torch._C.DisableTorchFunction():
                shares = _shares(f, values[0].flatten(1), self.layer)
            for name, share in shares.items():
                self.shares[_new(name, self.shares)] = share
        self.layer = next((self.layers[id(value)] for value in values if id(value) in self.layers), self.layer)
        return func(*args, **(kwargs or {}))


def _new(name: str, known: dict[str, Tensor]) -> str:
    """The name, numbered where it is not the first of its kind."""
    names = (f"{name}.{k}" if k > 1 else name for k in itertools.count(1))
    return next(free for free in names if free not in known)
