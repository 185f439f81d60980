"""The device's side of training: the tensors of one run, or of K runs as rows.

Shapes: `...` stands for nothing with one run and for K with a stack; w (..., P), x (..., n, D), y (..., n).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from types import EllipsisType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrain import random
from nettrain.objective import Objective, samples_at_once
from nettrain.optimizers.rules import Coefficients, Rule
from nettrain.parts.models import RowModule
from nettrain.preparation.prepared import Setup
from nettrain.random import Noise
from nettrain.training.stack import rule_groups as blocks
from nettrain.training.stack.batches import Samples
from nettrain.vector import constants, flatten, join

Tensors = dict[str, Tensor]
Forward = Callable[["Stack", str, Tensor], Tensor]


class Stack:
    """The weights, optimizer state and data of one run, or of runs that share a forward and backward pass.

    Such runs agree in architecture, head, shapes of the data and batch size (`compatibility` finds them);
    seeds, splits, gradient rules and all numeric hyperparameters are each row's own.
    """

    def __init__(self, setups: Sequence[Setup], device: torch.device, stacked: bool = False) -> None:
        self.setups = list(setups)
        self.device = device
        first = setups[0]
        # The last row of a stack stays one, and in float64 a run alone is one: bits depend on that.
        self.stacked = len(setups) > 1 or stacked or _as_row(first)
        self.dtype = first.settings.dtype
        self.per_epoch = first.updates_per_epoch
        self.samples = Samples(setups, device, self.dtype)
        self.w = self._join([flatten(setup.model) for setup in setups])
        self.best_w = self.w.clone()
        self.objective = self._objective()
        rules = [setup.optimizer for setup in setups if isinstance(setup.optimizer, Rule)]
        self.blocks = blocks.blocks(rules, self.w) if rules else []
        self.state: Tensors = {}  # of the one run's solver, if it has one instead of a rule
        self.skipped = torch.zeros(self.w.shape[:-1], dtype=torch.int64, device=device)  # updates that were left out
        self.forward: Forward = forward  # the engine may know a faster way
        self._look_at_setups()

    def _look_at_setups(self) -> None:
        """Set `updates`, those of the longest run, and `skips`, (...), of runs that leave out updates.

        `skips` is None if there are no such runs.
        """
        self.updates = max(setup.updates for setup in self.setups)
        asked = [setup.settings.on_divergence == "skip_step" for setup in self.setups]
        self.skips = self._mask(asked) if any(asked) else None

    def _mask(self, rows: list[bool]) -> Tensor:
        return torch.tensor(rows if self.stacked else rows[0]).to(self.device)

    def _join(self, tensors: Sequence[Tensor]) -> Tensor:
        """The runs' tensors as rows of one on the device; one run's without a leading dimension."""
        whole = torch.stack(list(tensors)) if self.stacked else tensors[0]
        return whole.to(self.device, self.dtype if whole.is_floating_point() else whole.dtype, copy=True)

    def _objective(self) -> Objective:
        setups, first = self.setups, self.setups[0]
        settings = first.settings
        objective = Objective(first.model.to(self.device, self.dtype), first.head)
        objective.accumulate, objective.autocast = settings.accumulate, settings.autocast
        rows = [constants(setup.model) for setup in setups]
        objective.buffers = {name: self._join([row[name] for row in rows]) for name in rows[0]}
        self.best_buffers = _copies(objective.buffers)
        if first.data.encoder.task == "regression":
            scales = [[[e.target_mean], [e.target_scale]] for e in (setup.data.encoder for setup in setups)]
            both = torch.tensor(scales if self.stacked else scales[0], dtype=torch.float64).to(self.device)
            objective.target_mean, objective.target_scale = both.unbind(-2)
        return objective

    def learning_rates(self, epoch: int) -> np.ndarray:
        """The learning rate of every update of the epoch, (S,) or (S, K, 1), in float64."""
        t = epoch * self.per_epoch + np.arange(self.per_epoch, dtype=float)
        rates = [s.lr * s.schedule.lr_factors(t, self.per_epoch, s.updates) for s in self.setups]
        return np.stack(rates, axis=1)[..., None] if self.stacked else rates[0]

    def coefficients(self, epoch: int, lr: np.ndarray) -> list[list[Coefficients]]:
        """The scalars of every update of the epoch: a list with those of each block."""
        t = epoch * self.per_epoch + np.arange(1, self.per_epoch + 1)
        of_blocks = [block.coefficients(t, lr, self.device, self.dtype) for block in self.blocks]
        return [list(update) for update in zip(*of_blocks, strict=True)]

    def noise(self, epoch: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The keys, (S, K), of the noise of every update, and the rates of dropout, (K,); None if there is no noise."""
        models = [setup.model for setup in self.setups]
        rates = [model.dropout if isinstance(model, RowModule) else None for model in models]
        if not any(rate is None or rate > 0 for rate in rates):  # a foreign module may draw noise of its own
            return None
        t = epoch * self.per_epoch + np.arange(self.per_epoch)
        keys = [random.noise_keys(setup.settings.seed, t) for setup in self.setups]
        return np.stack(keys, 1), np.array([rate or 0.0 for rate in rates])

    def noises(self, epoch: int) -> list[Noise | None]:
        """The noise of every update of the epoch."""
        noise = self.noise(epoch)
        if noise is None:
            return [None] * self.per_epoch
        keys, rates = noise
        if not self.stacked:
            return [Noise(key, float(rates[0])) for (key,) in keys.tolist()]
        rate = self._table(rates[:, None, None], torch.float64)
        return [Noise(key, rate) for key in self._table(keys[..., None, None], torch.int64).unbind()]

    def _table(self, array: np.ndarray, dtype: torch.dtype) -> Tensor:
        return torch.as_tensor(array, dtype=dtype).to(self.device)

    @torch.no_grad()
    def evaluate(self, split: str, w: Tensor) -> Tensors:
        """The loss and metrics of a split, each (...), as `<split>_<metric>`; nothing for an empty split."""
        if not self.samples.size[split]:
            return {}
        values = self.objective.measure(self.forward(self, split, w), self.samples.targets(split))
        return {f"{split}_{name}": value for name, value in values.items()}

    @cached_property
    def parameters(self) -> Tensors:
        """The parameters as views into w."""
        return self.objective.layout.views(self.w)

    @cached_property
    def first_samples(self) -> Tensor:
        """x (..., n, D) of some training samples, always the same, by which hidden units are watched."""
        x, _ = next(self.samples.parts("train", min(64, max(16, self.samples.size["train"] // 16))))
        return x.contiguous()

    def keep_best(self, better: list[bool]) -> None:
        """Remember the present weights and buffers of the rows that are better than before."""
        if all(better):
            self.best_w.copy_(self.w)
            self.best_buffers = _copies(self.objective.buffers)
        elif any(better):
            mask = self._mask(better)
            self.best_w = _where(mask, self.w, self.best_w)
            for name, tensor in self.objective.buffers.items():
                self.best_buffers[name] = _where(mask, tensor, self.best_buffers[name])

    def select(self, rows: list[int]) -> None:
        """Go on with these rows alone; the others cost nothing from now on."""
        for kept in ("parameters", "first_samples"):
            self.__dict__.pop(kept, None)
        self.setups = [self.setups[row] for row in rows]
        rules = [setup.optimizer for setup in self.setups if isinstance(setup.optimizer, Rule)]
        self.blocks = blocks.select(self.blocks, rules, rows, self._take)
        self.samples.select(rows)
        self.w, self.best_w = self._take(self.w, rows), self._take(self.best_w, rows)
        self.skipped = self._take(self.skipped, rows)
        self._look_at_setups()
        self.best_buffers = {name: self._take(tensor, rows) for name, tensor in self.best_buffers.items()}
        objective = self.objective
        objective.buffers = {name: self._take(tensor, rows) for name, tensor in objective.buffers.items()}
        if objective.target_mean is not None and objective.target_scale is not None:
            objective.target_mean = self._take(objective.target_mean, rows)
            objective.target_scale = self._take(objective.target_scale, rows)

    def _take(self, tensor: Tensor, rows: list[int]) -> Tensor:
        return tensor.index_select(0, torch.tensor(rows).to(self.device))

    def _training(self) -> Iterator[tuple[Tensor, slice | EllipsisType]]:
        """All tensors that an update by a rule changes, and the rows of the stack that each one holds."""
        yield self.w, ...
        yield self.skipped, ...
        for tensor in self.objective.buffers.values():
            yield tensor, ...
        for block in self.blocks:
            for tensor in block.state.values():
                yield tensor, block.rows

    def snapshot(self, into: list[Tensor] | None = None) -> list[Tensor]:
        """A copy of everything that an update by a rule changes, for `put_back`; in the memory of an earlier one."""
        if into is None:
            return [tensor.clone() for tensor, _ in self._training()]
        return [old.copy_(tensor) for old, (tensor, _) in zip(into, self._training(), strict=True)]

    @torch.no_grad()
    def put_back(self, snapshot: list[Tensor], rows: Tensor | None = None) -> None:
        """Make these rows, a mask (...), what they were when the snapshot was taken; all of them by default."""
        for (tensor, own), old in zip(self._training(), snapshot, strict=True):
            tensor.copy_(old if rows is None else _where(rows[own], old, tensor))

    def leave_out(self, before: list[Tensor], z: Tensor, y: Tensor, g: Tensor) -> None:
        """Take back the last update in the rows that skip what is not finite: the loss, the gradient g or the weights.

        It is an update that counts, but changes nothing; `skipped` says how many there were.
        """
        assert self.skips is not None
        finite = self.objective.losses(z, y).isfinite().all(-1) & g.isfinite().all(-1) & self.w.isfinite().all(-1)
        bad = self.skips & ~finite
        self.put_back(before, bad)
        self.skipped += bad

    @torch.no_grad()
    def go_back(self, rows: list[bool]) -> None:
        """Give these rows their best weights and buffers, and an optimizer state as at the beginning."""
        mask = self._mask(rows)
        self.w.copy_(_where(mask, self.best_w, self.w))
        for name, tensor in self.objective.buffers.items():
            tensor.copy_(_where(mask, self.best_buffers[name], tensor))
        for block in self.blocks:
            for name, new in block.rule.init(self.w[block.rows]).items():
                block.state[name].copy_(_where(mask[block.rows], new, block.state[name]))

    def evaluate_best(self, split: str) -> Tensors:
        """As `evaluate`, with the best weights of every row."""
        present, self.objective.buffers = self.objective.buffers, self.best_buffers
        numbers = self.evaluate(split, self.best_w)
        self.objective.buffers = present
        return numbers

    def restore(self, checkpoints: Sequence[dict[str, Any]]) -> None:
        """Take back the weights, buffers and optimizer state of every run."""
        names = self.objective.layout.names
        self.skipped.copy_(self._join([torch.tensor(c["skipped"]) for c in checkpoints]))
        self.w.copy_(self._join([join(c["model"][name] for name in names) for c in checkpoints]))
        self.best_w.copy_(self._join([join(c["best_model"][name] for name in names) for c in checkpoints]))
        for name in self.objective.buffers:
            self.objective.buffers[name].copy_(self._join([c["buffers"][name] for c in checkpoints]))
            self.best_buffers[name].copy_(self._join([c["best_buffers"][name] for c in checkpoints]))
        if not self.blocks:
            self.state = {name: tensor.to(self.device) for name, tensor in checkpoints[0]["optimizer"].items()}
        for block in self.blocks:
            own = checkpoints[block.rows] if isinstance(block.rows, slice) else checkpoints
            for name, tensor in block.state.items():
                tensor.copy_(self._join([c["optimizer"][name] for c in own]))

    def each(self, tensor: Tensor) -> Iterator[Tensor]:
        """A tensor's rows, on the host, each in memory of its own: a saved view takes all the rows with it."""
        host = to_host(tensor)
        yield from (row.clone() for row in host) if self.stacked else [host]

    def each_of(self, tensors: Tensors) -> list[Tensors]:
        """The rows of tensors by name: for every run its own, on the host."""
        rows: list[Tensors] = [{} for _ in self.setups]
        for name, tensor in tensors.items():
            for row, own in zip(rows, self.each(tensor), strict=True):
                row[name] = own
        return rows

    def each_state(self) -> list[Tensors]:
        """The state of every run's optimizer, on the host."""
        if not self.blocks:
            return self.each_of(self.state)
        states: list[Tensors] = [{} for _ in self.setups]
        for block in self.blocks:
            for name, tensor in block.state.items():
                own = states[block.rows] if isinstance(block.rows, slice) else states
                for state, part in zip(own, self.each(tensor), strict=True):
                    state[name] = part
        return states


def forward(stack: Stack, split: str, w: Tensor) -> Tensor:
    """The logits (..., n, outputs) of a whole split, in as few forward passes as memory allows."""
    parts = stack.samples.parts(split, samples_at_once(w))
    return torch.cat([stack.objective.logits(w, x) for x, _ in parts], -2)


def _as_row(setup: Setup) -> bool:
    """Whether the run trains as a row of a stack even if it is alone, so as to have the very numbers of the row."""
    double = setup.settings.dtype == torch.float64 and setup.settings.engine != "fused"
    return double and isinstance(setup.model, RowModule) and isinstance(setup.optimizer, Rule)


def _copies(tensors: Tensors) -> Tensors:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _where(mask: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """The rows of `new` where the mask, (K,) or 0-d for one run, is true, and those of `old` elsewhere."""
    return torch.where(mask.view(mask.shape + (1,) * (new.dim() - mask.dim())), new, old)


def to_host(tensor: Tensor) -> Tensor:
    """A copy on the host, detached; this and `fetch` are where the host waits for the device."""
    return tensor.detach().cpu().clone()


def fetch(values: Tensors) -> list[dict[str, float]]:
    """Scalars (...) of all rows in one transfer: a dictionary of numbers for each row."""
    kinds: dict[torch.dtype, list[str]] = {}
    for name, value in values.items():
        kinds.setdefault(value.dtype, []).append(name)
    columns = [torch.stack([values[name] for name in names], dim=-1).double() for names in kinds.values()]
    table = torch.cat(columns, dim=-1).cpu()
    order = [name for names in kinds.values() for name in names]
    rows = [dict(zip(order, row, strict=True)) for row in (table.tolist() if table.dim() == 2 else [table.tolist()])]
    return [{name: row[name] for name in values} for row in rows]
