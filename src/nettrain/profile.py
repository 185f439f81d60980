"""Where the time goes: `with stage("update"):` around a piece of work. It costs next to nothing while nobody looks."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any

STEPS = ("update", "compiled updates")  # the stages that are counted
WARM = 10  # updates, or calls of a compiled program, before the trace begins
TRACED = 50  # in the trace

_active: ContextVar["Profile | None"] = ContextVar("_active", default=None)
_NOTHING = nullcontext()


def stage(name: str) -> AbstractContextManager[None]:
    """Count the time within it as that of a stage, without that of stages inside it."""
    profile = _active.get()
    return _NOTHING if profile is None else profile.stage(name)


@contextmanager
def profiling(trace: Path) -> Iterator["Profile"]:
    """Within it stages are timed, and some updates are traced into the file `trace`."""
    profile = Profile(trace)
    token = _active.set(profile)
    try:
        yield profile
    finally:
        _active.reset(token)
        profile.end_trace()


class Profile:
    """The seconds of each stage, and a trace in Chrome's format, which Perfetto and TensorBoard open.

    Times are the host's; on a GPU they are those of launching the work.
    """

    def __init__(self, trace: Path) -> None:
        self.trace_path = trace
        self.seconds: defaultdict[str, float] = defaultdict(float)  # of each stage, without what is inside it
        self.steps = 0
        self._stack, self._since = ["other"], time.perf_counter()
        self._trace: Any = None

    def table(self, updates: int) -> list[str]:
        """A line for every stage: its seconds, its share, and microseconds per update."""
        self.end_trace()
        self._charge()
        total = sum(self.seconds.values())
        lines = [f"profile    {'stage':<18}{'seconds':>9}{'share':>8}{'us per update':>15}"]
        for name, spent in sorted(self.seconds.items(), key=lambda item: -item[1]):
            lines.append(f"           {name:<18}{spent:>9.3f}{spent / total:>8.1%}{spent / updates * 1e6:>15.1f}")
        if self.trace_path.exists():
            lines.append(f"           trace: {self.trace_path}, for https://ui.perfetto.dev or TensorBoard")
        return lines

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """As `nettrain.profile.stage`."""
        from torch.profiler import record_function

        if name in STEPS:
            self._count()
        self._charge()
        self._stack.append(name)
        try:
            with record_function(name):
                yield
        finally:
            self._charge()
            self._stack.pop()

    def _charge(self) -> None:
        """Count the time since the last call as that of the innermost stage."""
        now = time.perf_counter()
        self.seconds[self._stack[-1]] += now - self._since
        self._since = now

    def _count(self) -> None:
        if self.steps == WARM:
            import torch

            with self.stage("tracing"):
                self._trace = torch.profiler.profile()
                self._trace.start()
        elif self.steps == WARM + TRACED:
            self.end_trace()
        self.steps += 1

    def end_trace(self) -> None:
        """Write the trace, if one is being made."""
        if self._trace:
            with self.stage("tracing"):
                self._trace.stop()
                self._trace.export_chrome_trace(str(self.trace_path))
            self._trace = None
