"""How a rule is applied to the flat vector: to all of it at once, or to pieces of it one after another.

Pieces are parameters with factors of their own (`groups`), neighbours with the same ones as one; and every parameter by
itself, in its own shape, for a rule that works layer by layer.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from nettrain.optimizers.numerics import Coefficient, Scalars
from nettrain.optimizers.parameter_groups import Factors
from nettrain.optimizers.rules import Coefficients, Rule, State
from nettrain.vector import Layout

Step = Callable[[State, Tensor, Tensor, Coefficients], None]  # as `Rule.step`


class Piece(NamedTuple):
    """A part of the flat vector: where it lies, the number of its factors, and the shape in which a rule wants it."""

    place: slice
    kind: int
    shape: tuple[int, ...] | None


class Pieces:
    """The pieces for parameters with these factors; with `by_layer` each parameter is one.

    `whole` if there is but one piece, which a rule takes as it is.
    """

    def __init__(self, layout: Layout, factors: Sequence[Factors], by_layer: bool) -> None:
        self.kinds = list(dict.fromkeys(factors))
        self.whole = not by_layer and self.kinds == [Factors()]
        self.pieces: list[Piece] = []
        end = 0
        for size, shape, both in zip(layout.sizes, layout.shapes, factors, strict=True):
            begin, end, kind = end, end + size, self.kinds.index(both)
            if not by_layer and self.pieces and self.pieces[-1].kind == kind:
                begin = self.pieces.pop().place.start
            self.pieces.append(Piece(slice(begin, end), kind, shape if by_layer else None))

    def within(self, part: slice) -> "Pieces":
        """What of the pieces lies within a part of the vector, for a rule that works on each number by itself."""
        cut, made = [], copy.copy(self)
        for place, kind, shape in self.pieces:
            begin, end = max(place.start, part.start), min(place.stop, part.stop)
            if begin < end:
                cut.append(Piece(slice(begin - part.start, end - part.start), kind, shape))
        made.pieces = cut
        return made

    def scalars(self, rule: Rule, t: Scalars, lr: Scalars) -> dict[str, Scalars]:
        """The rule's scalars of update t: those of the factors number i are called `<name>/<i>`."""
        if self.kinds == [Factors()]:
            return rule.all_coefficients(t, lr)
        scalars: dict[str, Scalars] = {}
        for i, factors in enumerate(self.kinds):
            changed = replace(rule, weight_decay=rule.weight_decay * factors.weight_decay)
            for name, value in changed.all_coefficients(t, lr * factors.lr).items():
                scalars[name if name == "clip_norm" else f"{name}/{i}"] = value
        return scalars

    def step(self, rule: Rule, state: State, w: Tensor, g: Tensor, c: Coefficients, step: Step | None = None) -> None:
        """One whole update of w (..., P) and the state in place; `step` is another way to compute the rule's."""
        if self.whole:
            (step or rule.step)(state, w, g, c)
            return
        g, of_kinds = rule.clipped(g, c), self._by_kind(c)
        for place, kind, shape in self.pieces:
            part_w, part_g, *parts = (tensor[..., place] for tensor in (w, g, *state.values()))
            if shape is None:
                rule.step(dict(zip(state, parts, strict=True)), part_w, part_g, of_kinds[kind])
            else:
                part_w, part_g, *parts = (tensor.view(-1, *shape) for tensor in (part_w, part_g, *parts))
                scalars = {name: _beside(value, len(shape)) for name, value in of_kinds[kind].items()}
                rule.elementwise(dict(zip(state, parts, strict=True)), part_w, part_g, scalars)

    def _by_kind(self, c: Coefficients) -> list[Coefficients]:
        """The scalars of each kind by the names that the rule knows, without that of clipping, which is done."""
        if self.kinds == [Factors()]:
            return [{name: value for name, value in c.items() if name != "clip_norm"}]
        scalars: list[Coefficients] = [{} for _ in self.kinds]
        for key, value in c.items():
            name, _, number = key.rpartition("/")
            if number.isdigit():
                scalars[int(number)][name] = value
        return scalars


def _beside(value: Coefficient, dimensions: int) -> Coefficient:
    """A scalar of each row, (K, 1), in a shape that fits tensors (K, ...) of so many further dimensions."""
    return value.view(-1, *[1] * dimensions) if isinstance(value, Tensor) else value
