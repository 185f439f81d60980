"""TabM: a multilayer perceptron that is many, which share all weights but for some vectors of each one's own."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from nettrain.inputs import Input, Inputs
from nettrain.parts.activations import gain
from nettrain.parts.models import functional
from nettrain.parts.models.base import Activation, Tensors, affine_layer
from nettrain.parts.models.entry import Entry, EntryModule, TableModel
from nettrain.random import Noise
from nettrain.registry import option
from nettrain.samples import X


@dataclass
class TabM(TableModel):
    """k perceptrons that share their weights, with adapters of each one's own (Gorishniy et al., 2024).

    A layer of the i-th is s_i * (W (r_i * x)) + b_i; the first r_i are random signs, all others begin at 1, and the
    last layer is each one's own. Each learns by its own loss; what they predict together is the mean of their logits.
    """

    name: str = "tabm"
    k: int = option(16, "perceptrons that share their weights", minimum=1)
    example: ClassVar[Input | None] = Input((32,))

    def build(self, inputs: int | Inputs, outputs: int, activation: Activation) -> nn.Module:
        return SharedEnsemble(self, outputs, activation, self.entry(inputs))


class SharedEnsemble(EntryModule):
    """The network of a `TabM`."""

    compilable = True

    def __init__(self, config: TabM, outputs: int, activation: Activation, entry: Entry) -> None:
        super().__init__(entry)
        self.activation, self.dropout, self.copies = activation, config.dropout, config.k
        widths = [self.entered, *config.hidden]
        self.layers = nn.ModuleList(
            _Adapted(config.k, a, b, gain(activation) if i else None)
            for i, (a, b) in enumerate(itertools.pairwise(widths))
        )
        scale = 0.1 * (gain(activation) if config.hidden else 1.0) / widths[-1] ** 0.5
        self.last = nn.ParameterDict(
            {
                "weight": torch.randn(config.k, outputs, widths[-1]) * scale,
                "bias": torch.zeros(config.k, outputs),
            }
        )

    def layer_outputs(self, parameters: Tensors, x: X, noise: Noise | None = None) -> Iterator[tuple[str, Tensor]]:
        for name, z in self._each(parameters, x, noise):
            yield name, self.together(z) if name == "last" else z.flatten(-2)

    def hidden_units(self, parameters: Tensors, x: X) -> Iterator[tuple[str, Tensor]]:
        return ((name, z) for name, z in self.layer_outputs(parameters, x) if name != "last")

    def trained_logits(self, parameters: Tensors, x: X, noise: Noise | None = None) -> Tensor:
        for _, z in self._each(parameters, x, noise):  # noqa: B007
            pass
        return z

    def together(self, z: Tensor) -> Tensor:
        return z.mean(0)

    def _each(self, parameters: Tensors, x: X, noise: Noise | None) -> Iterator[tuple[str, Tensor]]:
        """What each layer gives, (..., n, k, width), and at last the logits of each, (k, ..., n, outputs)."""
        entered, _, _ = self.enter(parameters, x)
        h = entered.unsqueeze(-2)
        for i in range(len(self.layers)):
            before, weight, after, bias = (
                parameters[f"layers.{i}.{name}"] for name in ("before", "weight", "after", "bias")
            )
            h = functional.linear_steps(h * before.unsqueeze(-3), weight)
            h = h * after.unsqueeze(-3) + bias.unsqueeze(-3)
            yield f"layers.{i}", h
            h = functional.dropout(self.activation(h), noise, i, 2)
        weight, bias = parameters["last.weight"].unsqueeze(-4), parameters["last.bias"].unsqueeze(-3)
        z = (h.unsqueeze(-2) * weight).sum(-1) + bias  # as elementwise operations, which compile
        yield "last", z.movedim(-2, 0).contiguous()


class _Adapted(nn.Module):
    """The parameters of a layer: W (o, i), and r (k, i), s (k, o) and b (k, o), the adapters of each perceptron."""

    def __init__(self, k: int, inputs: int, outputs: int, scale: float | None) -> None:
        super().__init__()
        first = scale is None
        self.weight = affine_layer(inputs, outputs, 1.0 if scale is None else scale).weight
        self.before = nn.Parameter(torch.randint(2, (k, inputs)) * 2.0 - 1 if first else torch.ones(k, inputs))
        self.after = nn.Parameter(torch.ones(k, outputs))
        self.bias = nn.Parameter(torch.zeros(k, outputs))
