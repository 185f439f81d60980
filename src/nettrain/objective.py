"""The objective: model + head + data as a function of the flat parameter vector, for one run or for K.

Shapes: w (..., P), x (..., n, *shape) or a dictionary of such tensors, y (..., n), or (..., n, m) for a head of several
targets, logits z (..., n, outputs), where `...` is nothing for one run and K for a stack of runs. Everything that
optimizes sees only this.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from nettrain.data.target_scale import TargetScale
from nettrain.inputs import Input, Inputs, each, is_vector, one_of, total_size
from nettrain.parts.heads import Head
from nettrain.parts.joined_metrics import JoinedMetrics
from nettrain.parts.metrics import mean
from nettrain.parts.models import RowModule
from nettrain.parts.named_metrics import NamedMetric
from nettrain.profile import stage
from nettrain.random import Noise
from nettrain.row_streams import generator_as_it_was, generator_state, part_streams, row_streams
from nettrain.samples import X, ready, sample_dim, split, with_doubles
from nettrain.vector import Layout, constants

Tensors = dict[str, Tensor]

# What vmap computes row by row is no fault that whoever trains attention could mend, or should report.
torch._C._functorch._set_vmap_fallback_warning_enabled(False)  # type: ignore[attr-defined]

EVALUATION_ROWS = 16_384  # samples per forward pass without autograd: many enough to be fast, few enough for memory
EVALUATION_NUMBERS = 2**20  # of x in such a pass, where samples are no vectors: layers may hold many times as many


@dataclass
class Objective:
    """The mean negative log-likelihood of a head over a batch, as a function of `w`.

    `target` undoes a regression target's standardisation before it is measured.
    `accumulate` is the number of parts in which the gradient of a batch is computed; with `autocast`, a type, the
    forward and backward passes of training compute in it.
    `named_metrics` are computed on the host, whenever the head's metrics are measured.
    `buffers` are what a module computes with beside its parameters: frozen ones, and what a foreign module keeps
    (running means), which training changes in place. `inputs` say which shape a sample of x has, by default a vector's.
    In memory there is room for `padding` more numbers behind a gradient.
    """

    model: nn.Module
    head: Head
    target: TargetScale | None = None
    buffers: Tensors = field(default_factory=dict)
    accumulate: int = 1
    autocast: torch.dtype | None = None
    named_metrics: Sequence[NamedMetric] = ()
    inputs: Inputs = field(default_factory=lambda: Input((1,)))
    padding: int = 0

    def __post_init__(self) -> None:
        self.layout = Layout.of(self.model)
        self._buffer_dims = {name: tensor.dim() for name, tensor in constants(self.model).items()}
        self._views: _Views | None = None
        self._noisy: bool | None = None

    def logits(self, w: Tensor, x: X, noise: Noise | None = None) -> Tensor:
        """z (..., n, outputs); as in training with `noise`, as in evaluation without."""
        return self._forward(self.layout.views(w), w.dim() > 1, x, noise)

    def _forward(self, parameters: Tensors, stacked: bool, x: X, noise: Noise | None, training: bool = False) -> Tensor:
        if isinstance(self.model, RowModule):
            return self.logits_of_rows(self._complete(parameters, stacked), x, noise, training)
        self.model.train(noise is not None)
        if stacked:
            dims = 0, 0, 0 if sample_dim(x, self.inputs) else None
            if noise is None or not self._draws(parameters, x):
                return vmap(self.logits_of_module, dims)(parameters, self.buffers, x)
            device = next(iter(parameters.values())).device
            if dims[-1] is None:  # so that noise of x itself is each run's own, too
                x = each(lambda t: t.expand(len(noise.seeds), *t.shape), x)
            with row_streams(noise.seeds, device):
                return vmap(self.logits_of_module, randomness="different")(parameters, self.buffers, x)
        if noise is not None:  # so that a foreign module's dropout, too, depends on the step alone
            torch.manual_seed(*noise.seeds)
        if noise is not None and noise.samples is not None:
            with part_streams(noise.samples, noise.whole):
                return self.logits_of_module(parameters, self.buffers, x)
        return self.logits_of_module(parameters, self.buffers, x)

    def logits_of_rows(self, parameters: Tensors, x: X, noise: Noise | None, training: bool) -> Tensor:
        """z (..., n, outputs) of a module of nettrain's own; in training its copies may each have theirs."""
        assert isinstance(self.model, RowModule)
        return (self.model.trained_logits if training else self.model.logits)(parameters, x, noise)

    def _draws(self, parameters: Tensors, x: X) -> bool:
        """Whether a foreign module draws noise in training, as its first row shows once."""
        if self._noisy is None:
            device = next(iter(parameters.values())).device
            of_row, buffers = ({n: t[0].clone() for n, t in some.items()} for some in (parameters, self.buffers))
            with torch.no_grad(), generator_as_it_was(device):
                before = generator_state(device)
                self.logits_of_module(of_row, buffers, each(lambda t: t[0], x) if sample_dim(x, self.inputs) else x)
                self._noisy = not torch.equal(before, generator_state(device))
        return self._noisy

    def _complete(self, parameters: Tensors, stacked: bool) -> Tensors:
        """The parameters and the buffers of a module of nettrain's own; rows of one run's w share its buffers."""
        if not stacked or not self.buffers:
            return {**parameters, **self.buffers}
        rows = len(next(iter(parameters.values())))
        shared = {name for name, tensor in self.buffers.items() if tensor.dim() == self._buffer_dims[name]}
        return {
            **parameters,
            **{name: t.expand(rows, *t.shape) if name in shared else t for name, t in self.buffers.items()},
        }

    def logits_of_module(self, parameters: Tensors, buffers: Tensors, x: X) -> Tensor:
        """z (n, outputs) of a foreign module."""
        z: Tensor = functional_call(self.model, (parameters, buffers), (x,))
        return z.unsqueeze(-1) if z.dim() == 1 else z  # a module with one output may give (n,)

    def value(self, w: Tensor, x: X, y: Tensor, noise: Noise | None = None, weights: Tensor | None = None) -> Tensor:
        """The mean over the batch of the losses, times their weights, (...); rows of w may share x and y (n,)."""
        return self.mean_loss(self.logits(w, x, noise), y, weights)

    def mean_loss(self, z: Tensor, y: Tensor, weights: Tensor | None = None) -> Tensor:
        """The mean of the losses of given logits, times their weights, (...)."""
        return self._weighted(z, self._of_rows(y, z), weights).mean(-1)

    def losses(self, z: Tensor, y: Tensor) -> Tensor:
        """The loss of every sample, (..., n); rows of z (..., n, outputs) may share one y (n,)."""
        return self.head.loss(z, self._of_rows(y, z))

    def _of_rows(self, y: Tensor, z: Tensor) -> Tensor:
        """y, or weights, for each row of z."""
        return y.expand(*z.shape[:-1], *self.head.event_shape)

    def _weighted(self, z: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        """The loss of every sample, (..., n), times its weight; of several targets each loss has one, (..., n, m)."""
        if weights is None:
            return self.head.loss(z, y)
        losses = self.head.loss_of_each(z, y) * weights
        return losses.sum(-1) if self.head.event_shape else losses

    def gradient(
        self,
        w: Tensor,
        x: X,
        y: Tensor,
        noise: Noise | None = None,
        weights: Tensor | None = None,
        whole: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The logits z of the batch and the gradient g (..., P) of the mean loss; rows do not mix.

        `weights`, of the shape of y and of mean 1 over the training split, are factors of the samples' losses. Where x
        is a part of a batch of `whole` samples, g is what it contributes to the gradient. The next call may overwrite
        g.
        """
        if self._views is None or self._views.w is not w:
            self._views = _Views(w, self.room_for(w), self.layout, not self.by_formulas)
        sample = y.dim() - 1 - len(self.head.event_shape)
        views, samples = self._views, y.shape[sample]
        size, whole = max(1, -(-samples // self.accumulate)), samples if whole is None else whole
        if self.accumulate == 1:
            return self._backward(views, x, y, noise, weights, whole), views.g
        total, zs = self.room_for(w).zero_(), []
        for i, (part_x, part_y) in enumerate(zip(split(x, size, sample), y.split(size, sample), strict=True)):
            part_noise = None if noise is None else replace(noise, first=i * size)
            here = part_y.shape[sample]
            part = None if weights is None else weights.narrow(sample, i * size, here)
            zs.append(self._backward(views, part_x, part_y, part_noise, part, here))
            total.add_(views.g, alpha=here / whole)
        return torch.cat(zs, dim=-2), total

    def room_for(self, w: Tensor) -> Tensor:
        """A new vector like w, for a gradient."""
        if not self.padding:
            return torch.empty_like(w)
        return w.new_empty(w.numel() + self.padding)[: w.numel()].view(w.shape)

    @property
    def by_formulas(self) -> bool:
        """Whether the model says itself how its gradient is computed."""
        return isinstance(self.model, RowModule) and self.autocast is None

    def _backward(
        self, views: "_Views", x: X, y: Tensor, noise: Noise | None, weights: Tensor | None, whole: int
    ) -> Tensor:
        """Write the gradient of the sum of losses, divided by `whole`, into `views.gradients`; the logits z."""
        if self.by_formulas:
            assert isinstance(self.model, RowModule)
            with torch.no_grad():
                derivative = partial(self._loss_gradient, y, weights, whole)
                parameters = self._complete(views.parameters, views.w.dim() > 1)
                return self.model.backpropagate(parameters, x, noise, derivative, views.gradients)
        cast = torch.autocast(views.w.device.type, self.autocast, enabled=self.autocast is not None)
        with stage("forward"), torch.enable_grad(), cast:
            z = self._forward(views.parameters, views.w.dim() > 1, x, noise, training=True).to(views.w.dtype)
            # The samples of all rows in one list: the gradient of their sum is, for each row, its own.
            samples = z.flatten(0, -2), self._of_rows(y, z).flatten(0, z.dim() - 2)
            if weights is None:
                total = self.head.loss(*samples, reduction="sum")
            else:
                total = self._weighted(*samples, self._of_rows(weights, z).flatten(0, z.dim() - 2)).sum()
            copies = self.model.copies if isinstance(self.model, RowModule) else 1
            loss = total / (whole * copies)
        with stage("backward"):
            gradients = torch.autograd.grad(loss, list(views.parameters.values()), materialize_grads=True)
            for view, gradient in zip(views.gradients.values(), gradients, strict=True):
                view.copy_(gradient)
        z = z.detach()
        return self.model.together(z) if isinstance(self.model, RowModule) else z

    def _loss_gradient(self, y: Tensor, weights: Tensor | None, whole: int, z: Tensor) -> Tensor:
        """The derivative of the sum of losses, divided by `whole`, by z."""
        gradient = self.head.loss_gradient(z, self._of_rows(y, z)).div_(whole)
        if weights is None:
            return gradient
        if not self.head.event_shape:
            return gradient.mul_(weights.unsqueeze(-1))
        of_each = gradient.unflatten(-1, (*self.head.event_shape, -1))
        return (of_each * weights.unsqueeze(-1)).flatten(-2)

    def of_rows(self, rows: Sequence[int]) -> "Objective":
        """What measures these rows alone."""
        return self if self.target is None else replace(self, target=self.target.of_rows(rows))

    def measure(self, z: Tensor, y: Tensor, weights: Tensor | None = None) -> Tensors:
        """The mean loss and the head's metrics of given logits, each (...); numbers in the target's own units.

        Rows may share y (n,), and weights of any scale, of the shape of y. Of several targets the loss is the sum of
        their means.
        """
        z, y, weights = self.within_range(z), with_doubles(y), None if weights is None else with_doubles(weights)
        y = self._of_rows(y, z)
        weights = None if weights is None else weights.double()
        losses = self.head.loss_of_each(z, y)
        if self.head.event_shape:
            loss = mean(losses.mT, None if weights is None else weights.mT).sum(-1)
        else:
            loss = mean(losses, weights)
        nowhere = z.isnan().flatten(-2).any(-1)  # a class can be read from NaN, but it means nothing
        metrics = self.head.metrics(z, y, self._in_units, weights)
        measured = {name: value.masked_fill(nowhere, torch.nan) for name, value in metrics.items()}
        return {"loss": loss, **measured, **self._named(z, y, weights)}

    def joined(self, before: JoinedMetrics, z: Tensor, y: Tensor, weights: Tensor | None = None) -> JoinedMetrics:
        """The metrics of some samples, and those of others, with logits z, targets y and weights as for `measure`."""
        z, y, weights = self.within_range(z), with_doubles(y), None if weights is None else with_doubles(weights)
        measured, y, predicted = self.measure(z, y, weights), self._of_rows(y, z), self.head.predict(z)
        if not self.head.for_classes:
            return before.added(measured, self._in_units(predicted), self._in_units(y), 0, weights=weights)
        p = self.head.mean(z[..., :1, :])
        return before.added(measured, predicted, y, p.shape[-1], self.head.score(z), weights)

    def _named(self, z: Tensor, y: Tensor, weights: Tensor | None) -> Tensors:
        """The named metrics of given logits, each (...); NaN where a logit is not finite."""
        if not self.named_metrics:
            return {}
        rows = z.shape[:-2].numel()
        arguments: list[list[np.ndarray | None]] = []
        predicted = self.head.predict(z)
        for tensor in (y, predicted) if self.head.for_classes else (self._in_units(y), self._in_units(predicted)):
            arguments.append(list(tensor.reshape(rows, *y.shape[z.dim() - 2 :]).cpu().numpy()))
        p = self.head.mean(z).double() if self.head.for_classes else None
        arguments.append([None] * rows if p is None else list(p.reshape(rows, *p.shape[-2:]).cpu().numpy()))
        if weights is None:
            arguments.append([None] * rows)
        else:
            arguments.append(list(weights.expand(y.shape).reshape(rows, *y.shape[z.dim() - 2 :]).cpu().numpy()))
        finite = z.isfinite().flatten(-2).all(-1).reshape(rows).tolist()
        named = {}
        for metric in self.named_metrics:
            values = [metric(*row) if good else math.nan for good, *row in zip(finite, *arguments, strict=True)]
            named[metric.name] = torch.tensor(values, dtype=torch.float64, device=z.device).view(z.shape[:-2])
        return named

    def within_range(self, z: Tensor) -> Tensor:
        """Logits as they are measured; predicted numbers are kept within the target's range, where it has one."""
        z = with_doubles(z)
        return z if self.target is None else self.target.within_range(z)

    def _in_units(self, values: Tensor) -> Tensor:
        """Numbers (..., n), or (..., n, m), in the target's own units."""
        return values if self.target is None else self.target.in_units(values)

    @torch.no_grad()
    def evaluate(self, w: Tensor, x: X, y: Tensor) -> Tensors:
        """The mean loss and the metrics over a whole split, each (...)."""
        return self.measure(self.predict_logits(w, x), y)

    @torch.no_grad()
    def logits_of_samples(self, w: Tensor, samples: Any, inputs: Inputs) -> Tensor:
        """The logits (n, outputs) of samples as they lie in memory, such as bytes, with the weights w (P,).

        `inputs` say how they are scaled.
        """
        count, size = len(one_of(samples)), samples_at_once(w, inputs)
        parts = (each(partial(_slice, first, first + size), samples) for first in range(0, max(1, count), size))
        x = (each(lambda part: part.to(w.device), ready(part, inputs, w.dtype)) for part in parts)
        return torch.cat([self.logits(w, part) for part in x], dim=-2)

    @torch.no_grad()
    def predict_logits(self, w: Tensor, x: X) -> Tensor:
        """The logits of a whole split, in as few forward passes as memory allows."""
        parts = split(x, samples_at_once(w, self.inputs), sample_dim(x, self.inputs))
        return torch.cat([self.logits(w, part) for part in parts], dim=-2)


def _slice(first: int, last: int, values: Any) -> Any:
    return values[first:last]


class _Views:
    """The views into w and into its gradient g, kept from step to step for as long as w is the same tensor."""

    def __init__(self, w: Tensor, g: Tensor, layout: Layout, leaves: bool) -> None:
        self.w, self.g = w, g
        self.parameters, self.gradients = layout.views(w.detach()), layout.views(g)
        if leaves:  # at which autograd begins
            self.parameters = {name: view.detach().requires_grad_() for name, view in self.parameters.items()}


def samples_at_once(w: Tensor, inputs: Inputs) -> int:
    """Samples per forward pass without autograd, for all rows of w."""
    most = (
        EVALUATION_ROWS if is_vector(inputs) else min(EVALUATION_ROWS, EVALUATION_NUMBERS // max(1, total_size(inputs)))
    )
    return max(1, most // w.shape[:-1].numel())
