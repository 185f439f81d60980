"""Models: each is a config (a dataclass) that builds an ordinary `torch.nn.Module`.

Nettrain's own modules are `RowModule`s: their forward and backward passes are pure functions of the parameters, which
compute one run, or K runs by the same batched products.
"""

import importlib
import inspect
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nettrain.errors import ConfigError, first_line
from nettrain.parts.activations import gain, identity
from nettrain.profile import stage
from nettrain.random import Noise
from nettrain.registry import option

Activation = Callable[[Tensor], Tensor]
Derivative = Callable[[Tensor], Tensor]
Tensors = dict[str, Tensor]


@dataclass
class Model(ABC):
    """A model's config."""

    name: str = ""

    @abstractmethod
    def build(self, inputs: int, outputs: int, activation: Activation) -> nn.Module:
        """The module with its initial weights, from x (..., n, inputs) to logits z (..., n, outputs)."""


@dataclass
class Linear(Model):
    """One affine map: linear regression, or logistic or softmax regression with a classifier's head."""

    name: str = "linear"

    def build(self, inputs: int, outputs: int, activation: Activation) -> nn.Module:
        return DenseNetwork([inputs, outputs], identity)


@dataclass
class MLP(Model):
    """Fully connected layers, the activation between them, and dropout behind each activation."""

    name: str = "mlp"
    hidden: list[int] = option([64, 64], "widths of the hidden layers", minimum=1)
    dropout: float = option(
        0.0, "probability of zeroing a hidden unit during training", per_row=True, minimum=0, below=1
    )

    def build(self, inputs: int, outputs: int, activation: Activation) -> nn.Module:
        return DenseNetwork([inputs, *self.hidden, outputs], activation, self.dropout)


@dataclass
class Polynomial(Model):
    """y = w1 x^d + w2 x^(d-1) + ... + w(d+1): linear in its weights, which are the flat vector itself."""

    name: str = "polynomial"
    degree: int = option(2, "highest power of the input", minimum=0)

    def build(self, inputs: int, outputs: int, activation: Activation) -> nn.Module:
        if inputs != 1:
            raise ConfigError(
                f"model=polynomial: it takes one input, but the data have {inputs} features; use model=linear or "
                "model=mlp."
            )
        return PolynomialModel(self.degree, outputs)


@dataclass
class Module(Model):
    """Any `torch.nn.Module`: what `_target_` names, called with the other keys of this node by Hydra's `instantiate`.

    They may be nested nodes with a `_target_` of their own. Where the constructor has parameters called `in_features`
    and `out_features` that the config does not set, it is given the number of features of the data and the number of
    outputs of the head.
    """

    name: str = "module"
    _target_: str = option(
        "???", "class or function that makes the module; in_features and out_features are filled in if it takes them"
    )

    takes_any_key: ClassVar[bool] = True

    def build(self, inputs: int, outputs: int, activation: Activation) -> nn.Module:
        from hydra.errors import InstantiationException
        from hydra.utils import instantiate

        arguments: dict[str, Any] = {key: value for key, value in vars(self).items() if key != "name"}
        try:
            accepted = inspect.signature(_located(self._target_)).parameters
            sizes = {"in_features": inputs, "out_features": outputs}
            fitting = {key: value for key, value in sizes.items() if key in accepted}
            module = instantiate({"_convert_": "all", **fitting, **arguments})
        except Exception as error:
            cause: BaseException = error
            while cause.__cause__ is not None and isinstance(cause, InstantiationException | ImportError):
                cause = cause.__cause__  # Hydra's own say where they come from
            raise ConfigError(
                f"model._target_={self._target_}: it cannot be built: {type(cause).__name__}: {first_line(cause)}."
            ) from error
        if not isinstance(module, nn.Module):
            kind = "function still to be called (_partial_)" if arguments.get("_partial_") else type(module).__name__
            raise ConfigError(f"model._target_={self._target_}: it is a {kind}, and no torch.nn.Module.")
        return module

    @property
    def foreign(self) -> list[str]:
        """What it names beside torch's own layers, classes of `torch.nn`, which run nobody else's code."""
        return [str(target) for target in _targets(vars(self)) if not _is_layer(target)]


def _located(target: str) -> Any:
    """What is named by `module.Class`; Hydra itself would print what it does not find."""
    package, *attributes = target.split(".")
    named = importlib.import_module(package)
    for attribute in attributes:
        package = f"{package}.{attribute}"
        named = getattr(named, attribute) if hasattr(named, attribute) else importlib.import_module(package)
    return named


def _targets(node: Any) -> Iterator[Any]:
    """What is named by `_target_` in a node and in those inside it."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key == "_target_" else _targets(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _targets(value)


def _is_layer(target: Any) -> bool:
    """Whether a class of `torch.nn` is named."""
    package, _, name = str(target).rpartition(".")
    if package.split(".")[:2] != ["torch", "nn"]:
        return False
    try:
        named = getattr(importlib.import_module(package), name, None)
    except ImportError:
        return False
    # A module of torch.nn has names of other modules, too: torch.nn.functional.warnings.sys.
    return isinstance(named, type) and issubclass(named, nn.Module) and named.__module__.startswith("torch.nn.")


class RowModule(nn.Module, ABC):
    """A module whose parameters may be those of one run, shape (...), or of K runs, shape (K, ...)."""

    dropout: float = 0.0

    @abstractmethod
    def logits(self, parameters: Tensors, x: Tensor, noise: Noise | None = None) -> Tensor:
        """z (..., n, outputs) of x (..., n, inputs); with `noise`, units are dropped as in training."""

    @abstractmethod
    def backpropagate(
        self, parameters: Tensors, x: Tensor, noise: Noise | None, derivative: Derivative, gradients: Tensors
    ) -> Tensor:
        """z, as `logits` gives it; and the gradients of a loss, written into `gradients`, shaped like the parameters.

        `derivative(z)` is the derivative of the loss by z, of z's shape.
        """

    def forward(self, x: Tensor) -> Tensor:
        """The logits (n, outputs) of x (n, inputs), as in evaluation."""
        return self.logits(dict(self.named_parameters()), x)


class DenseNetwork(RowModule):
    """Affine layers of the given widths, `activation` between them; dropout behind every activation."""

    def __init__(self, widths: list[int], activation: Activation, dropout: float = 0.0) -> None:
        super().__init__()
        self.activation, self.dropout = activation, dropout
        layers = [nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
        self.layers = nn.ModuleList(layers)
        for depth, layer in enumerate(layers):
            scale = 1.0 if depth == 0 else gain(activation)  # what comes in is standardised data, or f(z)
            if depth == len(layers) - 1:
                scale *= 0.1  # first predictions near those of no knowledge generalised better
            nn.init.normal_(layer.weight, std=scale / math.sqrt(layer.in_features))
            nn.init.zeros_(layer.bias)

    def logits(self, parameters: Tensors, x: Tensor, noise: Noise | None = None) -> Tensor:
        for z in self.affine_outputs(parameters, x, noise):  # noqa: B007
            pass
        return z

    def affine_outputs(self, parameters: Tensors, x: Tensor, noise: Noise | None = None) -> Iterator[Tensor]:
        """What each layer's affine map gives, (..., n, width): the hidden units before the activation, then z."""
        for depth, (weight, bias) in enumerate(self._affine_maps(parameters)):
            if depth > 0:
                x = self.activation(x)
                if noise is not None:
                    x = noise.dropout(x, depth - 1)
            x = _affine(x, weight, bias)
            yield x

    def backpropagate(
        self, parameters: Tensors, x: Tensor, noise: Noise | None, derivative: Derivative, gradients: Tensors
    ) -> Tensor:
        layers, passed = self._affine_maps(parameters), []
        with stage("forward"):
            for depth, (weight, bias) in enumerate(layers[:-1]):
                z = _affine(x, weight, bias)
                f = self.activation(z)
                passed.append((x, z, f))
                x = f if noise is None else noise.dropout(f, depth)
            z_last = _affine(x, *layers[-1])
        with stage("backward"):
            d = derivative(z_last)
            for depth in range(len(layers) - 1, -1, -1):
                _affine_gradients(x, d, gradients[f"layers.{depth}.weight"], gradients[f"layers.{depth}.bias"])
                if depth:
                    d = torch.matmul(d, layers[depth][0])
                    if noise is not None:
                        d = noise.dropout(d, depth - 1)  # it is linear, and so its own derivative
                    x, z, f = passed.pop()
                    d = _through(self.activation, d, z, f)
        return z_last

    def _affine_maps(self, parameters: Tensors) -> list[tuple[Tensor, Tensor]]:
        return [
            (parameters[f"layers.{depth}.weight"], parameters[f"layers.{depth}.bias"])
            for depth in range(len(self.layers))
        ]


class PolynomialModel(RowModule):
    """sum_k weight[k] x^(d - k), `weight` of shape (outputs, d + 1), the highest power first."""

    def __init__(self, degree: int, outputs: int) -> None:
        super().__init__()
        self.degree = degree
        self.weight = nn.Parameter(torch.randn(outputs, degree + 1))

    def logits(self, parameters: Tensors, x: Tensor, noise: Noise | None = None) -> Tensor:
        return self._powers(x) @ parameters["weight"].mT

    def backpropagate(
        self, parameters: Tensors, x: Tensor, noise: Noise | None, derivative: Derivative, gradients: Tensors
    ) -> Tensor:
        with stage("forward"):
            z = self.logits(parameters, x)
        with stage("backward"):
            torch.matmul(derivative(z).mT, self._powers(x), out=gradients["weight"])
        return z

    def _powers(self, x: Tensor) -> Tensor:
        return torch.cat([x**k for k in range(self.degree, -1, -1)], dim=-1)


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x W^T + b for one run, weight (o, i), or for K runs, weight (K, o, i)."""
    if weight.dim() == 2:
        return F.linear(x, weight, bias)
    if weight.shape[-2] == 1:  # for one row with one output, baddbmm would take another way than for many
        return torch.sum(x * weight, -1, keepdim=True) + bias.unsqueeze(-2)
    return torch.baddbmm(bias.unsqueeze(-2), x.expand(weight.shape[0], -1, -1), weight.mT)


def _affine_gradients(x: Tensor, d: Tensor, weight: Tensor, bias: Tensor) -> None:
    """Write d^T x and the sum of d over the batch, for d (..., n, o), into the gradients of an affine map."""
    if d.dim() == 2:
        torch.mm(d.T, x, out=weight)
    else:
        weight.copy_(torch.bmm(d.mT, x.expand(d.shape[0], -1, -1)))  # into rows that lie apart, bmm goes one by one
    torch.sum(d, -2, out=bias)


def _through(activation: Activation, d: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """d f'(x), for y = f(x): by the closed form that the function carries, or by autograd on it alone."""
    closed_form = getattr(activation, "backward", None)
    if closed_form is not None:
        return closed_form(d, x, y)
    return torch.func.vjp(activation, x)[1](d)[0]
