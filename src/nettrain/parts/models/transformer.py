"""A small transformer encoder over sequences of vectors or of ids."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from nettrain.errors import ConfigError
from nettrain.inputs import Input, Inputs
from nettrain.parts.models import functional
from nettrain.parts.models.base import Activation, Model, RowModule, Tensors, affine_layer
from nettrain.parts.models.recurrent import SEQUENCES
from nettrain.random import Noise
from nettrain.registry import option
from nettrain.samples import X


@dataclass
class Transformer(Model):
    """A transformer encoder (Vaswani et al., 2017), and an affine map of the mean of its vectors or the first."""

    name: str = "transformer"
    width: int = option(64, "width of the vectors", minimum=1)
    layers: int = option(2, "layers of attention and a two-layer network", minimum=1)
    heads: int = option(4, "heads of attention, which divide the width among them", minimum=1)
    mlp_ratio: float = option(2.0, "width of each two-layer network, divided by that of the vectors", above=0)
    norm_first: bool = option(True, "layer norms before attention and network; false: behind them, as in 2017")
    positions: str = option("learnt", "vectors that are added to tell places apart", choices=("learnt", "sinusoidal"))
    pooling: str = option(
        "mean", "what the output sees: mean, of all vectors; cls, that of a learnt first one", choices=("mean", "cls")
    )
    dropout: float = option(0.0, "probability of zeroing a unit in training", per_row=True, minimum=0, below=1)

    takes_ids: ClassVar[bool] = True
    example: ClassVar[Input | None] = Input((64,), "ids", 1000)

    def build(self, inputs: int | Inputs, outputs: int, activation: Activation) -> nn.Module:
        input = self.shape_of(inputs, SEQUENCES, "data=digits_rows, or model=mlp", (1, 2), ids=True)
        if self.width % self.heads:
            raise ConfigError(
                f"model.heads={self.heads}: they do not divide model.width={self.width}, of which each head of "
                "layers.0.self_attn gets a part; use a divisor of it."
            )
        if int(self.width * self.mlp_ratio) < 1:
            raise ConfigError(f"model.mlp_ratio={self.mlp_ratio}: of model.width={self.width} nothing is left.")
        return TransformerNetwork(self, input, outputs, activation)


class TransformerNetwork(RowModule):
    """The network of a `Transformer`; parameters of layers are named as in `torch.nn.TransformerEncoderLayer`."""

    def __init__(self, config: Transformer, input: Input, outputs: int, activation: Activation) -> None:
        super().__init__()
        self.activation, self.dropout, self.sample_dims = activation, config.dropout, len(input.shape)
        self.heads, self.norm_first = config.heads, config.norm_first
        ids, width, length = input.kind == "ids", config.width, input.shape[0]
        self.embedding = nn.Embedding(input.vocabulary, width) if ids else affine_layer(input.shape[-1], width)
        self.cls = nn.Parameter(0.02 * torch.randn(width)) if config.pooling == "cls" else None
        learnt = config.positions == "learnt"
        self.positions = nn.Parameter(0.02 * torch.randn(length, width)) if learnt else None
        inner = int(width * config.mlp_ratio)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, config.heads, inner, config.dropout, activation, batch_first=True)
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width) if config.norm_first else None
        self.linear = affine_layer(width, outputs, 0.1)

    def layer_outputs(self, parameters: Tensors, x: X, noise: Noise | None = None) -> Iterator[tuple[str, Tensor]]:
        places = itertools.count()

        def drop(x: Tensor) -> Tensor:
            return functional.dropout(x, noise, next(places), 2)

        def normed(name: str, x: Tensor) -> Tensor:
            return functional.layer_norm(x, *functional.weights(parameters, name))

        x = cast(Tensor, x)
        if isinstance(self.embedding, nn.Embedding):
            x = functional.embedding(x, parameters["embedding.weight"], self.sample_dims)
        else:
            x = functional.affine_steps(x, *functional.weights(parameters, "embedding"))
        yield "embedding", x
        positions = sinusoids(x) if self.positions is None else parameters["positions"].unsqueeze(-3)
        x = x + positions
        if self.cls is not None:
            token = parameters["cls"].unsqueeze(-2).unsqueeze(-2)
            x = torch.cat([token.expand(*x.shape[:-2], 1, -1), x], -2)
        x = drop(x)
        for i in range(len(self.layers)):
            name = f"layers.{i}"
            first, second = (functional.weights(parameters, f"{name}.linear{k}") for k in (1, 2))
            seen = normed(f"{name}.norm1", x) if self.norm_first else x
            yield f"{name}.self_attn", (inside := self._attention(parameters, name, seen, noise, next(places)))
            x = x + drop(inside)
            x = x if self.norm_first else normed(f"{name}.norm1", x)
            seen = normed(f"{name}.norm2", x) if self.norm_first else x
            yield f"{name}.linear1", (inner := functional.affine_steps(seen, *first))
            yield f"{name}.linear2", (inside := functional.affine_steps(drop(self.activation(inner)), *second))
            x = x + drop(inside)
            x = x if self.norm_first else normed(f"{name}.norm2", x)
        if self.norm is not None:
            x = normed("norm", x)
        x = x.mean(-2) if self.cls is None else x[..., 0, :]
        yield "linear", functional.affine(x, *functional.weights(parameters, "linear"))

    def hidden_units(self, parameters: Tensors, x: X) -> Iterator[tuple[str, Tensor]]:
        outputs = self.layer_outputs(parameters, x)
        return ((name, z.flatten(-2)) for name, z in outputs if name.endswith(".linear1"))

    def _attention(self, parameters: Tensors, name: str, x: Tensor, noise: Noise | None, place: int) -> Tensor:
        projection = parameters[f"{name}.self_attn.in_proj_weight"], parameters[f"{name}.self_attn.in_proj_bias"]
        out = functional.weights(parameters, f"{name}.self_attn.out_proj")
        return functional.attention(x, self.heads, projection, out, noise, place)


def sinusoids(x: Tensor) -> Tensor:
    """sin(t / 10000^(2i/E)) and the cosine of it in turn, (T, E), for the places t of x (..., T, E)."""
    length, width = x.shape[-2:]
    even = torch.arange(0, width, 2, dtype=torch.float64, device=x.device)
    angle = torch.arange(length, dtype=torch.float64, device=x.device).unsqueeze(-1) / 10_000 ** (even / width)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)[:, :width].to(x.dtype)
