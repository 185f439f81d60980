"""A run that is ready to train: its parts are built and its data are read, so no mistake of a person's can break it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from nettrain.config.build import saved_container
from nettrain.config.schema import Config
from nettrain.data import Data
from nettrain.errors import ConfigError
from nettrain.inputs import is_vector, one_of
from nettrain.optimizers.parameter_groups import Factors, factors
from nettrain.optimizers.rules import Rule
from nettrain.optimizers.solvers import Solver
from nettrain.optimizers.torch_optimizer import TorchOptimizer
from nettrain.parts.callbacks import Callback
from nettrain.parts.heads import Head
from nettrain.parts.heads.independent import for_targets, metric_suffixes
from nettrain.parts.models import can_be_compiled
from nettrain.parts.named_metrics import NamedMetric, more_is_better, named_metric
from nettrain.preparation.baseline import baseline
from nettrain.preparation.monitor import Monitor, choose_monitor
from nettrain.random import seeded
from nettrain.registry import is_ours
from nettrain.samples import multiplications
from nettrain.storage.yaml_text import yaml_text
from nettrain.vector import Layout

MOST_FLOATS = 2**26  # that the bytes of all samples may become for a program


@dataclass
class PreparedRun:
    """One run: the folder that it writes, its config with the head chosen, its data, its model with initial weights.

    `notes` are sentences for the person who starts it. With `drawn` figures will be made of it at its end, some of
    which show the way that its weights took. `callbacks` are its own, by their keys; only they are told what the run
    was asked for, the sweep's folder, if it is in one, and its number there. A run of several `members` is trained as
    these, a run each, of which only the whole writes; its `model` is that of the first. Everything else is computed
    from these.
    """

    folder: Path
    config: Config
    data: Data
    model: nn.Module
    notes: list[str]
    drawn: bool = False
    callbacks: dict[str, Callback] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    sweep: Path | None = None
    number: int | None = None
    members: list["PreparedRun"] = field(default_factory=list)

    @property
    def compilable(self) -> bool:
        """Whether programs can compute the model: layers that they know, of floats, or of bytes that become floats."""
        input = one_of(self.data.inputs)
        bytes_ = input.kind == "bytes" and input.size * len(self.data.y) <= MOST_FLOATS
        return can_be_compiled(self.model) and (input.kind == "numbers" or bytes_)

    @cached_property
    def container(self) -> dict[str, Any]:
        """The config as plain containers, as the run's folder keeps it."""
        return saved_container(self.config)

    @cached_property
    def config_text(self) -> str:
        """The config as YAML."""
        return yaml_text(self.container)

    @cached_property
    def head(self) -> Head:
        """The head of the config, for all targets."""
        return for_targets(self.config.head, self.data.encoder.targets)

    @cached_property
    def named_metrics(self) -> list[NamedMetric]:
        """What is measured because `metrics` names it; `ConfigError` for what cannot be."""
        encoder = self.data.encoder
        found = [named_metric(path, len(encoder.classes), len(encoder.targets)) for path in self.config.metrics]
        names = self.head.metric_names(len(self.data.encoder.classes))
        for i, metric in enumerate(found):
            if metric.name in (*names, "loss", *(other.name for other in found[:i])):
                raise ConfigError(f"metrics={metric.path}: there is a metric {metric.name} already.")
        return found

    @property
    def holds_outputs(self) -> bool:
        """Whether the outputs of all samples have to be in memory until they are measured.

        Not those of data that are read from disk, unless a metric is somebody's own, or of several targets.
        """
        own = bool(self.named_metrics) or not is_ours(type(self.head))
        return not self.data.streamed or own or bool(self.head.event_shape)

    @cached_property
    def metric_names(self) -> list[str]:
        """The loss, and everything that is measured beside it."""
        of_head = self.head.metric_names(len(self.data.encoder.classes))
        return ["loss", *of_head, *(metric.name for metric in self.named_metrics)]

    @cached_property
    def monitor(self) -> Monitor:
        """By what epochs are compared; `ConfigError` for what is not measured."""
        config, split = self.config, self.data.monitored_split
        if config.monitor is None:
            return Monitor(f"{split}_loss")
        better = {metric.name: metric.more_is_better for metric in self.named_metrics}
        for target in metric_suffixes(self.data.encoder.targets):
            better |= {f"{name}_{target}": more_is_better(name) for name in self.metric_names}
        return choose_monitor(config.monitor, config.monitor_mode, split, self.metric_names, better)

    @cached_property
    def baseline(self) -> dict[str, float]:
        """What a constant prediction reaches on the test rows, without any on those of validation, or of training."""
        split = next(name for name in ("test", "val", "train") if len(self.data.splits[name]))
        return baseline(self.data, split, self.metric_names, self.named_metrics)

    @property
    def calibrated(self) -> bool:
        """Whether its logits are divided by a temperature in the end."""
        possible = self.head.has_temperature and len(self.data.splits["val"]) > 0
        return self.config.calibrate != "never" and possible

    @property
    def outputs(self) -> int:
        """How many numbers the model gives for each sample."""
        return self.head.outputs(len(self.data.encoder.classes))

    @property
    def optimizer(self) -> Rule | Solver | TorchOptimizer:
        optimizer: Rule | Solver | TorchOptimizer = self.config.optimizer
        return optimizer

    @property
    def lr(self) -> float:
        """The optimizer's learning rate; NaN for one that has none."""
        optimizer = self.optimizer
        if isinstance(optimizer, TorchOptimizer):
            return float(optimizer.traits.defaults.get("lr", math.nan))
        return getattr(optimizer, "lr", math.nan)

    @cached_property
    def factors(self) -> list[Factors]:
        """The factors of the learning rate and of the weight decay of each parameter, in the order of the layout."""
        return factors(self.model, self.config.groups)

    @property
    def n_train(self) -> int:
        return len(self.data.splits["train"])

    @property
    def samples_per_epoch(self) -> int:
        """How many training samples an epoch visits, at most: in each fold as many, where a rule trains them together.

        A solver, which trains alone, always sees all.
        """
        fewer = self.data.samples_per_epoch
        return self.n_train if fewer is None or isinstance(self.optimizer, Solver) else min(fewer, self.n_train)

    @property
    def batch_size(self) -> int:
        """Samples per update."""
        return self.config.batch_size(self.samples_per_epoch)

    @property
    def updates_per_epoch(self) -> int:
        """samples_per_epoch / batch_size, rounded up, or down with drop_last (but at least one)."""
        if self.config.drop_last:
            return max(1, self.samples_per_epoch // self.batch_size)
        return -(-self.samples_per_epoch // self.batch_size)

    @property
    def last_batch(self) -> int:
        """Samples of an epoch's last batch, which may be a smaller one."""
        rest = self.samples_per_epoch % self.batch_size
        return self.batch_size if self.config.drop_last or not rest else rest

    @property
    def updates(self) -> int:
        """Updates of the whole run."""
        return self.updates_per_epoch * self.config.epochs

    @property
    def parameters(self) -> int:
        """The number of trainable parameters, P, of all members."""
        return Layout.of(self.model).size * max(1, len(self.members))

    @cached_property
    def multiplications(self) -> int:
        """Those of a forward pass for one sample, in convolutions and matrix products; P where a sample is a vector."""
        if is_vector(self.data.inputs):
            return self.parameters
        with seeded(0):
            return multiplications(self.model, self.data.inputs, self.config.dtype) * max(1, len(self.members))
