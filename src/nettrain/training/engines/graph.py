"""Updates as torch computes them on a GPU, recorded once as a CUDA graph and replayed: one launch for each update.

Everything that changes from update to update is read by the number of the update, which lies on the device, from
tables of the whole epoch: the order of samples, the rules' scalars, the keys of noise.
"""

import numpy as np
import torch
from torch import Tensor

from nettrain.parts.models import RowModule
from nettrain.profile import stage
from nettrain.random import Noise
from nettrain.training.engines.eager import forward
from nettrain.training.engines.layer_statistics import layer_statistics
from nettrain.training.engines.pace import Pace
from nettrain.training.engines.protocol import Updates, gradient_costs
from nettrain.training.stack.batches import Batches
from nettrain.training.stack.rates import noise_keys, update_numbers
from nettrain.training.stack.rows import to_device
from nettrain.training.stack.rule_groups import RuleGroup
from nettrain.training.stack.stack import Stack


def can_replay(stack: Stack) -> bool:
    """Whether the stack's update does the same every time, and reads nothing from the host."""
    rules = all(isinstance(group, RuleGroup) for group in stack.rule_groups)
    model = isinstance(stack.objective.model, RowModule)
    return (
        stack.device.type == "cuda" and rules and model and stack.skips is None and isinstance(stack.batches, Batches)
    )


class Tables:
    """What the updates of an epoch read: (n,) or (K, n) numbers of samples, the scalars of each rule group, (S, ...),
    and, where there is noise, its keys (S, ...); and z, (..., n, outputs), which they write."""

    def __init__(self, stack: Stack, epoch: int, rates: np.ndarray) -> None:
        assert isinstance(stack.batches, Batches)
        t, device = update_numbers(stack, epoch), stack.device
        self.order = stack.batches.order("train", epoch).clone()  # that of later epochs is copied into it
        self.scalars = []
        for group in stack.rule_groups:
            assert isinstance(group, RuleGroup)
            table = group.scalars(t, rates, device, stack.dtype)  # (S, C), or (S, rows, C)
            self.scalars.append(table if table.dim() == 2 else table.movedim(-1, 1).unsqueeze(-1).contiguous())
        noise = noise_keys(stack, epoch)
        self.keys: Tensor | None = None
        if noise is not None:
            keys = noise[0][..., None, None] if stack.stacked else noise[0][:, 0]
            self.keys = to_device(keys, device, torch.int64)
        self.z = torch.zeros(*self.order.shape, stack.runs[0].outputs, dtype=stack.dtype, device=device)
        if stack.stacked and self.order.dim() == 1:
            self.z = self.z.expand(len(stack.runs), *self.z.shape).contiguous()

    @property
    def tensors(self) -> list[Tensor]:
        return [self.order, *self.scalars, *([] if self.keys is None else [self.keys])]


class Graph:
    """The updates of a stack on a GPU, for which `can_replay` is true."""

    name = "graph"

    def __init__(self, stack: Stack) -> None:
        assert isinstance(stack.batches, Batches)
        self.stack, self.batches, self.pace = stack, stack.batches, Pace(stack.device)
        self.update = torch.zeros(1, dtype=torch.int64, device=stack.device)  # the number of the next one in its epoch
        self.graph: torch.cuda.CUDAGraph | None = None
        self.recorded: list[int] = []  # where the tensors lie that the graph works on
        self.rate: Tensor | float = 0.0
        self.tables: Tables
        self.g: Tensor

    @property
    def updates_per_call(self) -> int:
        return self.pace.updates

    def begin_epoch(self, epoch: int, rates: np.ndarray, first: int) -> None:
        stack, tables = self.stack, Tables(self.stack, epoch, rates)
        if self.graph and self._places() == self.recorded and _alike(tables, self.tables):
            for old, new in zip(self.tables.tensors, tables.tensors, strict=True):
                old.copy_(new)
        else:
            self.graph, self.tables = None, tables
            noise = noise_keys(stack, epoch)
            if noise is not None and noise[1].any():
                rate = noise[1][:, None, None] if stack.stacked else noise[1][0]
                self.rate = to_device(np.asarray(rate), stack.device, torch.float64)
        self.next = first
        self.update.fill_(first)

    def advance(self, number: int, last: bool) -> Updates:
        stack, bs, before = self.stack, self.batches.bs, None
        begin = self.next * bs
        with self.pace.call(number), stage("replayed updates"):
            for i in range(number):
                if last and i == number - 1:
                    before = stack.w.clone()
                size = self.batches.last if self.next == stack.per_epoch - 1 else bs
                if size < bs or stack.per_epoch == 1:
                    self._one(size)
                elif self.graph is None:
                    self._record()
                else:
                    self.graph.replay()
                self.next += 1
        z = self.tables.z.narrow(-2, begin, min(number * bs, self.batches.used - begin)).clone()
        change = None if before is None else torch.sub(stack.w, before, out=before)
        return Updates(z, self.g, change, gradient_costs(number))

    def _record(self) -> None:
        """Make an update on a stream of its own, as libraries get ready in their first calls; record the next ones."""
        stream = torch.cuda.Stream(self.stack.device)
        stream.wait_stream(torch.cuda.current_stream(self.stack.device))
        with torch.cuda.stream(stream):
            self._one(self.batches.bs)
        torch.cuda.current_stream(self.stack.device).wait_stream(stream)
        self.graph, self.recorded = torch.cuda.CUDAGraph(), self._places()
        with torch.cuda.graph(self.graph):
            self._one(self.batches.bs)

    def _places(self) -> list[int]:
        stack = self.stack
        states = [
            tensor for group in stack.rule_groups if isinstance(group, RuleGroup) for tensor in group.state.values()
        ]
        return [tensor.data_ptr() for tensor in (stack.w, *states, *stack.objective.buffers.values())]

    def _one(self, size: int) -> None:
        """The update with the number `self.update`, on a batch of so many samples."""
        stack, tables = self.stack, self.tables
        positions = self.update * self.batches.bs + torch.arange(size, device=stack.device)
        numbers = tables.order.index_select(-1, positions)
        x, y = self.batches.at("train", numbers)
        noise = None
        if tables.keys is not None:
            noise = Noise(tables.keys.index_select(0, self.update).squeeze(0), self.rate)
        z, self.g = stack.objective.gradient(stack.w, x, y, noise, self.batches.weights_at("train", numbers))
        tables.z.index_copy_(tables.z.dim() - 2, positions, z)
        for group, table in zip(stack.rule_groups, tables.scalars, strict=True):
            assert isinstance(group, RuleGroup)
            scalars = table.index_select(0, self.update).squeeze(0).unbind()
            group.step(stack.w[group.rows], self.g[group.rows], dict(zip(group.names, scalars, strict=True)))
        self.update += 1

    def forward(self, split: str, w: Tensor) -> Tensor:
        return forward(self.stack, split, w)

    def layer_statistics(self, gradient: Tensor | None, change: Tensor) -> dict[str, Tensor]:
        return layer_statistics(self.stack, gradient, change)


def _alike(one: Tables, other: Tables) -> bool:
    return [t.shape for t in one.tensors] == [t.shape for t in other.tensors]
