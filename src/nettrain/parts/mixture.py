"""The model of a run of several members: what they predict together."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nettrain.parts.heads import Head
from nettrain.parts.heads.base import equal_shares


class Mixture(nn.Module):
    """Modules that give logits (n, outputs) of x: together the logits of the mean of their distributions.

    What that is, the `head` decides (`Head.combined`): the mean of probabilities, of rates, of numbers.
    """

    def __init__(self, members: Sequence[nn.Module], head: Head) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.head = head

    def each(self, x: Any) -> Tensor:
        """The logits (K, n, outputs) of every member."""
        z = torch.stack([member(x) for member in self.members])
        return z.unsqueeze(-1) if z.dim() == 2 else z  # a module with one output may give (n,)

    def forward(self, x: Any) -> Tensor:
        """The logits (n, outputs) of all of them together."""
        z = self.each(x)
        return self.head.combined(z, equal_shares(z))


def members_state(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The `state_dict` of a mixture of members with these."""
    return {f"members.{i}.{name}": tensor for i, state in enumerate(states) for name, tensor in state.items()}


def out_of_bag(head: Head, z: Tensor, validates: Tensor) -> Tensor:
    """The logits (n, outputs) of those of the members, with logits z (K, n, outputs), that each sample validates.

    `validates`, (K, n), says so of each; it must validate one member at least.
    """
    shares = validates.to(z.dtype)
    return head.combined(z, shares / shares.sum(0))
