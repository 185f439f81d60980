"""How many updates a call may make, so that signals and budgets are looked at between calls in good time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

CALL_SECONDS = 0.25  # of one call
FIRST = 64  # updates, before it is known how long they take


class Pace:
    """The pace of updates on a device: `updates` is the number that takes about `CALL_SECONDS`.

    A call on a GPU is not waited for when it has been started, but before the next one is: so that the GPU has no more
    to do than that when a run is to stop.
    """

    def __init__(self, device: torch.device) -> None:
        self.updates, self.on_gpu = FIRST, device.type == "cuda"
        self.under_way: tuple[torch.cuda.Event, torch.cuda.Event, int] | None = None

    @contextmanager
    def call(self, number: int) -> Iterator[None]:
        """Around a call that makes so many updates."""
        if not self.on_gpu:
            began = time.perf_counter()
            yield
            self._learn(number, time.perf_counter() - began)
            return
        if self.under_way:
            first, last, before = self.under_way
            last.synchronize()
            self._learn(before, first.elapsed_time(last) / 1000)
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        yield
        last.record()
        self.under_way = first, last, number

    def _learn(self, number: int, seconds: float) -> None:
        self.updates = max(1, int(number * CALL_SECONDS / max(seconds, 1e-6)))
