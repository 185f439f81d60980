"""A student's own code beside ours: a Python file with functions, which is imported and run."""

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nettrain.data.shipped import Quadratic
from nettrain.errors import ConfigError, UserCodeError
from nettrain.exercises.answers import Exercise, Verdict
from nettrain.optimizers.rules import Coefficients, Rule
from nettrain.wording import counted

UPDATES = 50
NEAR = 1e-6  # how far weights of the size of 1 may differ: an epsilon in the denominator is no mistake
START = (1.5, -0.3, -2.2)

Program = Callable[..., Any]
Way = list[Tensor]  # the weights (P,) after each update


@dataclass(frozen=True)
class Task:
    """An update rule to be written: the function's name, its arguments behind w and g, and the rule that it should be.

    `state` are those of its arguments which it also returns; they begin with zeros. `t` counts the updates from 1 on,
    all others are numbers. `mistakes` are updates that are often written instead, each with a sentence about it.
    """

    function: str
    state: tuple[str, ...]
    numbers: Mapping[str, float]
    rules: Sequence[Rule]
    mistakes: Mapping[str, Program]
    counts: bool = False

    @property
    def signature(self) -> str:
        """How the function is called."""
        count = ["t"] if self.counts else []
        return f"{self.function}({', '.join(['w', 'g', *self.state, *count, *self.numbers])})"

    @property
    def returns(self) -> str:
        return ", ".join(["w", *self.state])


def written(task: Task) -> Exercise:
    """The exercise of writing an update rule as a function."""

    def check(answers: Sequence[str]) -> Verdict:
        program = load(answers[0], task.function)
        way = followed(task, lambda *arguments: _called(answers[0], task, program, *arguments))
        ours = [of_rule(rule) for rule in task.rules]
        return compared(task, way, ours)

    return Exercise(("FILE",), check)


def compared(task: Task, way: Way, ours: Sequence[Way]) -> Verdict:
    """Where a student's way through the weights first leaves ours: the one of several that it follows longest."""
    firsts = [_first_difference(way, other) for other in ours]
    if None in firsts:
        farthest = max(float((a - b).abs().max()) for a, b in zip(way, ours[firsts.index(None)], strict=True))
        return Verdict(True, f"{task.function} agrees with nettrain's over {UPDATES} updates, to {farthest:.1g}.")
    first = max(number for number in firsts if number is not None)
    other = ours[firsts.index(first)]
    difference = (way[first] - other[first]).abs()
    which = int(difference.nan_to_num(torch.inf).argmax())
    where = f"{task.function} first differs from nettrain's at update {first + 1}"
    sentence = f"{where}, in w{which + 1}, by {float(difference[which]):.3g}."
    for hint, mistake in task.mistakes.items():
        if _first_difference(way, followed(task, mistake)) is None:
            return Verdict(False, f"{sentence} {hint}")
    if first > 0:
        kept = f"Update {first} was right" if first == 1 else f"The first {first} updates were right"
        return Verdict(False, f"{sentence} {kept}: look at what is kept from one update to the next.")
    return Verdict(False, f"{sentence} Work out the first update by hand, where all that is kept is still 0.")


def load(path: str, function: str) -> Program:
    """A function of a student's file; `ConfigError` where it is not there, `UserCodeError` where the file fails."""
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"{path} is no file; give a Python file with the function {function}.")
    if file.suffix != ".py":
        raise ConfigError(f"{path} is no Python file; its name must end with .py.")
    spec = importlib.util.spec_from_file_location("nettrain_answer", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise UserCodeError(f"{path} cannot be imported", error) from error
    finally:
        sys.dont_write_bytecode = before
    program = getattr(module, function, None)
    if not callable(program):
        raise ConfigError(f"{path} has no function {function}.")
    return program


def gradient(w: Tensor) -> Tensor:
    """The gradient (3,) of the mean squared error of w1 x^2 + w2 x + w3 on the points of data=quadratic."""
    table = Quadratic().load()
    x, y = torch.as_tensor(table.columns["x"]), torch.as_tensor(table.target)
    powers = torch.stack([x**2, x, torch.ones_like(x)], dim=1)
    return 2 * (powers @ w - y) @ powers / len(y)


def of_rule(rule: Rule) -> Way:
    """The way of a rule."""
    w, way = torch.tensor(START, dtype=torch.float64), []
    state = rule.init(w)
    for t in range(1, UPDATES + 1):
        coefficients: Coefficients = {name: float(value) for name, value in rule.all_coefficients(t, rule.lr).items()}
        rule.step(state, w, gradient(w), coefficients)
        way.append(w.clone())
    return way


def followed(task: Task, program: Program) -> Way:
    """The way on which a function of a task's signature leads."""
    w, way = torch.tensor(START, dtype=torch.float64), []
    state = [torch.zeros_like(w) for _ in task.state]
    for t in range(1, UPDATES + 1):
        count = [t] if task.counts else []
        w, *state = program(w.clone(), gradient(w), *(s.clone() for s in state), *count, *task.numbers.values())
        way.append(w.clone())
    return way


def _called(path: str, task: Task, program: Program, *arguments: Any) -> list[Tensor]:
    """What a student's function returns, as tensors of w's shape."""
    try:
        returned = program(*arguments)
    except Exception as error:
        raise UserCodeError(f"{path}: {task.signature} fails", error) from error
    parts = [returned] if not isinstance(returned, tuple | list) else list(returned)
    needed = 1 + len(task.state)
    if returned is None or len(parts) != needed:
        what = "nothing" if returned is None else counted(len(parts), "value")
        raise ConfigError(f"{path}: {task.signature} returns {what}; it must return {task.returns}.")
    try:
        tensors = [torch.as_tensor(part, dtype=torch.float64) for part in parts]
    except (TypeError, ValueError, RuntimeError):
        raise ConfigError(f"{path}: what {task.signature} returns is not made of numbers.") from None
    if wrong := [tuple(t.shape) for t in tensors if t.shape != arguments[0].shape]:
        raise ConfigError(
            f"{path}: {task.signature} returns something of the shape {wrong[0]}; w, g and all that is kept have the "
            f"shape {tuple(arguments[0].shape)}."
        )
    return tensors


def _first_difference(way: Way, other: Way) -> int | None:
    """The number of the first update, from 0 on, after which two ways are not near each other; None: there is none."""
    for number, (a, b) in enumerate(zip(way, other, strict=True)):
        if not bool(((a - b).abs() <= NEAR).all()):
            return number
    return None
