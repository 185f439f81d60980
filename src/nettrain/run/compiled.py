"""Many updates in one call: a step of the stack, compiled as a loop over batches, and kept on disk for later runs.

A compiled program depends on the shapes and on the kinds of the parts, and on no number: learning rates and other
coefficients, batches and the keys of noise are its inputs. Another process builds it (`nettrain.run.build`), so that
a run can be interrupted meanwhile and need not import the compiler. Loading it takes milliseconds.
"""

import hashlib
import os
import pickle
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import EllipsisType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrain import errors, objective, parts, vector
from nettrain.parts.heads import Head
from nettrain.parts.models import RowModule
from nettrain.parts.random import Noise
from nettrain.parts.rules import Coefficients, Rule
from nettrain.run import build
from nettrain.run.stack import Stack
from nettrain.vector import Layout


class BuildError(Exception):
    """A program could not be built; the message is the compiler's own last line."""


@dataclass
class Step:
    """One update as a pure function of tensors."""

    model: RowModule
    head: Head
    blocks: list[tuple[Rule, slice | EllipsisType, list[str], list[str]]]  # a rule, its rows, its state, its scalars
    dropout: float | None  # of the one run; None where there is no noise, or each row has its own rate

    def __call__(self, *tensors: Tensor) -> list[Tensor]:
        """The new w and states of the blocks, and z.

        The arguments are w and the states, x, y, the scalars of each block, and where there is noise its key, followed
        by the rates of the rows where each has its own.
        """
        number = 1 + sum(len(names) for _, _, names, _ in self.blocks)
        w, *states = (tensor.clone() for tensor in tensors[:number])
        x, y, *more = tensors[number:]
        scalars, noise = more[: len(self.blocks)], more[len(self.blocks) :]
        layout = Layout.of(self.model)
        parameters = layout.views(w)
        gradients = {name: torch.empty_like(view) for name, view in parameters.items()}
        drawn = Noise(noise[0], noise[1] if len(noise) > 1 else self.dropout or 0.0) if noise else None
        z = self.model.backpropagate(
            parameters,
            x,
            drawn,
            lambda z: self.head.loss_gradient(z, y.expand(z.shape[:-1])) / y.shape[-1],
            gradients,
        )
        g = torch.cat([gradient.flatten(w.dim() - 1) for gradient in gradients.values()], dim=-1)
        rest = iter(states)
        for (rule, rows, names, of_rule), values in zip(self.blocks, scalars, strict=True):
            coefficients: Coefficients = dict(zip(of_rule, values.unbind(), strict=True))
            rule.step({name: next(rest) for name in names}, w[rows], g[rows], coefficients)
        return [w, *states, z]


class Program:
    """A loaded program for stacks of one shape."""

    def __init__(self, path: Path) -> None:
        self.loader = torch._C._aoti.AOTIModelPackageLoader(str(path), "model", False, 1, -1)

    def advance(
        self,
        stack: Stack,
        batches: Sequence[tuple[Tensor, Tensor]],
        coefficients: Sequence[Sequence[Coefficients]],
        noises: Sequence[Noise | None],
    ) -> list[Tensor]:
        """Make one update for each batch, all of the same size, in the stack's tensors; the logits z of each."""
        state = _state(stack)
        *new, z = self.loader.run([*state, *_inputs(stack, batches, coefficients, noises)])
        for old, value in zip(state, new, strict=True):
            old.copy_(value)
        return list(z.unbind())


def can_compile(stack: Stack) -> bool:
    """Whether the stack's step is of a kind that can be compiled."""
    settings = stack.setups[0].settings
    plain = settings.accumulate == 1 and settings.autocast is None
    return bool(stack.blocks) and isinstance(stack.objective.model, RowModule) and plain and stack.skips is None


def compiler() -> str | None:
    """The C++ compiler that torch would use; None if there is none."""
    names = [os.environ["CXX"]] if "CXX" in os.environ else ["g++", "clang++"]
    return next((found for name in names if (found := shutil.which(name))), None)


def cached(stack: Stack) -> Path:
    """Where the program for such stacks lies once it has been built: in `$XDG_CACHE_HOME/nettrain`, or ~/.cache."""
    step, first = _step(stack), stack.setups[0]
    rules = [([_branch(getattr(rule, f.name)) for f in fields(rule)], *more) for rule, *more in step.blocks]
    of_parts = [first.config["model"], first.config["activation"], step.head.name, step.dropout, rules]
    shapes = [(tuple(tensor.shape), str(tensor.dtype)) for tensor in _example(stack)]
    machine = [torch.__version__, platform.machine(), _processor(), torch.get_num_threads(), str(stack.device)]
    about = repr([of_parts, shapes, machine])
    sources = [Path(__file__), *(Path(str(module.__file__)) for module in (build, errors, objective, vector))]
    sources += sorted(Path(parts.__path__[0]).glob("*.py"))
    digest = hashlib.sha256(about.encode() + b"".join(path.read_bytes() for path in sources))
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nettrain"
    return folder / f"{digest.hexdigest()[:32]}.pt2"


def compile_step(stack: Stack, path: Path, abandon: Callable[[], bool]) -> bool:
    """Build the program for such stacks; False if `abandon()` became true meanwhile. Raises `BuildError`."""
    command = [sys.executable, "-m", "nettrain.run.build"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    example = [(tensor.shape, tensor.dtype, tensor.device) for tensor in _example(stack)]
    work: bytes | None = pickle.dumps((_step(stack), example, len(_state(stack)), path, torch.get_num_threads()))
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the run to handle
    ) as process:
        while True:
            try:
                _, said = process.communicate(work, timeout=0.05)
                break
            except subprocess.TimeoutExpired:
                work = None  # it has been handed over
            if abandon():
                os.killpg(process.pid, signal.SIGKILL)
                return False
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines()
        raise BuildError(lines[-1] if lines else f"exit code {process.returncode}")
    return True


def _step(stack: Stack) -> Step:
    first = stack.setups[0]
    (coefficients, *_), noise = stack.coefficients(0, stack.learning_rates(0)), stack.noises(0)[0]
    blocks = [
        (block.rule, block.rows, list(block.state), list(c))
        for block, c in zip(stack.blocks, coefficients, strict=True)
    ]
    model = stack.objective.model
    assert isinstance(model, RowModule)
    return Step(model, first.head, blocks, float(noise.rate) if noise and not stack.stacked else None)


def _state(stack: Stack) -> list[Tensor]:
    return [stack.w, *(tensor for block in stack.blocks for tensor in block.state.values())]


def _inputs(
    stack: Stack,
    batches: Sequence[tuple[Tensor, Tensor]],
    coefficients: Sequence[Sequence[Coefficients]],
    noises: Sequence[Noise | None],
) -> list[Tensor]:
    """What a program takes beside the state: x, y, the scalars of each block and the noise, of every update."""
    xs, ys = zip(*batches, strict=True)
    scalars = [_table(stack, [list(update[i].values()) for update in coefficients]) for i in range(len(stack.blocks))]
    return [torch.stack(xs), torch.stack(ys), *scalars, *_noise(stack, noises)]


def _table(stack: Stack, rows: list[list[Any]]) -> Tensor:
    if stack.stacked:
        return torch.stack([torch.stack(row) for row in rows])
    return torch.tensor(rows, dtype=stack.dtype, device=stack.device)


def _noise(stack: Stack, noises: Sequence[Noise | None]) -> list[Tensor]:
    drawn = [noise for noise in noises if noise is not None]
    if not drawn:
        return []
    if not stack.stacked:
        return [torch.tensor([noise.key for noise in drawn], device=stack.device)]
    return [torch.stack([n.key for n in drawn]), torch.stack([n.rate for n in drawn])]  # type: ignore[misc]


def _example(stack: Stack) -> list[Tensor]:
    """The state and the inputs of two updates."""
    batch = next(iter(stack.samples.batches(0)))
    coefficients = stack.coefficients(0, stack.learning_rates(0))[:2]
    return [*_state(stack), *_inputs(stack, [batch, batch], coefficients, stack.noises(0)[:2])]


def _branch(value: Any) -> Any:
    """What of a rule's setting can decide how the rule computes: of numbers only whether all are above 0."""
    return value if value is None or isinstance(value, bool | str) else bool(np.all(value > 0))


def _processor() -> str:
    """What the processor can do: a program is built for it alone."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
