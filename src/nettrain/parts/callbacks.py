"""Callbacks: what accompanies a run, and is called at its start, after each epoch, when it is saved and at its end.

Nothing is called between updates: that would cost a row of a stack more than its arithmetic.
"""

import inspect
import numbers as abstract
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

DEEPEST = 24  # containers inside one another that a checkpoint keeps of a state
HOOKS = ("start", "epoch", "save", "end")
_OF_OTHERS = re.compile(
    r"on_(\w+_)?(train|fit|validation|test|epoch|batch|step|evaluate|predict|save|load|exception)\w*"
)


@dataclass(frozen=True, eq=False, repr=False)
class RunView:
    """What a hook is shown of its run, as it is then; changing any of it changes nothing.

    - folder: where the run writes, and a callback may write files of its own.
    - config: the composed config, nested dictionaries, as in .hydra/config.yaml.
    - hparams: what of it tells runs apart, flat, such as {"optimizer": "adam", "optimizer.lr": 0.001}.
    - overrides: what the run was asked for, as typed.
    - sweep, number: the folder of the sweep and the run's number in it; None for a run that is in none.
    - numbers: those of the last epoch by the names of metrics.csv's columns; empty before the first one.
    - best: the same of the best epoch so far.
    - status: running, completed, interrupted, diverged or failed; and the reason, if it ended before its last epoch.
    - summary: in `end` what summary.json will hold; empty before.
    """

    folder: Path
    config: Mapping[str, Any]
    hparams: Mapping[str, Any]
    overrides: tuple[str, ...] = ()
    sweep: Path | None = None
    number: int | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    best: Mapping[str, float] = field(default_factory=dict)
    status: str = "running"
    reason: str | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    _module: Callable[[bool], nn.Module] | None = None
    _samples: Callable[[str], tuple[Tensor, Tensor]] | None = None
    _record: Callable[[str, Any], None] | None = None

    @property
    def epoch(self) -> int:
        """Epochs that are completed; at the start of a run that goes on those before it was stopped."""
        return int(self.numbers.get("epoch", 0))

    @property
    def model(self) -> nn.Module:
        """A copy of the module with the present weights, on the CPU and in evaluation mode; made when asked for."""
        assert self._module is not None
        return self._module(False)

    @property
    def best_model(self) -> nn.Module:
        """The same with the weights of the best epoch."""
        assert self._module is not None
        return self._module(True)

    def samples(self, split: str) -> tuple[Tensor, Tensor]:
        """x and y of a split (train, val or test) as the model and the loss take them: encoded, y of shape (n,)."""
        assert self._samples is not None
        return self._samples(split)

    def record(self, name: str, value: float) -> None:
        """Add a number to those of this epoch: in metrics.csv, TensorBoard and loggers, its last value in the summary.

        Only `epoch` may. Raises `ValueError` for a name that stands for something else, or cannot be one.
        """
        if self._record is None:
            raise RuntimeError("record adds to the numbers of an epoch, and is for the hook epoch")
        self._record(name, value)


class Callback:
    """What accompanies a run; each run, also each row of a stack, has one of its own. Override the hooks you need.

    An error in a hook ends the run as failed; the other runs of a sweep go on. A dataclass with a `name` is a part,
    `callbacks=[name]`, whose fields are keys; any other class is used by `callbacks.<any name>._target_=module.Class`.
    """

    name: str = ""

    def start(self, run: RunView) -> None:
        """Before the first epoch; in a run that goes on before its next one, after `load_state_dict`."""

    def epoch(self, run: RunView) -> str | None:
        """After each epoch, before its numbers are written; a text that is returned ends the run, and is the reason."""
        return None

    def save(self, run: RunView) -> None:
        """Before a checkpoint is written; files of your own should not be behind it. `state_dict` is asked next."""

    def end(self, run: RunView) -> None:
        """At the end, however it comes (`run.status`), after the last checkpoint."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: numbers, texts, None, tensors, and lists and dictionaries of them."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""


class Logger(Callback):
    """A callback that tells another program of the run: `logger=[name]`. It may change when a run is resumed.

    It is called after all other callbacks, so that it sees the numbers that they record.
    """

    extra: ClassVar[str] = ""  # the package that it needs, by whose name nettrain has an extra

    @property
    def destination(self) -> str | None:
        """Where it sends to, if its keys say so: for a run folder of somebody else's that needs trust."""
        return None


def misshapen(callback: Any) -> str | None:
    """What keeps an object from being a callback, as the rest of a sentence; None if it can be one."""
    kind = callback.__name__ if inspect.isclass(callback) else type(callback).__name__
    if inspect.isclass(callback):
        return f"it is the class {kind} itself; hand over an object, {kind}(...)"
    cls = type(callback)
    foreign = [name for name in dir(cls) if _OF_OTHERS.fullmatch(name)]
    hooks = f"the hooks are {', '.join(HOOKS[:-1])} and {HOOKS[-1]}"
    if not isinstance(callback, Callback):
        of_another = f", whose hooks such as {foreign[0]} would not be called" if foreign else ""
        return f"{kind} is not derived from nettrain.Callback{of_another}; {hooks}"
    if foreign:
        return f"{kind} has a method {foreign[0]}, which would not be called; {hooks}"
    overridden = [hook for hook in HOOKS if getattr(cls, hook) is not getattr(Callback, hook)]
    if not overridden:
        return f"{kind} overrides no hook; {hooks}"
    for hook in overridden:
        method = getattr(callback, hook)
        if not callable(method) or inspect.iscoroutinefunction(method) or inspect.isgeneratorfunction(method):
            return f"{hook} of {kind} is not an ordinary method; it is called with the run, {hook}(self, run)"
        try:
            inspect.signature(method).bind(None)
        except TypeError:
            return f"{hook} of {kind} cannot be called with the run alone; write it as {hook}(self, run)"
    pair = ("state_dict", "load_state_dict")
    there = [getattr(cls, name) is not getattr(Callback, name) for name in pair]
    if there[0] != there[1]:
        return f"{kind} has {pair[there[1]]} without {pair[there[0]]}, and could not go on where it was"
    return None


def plain(value: Any, where: str = "", depth: int = 0) -> Any:
    """A copy made of plain values and tensors on the host; `TypeError` says where it has anything else."""
    if depth >= DEEPEST:
        raise TypeError(f"more than {DEEPEST} containers inside one another")
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Tensor) and not (value.is_sparse or value.is_quantized):
        return value.detach().as_subclass(Tensor).resolve_conj().resolve_neg().cpu().contiguous().clone()
    if isinstance(value, Mapping) and all(type(key) in (str, int) for key in value):
        return {key: plain(inner, f"{where}[{key!r}]", depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        items = [plain(inner, f"{where}[{i}]", depth + 1) for i, inner in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, abstract.Integral):  # NumPy's
        return int(value)
    if isinstance(value, abstract.Real):
        return float(value)
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"a {type(value).__module__}.{type(value).__qualname__}" + (f" at {where}" if where else ""))
