"""A residual multilayer perceptron for tables, whose ids become vectors."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from nettrain.errors import ConfigError
from nettrain.inputs import Input, Inputs
from nettrain.parts.activations import gain
from nettrain.parts.models import functional
from nettrain.parts.models.base import NO_EMBEDDING, Activation, Model, RowModule, Tensors, affine_layer
from nettrain.random import Noise
from nettrain.registry import option
from nettrain.samples import X


@dataclass
class ResMLP(Model):
    """Blocks x + W2 dropout(f(W1 norm(x))) between two affine maps (Gorishniy et al., 2021).

    All numbers of a sample, and the vectors of its ids, are one vector; x may be a dictionary of tensors.
    """

    name: str = "resmlp"
    width: int = option(64, "width of the vector that the blocks change", minimum=1)
    hidden: int = option(128, "width inside of a block", minimum=1)
    blocks: int = option(2, "number of blocks", minimum=1)
    norm: str = option("layer", "norm before each block and behind the last", choices=("none", "batch", "layer"))
    embedding: int = option(8, "width of the vectors that stand for ids", minimum=1)
    dropout: float = option(
        0.0, "probability of zeroing a hidden unit of a block in training", per_row=True, minimum=0, below=1
    )

    example: ClassVar[Input | None] = Input((32,))

    def build(self, inputs: int | Inputs, outputs: int, activation: Activation) -> nn.Module:
        known = Input((inputs,)) if isinstance(inputs, int) else inputs
        if empty := [one for one in (known.values() if isinstance(known, dict) else [known]) if 0 in one.shape]:
            raise ConfigError(f"model=resmlp: x is empty ({empty[0].text}), so that there is nothing to learn from.")
        if any(one.vocabularies for one in (known.values() if isinstance(known, dict) else [known])):
            raise ConfigError(
                f"model=resmlp: x holds categories to be embedded, for which it has no place{NO_EMBEDDING}."
            )
        return ResidualMLP(self, known, outputs, activation)


class ResidualMLP(RowModule):
    """The network of a `ResMLP`."""

    def __init__(self, config: ResMLP, inputs: Inputs, outputs: int, activation: Activation) -> None:
        super().__init__()
        self.activation, self.dropout, self.kind = activation, config.dropout, config.norm
        self.inputs = list(inputs.items()) if isinstance(inputs, dict) else [("", inputs)]
        ids = [input for _, input in self.inputs if input.kind == "ids"]
        self.compilable = config.norm != "batch" and not ids and not isinstance(inputs, dict)
        self.embeddings = nn.ModuleList(nn.Embedding(input.vocabulary, config.embedding) for input in ids)
        sizes = [input.size * (config.embedding if input.kind == "ids" else 1) for _, input in self.inputs]
        self.first = affine_layer(sum(sizes), config.width)
        self.blocks = nn.ModuleList(_Block(config, gain(activation)) for _ in range(config.blocks))
        self.norm = _norm(config)
        self.linear = affine_layer(config.width, outputs, 0.1 * gain(activation))

    def layer_outputs(self, parameters: Tensors, x: X, noise: Noise | None = None) -> Iterator[tuple[str, Tensor]]:
        yield "first", (x := functional.affine(self._vectors(parameters, x), *functional.weights(parameters, "first")))
        for i in range(len(self.blocks)):
            name = f"blocks.{i}"
            first, second = (functional.weights(parameters, f"{name}.linear{k}") for k in (1, 2))
            yield (
                f"{name}.linear1",
                (z := functional.affine(self._normed(parameters, f"{name}.norm", x, noise), *first)),
            )
            inside = functional.dropout(self.activation(z), noise, i)
            yield f"{name}.linear2", (inside := functional.affine(inside, *second))
            x = x + inside
        x = self.activation(self._normed(parameters, "norm", x, noise))
        yield "linear", functional.affine(x, *functional.weights(parameters, "linear"))

    def hidden_units(self, parameters: Tensors, x: X) -> Iterator[tuple[str, Tensor]]:
        return ((name, z) for name, z in self.layer_outputs(parameters, x) if name.endswith(".linear1"))

    def _vectors(self, parameters: Tensors, x: X) -> Tensor:
        """All numbers of the samples and the vectors of their ids, (..., n, D)."""
        tensors, number = [], 0
        for name, input in self.inputs:
            value = x[name] if isinstance(x, dict) else x
            dims = len(input.shape)
            if input.kind == "ids":
                value = functional.embedding(value, parameters[f"embeddings.{number}.weight"], dims)
                number, dims = number + 1, dims + 1
            tensors.append(value if dims == 1 else value.flatten(-dims) if dims else value.unsqueeze(-1))
        leading = max((value.shape[:-1] for value in tensors), key=len)
        return torch.cat([value.expand(*leading, -1) for value in tensors], -1) if len(tensors) > 1 else tensors[0]

    def _normed(self, parameters: Tensors, name: str, x: Tensor, noise: Noise | None) -> Tensor:
        if self.kind == "none":
            return x
        if self.kind == "layer":
            return functional.layer_norm(x, *functional.weights(parameters, name))
        running = functional.running_statistics(parameters, name)
        return functional.batch_norm_vectors(x, *functional.weights(parameters, name), running, noise is not None)


class _Block(nn.Module):
    """The parameters of a block."""

    def __init__(self, config: ResMLP, scale: float) -> None:
        super().__init__()
        self.norm = _norm(config)
        self.linear1 = affine_layer(config.width, config.hidden)
        self.linear2 = affine_layer(config.hidden, config.width, scale * config.blocks**-0.5)


def _norm(config: ResMLP) -> nn.Module | None:
    return {"none": None, "batch": nn.BatchNorm1d(config.width), "layer": nn.LayerNorm(config.width)}[config.norm]
