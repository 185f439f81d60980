"""Where the time of a run goes: a table of its stages, and a trace of some updates by `torch.profiler`."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.profiler import record_function

from nettrain.training.engines.choose import Engine
from nettrain.training.run_state import Row
from nettrain.training.stack.stack import Stack

WARM = 10  # updates, or calls of a compiled program, before the trace begins
TRACED = 50  # in the trace


class Profile:
    """Times the stages of training, by wrapping the functions that they consist of.

    It writes `profile.json` into the first run's folder: a few updates in Chrome's trace format, which Perfetto and
    TensorBoard open. Times are the host's; on a GPU they are those of launching the work.
    """

    def __init__(self, stack: Stack, engine: Engine, rows: Sequence[Row]) -> None:
        self.path = rows[0].setup.folder / "profile.json"
        self.seconds: defaultdict[str, float] = defaultdict(float)  # of each stage, without what is inside it
        self.steps = 0
        self._inside, self._since = ["other"], time.perf_counter()
        self._trace: torch.profiler.profile | None = None
        objective = stack.objective
        self._wrap(objective, "gradient", "forward")
        self._wrap(objective, "_loss_gradient", "backward", to_the_end=True)
        self._wrap(objective, "_forward", "backward", to_the_end=True, after=True)
        self._wrap(objective, "measure", "evaluation")
        self._wrap(stack, "evaluate", "evaluation")
        for block in stack.blocks:
            self._wrap(block.rule, "step", "update")
        self._wrap_updates(engine)
        for row in rows:
            for owner, name in ((row, "save"), (row.record, "epoch"), (row.record, "flush"), (row.record, "summary")):
                self._wrap(owner, name, "writing")
        batches = stack.samples.batches
        stack.samples.batches = lambda epoch: self._each(batches(epoch))  # type: ignore[method-assign]

    def table(self, updates: int) -> list[str]:
        """A line for every stage: its seconds, its share, and microseconds per update."""
        self._finish()
        self._enter("other")
        whole = sum(self.seconds.values())
        lines = [f"profile    {'stage':<18}{'seconds':>9}{'share':>8}{'us per update':>15}"]
        for stage, spent in sorted(self.seconds.items(), key=lambda item: -item[1]):
            lines.append(f"           {stage:<18}{spent:>9.3f}{spent / whole:>8.1%}{spent / updates * 1e6:>15.1f}")
        if self.path.exists():
            lines.append(f"           trace: {self.path}, for https://ui.perfetto.dev or TensorBoard")
        return lines

    def _enter(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[self._inside[-1]] += now - self._since
        self._inside[-1], self._since = stage, now

    @contextmanager
    def _stage(self, stage: str) -> Iterator[None]:
        around = self._inside[-1]
        self._enter(around)
        self._inside.append(around)
        self._enter(stage)
        try:
            with record_function(stage):
                yield
        finally:
            self._enter(around)
            self._inside.pop()

    def _wrap(self, owner: Any, name: str, stage: str, to_the_end: bool = False, after: bool = False) -> None:
        """Count a method's time as that of a stage; `to_the_end`, all that follows within the stage around it, too."""
        method: Callable[..., Any] = getattr(owner, name)

        def staged(*arguments: Any, **more: Any) -> Any:
            if not to_the_end:
                if stage in ("forward", "compiled updates"):
                    self._count()
                with self._stage(stage):
                    return method(*arguments, **more)
            training = self._inside[-1] == "forward"
            if training and not after:
                self._enter(stage)
            result = method(*arguments, **more)
            if training and after:
                self._enter(stage)
            return result

        setattr(owner, name, staged)

    def _wrap_updates(self, engine: Engine) -> None:
        """Count a compiled program's calls as a stage, once the engine has been chosen."""
        choose = engine.choose

        def chosen(*arguments: Any) -> None:
            choose(*arguments)
            if engine.updates.name == "compiled":
                self._wrap(engine.updates, "advance", "compiled updates")
            if engine.updates.name == "fused":
                self._wrap(engine.updates, "step", "update")

        engine.choose = chosen  # type: ignore[method-assign,assignment]

    def _each(self, batches: Iterator[Any]) -> Iterator[Any]:
        while True:
            with self._stage("batch"):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def _count(self) -> None:
        if self.steps == WARM:
            with self._stage("tracing"):
                self._trace = torch.profiler.profile()
                self._trace.start()
        elif self.steps == WARM + TRACED:
            self._finish()
        self.steps += 1

    def _finish(self) -> None:
        if self._trace:
            with self._stage("tracing"):
                self._trace.stop()
                self._trace.export_chrome_trace(str(self.path))
            self._trace = None
