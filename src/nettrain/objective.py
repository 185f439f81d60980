"""The objective: model + head + data as a function of the flat parameter vector, for one run or for K.

Shapes: w (..., P), x (..., n, D), y (..., n), logits z (..., n, outputs), where `...` is nothing for one run and
K for a stack of runs. Everything that optimizes sees only this.
"""

from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from nettrain.parts.heads import Head
from nettrain.parts.models import RowModule
from nettrain.profile import stage
from nettrain.random import Noise
from nettrain.vector import Layout

Tensors = dict[str, Tensor]

EVALUATION_ROWS = 16_384  # samples per forward pass without autograd: many enough to be fast, few enough for memory


@dataclass
class Objective:
    """The mean negative log-likelihood of a head over a batch, as a function of `w`.

    `target_mean` and `target_scale`, (..., 1) in float64, undo a regression target's standardisation before it is
    measured.
    `accumulate` is the number of parts in which the gradient of a batch is computed; with `autocast`, a type, the
    forward and backward passes of training compute in it.
    `buffers` are what a foreign module keeps beside its parameters (running means); training changes them in place.
    """

    model: nn.Module
    head: Head
    target_mean: Tensor | None = None
    target_scale: Tensor | None = None
    buffers: Tensors = field(default_factory=dict)
    accumulate: int = 1
    autocast: torch.dtype | None = None

    def __post_init__(self) -> None:
        self.layout = Layout.of(self.model)
        self._views: _Views | None = None

    def logits(self, w: Tensor, x: Tensor, noise: Noise | None = None) -> Tensor:
        """z (..., n, outputs); as in training with `noise`, as in evaluation without."""
        return self._forward(self.layout.views(w), w.dim() > 1, x, noise)

    def _forward(self, parameters: Tensors, stacked: bool, x: Tensor, noise: Noise | None) -> Tensor:
        if isinstance(self.model, RowModule):
            return self.model.logits(parameters, x, noise)
        self.model.train(noise is not None)
        if stacked:  # it draws no noise: vmap refuses that
            return vmap(self._call, (0, 0, 0 if x.dim() == 3 else None))(parameters, self.buffers, x)
        if noise is not None:
            torch.manual_seed(
                int(noise.key) + noise.first
            )  # so that a foreign module's dropout, too, depends on the step alone
        return self._call(parameters, self.buffers, x)

    def _call(self, parameters: Tensors, buffers: Tensors, x: Tensor) -> Tensor:
        """z (n, outputs) of a foreign module."""
        z: Tensor = functional_call(self.model, (parameters, buffers), (x,))
        return z.unsqueeze(-1) if z.dim() == x.dim() - 1 else z  # a module with one output may give (n,)

    def value(self, w: Tensor, x: Tensor, y: Tensor, noise: Noise | None = None) -> Tensor:
        """The mean loss over the batch, (...); rows of w may share one batch x (n, D), y (n,)."""
        return self.losses(self.logits(w, x, noise), y).mean(-1)

    def losses(self, z: Tensor, y: Tensor) -> Tensor:
        """The loss of every sample, (..., n); rows of z (..., n, outputs) may share one y (n,)."""
        return self.head.loss(z, y.expand(z.shape[:-1]))

    def gradient(self, w: Tensor, x: Tensor, y: Tensor, noise: Noise | None = None) -> tuple[Tensor, Tensor]:
        """The logits z of the batch and the gradient g (..., P) of the mean loss; rows do not mix.

        The next call may overwrite g.
        """
        if self._views is None or self._views.w is not w:
            self._views = _Views(w, torch.empty_like(w), self.layout, not self._by_formulas)
        views, size = self._views, -(-y.shape[-1] // self.accumulate)
        if self.accumulate == 1:
            return self._backward(views, x, y, noise), views.g
        total, zs = torch.zeros_like(w), []
        for i, (part_x, part_y) in enumerate(zip(x.split(size, -2), y.split(size, -1), strict=True)):
            part_noise = None if noise is None else replace(noise, first=i * size)
            zs.append(self._backward(views, part_x, part_y, part_noise))
            total.add_(views.g, alpha=part_y.shape[-1] / y.shape[-1])
        return torch.cat(zs, dim=-2), total

    @property
    def _by_formulas(self) -> bool:
        return isinstance(self.model, RowModule) and self.autocast is None

    def _backward(self, views: "_Views", x: Tensor, y: Tensor, noise: Noise | None) -> Tensor:
        """Write the gradient of the mean loss into `views.gradients`; the logits z."""
        if self._by_formulas:
            assert isinstance(self.model, RowModule)
            with torch.no_grad():
                derivative = partial(self._loss_gradient, y)
                return self.model.backpropagate(views.parameters, x, noise, derivative, views.gradients)
        cast = torch.autocast(views.w.device.type, self.autocast, enabled=self.autocast is not None)
        with stage("forward"), torch.enable_grad(), cast:
            z = self._forward(views.parameters, views.w.dim() > 1, x, noise).to(views.w.dtype)
            # The samples of all rows in one list: the gradient of their sum is, for each row, its own.
            loss = self.head.loss(z.flatten(0, -2), y.expand(z.shape[:-1]).flatten(), reduction="sum") / y.shape[-1]
        with stage("backward"):
            gradients = torch.autograd.grad(loss, list(views.parameters.values()), materialize_grads=True)
            for view, gradient in zip(views.gradients.values(), gradients, strict=True):
                view.copy_(gradient)
        return z.detach()

    def _loss_gradient(self, y: Tensor, z: Tensor) -> Tensor:
        """The derivative of the mean loss of the batch by z."""
        return self.head.loss_gradient(z, y.expand(z.shape[:-1])).div_(y.shape[-1])

    def measure(self, z: Tensor, y: Tensor) -> Tensors:
        """The mean loss and the head's metrics of given logits, each (...); numbers in the target's own units.

        Rows may share y (n,).
        """
        y = y.expand(z.shape[:-1])
        loss = self.head.loss(z, y).double().mean(-1)
        if self.target_mean is not None and self.target_scale is not None:
            z = z.double() * self.target_scale.unsqueeze(-1) + self.target_mean.unsqueeze(-1)
            y = y.double() * self.target_scale + self.target_mean
        nowhere = z.isnan().flatten(-2).any(-1)  # a class can be read from NaN, but it means nothing
        metrics = {name: value.masked_fill(nowhere, torch.nan) for name, value in self.head.metrics(z, y).items()}
        return {"loss": loss, **metrics}

    @torch.no_grad()
    def evaluate(self, w: Tensor, x: Tensor, y: Tensor) -> Tensors:
        """The mean loss and the metrics over a whole split, each (...)."""
        return self.measure(self.predict_logits(w, x), y)

    @torch.no_grad()
    def predict_logits(self, w: Tensor, x: Tensor) -> Tensor:
        """The logits of a whole split, in as few forward passes as memory allows."""
        return torch.cat([self.logits(w, part) for part in x.split(samples_at_once(w), dim=-2)], dim=-2)


class _Views:
    """The views into w and into its gradient g, kept from step to step for as long as w is the same tensor."""

    def __init__(self, w: Tensor, g: Tensor, layout: Layout, leaves: bool) -> None:
        self.w, self.g = w, g
        self.parameters, self.gradients = layout.views(w.detach()), layout.views(g)
        if leaves:  # at which autograd begins
            self.parameters = {name: view.detach().requires_grad_() for name, view in self.parameters.items()}


def samples_at_once(w: Tensor) -> int:
    """Samples per forward pass without autograd, for all rows of w."""
    return max(1, EVALUATION_ROWS // w.shape[:-1].numel())
