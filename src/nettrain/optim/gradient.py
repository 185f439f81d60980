"""The gradient rules as drop-in replacements of `torch.optim`'s classes, for anybody's own training loop.

Each class takes torch's constructor arguments, except those that choose between torch's implementations (foreach,
fused, capturable, differentiable). Their keys still stand in the parameter groups, so that state dicts load across in
both directions. The mathematics is that of `nettrain.parts.rules`, applied to one parameter tensor at a time.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache, partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nettrain.errors import ConfigError
from nettrain.parts import rules
from nettrain.parts.option import check


class RuleOptimizer(Optimizer, ABC):
    """A `torch.optim.Optimizer` whose update is a rule of `nettrain.parts.rules`.

    Hyperparameters belong to the parameter group and are read at every step, so that torch's schedulers work. The
    state of a parameter p holds tensors of p's shape, and the number of its updates as `step`, a float32 number on the
    CPU as torch has it, exact up to 2^24; SGD's has no `step`.
    """

    counted: ClassVar[bool] = True

    @abstractmethod
    def rule(self, group: dict[str, Any]) -> rules.Rule:
        """The rule of a parameter group; raises ValueError for hyperparameters that do not go together."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters; raises ValueError for a hyperparameter outside its range."""
        group = {**self.defaults, **param_group}
        tensors = [key for key, value in group.items() if key != "params" and isinstance(value, Tensor)]
        if tensors:
            raise ValueError(f"{tensors[0]} has to be a number, not a tensor; it can be changed between steps.")
        try:
            check(self.rule(group))
        except ConfigError as error:
            raise ValueError(str(error)) from None
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient; with a closure, call it first and return its loss.

        Raises RuntimeError for sparse and for complex gradients.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            rule = self.rule(group)
            coefficients = cache(partial(rule.all_coefficients, lr=rule.lr))  # most parameters share one t
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, -p.grad if group["maximize"] else p.grad, rule, coefficients)
        return loss

    def _update(self, p: nn.Parameter, g: Tensor, rule: rules.Rule, coefficients: Callable[[int], Any]) -> None:
        if g.layout != torch.strided or g.is_complex():
            kind = "complex" if g.is_complex() else "sparse"
            raise RuntimeError(f"{type(self).__name__} does not support {kind} gradients; make them dense and real.")
        state = self.state.get(p)
        t = 2 if state else 1  # the rule that is not counted knows only the first update from later ones
        if not state:
            state = rule.init(p)
            if self.counted:
                state["step"] = torch.zeros((), dtype=torch.float32)
            if state:
                self.state[p] = state
        if self.counted:
            t = int(state["step"].add_(1))
        rule.step(state, p, g, coefficients(t))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a pickle or of `load_state_dict`, also one that torch's own class has written."""
        super().__setstate__(state)
        for group in self.param_groups:
            for key, default in self.defaults.items():
                group.setdefault(key, default)
            if isinstance(group["lr"], Tensor):
                group["lr"] = float(group["lr"])
        for kept in self.state.values():
            if "step" in kept:
                kept["step"] = torch.as_tensor(
                    kept["step"], dtype=torch.float32
                ).cpu()  # torch's fused form: on the GPU


class SGD(RuleOptimizer):
    """Gradient descent with momentum: `nettrain.parts.rules.SGD`, and `Momentum` where `momentum` is not 0.

    The arguments and defaults are those of `torch.optim.SGD`.
    """

    counted = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        hyperparameters = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        implementation = {"foreach": None, "differentiable": False, "fused": None}
        super().__init__(params, {**hyperparameters, "nesterov": nesterov, "maximize": maximize, **implementation})

    def rule(self, group: dict[str, Any]) -> rules.Rule:
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("nesterov=True needs momentum > 0 and dampening = 0.")
        if group["momentum"] == 0:
            return rules.SGD(lr=group["lr"], weight_decay=group["weight_decay"])
        return rules.Momentum(**_named(group, "lr", "weight_decay", "momentum", "dampening", "nesterov"))


class Adagrad(RuleOptimizer):
    """`nettrain.parts.rules.Adagrad` with the arguments and defaults of `torch.optim.Adagrad`; eps = 0 is allowed.

    A group's own `initial_accumulator_value` is used, where torch takes the constructor's for all groups.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "maximize": maximize,
        }
        super().__init__(params, {**defaults, "foreach": None, "differentiable": False, "fused": None})

    def rule(self, group: dict[str, Any]) -> rules.Rule:
        return rules.Adagrad(**_named(group, "lr", "weight_decay", "lr_decay", "initial_accumulator_value", "eps"))


class RMSprop(RuleOptimizer):
    """`nettrain.parts.rules.RMSprop` with the arguments and defaults of `torch.optim.RMSprop`."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, {**defaults, "foreach": None, "capturable": False, "differentiable": False})

    def rule(self, group: dict[str, Any]) -> rules.Rule:
        return rules.RMSprop(**_named(group, "lr", "weight_decay", "alpha", "eps", "momentum", "centered"))


class Adam(RuleOptimizer):
    """`nettrain.parts.rules.Adam` with the arguments and defaults of `torch.optim.Adam`, and `bias_correction`.

    `bias_correction=False` with eps = 0 is the plain rule of a first course. torch does not know this key: a state
    dict that goes to torch is continued with bias correction.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        bias_correction: bool = True,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
            "bias_correction": bias_correction,
        }
        implementation = {"foreach": None, "capturable": False, "differentiable": False, "fused": None}
        super().__init__(params, {**defaults, **implementation})

    def rule(self, group: dict[str, Any]) -> rules.Rule:
        beta1, beta2 = group["betas"]
        rule = rules.AdamW if group["decoupled_weight_decay"] else rules.Adam
        named = _named(group, "lr", "weight_decay", "eps", "amsgrad", "bias_correction")
        return rule(beta1=float(beta1), beta2=float(beta2), **named)


class AdamW(Adam):
    """Adam with decoupled weight decay: `nettrain.parts.rules.AdamW`, as `torch.optim.AdamW` has it."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        bias_correction: bool = True,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            decoupled_weight_decay=True,
            bias_correction=bias_correction,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True  # also after Adam's state dict, as torch has it


def _named(group: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Some hyperparameters of a group, by name."""
    return {key: group[key] for key in keys}
