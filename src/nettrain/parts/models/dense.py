"""Dense networks, whose backward passes are written by hand: linear models, multilayer perceptrons, polynomials."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from nettrain.errors import ConfigError
from nettrain.inputs import Inputs
from nettrain.parts.activations import gain, identity
from nettrain.parts.models.base import Activation, Derivative, Model, RowModule, Tensors
from nettrain.parts.models.entry import Entry, EntryModule, TableModel
from nettrain.parts.models.functional import affine
from nettrain.profile import stage
from nettrain.random import Noise
from nettrain.registry import option
from nettrain.samples import X


@dataclass
class Linear(Model):
    """One affine map: linear regression, or logistic or softmax regression with a classifier's head.

    All numbers of a sample are one vector, whatever its shape.
    """

    name: str = "linear"

    takes_activation: ClassVar[bool] = False

    def build(self, inputs: int | Inputs, outputs: int, activation: Activation) -> nn.Module:
        size, dims = self.vector(inputs)
        return DenseNetwork([outputs], identity, Entry(size, dims))


@dataclass
class MLP(TableModel):
    """Fully connected layers, the activation between them, and dropout behind each activation.

    All numbers of a sample are one vector, whatever its shape. Of categories that are embedded it learns a vector of 8
    numbers each.
    """

    name: str = "mlp"
    init_scale: float = option(
        1.0, "factor of the initial weights, which else keep the scale of signals", per_row=True, minimum=0
    )

    def build(self, inputs: int | Inputs, outputs: int, activation: Activation) -> nn.Module:
        entry = self.entry(inputs)
        return DenseNetwork([*self.hidden, outputs], activation, entry, self.dropout, self.init_scale)


@dataclass
class Polynomial(Model):
    """y = w1 x^d + w2 x^(d-1) + ... + w(d+1): linear in its weights, which are the flat vector itself."""

    name: str = "polynomial"
    degree: int = option(2, "highest power of the input", minimum=0)

    takes_activation: ClassVar[bool] = False

    def build(self, inputs: int | Inputs, outputs: int, activation: Activation) -> nn.Module:
        size, dims = self.vector(inputs)
        if (size, dims) != (1, 1):
            raise ConfigError(
                f"model=polynomial: it takes one input, but the data have {size} features; use model=linear or "
                "model=mlp."
            )
        return PolynomialModel(self.degree, outputs)


class DenseNetwork(EntryModule):
    """Affine layers of the given widths, `activation` between them; dropout behind every activation."""

    compilable = True

    def __init__(
        self, widths: list[int], activation: Activation, entry: Entry, dropout: float = 0.0, init_scale: float = 1.0
    ) -> None:
        super().__init__(entry)
        self.activation, self.dropout = activation, dropout
        widths = [self.entered, *widths]
        layers = [nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
        self.layers = nn.ModuleList(layers)
        for depth, layer in enumerate(layers):
            scale = init_scale * (
                1.0 if depth == 0 else gain(activation)
            )  # what comes in is standardised data, or f(z)
            if depth == len(layers) - 1:
                scale *= 0.1  # first predictions near those of no knowledge generalised better
            nn.init.normal_(layer.weight, std=scale / math.sqrt(layer.in_features))
            nn.init.zeros_(layer.bias)

    def layer_outputs(self, parameters: Tensors, x: X, noise: Noise | None = None) -> Iterator[tuple[str, Tensor]]:
        """What each layer's affine map gives, (..., n, width): the hidden units before the activation, then z."""
        x, _, _ = self.enter(parameters, x)
        for depth, (weight, bias) in enumerate(self._affine_maps(parameters)):
            if depth > 0:
                x = self.activation(x)
                if noise is not None:
                    x = noise.dropout(x, depth - 1)
            x = affine(x, weight, bias)
            yield f"layers.{depth}", x

    def hidden_units(self, parameters: Tensors, x: X) -> Iterator[tuple[str, Tensor]]:
        return itertools.islice(self.layer_outputs(parameters, x), len(self.layers) - 1)

    def backpropagate(
        self, parameters: Tensors, x: X, noise: Noise | None, derivative: Derivative, gradients: Tensors
    ) -> Tensor:
        layers, passed = self._affine_maps(parameters), []
        with stage("forward"):
            x, places, waves = self.enter(parameters, x)
            for depth, (weight, bias) in enumerate(layers[:-1]):
                z = affine(x, weight, bias)
                f = self.activation(z)
                passed.append((x, z, f))
                x = f if noise is None else noise.dropout(f, depth)
            z_last = affine(x, *layers[-1])
        with stage("backward"):
            d = derivative(z_last)
            for depth in range(len(layers) - 1, -1, -1):
                _affine_gradients(x, d, gradients.get(f"layers.{depth}.weight"), gradients.get(f"layers.{depth}.bias"))
                if depth:
                    d = torch.matmul(d, layers[depth][0])
                    if noise is not None:
                        d = noise.dropout(d, depth - 1)  # it is linear, and so its own derivative
                    x, z, f = passed.pop()
                    d = _through(self.activation, d, z, f)
            self.leave(parameters, d, layers[0][0], places, waves, gradients)
        return z_last

    def _affine_maps(self, parameters: Tensors) -> list[tuple[Tensor, Tensor]]:
        return [
            (parameters[f"layers.{depth}.weight"], parameters[f"layers.{depth}.bias"])
            for depth in range(len(self.layers))
        ]


class PolynomialModel(RowModule):
    """sum_k weight[k] x^(d - k), `weight` of shape (outputs, d + 1), the highest power first."""

    compilable = True

    def __init__(self, degree: int, outputs: int) -> None:
        super().__init__()
        self.degree = degree
        self.weight = nn.Parameter(torch.randn(outputs, degree + 1))

    def layer_outputs(self, parameters: Tensors, x: X, noise: Noise | None = None) -> Iterator[tuple[str, Tensor]]:
        yield "weight", self._powers(x) @ parameters["weight"].mT

    def backpropagate(
        self, parameters: Tensors, x: X, noise: Noise | None, derivative: Derivative, gradients: Tensors
    ) -> Tensor:
        with stage("forward"):
            z = self.logits(parameters, x)
        with stage("backward"):
            torch.matmul(derivative(z).mT, self._powers(x), out=gradients["weight"])
        return z

    def _powers(self, x: X) -> Tensor:
        return torch.cat([cast(Tensor, x) ** k for k in range(self.degree, -1, -1)], dim=-1)


def _affine_gradients(x: Tensor, d: Tensor, weight: Tensor | None, bias: Tensor | None) -> None:
    """Write d^T x and the sum of d over the batch, for d (..., n, o), into the gradients of an affine map.

    None stands for that of a parameter that is frozen.
    """
    if weight is not None and d.dim() == 2:
        torch.mm(d.T, x, out=weight)
    elif weight is not None:
        weight.copy_(torch.bmm(d.mT, x.expand(d.shape[0], -1, -1)))  # into rows that lie apart, bmm goes one by one
    if bias is not None:
        torch.sum(d, -2, out=bias)


def _through(activation: Activation, d: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """d f'(x), for y = f(x): by the closed form that the function carries, or by autograd on it alone."""
    closed_form = getattr(activation, "backward", None)
    if closed_form is not None:
        return closed_form(d, x, y)
    return torch.func.vjp(activation, x)[1](d)[0]
