"""What the program of a run's updates is made of: one update, a forward pass and the statistics of layers, in C++.

They depend on shapes and on the kinds of the parts, and on no number: coefficients, samples, their order and the keys
of noise are inputs of the program.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nettrain.compiler.source import function
from nettrain.compiler.target import Target
from nettrain.compiler.writing import c_type
from nettrain.objective import Objective
from nettrain.random import Noise
from nettrain.samples import sample_dim
from nettrain.training.engines.layer_statistics import row_module_statistics
from nettrain.training.stack.rows import Tensors
from nettrain.training.stack.rule_groups import RuleGroup
from nettrain.training.stack.stack import Stack
from nettrain.vector import Layout

SOME = 32  # samples whose logits are computed at a time


def statistics_names(stack: Stack) -> list[str]:
    """The names of the numbers that the program's `statistics` gives."""
    frozen = Frozen(stack)
    return list(row_module_statistics(stack, **_example(stack), frozen=frozen.views(frozen.example)))


def _example(stack: Stack) -> dict[str, Tensor]:
    """What the statistics of one row are computed from."""
    w, x = torch.zeros(stack.objective.layout.size, dtype=stack.dtype), stack.first_samples
    samples = x.shape[sample_dim(x, stack.objective.inputs) :]
    return {"w": w, "gradient": w.clone(), "change": w.clone(), "x": torch.zeros(samples, dtype=stack.dtype)}


class Frozen:
    """The frozen parameters of a model, which a program is given as one vector, (F,) or (K, F)."""

    def __init__(self, stack: Stack) -> None:
        buffers = stack.objective.buffers
        shapes = [tuple(tensor.shape[1:] if stack.stacked else tensor.shape) for tensor in buffers.values()]
        self.layout, self.stack = Layout(tuple(buffers), tuple(shapes)), stack

    @property
    def values(self) -> Tensor | None:
        """Their values; None where there are none."""
        parts = [tensor.flatten(self.stack.w.dim() - 1) for tensor in self.stack.objective.buffers.values()]
        return torch.cat(parts, -1) if parts else None

    @property
    def example(self) -> dict[str, Tensor]:
        """Those of one row, as an input of a function that is compiled."""
        return {"frozen": torch.zeros(self.layout.size, dtype=self.stack.dtype)} if self.layout.names else {}

    def views(self, inputs: Mapping[str, Tensor]) -> Tensors:
        """The parameters among such a function's inputs."""
        return self.layout.views(inputs["frozen"]) if self.layout.names else {}


class Functions(NamedTuple):
    """The functions `update`, `update_last`, `forward` and `of_layers` of one row, and what a program says of them.

    `scratch` has the bytes of memory that the kernels `advance`, `logits` and `statistics` need for them, `words` sizes
    and types, `sizes` the numbers of elements of the tensors of a row: w, g, the rule's state and what is frozen.
    """

    text: str
    scratch: dict[str, int]
    words: dict[str, Any]
    sizes: list[int]


def program_functions(
    stack: Stack, group: RuleGroup, noisy: bool, target: Target, optional: Collection[str] = ()
) -> Functions:
    """The functions for rows with this kind of rule; those of the inputs w, g, ... that are `optional` can be null."""
    batches, rule, outputs = stack.batches, group.first, stack.runs[0].outputs
    names = group.names
    samples, y = _example(stack)["x"], batches.splits["train"][1]
    w = torch.zeros(stack.objective.layout.size, dtype=stack.dtype)
    state = rule.init(w)
    frozen = Frozen(stack)

    objective = Objective(stack.objective.model, stack.runs[0].head, inputs=stack.objective.inputs)

    def update(w: Tensor, g: Tensor, x: Tensor, y: Tensor, c: Tensor, z: Tensor, **more: Tensor) -> None:
        noise = Noise(more["key"], more["rate"]) if noisy else None
        objective.buffers = frozen.views(more)
        logits, gradient = objective.gradient(w, x, y, noise, more.get("weight"))
        z.copy_(logits)
        g.copy_(gradient)
        of_row = {name: more[name] for name in state}
        group.pieces.step(rule, of_row, w, gradient, dict(zip(names, c.unbind(), strict=True)))

    def written(name: str, bs: int) -> tuple[str, int]:
        batch = {name: torch.zeros(bs, *t.shape[1:], dtype=t.dtype) for name, t in (("x", samples), ("y", y))}
        if batches.weights:
            batch["weight"] = torch.ones(bs, *y.shape[1:], dtype=w.dtype)
        numbers = {"c": torch.ones(len(names), dtype=w.dtype), "z": torch.zeros(bs, outputs, dtype=w.dtype)}
        noise = {"key": torch.zeros((), dtype=torch.int64), "rate": torch.zeros((), dtype=torch.float64)}
        with torch.no_grad():
            inputs = {"w": w, "g": torch.zeros_like(w), **state, **frozen.example, **batch, **numbers, **noise}
            return function(name, update, inputs, target, optional)

    def statistics(w: Tensor, gradient: Tensor, change: Tensor, x: Tensor, values: Tensor, **more: Tensor) -> None:
        numbers = row_module_statistics(stack, w, gradient, change, x, frozen.views(more))
        for value, number in zip(values, numbers.values(), strict=True):
            value.copy_(number)

    def forward(w: Tensor, x: Tensor, z: Tensor, **more: Tensor) -> None:
        objective.buffers = frozen.views(more)
        z.copy_(objective.logits(w, x))

    whole = written("update", batches.bs)
    smaller = (
        written("update_last", batches.last)
        if batches.last < batches.bs
        else ("constexpr auto update_last = update;", 0)
    )
    with torch.no_grad():
        some = {
            "x": torch.zeros(SOME, *samples.shape[1:], dtype=w.dtype),
            "z": torch.zeros(SOME, outputs, dtype=w.dtype),
        }
        evaluation = function("forward", forward, {"w": w, **frozen.example, **some}, target)
        values = torch.zeros(len(statistics_names(stack)), dtype=torch.float64)
        w_only, *others = _example(stack).items()
        inputs = dict([w_only, *frozen.example.items(), *others, ("values", values)])
        inside = function("of_layers", statistics, inputs, target)
    sizes = [len(tensor) for tensor in (w, w, *state.values(), *frozen.example.values())]
    words = {
        "real": c_type(w.dtype),
        "target": c_type(y.dtype),
        "bs": batches.bs,
        "last": batches.last,
        "inputs": samples[0].numel(),
        "outputs": outputs,
        "targets": y[0].numel(),
        "scalars": len(names),
        "weight": "weight, " if batches.weights else "",
        "parameters": len(w),
        "frozen": frozen.layout.size if frozen.example else 0,
        "some": SOME,
        "values": len(values),
    }
    parts = whole, smaller, evaluation, inside
    scratch = {"advance": max(whole[1], smaller[1]), "logits": evaluation[1], "statistics": inside[1]}
    return Functions("\n".join(text for text, _ in parts), scratch, words, sizes)
