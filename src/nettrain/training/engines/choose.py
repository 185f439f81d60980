"""How updates are computed: one by one, the rule's part perhaps fused, or many in one call of a compiled program."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from nettrain.compiler.library import BuildError, compiler
from nettrain.compiler.recording import CannotCompile
from nettrain.config.settings import Settings
from nettrain.errors import ConfigError
from nettrain.parts.models import RowModule
from nettrain.training.engines.compiled import Compiled
from nettrain.training.engines.eager import Eager
from nettrain.training.engines.fused import Fused
from nettrain.training.engines.program import scalar_names
from nettrain.training.stack.stack import Stack

BUILD_SECONDS = 0.9  # that it takes to compile a program
OVERHEAD_SECONDS = 12e-6  # that it saves of an update for every parameter tensor: calls of torch's operations
NUMBER_SECONDS = 1.2e-9  # and for every weight of a stack: its way from memory and back
FUSED_SECONDS = 0.5e-9  # that a fused rule saves of an update for every weight: further ways from memory and back
LARGEST = 2**26  # multiplications of a forward pass beyond which torch's own products are as fast
LARGE = 2**20  # weights from which on a rule may be fused


class Updates(Protocol):
    """What an engine offers to a pass over the training split."""

    name: str
    most: int  # updates that one call should make

    def begin(self, stack: Stack, epoch: int, rates: np.ndarray, start: int) -> None:
        """Get ready for the updates of an epoch from number `start` on; `rates` are their learning rates."""

    def advance(self, number: int, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """Make so many updates; z (..., samples, outputs) of them, and the gradient g (..., P) of the last one.

        The weights before the last one are written into `before`, if given.
        """

    def watched(self, stack: Stack, gradient: Tensor | None, change: Tensor) -> dict[str, Tensor]:
        """The numbers of the inside of the network, each (...), as `layer_statistics.watched` does."""


class Engine:
    """Chooses how the updates of a stack are computed.

    `engine=auto` compiles where that will save more time than it takes. The choice depends on the config and on whether
    there is a compiler, not on measured times: its last bits are the same every time. In float64 it is always eager,
    for a row of a sweep and for the run alone, so that both have the same digits. `say` is told of the choice.
    """

    def __init__(self, settings: Settings, threads: int, say: Callable[[str], None]) -> None:
        self.choice, self.threads, self.say = settings.engine, threads, say
        self.updates: Updates = Eager()

    def go_on(self, name: str) -> None:
        """Go on as a run did that was interrupted, whatever `auto` would choose now."""
        self.choice = name if self.choice == "auto" else self.choice

    def choose(self, stack: Stack, left: int, abandon: Callable[[], bool]) -> None:
        """Choose for this stack, of which so many updates are left.

        Raises `Abandoned` if `abandon()` became true while it was compiled, and `ConfigError` for `engine=compiled` and
        `engine=fused` if that cannot be done.
        """
        asked, auto = self.choice, self.choice == "auto" and compiler() is not None
        try:
            if asked == "compiled" or (auto and can_compile(stack) and self._compiling_pays(stack, left)):
                compiled = Compiled(stack, self.threads, abandon)
                self.updates, stack.forward = compiled, compiled.forward
            elif asked == "fused" or (auto and can_fuse(stack) and self._fusing_pays(stack, left)):
                (block,) = stack.blocks
                names = scalar_names(stack, block)
                self.updates = Eager(Fused(block.rule, names, stack.dtype, torch.get_num_threads(), abandon))
        except (CannotCompile, BuildError, OSError) as error:
            why = f"this run's update cannot be compiled ({error})"
            if asked != "auto":
                raise ConfigError(f"engine={asked}: {why}; use engine=eager.") from error
            self.say(f"engine     eager: {why}")
        self.choice = self.updates.name

    def _compiling_pays(self, stack: Stack, left: int) -> bool:
        """Whether the run will end sooner if it is compiled; says so, if it is."""
        layout, rows = stack.objective.layout, len(stack.setups)
        numbers = layout.size * rows if stack.stacked else 0
        saved = left * (OVERHEAD_SECONDS * len(layout.names) + NUMBER_SECONDS * numbers)
        pays = layout.size * stack.samples.bs <= LARGEST and saved > 2 * BUILD_SECONDS * len(stack.blocks)
        runs = f" of {rows} runs" if rows > 1 else ""
        if pays and stack.dtype == torch.float64:
            self.say(f"engine     eager: equal digits in float64; engine=compiled would save about {saved:.0f} s")
            return False
        if pays:
            self.say(f"engine     compiled: it saves about {saved:.0f} s of {left} updates{runs}")
        return pays

    def _fusing_pays(self, stack: Stack, left: int) -> bool:
        """The same for a fused rule."""
        saved = left * FUSED_SECONDS * stack.objective.layout.size
        pays = saved > 2 * BUILD_SECONDS
        if pays:
            self.say(f"engine     fused: it saves about {saved:.0f} s of {left} updates")
        return pays


def can_fuse(stack: Stack) -> bool:
    """Whether the stack is a large run alone, the rule of which can be fused."""
    alone = bool(stack.blocks) and not stack.stacked and stack.dtype != torch.float64
    return alone and stack.objective.layout.size >= LARGE and stack.device.type == "cpu"


def can_compile(stack: Stack) -> bool:
    """Whether the stack's update is of a kind that can be compiled."""
    settings = stack.setups[0].settings
    plain = settings.accumulate == 1 and settings.autocast is None
    own = bool(stack.blocks) and isinstance(stack.objective.model, RowModule)
    return own and plain and stack.skips is None and stack.device.type == "cpu"
