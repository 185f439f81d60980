"""Recurrent networks over sequences of vectors or of ids."""

from abc import ABC
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from nettrain.inputs import Input, Inputs
from nettrain.parts.models import functional
from nettrain.parts.models.base import Activation, Model, RowModule, Tensors, affine_layer
from nettrain.random import Noise
from nettrain.registry import option
from nettrain.samples import X

SEQUENCES = "sequences of numbers, T x D, or of ids"


@dataclass
class Recurrent(Model, ABC):
    """Recurrent layers, and an affine map of the last state; of both last states where they are bidirectional."""

    hidden: int = option(64, "width of the state", minimum=1)
    layers: int = option(1, "recurrent layers, one above the other", minimum=1)
    bidirectional: bool = option(False, "a second pass over each sequence, from its end")
    embedding: int = option(32, "width of the vectors that stand for ids", minimum=1)
    dropout: float = option(
        0.0, "probability of zeroing a unit between layers in training", per_row=True, minimum=0, below=1
    )

    takes_ids: ClassVar[bool] = True
    takes_activation: ClassVar[bool] = False
    example: ClassVar[Input | None] = Input((28, 28))

    def build(self, inputs: int | Inputs, outputs: int, activation: Activation) -> nn.Module:
        input = self.shape_of(inputs, SEQUENCES, "data=digits_rows, or model=mlp", (1, 2), ids=True)
        return RecurrentNetwork(self, input, outputs)


@dataclass
class GRU(Recurrent):
    """Gated recurrent units."""

    name: str = "gru"


@dataclass
class LSTM(Recurrent):
    """Long short-term memory."""

    name: str = "lstm"


class RecurrentNetwork(RowModule):
    """The network of a `Recurrent`; the parameters of its recurrent layers are named as those of `torch.nn.GRU`."""

    def __init__(self, config: Recurrent, input: Input, outputs: int) -> None:
        super().__init__()
        self.name, self.depth, self.dropout = config.name, config.layers, config.dropout
        self.sample_dims, self.directions = len(input.shape), 2 if config.bidirectional else 1
        self.embedding = nn.Embedding(input.vocabulary, config.embedding) if input.kind == "ids" else None
        width = config.embedding if input.kind == "ids" else input.shape[-1]
        kind = nn.GRU if config.name == "gru" else nn.LSTM
        self.recurrent = kind(width, config.hidden, config.layers, batch_first=True, bidirectional=config.bidirectional)
        self.linear = affine_layer(config.hidden * self.directions, outputs, 0.1)
        self.compilable, self.steps = input.kind != "ids", input.shape[0]

    def layer_outputs(self, parameters: Tensors, x: X, noise: Noise | None = None) -> Iterator[tuple[str, Tensor]]:
        x = cast(Tensor, x)
        if self.embedding is not None:
            x = functional.embedding(x, parameters["embedding.weight"], self.sample_dims)
            yield "embedding", x
        layer: Callable[..., Tensor] = functional.gru if self.name == "gru" else functional.lstm
        keys = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        for depth in range(self.depth):
            x = functional.dropout(x, noise, depth, 2) if depth else x
            passes = []
            for end in ("", "_reverse")[: self.directions]:
                passed = layer(
                    x.flip(-2) if end else x, *(parameters[f"recurrent.{key}_l{depth}{end}"] for key in keys)
                )
                passes.append(passed)
            x = torch.cat([passes[0], *(passed.flip(-2) for passed in passes[1:])], -1)
        yield "recurrent", x
        last = torch.cat([passed[..., -1, :] for passed in passes], -1)
        yield (
            "linear",
            functional.affine(functional.dropout(last, noise, self.depth), *functional.weights(parameters, "linear")),
        )
