"""The device's side of training: the tensors of one run, or of K runs as rows.

Shapes: `...` stands for nothing with one run and for K with a stack; w (..., P), x (..., n, D), y (..., n).
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrain.errors import ConfigError
from nettrain.objective import Objective
from nettrain.parts import random
from nettrain.parts.models import RowModule
from nettrain.parts.random import Noise
from nettrain.parts.rules import Coefficients, Rule
from nettrain.run.setup import Setup
from nettrain.vector import Layout, flatten, join


class Stack:
    """The weights, optimizer state and data of runs that share a forward and backward pass.

    Runs can be stacked if they agree in architecture, head, data shapes, batch size and kind of rule; seeds,
    splits and all numeric hyperparameters are each row's own.
    """

    def __init__(self, setups: Sequence[Setup], device: torch.device) -> None:
        self.setups = list(setups)
        self.device = device
        self.rows = len(setups)
        self.stacked = len(setups) > 1
        if self.stacked:
            check_alike(self.setups)
        first = setups[0]
        self.dtype = getattr(torch, first.settings.precision)
        self.per_epoch = first.updates_per_epoch
        self.bs = first.settings.batch_size(first.n_train)
        self.splits = {name: self._split(name) for name in first.data.splits}
        self.w = self._put([flatten(setup.model).numpy() for setup in setups])
        self.best_w = self.w.clone()
        self.objective = self._objective()
        self.optimizer = _stacked_rule(self.setups) if self.stacked else first.optimizer
        self.state = self.optimizer.init(self.w) if isinstance(self.optimizer, Rule) else {}

    def _put(self, arrays: Sequence[np.ndarray], dtype: torch.dtype | None = None) -> Tensor:
        """Arrays of the runs as one tensor on the device; one run's without a leading dimension."""
        whole = np.stack(arrays) if self.stacked else arrays[0]
        return torch.as_tensor(whole, dtype=dtype or self.dtype).to(self.device)

    def _split(self, name: str) -> tuple[Tensor, Tensor]:
        data = [(setup.data, setup.data.splits[name]) for setup in self.setups]
        classes = torch.int64 if data[0][0].y.dtype.kind == "i" else None
        return self._put([d.x[rows] for d, rows in data]), self._put([d.y[rows] for d, rows in data], classes)

    def _objective(self) -> Objective:
        first = self.setups[0]
        objective = Objective(first.model.to(self.device, self.dtype), first.head)
        objective.buffers = dict(objective.model.named_buffers())
        self.best_buffers = _copies(objective.buffers)
        if first.data.encoder.task == "regression":
            encoders = [setup.data.encoder for setup in self.setups]
            objective.target_mean = self._put([np.array([e.target_mean]) for e in encoders], torch.float64)
            objective.target_scale = self._put([np.array([e.target_scale]) for e in encoders], torch.float64)
        return objective

    def batches(self, epoch: int) -> tuple[list[Tensor], list[Tensor]]:
        """The training split in the order of this epoch, as slices of one permuted copy: x and y of each batch."""
        x, y = self.splits["train"]
        n = y.shape[-1]
        if self.bs == n:
            return [x], [y]  # the order within a batch changes nothing but the rounding of sums
        order = [random.permutation(setup.settings.seed, epoch, n) for setup in self.setups]
        index = (torch.stack(order) if self.stacked else order[0]).to(self.device)
        if self.setups[0].settings.drop_last:
            index = index[..., : self.per_epoch * self.bs]
        x, y = torch.take_along_dim(x, index.unsqueeze(-1), -2), torch.take_along_dim(y, index, -1)
        return list(x.split(self.bs, -2)), list(y.split(self.bs, -1))

    def learning_rates(self, epoch: int) -> np.ndarray:
        """The learning rate of every update of the epoch, (S,) or (S, K, 1), in float64."""
        t = epoch * self.per_epoch + np.arange(self.per_epoch, dtype=float)
        rates = [s.lr * s.schedule.lr_factors(t, self.per_epoch, s.updates) for s in self.setups]
        return np.stack(rates, axis=1)[..., None] if self.stacked else rates[0]

    def coefficients(self, rule: Rule, epoch: int, lr: np.ndarray) -> list[Coefficients]:
        """A rule's scalars for every update of the epoch: numbers, or (K, 1) tensors on the device."""
        t = epoch * self.per_epoch + np.arange(1, self.per_epoch + 1)
        t = t[:, None, None] if self.stacked else t
        scalars = rule.all_coefficients(t, lr)
        arrays = [np.broadcast_to(value, lr.shape) for value in scalars.values()]
        if self.stacked:
            table = self._table(np.stack(arrays, axis=1), self.dtype)
            return [dict(zip(scalars, update.unbind(), strict=True)) for update in table.unbind()]
        return [dict(zip(scalars, update, strict=True)) for update in zip(*(a.tolist() for a in arrays), strict=True)]

    def noises(self, epoch: int) -> list[Noise | None]:
        """The noise of every update of the epoch; None for a model of ours that has no dropout."""
        models = [setup.model for setup in self.setups]
        rates = [model.dropout if isinstance(model, RowModule) else None for model in models]
        if not any(rate is None or rate > 0 for rate in rates):  # a foreign module may draw noise of its own
            return [None] * self.per_epoch
        t = epoch * self.per_epoch + np.arange(self.per_epoch)
        keys = [random.noise_keys(setup.settings.seed, t) for setup in self.setups]
        if not self.stacked:
            return [Noise(key, rates[0] or 0.0) for key in keys[0].tolist()]
        rate = self._table(np.array(rates, dtype=float)[:, None, None], self.dtype)
        return [Noise(key, rate) for key in self._table(np.stack(keys, 1)[..., None, None], torch.int64).unbind()]

    def _table(self, array: np.ndarray, dtype: torch.dtype) -> Tensor:
        return torch.as_tensor(array, dtype=dtype).to(self.device)

    def evaluate(self, split: str, w: Tensor) -> dict[str, Tensor]:
        """The loss and metrics of a split, each (...), as `<split>_<metric>`; nothing for an empty split."""
        x, y = self.splits[split]
        if y.shape[-1] == 0:
            return {}
        return {f"{split}_{name}": value for name, value in self.objective.evaluate(w, x, y).items()}

    def keep_best(self, better: list[bool]) -> None:
        """Remember the present weights of the rows that are better than before."""
        if any(better) and self.objective.buffers:
            self.best_buffers = _copies(self.objective.buffers)
        if all(better):
            self.best_w.copy_(self.w)
        elif any(better):
            mask = self._table(np.array(better)[:, None], torch.bool)
            self.best_w = torch.where(mask, self.w, self.best_w)

    def select(self, rows: list[int]) -> None:
        """Go on with these rows alone; the others cost nothing from now on."""
        index = torch.tensor(rows).to(self.device)
        take: Callable[[Tensor], Tensor] = lambda tensor: tensor.index_select(0, index)  # noqa: E731
        self.setups = [self.setups[row] for row in rows]
        self.rows = len(rows)
        self.w, self.best_w = take(self.w), take(self.best_w)
        self.state = {name: take(tensor) for name, tensor in self.state.items()}
        self.splits = {name: (take(x), take(y)) for name, (x, y) in self.splits.items()}
        self.optimizer = _stacked_rule(self.setups)
        if self.objective.target_mean is not None and self.objective.target_scale is not None:
            self.objective.target_mean = take(self.objective.target_mean)
            self.objective.target_scale = take(self.objective.target_scale)

    def evaluate_best(self, split: str) -> dict[str, Tensor]:
        """As `evaluate`, with the best weights of every row."""
        present, self.objective.buffers = self.objective.buffers, self.best_buffers
        numbers = self.evaluate(split, self.best_w)
        self.objective.buffers = present
        return numbers

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Take back the weights, buffers and optimizer state of the only run."""
        layout = self.objective.layout
        self.w.copy_(join(checkpoint["model"][name] for name in layout.names))
        self.best_w.copy_(join(checkpoint["best_model"][name] for name in layout.names))
        for name in self.objective.buffers:
            self.objective.buffers[name].copy_(checkpoint["buffers"][name])
            self.best_buffers[name].copy_(checkpoint["best_buffers"][name])
        self.state = {name: tensor.to(self.device) for name, tensor in checkpoint["optimizer"].items()}

    def each(self, tensor: Tensor) -> Iterator[Tensor]:
        """A tensor's rows, on the host."""
        host = to_host(tensor)
        yield from host if self.stacked else [host]


def check_alike(setups: Sequence[Setup]) -> None:
    """Raise `ConfigError` for runs that cannot share a forward and backward pass, naming what they differ in."""
    for setup in setups:
        if not isinstance(setup.model, RowModule):
            raise ConfigError("model: only nettrain's own models can be trained as one stack.")
    first, *others = [_common(setup) for setup in setups]
    for other in others:
        for name, value in first.items():
            if other[name] != value:
                raise ConfigError(f"{name}: runs that differ in it ({value} and {other[name]}) cannot be one stack.")


def _common(setup: Setup) -> dict[str, Any]:
    """What all runs of a stack have to agree in, by the name of its key."""
    settings, data = setup.settings, setup.data
    return {
        "model": (type(setup.model).__name__, Layout.of(setup.model).shapes),
        "activation": setup.config["activation"],
        "head": setup.head.name,
        "data": (data.encoder.task, data.x.shape[1], {name: len(rows) for name, rows in data.splits.items()}),
        "bs": settings.batch_size(setup.n_train),
        "precision": settings.precision,
        "drop_last": settings.drop_last,
        "budget": settings.budget,
    }


def _copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _stacked_rule(setups: list[Setup]) -> Rule:
    """One rule whose numbers are arrays (K, 1), a row for each run."""
    rules = [setup.optimizer for setup in setups]
    first = rules[0]
    if not isinstance(first, Rule) or any(type(rule) is not type(first) for rule in rules):
        raise ConfigError("optimizer: only runs with the same gradient optimizer can be trained as one stack.")
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(first):
        values = [getattr(rule, field.name) for rule in rules]
        if any(isinstance(value, float) for value in values):
            changes[field.name] = np.array([[np.inf if value is None else value] for value in values])
        elif any(value != values[0] for value in values):
            raise ConfigError(f"optimizer.{field.name}: runs that differ in it cannot be trained as one stack.")
    return dataclasses.replace(first, **changes)


def to_host(tensor: Tensor) -> Tensor:
    """A copy on the host, detached; this and `fetch` are where the host waits for the device."""
    return tensor.detach().cpu().clone()


def fetch(values: dict[str, Tensor]) -> list[dict[str, float]]:
    """Scalars (...) of all rows in one transfer: a dictionary of numbers for each row."""
    table = torch.stack([value.double() for value in values.values()], dim=-1).cpu()
    rows = table.tolist() if table.dim() == 2 else [table.tolist()]
    return [dict(zip(values, row, strict=True)) for row in rows]
