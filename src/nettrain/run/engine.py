"""How updates are computed: eagerly, one by one, or many in one call of a compiled program."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nettrain.errors import ConfigError
from nettrain.parts.random import Noise
from nettrain.parts.rules import Coefficients
from nettrain.run import compiled
from nettrain.run.compiled import BuildError, Program
from nettrain.run.settings import Settings
from nettrain.run.stack import Stack

CALL_SECONDS = 0.25  # of one compiled call, between two of which signals and budgets are looked at
TIMED = 50  # eager updates by which their time is measured
OVERHEAD_SECONDS = 20e-6  # that compilation saves of an update for every parameter tensor: calls of its operations
BUILD_SECONDS = 20.0  # that it takes to build a program
WORTH_SECONDS = 2.0  # that have to be saved: the last bits of a result depend on the engine


class Engine:
    """Decides how the next updates of a stack are computed.

    `engine=auto` is whichever will be done first. That is decided once, after a few eager
    updates, and said by `say`; it is decided anew when rows have left the stack.
    """

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        by_time = settings.engine == "auto" and settings.deterministic  # then bits would depend on it
        self.choice = "eager" if by_time else settings.engine
        self.say = say
        self.program: Program | None = None
        self._decided: torch.Size | None = None  # the shape of w for which that has been
        self._timed, self._started = 0, 0.0
        self._was_compiled = False
        self._call = 64  # updates in the next compiled call

    def go_on(self, name: str) -> None:
        """Go on as a run did that was interrupted: compiled if it was."""
        self._was_compiled = name == "compiled"

    @property
    def name(self) -> str:
        return "compiled" if self.program else "eager"

    def updates(self, stack: Stack, in_pass: int, in_run: Callable[[], int], stop: Callable[[], bool]) -> int:
        """How many updates the next compiled call is to make; 0 where the next update is an eager one.

        `in_pass` and `in_run()` are how many are left. The last one of a pass is always eager: its batch may be
        smaller, and its gradient and change of w are wanted.
        """
        if self._decided != stack.w.shape:
            self._decide(stack, in_run(), stop)
        return min(self._call, in_pass - 1) if self.program else 0

    def advance(
        self,
        stack: Stack,
        batches: Sequence[tuple[Tensor, Tensor]],
        coefficients: Sequence[Sequence[Coefficients]],
        noises: Sequence[Noise | None],
    ) -> list[Tensor]:
        """Make the updates of these batches in one call; the logits z of each."""
        assert self.program
        start = time.perf_counter()
        zs = self.program.advance(stack, batches, coefficients, noises)
        seconds = (time.perf_counter() - start) / len(batches)
        self._call = max(1, int(CALL_SECONDS / seconds))
        return zs

    def _decide(self, stack: Stack, in_run: int, stop: Callable[[], bool]) -> None:
        asked = self.choice == "compiled" and self._decided is None
        self.program = None
        if self.choice != "eager" and compiled.can_compile(stack):
            known = asked or self._was_compiled
            if not known and self._timed < TIMED and in_run * self._saved(stack) > WORTH_SECONDS:
                self._started = self._started if self._timed else time.perf_counter()
                self._timed += 1
                return
            path = compiled.cached(stack)
            if known or self._pays(stack, in_run, path.exists()):
                try:
                    if not path.exists() and not compiled.compile_step(stack, path, stop):
                        return
                    self.program = Program(path)
                except (BuildError, OSError, RuntimeError) as error:
                    why = f"this run's step cannot be compiled ({error})"
                    if asked:
                        raise ConfigError(f"engine=compiled: {why}; use engine=eager.") from error
                    self.say(f"engine     eager: {why}")
        self._decided, self._timed, self._was_compiled = stack.w.shape, 0, False

    def _pays(self, stack: Stack, in_run: int, built: bool) -> bool:
        """Whether the run will end sooner if it is compiled; says so, if it is."""
        if not built and not compiled.compiler():
            return False
        eager = (time.perf_counter() - self._started) / max(self._timed, 1) if self._timed else 0.0
        saved = min(self._saved(stack), 0.8 * eager)
        before = 0.0 if built else BUILD_SECONDS
        if in_run * saved <= before + WORTH_SECONDS:
            return False
        compiling = "" if built else f", {before:.0f} s of it to compile them"
        soon, late = before + in_run * (eager - saved), in_run * eager
        self.say(
            f"engine     compiled: {in_run} updates will take about {soon:.0f} s instead of {late:.0f} s{compiling}"
        )
        return True

    def _saved(self, stack: Stack) -> float:
        """Seconds that compilation saves of an update, at most; a stack's batched products it slows down."""
        return 0.0 if stack.stacked else OVERHEAD_SECONDS * len(stack.objective.layout.names)
