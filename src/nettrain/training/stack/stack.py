"""The device's side of training: the tensors of one run, or of K runs as rows.

Shapes: `...` stands for nothing with one run and for K with a stack; w (..., P), x (..., n, *shape)
or a dictionary of such tensors, y (..., n).
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nettrain.data.target_scale import TargetScale
from nettrain.inputs import each
from nettrain.objective import Objective
from nettrain.optimizers.rules import Rule
from nettrain.optimizers.solvers import Solver
from nettrain.optimizers.torch_optimizer import TorchOptimizer
from nettrain.parts.models import RowModule
from nettrain.preparation.prepared import PreparedRun
from nettrain.ranks.ranks import ALONE, Ranks
from nettrain.samples import device_with_doubles
from nettrain.training.stack import rows
from nettrain.training.stack.batches import Batches
from nettrain.training.stack.best_weights import BestWeights
from nettrain.training.stack.rows import Tensors
from nettrain.training.stack.rule_groups import RuleGroup, group_rules, select
from nettrain.training.stack.sharded_group import ShardedGroup, room
from nettrain.training.stack.stream_batches import StreamBatches
from nettrain.vector import constants, flatten, state_dict


class Stack:
    """The weights, optimizer state and data of one run, or of runs that share a forward and backward pass.

    Such runs agree in architecture, head, shapes of the data and batch size (`compatibility` finds them); seeds,
    splits, gradient rules and all numeric hyperparameters are each row's own. The optimizer's state is that of the
    rule groups, or `solver_state` of the one run whose optimizer is a solver. Several `ranks` share one run.
    """

    def __init__(
        self, runs: Sequence[PreparedRun], device: torch.device, stacked: bool = False, ranks: Ranks = ALONE
    ) -> None:
        self.runs = list(runs)
        self.device, self.ranks = device, ranks
        first = runs[0]
        # The last row of a stack stays one, and in float64 a run alone is one: bits depend on that.
        self.stacked = len(runs) > 1 or stacked or _as_row(first)
        self.dtype = first.config.dtype
        self.per_epoch = first.updates_per_epoch
        self.batches = (StreamBatches if first.data.streamed else Batches)(runs, device, self.dtype, ranks)
        self.w = self.join([flatten(run.model) for run in runs])
        sharded = first.config.sharded and ranks.size > 1
        padding = room(self.w.shape[-1], ranks) if sharded else 0
        if padding:
            self.w = torch.nn.functional.pad(self.w, (0, padding))[..., :-padding]
        self.objective = self._objective(padding)
        self.best = BestWeights(self.w, self.objective.buffers)
        seeds = [run.config.seed for run in runs]
        self.rule_groups = group_rules(self._rules(), seeds, self.w, self.objective.layout, first.factors)
        if sharded:
            self.rule_groups = [
                ShardedGroup.of(group, self.w, ranks) for group in self.rule_groups if isinstance(group, RuleGroup)
            ]
        self.solver_state: Tensors = {}
        self.skipped = torch.zeros(self.w.shape[:-1], dtype=torch.int64, device=device)  # updates that were left out
        self._look_at_runs()

    def _look_at_runs(self) -> None:
        """Set what depends on which runs there are.

        `updates` is the number of the longest run; `skips`, (...), says which runs leave out updates, None if none
        does; `dropout` are the rates of dropout, (K,), None where training has no noise; `schedules` are numbers, the
        same for runs whose learning rates follow the same config; `first_samples` are some training samples, x, by
        which hidden units are watched.
        """
        self.updates = max(run.updates for run in self.runs)
        self.dropout = _dropout([run.model for run in self.runs])
        kinds: dict[Any, int] = {}
        configs = [(repr(run.config.schedule), run.lr, run.updates) for run in self.runs]
        self.schedules = [kinds.setdefault(config, len(kinds)) for config in configs]
        skips = [run.config.on_divergence == "skip_step" for run in self.runs]
        self.skips = self.mask(skips) if any(skips) else None
        x, _ = next(self.batches.parts("train", min(64, max(16, self.runs[0].samples_per_epoch // 16))))
        self.first_samples = each(torch.Tensor.contiguous, x)

    def _rules(self) -> list[Rule | TorchOptimizer]:
        return [run.optimizer for run in self.runs if not isinstance(run.optimizer, Solver)]

    def mask(self, chosen: list[bool]) -> Tensor:
        """Which rows are chosen, (...), on the device."""
        return torch.tensor(chosen if self.stacked else chosen[0]).to(self.device)

    def join(self, tensors: Sequence[Tensor]) -> Tensor:
        """The runs' tensors as rows of one, on the device in new memory, numbers in the stack's type."""
        joined = rows.join(tensors, self.stacked)
        return joined.to(self.device, self.dtype if joined.is_floating_point() else joined.dtype, copy=True)

    def each(self, tensor: Tensor) -> Iterator[Tensor]:
        """A tensor's row for every run, on the host."""
        return rows.each(tensor, self.stacked)

    def each_of(self, tensors: Tensors) -> list[Tensors]:
        """The rows of tensors by name: a dictionary for every run, on the host."""
        return rows.each_of(tensors, len(self.runs), self.stacked)

    def module(self, i: int, best: bool = False) -> nn.Module:
        """A copy of a run's module on the host, in evaluation mode, with its present weights or its best ones."""
        w, buffers = (self.best.w, self.best.buffers) if best else (self.w, self.objective.buffers)
        if self.stacked:
            w, buffers = w[i], {name: tensor[i] for name, tensor in buffers.items()}
        run = self.runs[i]
        module = copy.deepcopy(run.model).to("cpu", self.dtype)
        module.load_state_dict(state_dict(run.model, w, buffers))
        return module.eval()

    def _objective(self, padding: int) -> Objective:
        first = self.runs[0]
        buffers = [constants(run.model) for run in self.runs]  # before the first one goes to the device
        objective = Objective(first.model.to(self.device, self.dtype), first.head, inputs=first.data.inputs)
        objective.named_metrics = first.named_metrics
        objective.padding = padding
        objective.accumulate, objective.autocast = first.config.accumulate, first.config.autocast
        objective.buffers = {name: self.join([row[name] for row in buffers]) for name in buffers[0]}
        encoders = [run.data.encoder for run in self.runs]
        objective.target = TargetScale.of(encoders, device_with_doubles(self.device), self.stacked)
        return objective

    def select(self, numbers: list[int]) -> None:
        """Go on with these rows alone; the others cost nothing from now on."""
        self.runs = [self.runs[row] for row in numbers]
        self.batches.select(numbers)
        self.w, self.skipped = rows.take(self.w, numbers), rows.take(self.skipped, numbers)
        self.best.select(numbers)
        self.rule_groups = select(self.rule_groups, self._rules(), numbers)
        objective = self.objective
        objective.buffers = {name: rows.take(tensor, numbers) for name, tensor in objective.buffers.items()}
        objective.target = objective.of_rows(numbers).target
        self._look_at_runs()


def _dropout(models: Sequence[nn.Module]) -> np.ndarray | None:
    """The rates of dropout of these models; None if they train without noise.

    A module of somebody else's may draw noise of its own; with running statistics training is not evaluation either.
    """
    rates = [model.dropout if isinstance(model, RowModule) else 0.0 for model in models]
    plain = all(isinstance(model, RowModule) and next(model.buffers(), None) is None for model in models)
    return None if plain and not any(rates) else np.array(rates)


def _as_row(run: PreparedRun) -> bool:
    """Whether the run trains as a row of a stack even if it is alone, so as to have the very numbers of the row."""
    double = run.config.dtype == torch.float64 and run.config.engine not in ("fused", "inductor")
    return double and isinstance(run.model, RowModule) and not isinstance(run.optimizer, Solver)
