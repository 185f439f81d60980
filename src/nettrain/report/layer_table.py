"""The layers of a model, their shapes and their numbers of parameters, as rows of a table."""

import math

import torch
from torch import nn

from nettrain.inputs import Input
from nettrain.parts.models import RowModule
from nettrain.samples import example
from nettrain.vector import Layout

MOST = 12  # layers of a large model that are listed


def layer_lines(model: nn.Module) -> list[list[str]]:
    """A row for each layer with trainable parameters: its name, their shapes, and how many they are."""
    layout = Layout.of(model)
    shapes: dict[str, list[tuple[int, ...]]] = {name: [] for name in layout.layers}
    for name, shape in zip(layout.names, layout.shapes, strict=True):
        shapes[name.rpartition(".")[0] or name].append(shape)
    rows = [
        [name, " + ".join("x".join(map(str, shape)) or "1" for shape in parts), f"{sum(map(math.prod, parts)):,}"]
        for name, parts in shapes.items()
    ]
    if len(rows) > MOST:
        half = MOST // 2
        rows = [*rows[:half], ["...", f"{len(rows) - MOST} more layers", ""], *rows[-half:]]
    return rows


def network_lines(model: RowModule, input: Input) -> list[list[str]]:
    """A row for each layer of a network for such samples: its name, what it gives for one, and its parameters.

    Parameters that lie in no layer, such as positions, have rows of their own.
    """
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    with torch.no_grad():
        outputs = list(model.layer_outputs(tensors, example(input, 2, torch.float32)))
    sizes: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        layer = next((layer for layer, _ in outputs if name.startswith(f"{layer}.")), name.rpartition(".")[0] or name)
        sizes[layer] = sizes.get(layer, 0) + parameter.numel()
    given = {name: " x ".join(map(str, z.shape[1:])) for name, z in outputs}
    return [[name, given.get(name, ""), f"{size:,}"] for name, size in sizes.items()]
