"""Any `torch.optim.lr_scheduler`: the learning rates that it would give an optimizer, as a schedule."""

import inspect
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch.optim.lr_scheduler import LRScheduler

from nettrain.errors import ConfigError
from nettrain.parts.schedules import Schedule, Steps
from nettrain.registry import option, values_of
from nettrain.targets import building, located, maker
from nettrain.wording import counted

_OWN_KEYS = ("name", "warmup", "interval")


@dataclass
class TorchScheduler(Schedule):
    """Any scheduler of `torch.optim.lr_scheduler`, or one's own: what `_target_` names, called with the other keys.

    It acts on an optimizer that has nothing but the learning rate, before training: its steps are counted from the
    beginning of the run, so that an update's rate is a function of the update's number alone. One that takes the
    monitored number (`ReduceLROnPlateau`) is given it after each epoch; the numbers so far are its state. `interval` is
    when it steps. Schedulers inside of a scheduler are nodes with a `_target_`, too.
    """

    name: str = "torch"
    _target_: str = option(
        "???",
        "class of the scheduler, such as torch.optim.lr_scheduler.CosineAnnealingLR; further keys are its arguments",
    )
    interval: str = option(
        "epoch", "when the scheduler steps: after each epoch or each update", choices=("epoch", "step")
    )

    takes_any_key: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._observed: list[float] = []  # what a scheduler that looks at it has seen, after each epoch
        self._sign = 1
        self._begin(0.0)

    def _begin(self, lr: float) -> None:
        self._lr, self._rates = lr, list[float]()
        self._scheduler: Any = None

    def factor(self, t: Steps, per_epoch: int, updates: int) -> Steps:
        return self._rates_at(t, 1.0, per_epoch)

    def learning_rates(self, lr: float, t: Steps, per_epoch: int, updates: int) -> Steps:
        return self._rates_at(t, lr, per_epoch) * self.warmup_factor(t, per_epoch)

    def _rates_at(self, t: Steps, lr: float, per_epoch: int) -> Steps:
        """The rates of the updates t that the scheduler gives an optimizer with lr."""
        if self._looks_at_epochs:
            steps = np.full(t.shape, len(self._observed))
        else:
            steps = (t // per_epoch if self.interval == "epoch" else t).astype(int)
        if lr != self._lr or self._scheduler is None:
            self._begin(lr)
        with building("schedule", self._arguments(), supplied=1):
            self._go_on(int(steps.max()))
        return np.array(self._rates)[steps]

    def _go_on(self, steps: int) -> None:
        """Have the rates after so many steps."""
        if self._scheduler is None:
            self._optimizer = _Rate(self._lr)
            self._scheduler = self._built("schedule", self._arguments())
            self._optimizer.step()  # torch warns of schedulers that step first
            self._rates = [self._optimizer.rate]
        looks = self._looks_at_epochs
        for k in range(len(self._rates) - 1, steps):
            self._scheduler.step(*([self._observed[k]] if looks else []))
            self._rates.append(self._optimizer.rate)

    def _arguments(self) -> dict[str, Any]:
        arguments = {key: value for key, value in values_of(self).items() if key not in _OWN_KEYS}
        more_is_better = self._looks_at_epochs and self._sign < 0 and "mode" not in arguments
        return {**arguments, "mode": "max"} if more_is_better else arguments

    def _built(self, key: str, node: dict[str, Any]) -> Any:
        """The scheduler of a node, and those inside it, of the optimizer."""
        inner = {name: self._built_inside(f"{key}.{name}", value) for name, value in node.items() if _holds(value)}
        plain = {name: value for name, value in node.items() if name not in inner}
        with building(key, plain, supplied=1):
            scheduler = maker(plain)(self._optimizer, **inner)
        if not isinstance(scheduler, LRScheduler):
            raise ConfigError(
                f"{key}._target_={node['_target_']}: it is a {type(scheduler).__name__}, and no scheduler of torch's, "
                "which takes an optimizer."
            )
        return scheduler

    def _built_inside(self, key: str, value: Any) -> Any:
        if isinstance(value, list):
            return [self._built(f"{key}[{i}]", node) for i, node in enumerate(value)]
        return self._built(key, value)

    @property
    def _looks_at_epochs(self) -> bool:
        """Whether each step takes the number that is monitored."""
        step = getattr(located(self._target_, "schedule._target_"), "step", None)
        return step is not None and "metrics" in inspect.signature(step).parameters

    def require(self, lr: float, per_epoch: int, updates: int) -> None:
        """Raise `ConfigError` for a scheduler that cannot be built or stepped to the end of the run."""
        if self._looks_at_epochs and self.interval == "step":
            raise ConfigError(
                f"schedule.interval=step: {self._target_} looks at what is monitored, which is measured after each "
                "epoch; use schedule.interval=epoch."
            )
        try:
            self.learning_rates(lr, np.array([max(0.0, updates - 1.0)]), per_epoch, updates)
        except ConfigError as error:
            if not isinstance(error.__cause__, ValueError):
                raise
            raise ConfigError(f"{error} {self._advice(str(error), per_epoch, updates)}") from error

    def _advice(self, said: str, per_epoch: int, updates: int) -> str:
        """What may help a scheduler that does not like its arguments."""
        if "cycle_momentum" in said:
            return "A schedule decides about the learning rate alone: schedule.cycle_momentum=false."
        epochs = -(-updates // per_epoch)
        steps = epochs if self.interval == "epoch" else updates
        needs = f": schedule.total_steps={steps}" if "total" in said else ""
        return (
            f"The run makes {counted(updates, 'update')} in {counted(epochs, 'epoch')}, and with "
            f"schedule.interval={self.interval} the scheduler makes {counted(steps, 'step')}{needs}."
        )

    def observe(self, loss: float, sign: int = 1) -> None:
        if self._looks_at_epochs:
            self._observed.append(sign * loss)
            if sign != self._sign:
                self._sign = sign
                self._begin(self._lr)

    def state(self) -> dict[str, Any]:
        return {"observed": list(self._observed), "sign": self._sign} if self._looks_at_epochs else {}

    def restore(self, state: dict[str, Any]) -> None:
        self._observed, self._sign = list(state.get("observed", [])), int(state.get("sign", 1))
        self._begin(self._lr)


def _holds(value: Any) -> bool:
    """Whether the value is the node of a scheduler, or a list of such nodes."""
    if isinstance(value, list):
        return bool(value) and all(map(_holds, value))
    if not isinstance(value, dict) or "_target_" not in value:
        return False
    named = located(str(value["_target_"]))
    return isinstance(named, type) and issubclass(named, LRScheduler)


class _Rate(torch.optim.Optimizer):
    """An optimizer that has a learning rate, and nothing else."""

    def __init__(self, lr: float) -> None:
        super().__init__([torch.nn.Parameter(torch.zeros(1))], {"lr": lr})

    @property
    def rate(self) -> float:
        return float(self.param_groups[0]["lr"])

    def step(self, closure: Any = None) -> Any:
        """Nothing is trained."""
