"""A rule whose state and update are cut into as many parts as there are ranks: each computes its own (ZeRO-1).

(Rajbhandari et al., 2020.) On a flat vector a part is a slice, whatever layers lie in it.
"""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from nettrain.optimizers.pieces import Step
from nettrain.optimizers.rules import Coefficients, State, clip
from nettrain.ranks.ranks import Ranks
from nettrain.training.stack.rows import each_of, join, where
from nettrain.training.stack.rule_groups import RuleGroup


def room(parameters: int, ranks: Ranks) -> int:
    """How many numbers have to be put behind the parameters for equal parts."""
    return -parameters % ranks.size


def padded(vector: Tensor, ranks: Ranks) -> Tensor:
    """The vector (P,) or (1, P) and the room behind it, in one dimension."""
    size = vector.shape[-1] + room(vector.shape[-1], ranks)
    return vector.as_strided((size,), (1,), vector.storage_offset())


@dataclasses.dataclass
class ShardedGroup(RuleGroup):
    """The rule of one run, w (P,) or (1, P), with the state of this rank's part, w[..., own], alone."""

    ranks: Ranks
    parameters: int

    @classmethod
    def of(cls, group: RuleGroup, w: Tensor, ranks: Ranks) -> "ShardedGroup":
        """The same group, in parts."""
        own = _own(w.shape[-1], ranks)
        changes = {"state": group.rule.init(w[group.rows][..., own]), "pieces": group.pieces.within(own)}
        return cls(**{**vars(group), **changes}, ranks=ranks, parameters=w.shape[-1])

    @property
    def own(self) -> slice:
        return _own(self.parameters, self.ranks)

    def step(self, w: Tensor, g: Tensor, c: Coefficients, step: Step | None = None) -> None:
        """As for a group that is whole; g is the gradient in this rank's part, and anything in the others."""
        of_part = g[..., self.own]
        if "clip_norm" in c:
            squares = torch.linalg.vector_norm(of_part, dim=-1, keepdim=True).square()
            of_part = clip(of_part, c["clip_norm"], self.ranks.sum_(squares).sqrt())
            c = {name: value for name, value in c.items() if name != "clip_norm"}
        self.pieces.step(self.rule, self.state, w[..., self.own], of_part, c, step)
        self.ranks.gather_parts_(padded(w, self.ranks))

    def states(self) -> list[State]:
        return each_of({name: self._whole(t) for name, t in self.state.items()}, 1, isinstance(self.rows, slice))

    def _whole(self, part: Tensor) -> Tensor:
        """The vector of which each rank has such a part."""
        whole = part.new_zeros(self.parameters + room(self.parameters, self.ranks))
        whole[self.own] = part.flatten()
        self.ranks.gather_parts_(whole)
        return whole[: self.parameters].view(*part.shape[:-1], -1)

    def restore(self, states: Sequence[State]) -> None:
        for name, tensor in self.state.items():
            tensor.copy_(join([state[name] for state in states], isinstance(self.rows, slice))[..., self.own])

    def restart(self, mask: Tensor, w: Tensor) -> None:
        for name, new in self.rule.init(w[..., self.own]).items():
            self.state[name].copy_(where(mask, new, self.state[name]))


def _own(parameters: int, ranks: Ranks) -> slice:
    size = (parameters + room(parameters, ranks)) // ranks.size
    return slice(min(parameters, ranks.rank * size), min(parameters, (ranks.rank + 1) * size))
