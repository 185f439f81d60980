"""One run, prepared: its parts are built and its data are read, so nothing is left that a typing error can break."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nettrain.config.settings import Settings
from nettrain.data import Data
from nettrain.objective import Objective
from nettrain.optimizers.rules import Rule
from nettrain.optimizers.solvers import Solver
from nettrain.parts.heads import Head
from nettrain.parts.schedules import Schedule
from nettrain.storage.yaml_text import yaml_text
from nettrain.training.logging.tensorboard import EventFile
from nettrain.vector import Layout

Live = Callable[[Objective, Tensor, int, EventFile], None]
"""What is called after an epoch: with the objective, the weights w (P,), the number of updates and the events."""


@dataclass
class Setup:
    """What the trainer needs of one run.

    `config` is the composed configuration as plain containers; `hparams` is the part of it, flat, by which runs are
    told apart in TensorBoard. `model` has its initial weights.
    """

    folder: Path
    settings: Settings
    data: Data
    model: nn.Module
    head: Head
    optimizer: Rule | Solver
    schedule: Schedule
    config: dict[str, Any]
    hparams: dict[str, Any]
    notes: list[str]
    pictured: bool = False  # figures will be drawn of it, which show its path through the space of the weights
    live: Live | None = None  # draws pictures while it trains

    @cached_property
    def config_text(self) -> str:
        """The config as YAML."""
        return yaml_text(self.config)

    @property
    def n_train(self) -> int:
        return len(self.data.splits["train"])

    @property
    def updates_per_epoch(self) -> int:
        """n_train / bs, rounded up, or down with drop_last (but at least one)."""
        bs = self.settings.batch_size(self.n_train)
        return max(1, self.n_train // bs if self.settings.drop_last else -(-self.n_train // bs))

    @property
    def parameters(self) -> int:
        """The number of trainable parameters, P."""
        return Layout.of(self.model).size

    @property
    def lr(self) -> float:
        """The optimizer's learning rate; NaN for one that has none."""
        return getattr(self.optimizer, "lr", math.nan)

    @property
    def updates(self) -> int:
        """Updates of the whole run."""
        return self.updates_per_epoch * self.settings.epochs
