"""Activation functions: each is one function of a tensor, its parameters keyword arguments with defaults.

Every function acts on each element and propagates NaN. `f'` is the derivative that autograd uses; where the
mathematical one does not exist, the docstring says which value stands in for it. A function may carry the closed form
of its backward pass, which spares autograd's bookkeeping; one without it is differentiated by autograd.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any, get_args, get_type_hints

import torch
import torch.nn.functional as F
from torch import Tensor

from nettrain.errors import ConfigError

_aten = torch.ops.aten


ACTIVATIONS: dict[str, Callable[..., Tensor]] = {}  # by name


def activation(
    function: Callable[..., Tensor] | None = None, *, backward: Callable[..., Tensor] | None = None
) -> Callable[..., Any]:
    """Make a function y = f(x, ...) of a tensor an activation: `@activation` above it.

    Its further arguments are keywords with defaults, the activation's keys. `backward(d, x, y, ...)` is the closed form
    of d f'(x); without it autograd differentiates. Raises `ConfigError` for the name of one of nettrain's own, and for
    an argument that cannot be a key.
    """
    if function is None:
        return partial(activation, backward=backward)
    known = ACTIVATIONS.get(function.__name__)
    if known is not None and known.__module__ == __name__:
        raise ConfigError(
            f"{inspect.getfile(function)}: {function.__name__}: the name is that of an activation of nettrain; "
            "choose another."
        )
    for argument in list(inspect.signature(function).parameters.values())[1:]:
        key_type(function, argument)
    if backward is not None:
        function.backward = backward  # type: ignore[attr-defined]
    ACTIVATIONS[function.__name__] = function
    return function


def key_type(function: Callable[..., Any], argument: inspect.Parameter) -> Any:
    """The type of an activation's key: as it is annotated, or that of its default. `ConfigError` where it has none."""
    where = f"{inspect.getfile(function)}: {function.__name__}: its argument {argument.name}"
    by_name = argument.kind in (argument.POSITIONAL_OR_KEYWORD, argument.KEYWORD_ONLY)
    if not by_name or argument.default is argument.empty:
        raise ConfigError(f"{where} needs a default, such as {argument.name}=1.0: it is a key of the activation.")
    kind: Any = type(argument.default)
    if argument.annotation is not argument.empty:
        kind = get_type_hints(function)[argument.name]
    if not {kind, *get_args(kind)} & {bool, int, float, str}:
        what = getattr(kind, "__name__", kind)
        raise ConfigError(f"{where} is of type {what}; a key is a number, a text, true or false.")
    return kind


@activation(backward=lambda d, x, y: d)
def identity(x: Tensor) -> Tensor:
    """f(x) = x, f'(x) = 1.

    A network whose activations are all the identity is one linear map, whatever its depth.
    """
    return x


@activation(backward=lambda d, x, y: torch.zeros_like(d))
def step(x: Tensor) -> Tensor:
    """f(x) = 1 for x > 0, else 0 (Heaviside, f(0) = 0); f'(x) = 0 everywhere.

    The derivative is 0 for x != 0 and does not exist at 0, where 0 is used: no gradient passes a step unit, so a
    gradient optimizer trains only the layers behind the last one.
    """
    return torch.where(x.isnan(), x, (x > 0).to(x.dtype))


@activation(backward=lambda d, x, y: _aten.sigmoid_backward(d, y))
def sigmoid(x: Tensor) -> Tensor:
    """f(x) = 1 / (1 + exp(-x)), f'(x) = f(x) (1 - f(x)) <= 1/4.

    Saturates for large |x|, and shrinks the gradient at least fourfold at every layer: deep stacks hardly learn.
    """
    return torch.sigmoid(x)


@activation(backward=lambda d, x, y: _aten.threshold_backward(d, y, 0))
def relu(x: Tensor) -> Tensor:
    """f(x) = max(0, x); f'(x) = 1 for x > 0, 0 for x < 0, and 0 is used at x = 0.

    A unit that is negative on all data gets no gradient any more ("dead"); a lower learning rate or leaky_relu helps.
    """
    return F.relu(x)


@activation(backward=lambda d, x, y, alpha=0.01: _aten.leaky_relu_backward(d, x, alpha, False))
def leaky_relu(x: Tensor, alpha: float = 0.01) -> Tensor:
    """f(x) = x for x > 0, else alpha x; f'(x) = 1 for x > 0, alpha for x < 0, and alpha is used at x = 0.

    `alpha` is the slope for negative inputs. No unit can die; with alpha = 1 it is the identity.
    """
    return F.leaky_relu(x, alpha)


@activation(backward=lambda d, x, y: _aten.tanh_backward(d, y))
def tanh(x: Tensor) -> Tensor:
    """f(x) = (e^x - e^-x) / (e^x + e^-x) = 2 sigmoid(2x) - 1, f'(x) = 1 - f(x)^2 <= 1.

    A sigmoid with mean 0; it saturates for large |x| as well.
    """
    return torch.tanh(x)


@activation(backward=lambda d, x, y: _aten.gelu_backward(d, x))
def gelu(x: Tensor) -> Tensor:
    """f(x) = x Phi(x), f'(x) = Phi(x) + x phi(x), Phi and phi the standard normal distribution and density.

    Smooth, not monotone: the minimum is -0.17 at x = -0.75 (Hendrycks and Gimpel, 2016).
    """
    return F.gelu(x)


@activation(backward=lambda d, x, y: _aten.silu_backward(d, x))
def silu(x: Tensor) -> Tensor:
    """f(x) = x sigmoid(x), f'(x) = s + x s (1 - s) with s = sigmoid(x).

    Smooth, not monotone: the minimum is -0.28 at x = -1.28 (also called swish).
    """
    return F.silu(x)


@activation(backward=lambda d, x, y, alpha=1.0: _aten.elu_backward(d, alpha, 1, 1, False, x))
def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """f(x) = x for x > 0, else alpha (e^x - 1); f'(x) = 1 for x > 0, alpha e^x for x < 0, and alpha is used at x = 0.

    `alpha` is minus the limit at -infinity; the derivative jumps at 0 unless alpha = 1 (Clevert et al., 2016).
    """
    return F.elu(x, alpha)


@dataclass(frozen=True)
class Activation:
    """The activation function called `name`, with its keyword arguments set."""

    name: str
    arguments: tuple[tuple[str, Any], ...] = ()

    def __call__(self, x: Tensor) -> Tensor:
        return self._function(x)

    @cached_property
    def _function(self) -> Callable[[Tensor], Tensor]:
        return partial(ACTIVATIONS[self.name], **dict(self.arguments))

    @cached_property
    def backward(self) -> Callable[..., Tensor] | None:
        """The closed form of the backward pass, if the function carries one."""
        closed_form = getattr(ACTIVATIONS[self.name], "backward", None)
        return None if closed_form is None else partial(closed_form, **dict(self.arguments))

    def __reduce__(self) -> tuple[Any, ...]:
        return Activation, (self.name, self.arguments)


@cache
def gain(activation: Callable[[Tensor], Tensor]) -> float:
    """The factor that keeps the scale of signals: 1 / sqrt(E[f(Z)^2]) for Z standard normal.

    It is sqrt(2) for ReLU, which gives He's initialisation, and 1 for the identity, which gives LeCun's; the
    expectation is taken numerically, so that it suits any function (He et al., 2015; Kumar, 2017).
    """
    z = torch.linspace(-8, 8, 16_001, dtype=torch.float64)
    density = torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return float((activation(z) ** 2 * density * (z[1] - z[0])).sum() ** -0.5)


@cache
def slope_gain(activation: Callable[[Tensor], Tensor]) -> float:
    """sqrt(E[f'(Z)^2]), Z standard normal: by how much a layer's activation scales gradients on their way back."""
    z = torch.linspace(-8, 8, 16_001, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(activation(z).sum(), z)
    density = torch.exp(-0.5 * z.detach() ** 2) / math.sqrt(2 * math.pi)
    return float((slope**2 * density * (z[1] - z[0]).detach()).sum() ** 0.5)
