"""What trains stacks elsewhere: one interface, and the engines behind it."""

from collections.abc import Sequence
from typing import Any, Protocol

from nettrain.app.sweep.cluster.task import Result

Handle = Any  # of a stack that was sent


class Lost(Exception):
    """A worker has not come back; `blameless` where the stack that it trained cannot be the reason."""

    def __init__(self, why: str, blameless: bool) -> None:
        super().__init__(why)
        self.blameless = blameless


class Engine(Protocol):
    """Sends stacks to workers, and gets their outcomes.

    `workers` of them train at the same time, each with so many `cores`; a stack may take `memory` GiB. At most `limit`
    stacks are handed over at a time: an engine with a queue of its own takes any number. `reads_tables` where workers
    are sent tables that were read here.
    """

    name: str
    workers: int
    cores: int
    memory: float | None
    limit: float
    sends_tables: bool

    def share(self, content: bytes) -> Any:
        """Make something known to all workers, which read it once; what stands for it."""

    def send(self, task: bytes, shared: Any, number: int, avoided: Sequence[str]) -> Handle:
        """Send a stack, not to the nodes that are to be `avoided` if there are others.

        Raises `ConfigError` where it is refused.
        """

    def ended(self, handles: Sequence[Handle], seconds: float) -> list[Handle]:
        """Those that have ended, after so many seconds at most."""

    def result(self, handle: Handle) -> Result:
        """How a stack has ended. Raises `Lost`, and `ConfigError` where a worker cannot run nettrain."""

    def news(self) -> dict[int, Any]:
        """What workers have reported since the last time, by the numbers of stacks: epochs, or files of runs."""

    def cancel(self, handle: Handle) -> None:
        """Have a worker save what it trains, and end."""

    def close(self) -> None:
        """Let the engine go."""
