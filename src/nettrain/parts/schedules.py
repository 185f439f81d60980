"""Learning-rate schedules: the factor by which the optimizer's `lr` is multiplied at each update.

`factor(t, per_epoch, updates)` takes the numbers t = 0, 1, ... of updates (float64), the updates per epoch and the
updates of the whole run; e = floor(t / per_epoch) is the number of finished epochs. A warm-up multiplies any
schedule by min(1, (t + 1) / (warmup per_epoch)). Only `plateau` has a state, which each epoch's loss changes.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nettrain.registry import option

Steps = np.ndarray


@dataclass
class Schedule(ABC):
    """What schedules share: an optional linear warm-up."""

    name: str = ""
    warmup: float = option(0.0, "epochs over which the learning rate rises linearly to its full value", minimum=0)

    per_row: ClassVar[bool] = True  # each row of a stack may have a schedule of its own

    def learning_rates(self, lr: float, t: Steps, per_epoch: int, updates: int) -> Steps:
        """The learning rate of each update t, where the optimizer's is lr."""
        return lr * self.lr_factors(t, per_epoch, updates)

    def lr_factors(self, t: Steps, per_epoch: int, updates: int) -> Steps:
        """The factor of each update t, warm-up included."""
        factor = np.broadcast_to(np.asarray(self.factor(t, per_epoch, updates), dtype=float), t.shape)
        return factor * self.warmup_factor(t, per_epoch)

    def warmup_factor(self, t: Steps, per_epoch: int) -> Steps | float:
        """The factor of the warm-up alone."""
        return np.minimum(1.0, (t + 1) / (self.warmup * per_epoch)) if self.warmup else 1.0

    @abstractmethod
    def factor(self, t: Steps, per_epoch: int, updates: int) -> Steps | float:
        """The factor of each update t without the warm-up."""

    def observe(self, loss: float, sign: int = 1) -> None:
        """Called after each epoch with the monitored loss; `sign` is -1 where that is minus what is monitored."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint has to keep of the schedule: plain numbers."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""


@dataclass
class Constant(Schedule):
    """factor = 1."""

    name: str = "constant"

    def factor(self, t: Steps, per_epoch: int, updates: int) -> float:
        return 1.0


@dataclass
class Step(Schedule):
    """factor = gamma^floor(e / step_size) (as `torch.optim.lr_scheduler.StepLR`, stepped every epoch)."""

    name: str = "step"
    step_size: int = option(10, "epochs between drops", minimum=1)
    gamma: float = option(0.5, "factor of each drop", above=0)

    def factor(self, t: Steps, per_epoch: int, updates: int) -> Steps:
        return self.gamma ** (t // per_epoch // self.step_size)


@dataclass
class Exponential(Schedule):
    """factor = gamma^e (as `torch.optim.lr_scheduler.ExponentialLR`, stepped every epoch)."""

    name: str = "exponential"
    gamma: float = option(0.95, "factor per epoch", above=0)

    def factor(self, t: Steps, per_epoch: int, updates: int) -> Steps:
        return self.gamma ** (t // per_epoch)


@dataclass
class InverseTime(Schedule):
    """factor = 1 / (1 + decay e), e counted in whole epochs from 0 (Robbins and Monro's condition holds)."""

    name: str = "inverse_time"
    decay: float = option(0.1, "growth of the denominator per epoch", minimum=0)

    def factor(self, t: Steps, per_epoch: int, updates: int) -> Steps:
        return 1 / (1 + self.decay * (t // per_epoch))


@dataclass
class Cosine(Schedule):
    """factor = floor + (1 - floor) (1 + cos(pi t / T)) / 2, T the updates of the run (Loshchilov and Hutter, 2017)."""

    name: str = "cosine"
    floor: float = option(0.0, "factor of the learning rate at the end", minimum=0, maximum=1)

    def factor(self, t: Steps, per_epoch: int, updates: int) -> Steps:
        return self.floor + (1 - self.floor) * (1 + np.cos(np.pi * t / updates)) / 2


@dataclass
class OneCycle(Schedule):
    """Cosine rise from 1/div to 1 over the first `rise` of the run, then cosine fall to 1/(div final_div).

    Smith and Topin (2019), as `torch.optim.lr_scheduler.OneCycleLR` has it; the optimizer's lr is the peak.
    """

    name: str = "one_cycle"
    rise: float = option(0.3, "share of the run during which the learning rate rises", above=0, below=1)
    div: float = option(25.0, "ratio of the peak to the first learning rate", minimum=1)
    final_div: float = option(1e4, "ratio of the first to the last learning rate", minimum=1)

    def factor(self, t: Steps, per_epoch: int, updates: int) -> Steps:
        top = self.rise * updates - 1
        end = updates - 1
        rising = t <= top
        share = np.where(rising, t / top if top > 0 else 0.0, (t - top) / (end - top))
        low = np.where(rising, 1 / self.div, 1 / (self.div * self.final_div))
        return np.where(rising, _cosine(low, 1.0, share), _cosine(1.0, low, share))


@dataclass
class Plateau(Schedule):
    """factor <- gamma factor after more than `patience` epochs in which the monitored loss has not improved.

    An epoch improves if its loss is below (1 - threshold) times the best one, or where more of what is monitored is
    better, if that is above (1 + threshold) times the best (as
    `torch.optim.lr_scheduler.ReduceLROnPlateau`); a loss that is not finite does not count at all.
    """

    name: str = "plateau"
    gamma: float = option(0.5, "factor of each drop", above=0, below=1)
    patience: int = option(5, "epochs without improvement before a drop", minimum=0)
    threshold: float = option(1e-4, "smallest relative improvement that counts", minimum=0)

    def __post_init__(self) -> None:
        self._memory: dict[str, Any] = {"factor": 1.0, "best": math.inf, "bad_epochs": 0}

    def factor(self, t: Steps, per_epoch: int, updates: int) -> float:
        current: float = self._memory["factor"]
        return current

    def observe(self, loss: float, sign: int = 1) -> None:
        memory = self._memory
        if not math.isfinite(loss):
            return
        if loss < memory["best"] * (1 - sign * self.threshold):
            memory.update(best=loss, bad_epochs=0)
            return
        memory["bad_epochs"] += 1
        if memory["bad_epochs"] > self.patience:
            memory.update(factor=memory["factor"] * self.gamma, bad_epochs=0)

    def state(self) -> dict[str, Any]:
        return dict(self._memory)

    def restore(self, state: dict[str, Any]) -> None:
        self._memory = dict(state)


def _cosine(start: Any, end: Any, share: Any) -> Any:
    """From start to end along half a cosine, as share goes from 0 to 1."""
    return end + (start - end) * (1 + np.cos(np.pi * share)) / 2
