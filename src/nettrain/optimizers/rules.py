"""Update rules that use the gradient. Each is written once, for w of shape (P,) or (K, P).

A rule is split in two. `coefficients` computes, in float64 and on the host, all scalars of the update number t
(t = 1, 2, ...) from the learning rate and the hyperparameters: numbers for one update, or arrays over many updates
and runs at once, so that the training loop does no scalar arithmetic. `update` is then a handful of tensor
operations that change `w` and `state` in place; it draws no random numbers and reduces over no axis.

The names of the state's tensors are those of `torch.optim`. eta is the learning rate of the update, lambda the
weight decay, g the gradient; weight decay adds lambda w to g, except in AdamW.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from nettrain.errors import ConfigError
from nettrain.optimizers.numerics import (
    Coefficient,
    Scalars,
    add_scaled,
    add_scaled_,
    add_scaled_ratio_,
    add_scaled_square_,
    power,
)
from nettrain.registry import option

CHUNK = 2**19  # numbers that are updated at a time on a CPU, so that all operations find them in its cache

State = dict[str, Tensor]
Coefficients = dict[str, Coefficient]


@dataclass
class Rule(ABC):
    """What gradient rules share: the learning rate, weight decay, and clipping of the gradient's norm."""

    name: str = ""
    lr: float = option(1e-3, "learning rate (eta)", minimum=0)
    weight_decay: float = option(0.0, "weight decay (lambda)", minimum=0)
    clip_norm: float | None = option(
        None, "scale gradients down to this norm if they are longer; null: no clipping", above=0
    )

    decays_gradient: ClassVar[bool] = True
    by_layer: ClassVar[bool] = False
    """Whether `update` is called for each parameter by itself, with tensors (K, *shape) and scalars (K, 1, ...).

    K is 1 for a run alone. Such a rule may reduce over all axes but the first one, multiply matrices, and so on.
    """
    per_row: ClassVar[bool] = True  # each row of a stack may have a rule of its own

    def init(self, w: Tensor) -> State:
        """The state before the first update."""
        return {}

    def coefficients(self, t: Scalars, lr: Scalars) -> dict[str, Scalars]:
        """The scalars of update t with learning rate lr, by name."""
        return {"step": -lr}

    @abstractmethod
    def update(self, state: State, w: Tensor, g: Tensor, c: Coefficients) -> None:
        """Advance w and state in place by one update; g may be changed too."""

    def all_coefficients(self, t: Scalars, lr: Scalars) -> dict[str, Scalars]:
        """The scalars of the rule, and those of weight decay and clipping where they are switched on."""
        scalars = self.coefficients(t, lr)
        if self.decays_gradient and np.any(self.weight_decay):
            scalars["weight_decay"] = self.weight_decay
        if self.clip_norm is not None:
            scalars["clip_norm"] = self.clip_norm
        return scalars

    def step(self, state: State, w: Tensor, g: Tensor, c: Coefficients) -> None:
        """One whole update in place: clip g, add the weight decay, apply the rule."""
        g = self.clipped(g, c)
        if w.numel() <= CHUNK or w.device.type != "cpu":
            self.elementwise(state, w, g, c)
            return
        tensors = [w, g, *state.values()]
        rows = any(isinstance(value, Tensor) for value in c.values())
        if not rows and all(tensor.is_contiguous() for tensor in tensors):  # one vector, whatever its shape
            tensors = [tensor.view(-1) for tensor in tensors]
        size = max(1, CHUNK * tensors[0].shape[-1] // w.numel())
        for part_w, part_g, *parts in zip(*(tensor.split(size, dim=-1) for tensor in tensors), strict=True):
            self.elementwise(dict(zip(state, parts, strict=True)), part_w, part_g, c)

    def clipped(self, g: Tensor, c: Coefficients) -> Tensor:
        """The gradient, clipped where that is switched on."""
        return clip(g, c["clip_norm"]) if "clip_norm" in c else g

    def elementwise(self, state: State, w: Tensor, g: Tensor, c: Coefficients) -> None:
        """What `step` does after clipping: to each number by itself."""
        if "weight_decay" in c:
            g = add_scaled(g, w, c["weight_decay"])
        self.update(state, w, g, c)


def clip(g: Tensor, max_norm: Coefficient, norm: Tensor | None = None) -> Tensor:
    """g min(1, max_norm / (|g| + 1e-6)), each row by its own Euclidean norm (as `torch.nn.utils.clip_grad_norm_`).

    `norm` is given where g is a part of what has this norm.
    """
    norm = torch.linalg.vector_norm(g, dim=-1, keepdim=True) if norm is None else norm
    return g * ((norm + 1e-6).reciprocal() * max_norm).clamp(max=1.0)  # number / tensor, too, is a reciprocal


@dataclass
class SGD(Rule):
    """w <- w - eta g.

    Stochastic gradient descent at bs=1, mini-batch gradient descent at 1 < bs < n, gradient descent at bs=full
    (Robbins and Monro, 1951).
    """

    name: str = "sgd"
    lr: float = option(1e-2, "learning rate (eta)", minimum=0)

    def update(self, state: State, w: Tensor, g: Tensor, c: Coefficients) -> None:
        add_scaled_(w, g, c["step"])


@dataclass
class Momentum(Rule):
    """b <- mu b + (1 - tau) g (b = g at the first update); w <- w - eta b (Polyak, 1964).

    Nesterov's form steps along g + mu b instead of b (Sutskever et al., 2013, as `torch.optim.SGD` has it). mu is
    `momentum`, tau `dampening`.
    """

    name: str = "momentum"
    lr: float = option(1e-2, "learning rate (eta)", minimum=0)
    momentum: float = option(0.9, "share of the previous direction that is kept (mu)", minimum=0, below=1)
    dampening: float = option(0.0, "share of the gradient that is left out (tau)", minimum=0, maximum=1)
    nesterov: bool = option(False, "step along g + mu b (Nesterov); needs momentum > 0 and dampening = 0")

    def __post_init__(self) -> None:
        if self.nesterov and (np.any(self.dampening) or not np.all(self.momentum)):
            raise ConfigError("optimizer.nesterov=true: it needs momentum > 0 and dampening = 0.")

    def init(self, w: Tensor) -> State:
        return {"momentum_buffer": torch.zeros_like(w)}

    def coefficients(self, t: Scalars, lr: Scalars) -> dict[str, Scalars]:
        return {"step": -lr, "momentum": self.momentum, "gradient": 1 - self.dampening * (t > 1)}

    def update(self, state: State, w: Tensor, g: Tensor, c: Coefficients) -> None:
        b = state["momentum_buffer"]
        b.mul_(c["momentum"])
        add_scaled_(b, g, c["gradient"])
        add_scaled_(w, add_scaled(g, b, c["momentum"]) if self.nesterov else b, c["step"])


@dataclass
class Adagrad(Rule):
    """s <- s + g^2;  w <- w - eta_t g / (sqrt(s) + eps),  eta_t = eta / (1 + (t - 1) lr_decay) (Duchi et al., 2011).

    With eps = 0 this is the plain rule of a first course; there 0/0, a coordinate that never had a gradient,
    counts as 0.
    """

    name: str = "adagrad"
    lr: float = option(1e-2, "learning rate (eta)", minimum=0)
    lr_decay: float = option(0.0, "decay of the learning rate per update", minimum=0)
    initial_accumulator_value: float = option(0.0, "initial value of the sum of squares s", minimum=0)
    eps: float = option(1e-10, "added to the root in the denominator; 0 for the plain rule", minimum=0)

    def init(self, w: Tensor) -> State:
        return {
            "sum": torch.zeros_like(w) + torch.as_tensor(self.initial_accumulator_value, dtype=w.dtype, device=w.device)
        }

    def coefficients(self, t: Scalars, lr: Scalars) -> dict[str, Scalars]:
        return {"step": -lr / (1 + (t - 1) * self.lr_decay), "eps": self.eps}

    def update(self, state: State, w: Tensor, g: Tensor, c: Coefficients) -> None:
        s = state["sum"].addcmul_(g, g)
        add_scaled_ratio_(w, g, _denominator(s.sqrt(), c, self.eps), c["step"])


@dataclass
class RMSprop(Rule):
    """v <- alpha v + (1 - alpha) g^2;  w <- w - eta g / (sqrt(v) + eps) (Tieleman and Hinton, 2012).

    `centered` subtracts the square of the mean gradient from v (Graves, 2013); `momentum` mu > 0 steps along
    b <- mu b + g / (sqrt(v) + eps).
    """

    name: str = "rmsprop"
    lr: float = option(1e-2, "learning rate (eta)", minimum=0)
    alpha: float = option(0.99, "decay rate of the mean of squared gradients", minimum=0, maximum=1)
    eps: float = option(1e-8, "added to the root in the denominator", minimum=0)
    momentum: float = option(0.0, "share of the previous direction that is kept (mu)", minimum=0)
    centered: bool = option(False, "divide by the gradient's standard deviation instead")

    def init(self, w: Tensor) -> State:
        names = ["square_avg"]
        names += ["momentum_buffer"] if np.any(self.momentum) else []
        names += ["grad_avg"] if self.centered else []
        return {name: torch.zeros_like(w) for name in names}

    def coefficients(self, t: Scalars, lr: Scalars) -> dict[str, Scalars]:
        return {"step": -lr, "kept": self.alpha, "new": 1 - self.alpha, "eps": self.eps, "momentum": self.momentum}

    def update(self, state: State, w: Tensor, g: Tensor, c: Coefficients) -> None:
        v = add_scaled_square_(state["square_avg"].mul_(c["kept"]), g, c["new"])
        if self.centered:
            m = state["grad_avg"].lerp_(g, c["new"])
            v = v.addcmul(m, m, value=-1)
        d = _denominator(v.sqrt(), c, self.eps)
        if "momentum_buffer" in state:
            b = state["momentum_buffer"].mul_(c["momentum"]).addcdiv_(g, d)
            add_scaled_(w, b, c["step"])
        else:
            add_scaled_ratio_(w, g, d, c["step"])


@dataclass
class Adam(Rule):
    """m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
    w <- w - eta mhat / (sqrt(vhat) + eps),  mhat = m / (1 - beta1^t),  vhat = v / (1 - beta2^t).

    Kingma and Ba (2015), algorithm 1. `amsgrad` divides by the largest v so far (Reddi et al., 2018).
    With eps = 0 and bias_correction = false it is the plain rule of a first course, w <- w - eta m / sqrt(v),
    whose first step is (1 - beta1) / sqrt(1 - beta2) = 3.16 times longer; there 0/0 counts as 0.
    """

    name: str = "adam"
    beta1: float = option(0.9, "decay rate of the mean of gradients", minimum=0, below=1)
    beta2: float = option(0.999, "decay rate of the mean of squared gradients", minimum=0, below=1)
    eps: float = option(1e-8, "added to the root in the denominator; 0 for the plain rule", minimum=0)
    amsgrad: bool = option(False, "divide by the largest mean square so far (AMSGrad)")
    bias_correction: bool = option(True, "correct both means for starting at 0; false for the plain rule")

    def init(self, w: Tensor) -> State:
        names = ["exp_avg", "exp_avg_sq"] + (["max_exp_avg_sq"] if self.amsgrad else [])
        return {name: torch.zeros_like(w) for name in names}

    def coefficients(self, t: Scalars, lr: Scalars) -> dict[str, Scalars]:
        correction1 = 1 - power(self.beta1, t) if self.bias_correction else 1.0
        correction2 = 1 - power(self.beta2, t) if self.bias_correction else 1.0
        return {
            "step": -lr / correction1,
            "new1": 1 - self.beta1,
            "kept2": self.beta2,
            "new2": 1 - self.beta2,
            "root": power(correction2, 0.5),
            "eps": self.eps,
        }

    def update(self, state: State, w: Tensor, g: Tensor, c: Coefficients) -> None:
        m = state["exp_avg"].lerp_(g, c["new1"])
        v = add_scaled_square_(state["exp_avg_sq"].mul_(c["kept2"]), g, c["new2"])
        if self.amsgrad:
            v = torch.maximum(state["max_exp_avg_sq"], v, out=state["max_exp_avg_sq"])
        add_scaled_ratio_(w, m, _denominator(v.sqrt().div_(c["root"]), c, self.eps), c["step"])


@dataclass
class AdamW(Adam):
    """w <- (1 - eta lambda) w, then Adam's update: weight decay that the adaptive steps do not rescale.

    Loshchilov and Hutter (2019), algorithm 2, with the decay scaled by eta as in `torch.optim.AdamW`.
    """

    name: str = "adamw"
    weight_decay: float = option(1e-2, "weight decay (lambda)", minimum=0)

    decays_gradient: ClassVar[bool] = False

    def coefficients(self, t: Scalars, lr: Scalars) -> dict[str, Scalars]:
        return {**super().coefficients(t, lr), "kept": 1 - lr * self.weight_decay}

    def update(self, state: State, w: Tensor, g: Tensor, c: Coefficients) -> None:
        super().update(state, w.mul_(c["kept"]), g, c)


def _denominator(root: Tensor, c: Coefficients, eps: Scalars) -> Tensor:
    """root + eps in place; where eps is 0 a root of 0 becomes infinity, so that 0/0 counts as 0."""
    d = root.add_(c["eps"])
    positive = eps > 0 if isinstance(eps, float) else np.all(eps)
    return d if positive else d.masked_fill_(d == 0, torch.inf)
