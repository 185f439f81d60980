"""A lane of a race: one setting in training, with one seed or as a stack of rows with many."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from nettrain.app.sweep.plans import Cache
from nettrain.config.build import with_values
from nettrain.config.schema import Config
from nettrain.errors import ConfigError
from nettrain.play.views import Box, View
from nettrain.preparation.prepare import HandedOver, prepare
from nettrain.preparation.prepared import PreparedRun
from nettrain.preparation.rows import refusal
from nettrain.training.device import as_configured, choose_device
from nettrain.training.stack.compatibility import shared_shapes
from nettrain.training.stepwise import Stepwise

NOWHERE = Path("outputs")  # no run of the page writes anything
PATHS = (2, 3)  # weights of a model whose way is drawn
QUANTILES = [0.0, 0.25, 0.5, 0.75, 1.0]  # of the runs with many seeds


class Lane:
    """The runs of one config with each of some seeds, which are rows of one stack where they are several.

    `history` has a row for each epoch: its number, the training and the monitored loss, a metric of both; where there
    are several seeds each of these is a list of `QUANTILES` over them.
    """

    def __init__(self, config: Config, seeds: Sequence[int]) -> None:
        self.config, self.seeds = config, seeds
        self.device = choose_device(config.device)
        handed = HandedOver(load=Cache().load)
        configs = [with_values(config, {"seed": seed}) if len(seeds) > 1 else config for seed in seeds]
        self.runs = [prepare(each, NOWHERE, self.device, handed) for each in configs]
        first = self.runs[0]
        if len(seeds) > 1:
            _require_rows(self.runs)
        self.work = first.multiplications * len(seeds) * first.batch_size
        self.names = _columns(first)
        self.history: list[list[Any]] = []
        with self._configured() as threads:
            self.trainer = Stepwise(self.runs, self.device, threads, len(seeds) > 1)
        self.has_path = first.parameters in PATHS
        self.path = [self.first_weights()]  # of the first run, after each update

    def _configured(self) -> Any:
        return as_configured(self.config, self.device, self.work)

    def view(self, box: Box, size: int) -> View:
        """What looks at all of its runs on a grid."""
        return View(self.runs, self.device, box, size)

    @property
    def weights(self) -> Tensor:
        """Of all runs, (K, P)."""
        return self.trainer.weights()

    def first_weights(self) -> np.ndarray:
        """Those of the first run, (P,)."""
        weights: np.ndarray = self.weights[0].double().cpu().numpy()
        return weights

    @property
    def running(self) -> bool:
        """Whether any of its runs is left."""
        return self.trainer.running

    def advance(self, updates: int) -> None:
        """Make so many updates at most, none beyond the end of the present epoch."""
        if not self.running:
            return
        left = min(updates, self.trainer.updates_left)
        with self._configured():
            if self.has_path:
                for _ in range(left):
                    self.trainer.advance(1)
                    self._note_path()
            else:
                self.trainer.advance(left)
        if self.trainer.epoch > len(self.history):
            self.history.append(self._numbers())

    def _note_path(self) -> None:
        w = self.first_weights()
        if np.isfinite(w).all():
            self.path.append(w)

    def _numbers(self) -> list[Any]:
        values = [[state.last.get(name, math.nan) for state in self.trainer.states] for name in self.names]
        epoch = self.trainer.epoch
        if len(self.seeds) == 1:
            return [epoch, *(value for (value,) in values)]
        # A run that has diverged counts as the worst there can be.
        return [epoch, *(np.quantile(np.nan_to_num(value, nan=math.inf), QUANTILES).tolist() for value in values)]


def _columns(run: PreparedRun) -> list[str]:
    """What is shown of each epoch: the loss of the training and the monitored split, and the first metric of both."""
    metric = run.metric_names[1:2]
    monitored = run.data.monitored_split
    return [f"{split}_{name}" for name in ["loss", *metric] for split in ("train", monitored)]


def _require_rows(runs: Sequence[PreparedRun]) -> None:
    """Raise `ConfigError` where the runs cannot be rows of one stack."""
    if why := refusal(runs[0]):
        raise ConfigError(f"seeds: they train together, as rows of a stack, and {why}; choose another optimizer.")
    if len({shared_shapes(dataclasses.replace(run, notes=[])) for run in runs}) > 1:
        raise ConfigError("seeds: their training splits differ in size, so that they cannot train as one stack.")
