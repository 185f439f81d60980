"""`Ranks`: what the processes that train one run together are to each other; by default there is but this one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class Ranks:
    """This process alone: what ranks exchange is what it has.

    `rank` is its number of `size`; `folder` is that of the run if it was begun by ranks that have been started again.
    The first one leads: it alone writes, and what depends on time, on files or on code that is called there alone, all
    do as it does.
    """

    rank, size = 0, 1
    folder: str | None = None

    def begin(self, folder: str | None) -> str | None:
        """The folder into which the leader trains the run, which it gives; what is started again will know it."""
        return folder

    @property
    def leads(self) -> bool:
        """Whether it is the first one."""
        return self.rank == 0

    def part(self, n: int, rank: int | None = None) -> slice:
        """Which of n things are this rank's, or another one's: neighbours, of which all have about equally many."""
        rank = self.rank if rank is None else rank
        return slice(n * rank // self.size, n * (rank + 1) // self.size)

    def device(self, name: str) -> torch.device | None:
        """The device of this rank, where each has one of its own; None where that is nobody's business but the run's.

        Raises `ConfigError` for a device that cannot be each one's.
        """
        return None

    def use(self, device: torch.device) -> None:
        """From now on tensors on this device are exchanged, too."""

    def clock(self) -> float:
        """Seconds, as the leader's clock had them when all met last."""
        return time.monotonic()

    def meet(self, received: int | None) -> int | None:
        """Bring the clock up to date; the signal that this rank, or another one, has received."""
        return received

    def meeting_due(self, updates: int) -> bool:
        """Whether it is time to meet, after so many updates."""
        return False

    def first(self, value: Any) -> Any:
        """The leader's value, however long it takes to have it."""
        return value

    def all(self, value: Any) -> list[Any]:
        """Every rank's value."""
        return [value]

    def sum_(self, tensor: Tensor) -> Tensor:
        """The tensor, changed into the sum of all ranks'."""
        return tensor

    def sum_of_part_(self, padded: Tensor) -> None:
        """Change this rank's part of a vector (size * q,), which is the q numbers from `rank` * q on, into the sum of
        all ranks' vectors there."""

    def gather_parts_(self, padded: Tensor) -> None:
        """Change a vector (size * q,) into that of which each rank has its part."""

    def joined(self, tensor: Tensor, dim: int) -> Tensor:
        """Every rank's tensor, one after another along a dimension, in which they may differ in size."""
        return tensor

    @contextmanager
    def underway(self) -> Iterator[None]:
        """Within it the others learn soon of an error that ends this process."""
        yield


ALONE = Ranks()
