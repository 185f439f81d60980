"""The run as a rank sees it that does not lead: it knows how the run stands, and records nothing."""

from typing import Any

from nettrain.training.logging.run_log import RunLog
from nettrain.training.run_state import RunState


class Follower(RunState):
    """A run whose records the leader writes; it has no callbacks either."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.log = Unrecorded(self.run)


class Unrecorded(RunLog):
    """A record that nobody keeps."""

    def rewind(self, epoch: int, step: int) -> None:
        """Nothing was recorded."""

    def epoch(self, numbers: dict[str, float]) -> None:
        """The leader has the same numbers."""

    def flush(self, sync: bool = False) -> None:
        """There is nothing to write."""

    def end(self, summary: dict[str, Any], test: dict[str, float], traceback: str | None = None) -> None:
        """The leader writes the summary."""
