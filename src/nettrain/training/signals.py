"""Ending a run in order: the first signal asks it to stop, the second one stops it at once."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_latest: int | None = None


def latest() -> int | None:
    """The signal by which a run of this process was last ended."""
    return _latest


def heeded() -> list[int]:
    """Those of `SIGNALS` that may be taken over: none in a thread other than the main one, none that is ignored."""
    if threading.current_thread() is not threading.main_thread():
        return []
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


class Signals:
    """A context in which SIGINT, SIGTERM and SIGHUP only set `received`; a second one acts as it would without us.

    One that is ignored, as under `nohup`, stays so. In a thread other than the main one nothing is taken over.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        self._previous = {number: signal.signal(number, self._receive) for number in heeded()}
        return self

    def _receive(self, number: int, frame: FrameType | None) -> None:
        global _latest
        self.received = _latest = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
