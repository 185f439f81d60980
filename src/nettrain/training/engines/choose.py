"""Which engine computes a stack's updates: one by one, the rule's part perhaps fused; many in one compiled call; or, on
a GPU, as a graph that is replayed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from nettrain.compiler.errors import CannotCompile
from nettrain.compiler.library import BuildError, compiler
from nettrain.errors import ConfigError
from nettrain.optimizers.solvers import Solver
from nettrain.optimizers.torch_optimizer import TorchOptimizer
from nettrain.parts.models.base import RowModule
from nettrain.training.engines.compiled import Compiled
from nettrain.training.engines.eager import Eager
from nettrain.training.engines.fused import Fused
from nettrain.training.engines.gpu_program import in_fast_memory
from nettrain.training.engines.graph import Graph, can_replay
from nettrain.training.engines.inductor import InductorObjective
from nettrain.training.engines.protocol import Engine
from nettrain.training.engines.shared import Shared
from nettrain.training.engines.solver import SolverEngine
from nettrain.training.stack.rule_groups import RuleGroup
from nettrain.training.stack.stack import Stack

BUILD_SECONDS = 0.15  # that it takes to compile a program for every parameter tensor, and half of that for a time step
FUSED_BUILD_SECONDS = 0.9  # that it takes for a fused rule
OVERHEAD_SECONDS = 12e-6  # that it saves of an update for every parameter tensor: calls of torch's operations
NOISE_SECONDS = 45e-6  # that it saves in addition where units are dropped: the hashes that decide it
UNIT_SECONDS = 6e-6  # and that each row's units cost there, or the copies of a network which shares its weights
NUMBER_SECONDS = 1.2e-9  # and for every weight of a stack: its way from memory and back
FUSED_SECONDS = 0.5e-9  # that a fused rule saves of an update for every weight: further ways from memory and back
LARGEST = 2**26  # multiplications of a forward pass beyond which torch's own products are as fast
LARGEST_ALONE = 2**25  # the same of a run alone whose weights are used at many places of a sample
LARGEST_CONVOLUTIONS = 2**27  # the same of convolutions without norms, alone or in a stack
LARGE = 2**20  # weights from which on a rule may be fused
GPU_BUILD_SECONDS = 4.0  # that it takes to compile a program for a GPU
GPU_UPDATE_SECONDS = 60e-6  # that it saves of a replayed update: the starts of some dozens of kernels
GPU_NUMBER_SECONDS = 50e-12  # and for every weight of a stack: its ways from the device's memory and back
RECORDED = 100  # updates that it takes as long to record as to make

Say = Callable[[str], None]


@dataclass(frozen=True)
class Whole:
    """The stack that rows belong to of which the others train elsewhere: they compute as all of them would together.

    It has so many rows and groups of rules, and the longest row makes so many `updates`.
    """

    rows: int
    rule_groups: int
    updates: int

    @classmethod
    def of(cls, stack: Stack) -> "Whole":
        return cls(len(stack.runs), len(stack.rule_groups), stack.updates)


def choose_engine(
    stack: Stack,
    asked: str,
    updates_left: int,
    threads: int,
    abandon: Callable[[], bool],
    say: Say,
    whole: Whole | None = None,
) -> Engine:
    """The engine that was `asked` for, or the one that `auto` stands for; `whole` is what `stack` is a part of.

    `engine=auto` compiles where that will save more time than it takes. The choice depends on the config and on whether
    there is a compiler, not on measured times: its last bits are the same every time. In float64 it is always eager,
    for a row of a sweep and for the run alone, so that both have the same digits. `say` is told of the choice.

    Raises `Abandoned` if `abandon()` became true while it was compiled, and `ConfigError` for `engine=compiled` and
    `engine=fused` if that cannot be done.
    """
    optimizer, whole = stack.runs[0].optimizer, whole or Whole.of(stack)
    if isinstance(optimizer, Solver):
        return SolverEngine(stack, optimizer, abandon)
    eager: Callable[..., Engine] = Shared if stack.ranks.size > 1 else Eager
    if asked == "inductor":
        say("engine     inductor: torch.compile compiles the network at the first update")
        part = stack.ranks.part(stack.batches.bs)
        samples = -(-(part.stop - part.start) // stack.objective.accumulate)
        eager = partial(eager, name="inductor", objective=InductorObjective(stack.objective, samples))
    if isinstance(optimizer, TorchOptimizer):
        return eager(stack)
    if stack.ranks.size > 1 and (asked in ("compiled", "graph") or stack.device.type == "cuda"):
        asked = "eager" if stack.device.type == "cuda" else "auto"  # it was alone when it was saved
    if stack.device.type == "cuda" and asked not in ("eager", "inductor"):
        return _on_gpu(stack, whole, asked, updates_left, abandon, say)
    auto = asked == "auto" and compiler() is not None
    try:
        if asked == "compiled" or (auto and can_compile(stack) and _compiling_pays(stack, whole, updates_left, say)):
            return Compiled(stack, threads, abandon)
        rule_too = auto or (asked == "inductor" and compiler() is not None)
        if asked == "fused" or (rule_too and can_fuse(stack) and _fusing_pays(stack, updates_left, say)):
            (group,) = stack.rule_groups
            assert isinstance(group, RuleGroup)
            fused = Fused(group.rule, group.names, stack.dtype, torch.get_num_threads(), abandon)
            return eager(stack, fused.step, **({} if asked == "inductor" else {"name": "fused"}))
    except (CannotCompile, BuildError, OSError) as error:
        why = f"this run's update cannot be compiled ({error})"
        if asked != "auto":
            raise ConfigError(f"engine={asked}: {why}; use engine=eager.") from error
        say(f"engine     eager: {why}")
    return eager(stack)


def _on_gpu(stack: Stack, whole: Whole, asked: str, updates_left: int, abandon: Callable[[], bool], say: Say) -> Engine:
    """The engine on a GPU, where "fused" is refused before."""
    if asked == "graph" and not can_replay(stack):
        raise ConfigError("engine=graph: this run's update is not the same every time; use engine=eager.")
    auto = asked == "auto" and stack.dtype != torch.float64
    try:
        pays = auto and can_compile(stack) and _compiling_pays_on_gpu(stack, whole, updates_left, say)
        if asked == "compiled" or pays:
            return Compiled(stack, 1, abandon)
    except (CannotCompile, BuildError) as error:
        if asked == "compiled":
            why = f"this run's update cannot be compiled ({error})"
            raise ConfigError(f"engine=compiled: {why}; use engine=auto.") from error
        say(f"engine     not compiled: {error}")
    if can_replay(stack) and (asked == "graph" or updates_left > RECORDED):
        return Graph(stack)
    return Eager(stack)


def _compiling_pays_on_gpu(stack: Stack, whole: Whole, updates_left: int, say: Say) -> bool:
    """Whether each row's update can be made in fast memory, and the run will end sooner then; says so, if it will."""
    runs, size = whole.rows, stack.objective.layout.size
    saved = updates_left * (GPU_UPDATE_SECONDS + GPU_NUMBER_SECONDS * size * runs)
    pays = in_fast_memory(stack) and saved > 2 * GPU_BUILD_SECONDS * whole.rule_groups
    if pays:
        of_runs = f" of {runs} runs" if runs > 1 else ""
        say(f"engine     compiled: it saves about {saved:.0f} s of {updates_left} updates{of_runs}")
    return pays


def _compiling_pays(stack: Stack, whole: Whole, updates_left: int, say: Say) -> bool:
    """Whether the run will end sooner if it is compiled; says so, if it is."""
    layout, runs, model = stack.objective.layout, whole.rows, stack.objective.model
    steps = model.steps if isinstance(model, RowModule) else 1
    copies = model.copies if isinstance(model, RowModule) else 1
    numbers = layout.size * runs if stack.stacked else 0
    overhead = OVERHEAD_SECONDS * steps
    if copies > 1:
        overhead += UNIT_SECONDS * copies * runs
    if stack.dropout is not None:
        overhead += NOISE_SECONDS + UNIT_SECONDS * copies * runs
    saved = updates_left * (overhead * len(layout.names) + NUMBER_SECONDS * numbers)
    build = BUILD_SECONDS * len(layout.names) * (1 + (steps - 1) / 2) * whole.rule_groups
    multiplications = stack.runs[0].multiplications
    most = LARGEST if runs > 1 or multiplications <= layout.size else LARGEST_ALONE
    if any(len(shape) == 4 for shape in layout.shapes) and not any("norm" in name for name in layout.names):
        most = LARGEST_CONVOLUTIONS
    pays = multiplications * stack.batches.bs <= most and saved > 2 * build
    if pays and stack.dtype == torch.float64:
        say(
            "engine     eager: the same digits in float64 as without compiling; engine=compiled would save about "
            f"{saved:.0f} s"
        )
        return False
    if pays:
        of_runs = f" of {runs} runs" if runs > 1 else ""
        say(f"engine     compiled: it saves about {saved:.0f} s of {updates_left} updates{of_runs}")
    return pays


def _fusing_pays(stack: Stack, updates_left: int, say: Say) -> bool:
    """The same for a fused rule."""
    saved = updates_left * FUSED_SECONDS * stack.objective.layout.size
    pays = saved > 2 * FUSED_BUILD_SECONDS
    if pays:
        say(f"engine     fused: it saves about {saved:.0f} s of {updates_left} updates")
    return pays


def can_fuse(stack: Stack) -> bool:
    """Whether the stack is a large run alone, the rule of which can be fused."""
    whole = all(isinstance(group, RuleGroup) and group.pieces.whole for group in stack.rule_groups)
    alone = not stack.stacked and stack.dtype != torch.float64
    return whole and alone and stack.objective.layout.size >= LARGE and stack.device.type == "cpu"


def can_compile(stack: Stack) -> bool:
    """Whether the stack's update is of a kind that can be compiled."""
    config = stack.runs[0].config
    plain = config.accumulate == 1 and config.precision in ("float32", "float64")
    known = stack.runs[0].compilable
    in_memory = not stack.runs[0].data.streamed
    device = stack.device.type in ("cpu", "cuda")
    alone = stack.ranks.size == 1  # several exchange gradients between updates
    return known and plain and in_memory and stack.skips is None and device and alone
