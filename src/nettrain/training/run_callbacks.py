"""The callbacks of one run in training: called, and what they answer taken in and checked."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from nettrain.config.scopes import hparams
from nettrain.errors import ConfigError, Mistake, StorageError, UserCodeError
from nettrain.parts.callbacks import RunView, plain
from nettrain.preparation.prepared import PreparedRun
from nettrain.terminal import tell

SUMMARY = (  # names that say other things in summary.json
    *(
        "status",
        "reason",
        "message",
        "exit_code",
        "epochs",
        "updates",
        "updates_per_epoch",
        "parameters",
        "seconds",
        "run",
    ),
    *("function_evaluations", "gradient_evaluations", "hessian_vector_products", "skipped_updates", "lr_halvings"),
    *("best_epoch", "monitor", "monitor_sign", "members"),
)
_COLUMN = re.compile(r"[\w./:%()+-]([\w./:%()+ -]*[\w./:%()+-])?")  # what a column may be called
PREFIXES = ("train_", "val_", "test_", "best_", "baseline_", "members_", "spread_")  # of the names that nettrain gives


class RunCallbacks:
    """The callbacks of a run, in the order in which they are called, and what they have added to it.

    `recorded` are the numbers that they have recorded of the last epoch, `latest` the last value of each that they ever
    have; `error` is what one of them has failed with.
    """

    def __init__(self, run: PreparedRun, module: Callable[[bool], nn.Module]) -> None:
        self.callbacks = run.callbacks
        self.recorded: dict[str, float] = {}
        self.latest: dict[str, float] = {}
        self.error: Mistake | None = None
        self._started: list[str] = []
        self._states: dict[str, Any] = {}  # of the checkpoint from which the run goes on
        if self.callbacks:
            self._view = _view(run, module)

    def start(self, **present: Any) -> None:
        """Call the hook of all, each with its state if the run goes on."""
        for key, callback in self.callbacks.items():
            if self.error:
                return
            if key in self._states:
                self._call(key, "load_state_dict", callback.load_state_dict, self._states[key])
            if not self.error:
                self._call(key, "start", callback.start, self._shown(present))
            if not self.error:
                self._started.append(key)

    def epoch(self, numbers: dict[str, float], **present: Any) -> str | None:
        """Call the hook of all; the reason to end the run, if one of them gives any."""
        ended, self.recorded = None, {}
        for key, callback in self.callbacks.items():
            if self.error:
                break
            view = dataclasses.replace(
                self._shown({"numbers": {**numbers, **self.recorded}, **present}),
                _record=lambda name, value: self._record(numbers, name, value),
            )
            reason = self._call(key, f"epoch after epoch {view.epoch}", callback.epoch, view)
            if reason is not None and not (isinstance(reason, str) and reason.strip()) and not self.error:
                self.error = ConfigError(
                    f"{key}: its hook epoch returned {_described(reason)}; it returns None, or a text to end the run: "
                    "the reason."
                )
            elif reason and ended is None:
                ended = f"{key}: {' '.join(reason.split())}"
        return ended

    def save(self, **present: Any) -> None:
        """Call the hook of all."""
        for key, callback in self.callbacks.items():
            if not self.error:
                self._call(key, "save", callback.save, self._shown(present))

    def end(self, **present: Any) -> None:
        """Call the hook of all that were started, also where one of them has failed."""
        for key in self._started:
            before, self.error = self.error, None
            if before:
                present |= {"status": "failed"}
            self._call(key, "end", self.callbacks[key].end, self._shown(present))
            if before and self.error:
                tell(self.error)
            self.error = before or self.error

    def state(self) -> dict[str, Any]:
        """What a checkpoint has to keep of them; of those that this start of the program has not, what it had."""
        states = dict(self._states)
        for key, callback in self.callbacks.items():
            state = self._call(key, "state_dict", callback.state_dict)
            if self.error:
                break
            try:
                if not isinstance(state, dict):
                    raise TypeError(f"{_described(state)} in the place of a dictionary")
                states[key] = plain(state)
            except TypeError as error:
                self.error = ConfigError(
                    f"{key}: its state_dict has {error}; a checkpoint keeps a dictionary of numbers, texts, None, "
                    "tensors, and lists and dictionaries of them."
                )
        return {"states": states, "recorded": self.latest}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave; the callbacks get it at their start."""
        self._states, self.latest = dict(state["states"]), dict(state["recorded"])

    def _shown(self, present: Mapping[str, Any]) -> RunView:
        frozen: dict[str, Any] = {
            name: MappingProxyType(dict(v)) if isinstance(v, dict) else v for name, v in present.items()
        }
        return dataclasses.replace(self._view, **frozen)

    def _call(self, key: str, what: str, hook: Callable[..., Any], *arguments: Any) -> Any:
        """What a hook returns; an error of its is kept, but for a full disk, which ends more than the run."""
        try:
            return hook(*arguments)
        except StorageError:
            raise
        except Mistake as mistake:
            self.error = mistake
        except Exception as error:
            self.error = UserCodeError(f"{key}: {what} failed", error)
            self.error.__cause__ = error
        return None

    def _record(self, numbers: Mapping[str, float], name: Any, value: Any) -> None:
        if not isinstance(name, str) or not _COLUMN.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a number: it is the name of a column of metrics.csv")
        if name in numbers or name in SUMMARY or name.startswith(PREFIXES):
            raise ValueError(f"{name} is, or may be, a number of nettrain's; choose another name")
        if name in self.recorded:
            raise ValueError(f"{name} has been recorded in this epoch already")
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"{name} is {_described(value)}; only numbers are recorded") from None
        self.recorded[name] = self.latest[name] = number


def _view(run: PreparedRun, module: Callable[[bool], nn.Module]) -> RunView:
    def samples(split: str) -> tuple[Tensor, Tensor]:
        rows, dtype = run.data.splits[split], run.config.dtype
        y = torch.as_tensor(run.data.y[rows])
        return torch.as_tensor(run.data.x[rows], dtype=dtype), y if y.dtype == torch.int64 else y.to(dtype)

    return RunView(
        folder=run.folder,
        config=plain(run.container),
        hparams=hparams(run.container),
        overrides=tuple(run.overrides),
        sweep=run.sweep,
        number=run.number,
        _module=module,
        _samples=samples,
    )


def _described(value: Any) -> str:
    if isinstance(value, bool | int | float | str):
        return repr(value)
    return f"a {type(value).__name__}"
