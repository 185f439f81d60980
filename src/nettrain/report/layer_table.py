"""The layers of a model, their shapes and their numbers of parameters, as rows of a table."""

import math

from torch import nn

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
