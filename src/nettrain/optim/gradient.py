"""The gradient rules as drop-in replacements of `torch.optim`'s classes, for anybody's own training loop.

Each class takes torch's constructor arguments, except those that choose between torch's implementations (foreach,
fused, capturable, differentiable). Their keys still stand in the parameter groups, so that state dicts load across in
both directions. The mathematics is that of `nettrain.optimizers.rules`, applied to each parameter tensor.
"""

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nettrain.errors import ConfigError
from nettrain.optim.tensor_list import TensorList
from nettrain.optimizers import rules
from nettrain.registry import check

SMALL = 2**15  # numbers; larger tensors are updated one by one, so that all operations find them in the cache


class RuleOptimizer(Optimizer, ABC):
    """A `torch.optim.Optimizer` whose update is a rule of `nettrain.optimizers.rules`.

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
            raise ValueError(f"{tensors[0]} must be a number, not a tensor; it can be changed between steps.")
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
            parameters = [p for p in group["params"] if p.grad is not None]
            kinds = {(p.dtype, p.grad.layout) for p in parameters}
            for dtype, layout in kinds:
                if layout != torch.strided or dtype.is_complex:
                    kind = "complex" if dtype.is_complex else "sparse"
                    raise RuntimeError(
                        f"{type(self).__name__} does not support {kind} gradients; make them dense and real."
                    )
            # Many tensors in one call would be rounded differently in lower precision.
            small = SMALL if all(dtype in (torch.float32, torch.float64) for dtype, _ in kinds) else 0
            self._update(parameters, self.rule(group), group["maximize"], small)
        return loss

    def _update(self, parameters: list[nn.Parameter], rule: rules.Rule, maximize: bool, small: int) -> None:
        """One update of parameters that have a gradient; those of at most `small` numbers go through it together."""
        alike: dict[Any, list[nn.Parameter]] = {}
        for p, t in zip(parameters, self._count(parameters, rule), strict=True):
            alike.setdefault((t,) if p.numel() <= small else (t, p), []).append(p)
        for (t, *_), several in alike.items():
            many = len(several) > 1
            join: Callable[[list[Any]], Any] = TensorList if many else operator.itemgetter(0)
            w, g = join(several), join([p.grad for p in several])
            names = [name for name in self.state.get(several[0], {}) if name != "step"]
            state = {name: join([self.state[p][name] for p in several]) for name in names}
            step: Callable[..., None] = rule.elementwise if many else rule.step
            step(state, w, -g if maximize else g, rule.all_coefficients(t, rule.lr))

    def _count(self, parameters: list[nn.Parameter], rule: rules.Rule) -> list[float]:
        """The number t of this update of each parameter, the new ones of which are given a state.

        The rule that is not counted knows only the first update from later ones.
        """
        ts = [2.0 if self.state.get(p) else 1.0 for p in parameters]  # somebody may have looked at it
        for p in [p for p, t in zip(parameters, ts, strict=True) if t == 1]:
            state = rule.init(p)
            if self.counted:
                state["step"] = torch.zeros((), dtype=torch.float32)
            if not state:
                break  # the rule has none
            self.state[p] = state
        if not self.counted or not parameters:
            return ts
        steps = [self.state[p]["step"] for p in parameters]
        torch._foreach_add_(steps, torch.ones(()), alpha=1)  # many times faster than with a number
        return torch.stack(steps).tolist()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a pickle or of `load_state_dict`, also one that torch's own class has written."""
        super().__setstate__(state)
        for group in self.param_groups:
            for key, default in self.defaults.items():
                group.setdefault(key, default)
            if isinstance(group["lr"], Tensor):
                group["lr"] = float(group["lr"])
        for entries in self.state.values():
            if "step" in entries:
                entries["step"] = torch.as_tensor(
                    entries["step"], dtype=torch.float32
                ).cpu()  # torch's fused form: on the GPU


class SGD(RuleOptimizer):
    """Gradient descent with momentum: `nettrain.optimizers.rules.SGD`, and `Momentum` where `momentum` is not 0.

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
        super().__init__(params, _arguments(locals(), foreach=None, differentiable=False, fused=None))

    def rule(self, group: dict[str, Any]) -> rules.Rule:
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("nesterov=True needs momentum > 0 and dampening = 0.")
        if group["momentum"] == 0:
            return rules.SGD(lr=group["lr"], weight_decay=group["weight_decay"])
        return rules.Momentum(**_named(group, "lr", "weight_decay", "momentum", "dampening", "nesterov"))


class Adagrad(RuleOptimizer):
    """`nettrain.optimizers.rules.Adagrad` with the arguments and defaults of `torch.optim.Adagrad`; eps = 0 is allowed.

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
        super().__init__(params, _arguments(locals(), foreach=None, differentiable=False, fused=None))

    def rule(self, group: dict[str, Any]) -> rules.Rule:
        return rules.Adagrad(**_named(group, "lr", "weight_decay", "lr_decay", "initial_accumulator_value", "eps"))


class RMSprop(RuleOptimizer):
    """`nettrain.optimizers.rules.RMSprop` with the arguments and defaults of `torch.optim.RMSprop`."""

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
        super().__init__(params, _arguments(locals(), foreach=None, capturable=False, differentiable=False))

    def rule(self, group: dict[str, Any]) -> rules.Rule:
        return rules.RMSprop(**_named(group, "lr", "weight_decay", "alpha", "eps", "momentum", "centered"))


class Adam(RuleOptimizer):
    """`nettrain.optimizers.rules.Adam` with the arguments and defaults of `torch.optim.Adam`, and `bias_correction`.

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
        implementation = {"foreach": None, "capturable": False, "differentiable": False, "fused": None}
        super().__init__(params, _arguments(locals(), **implementation))

    def rule(self, group: dict[str, Any]) -> rules.Rule:
        beta1, beta2 = group["betas"]
        rule = rules.AdamW if group["decoupled_weight_decay"] else rules.Adam
        named = _named(group, "lr", "weight_decay", "eps", "amsgrad", "bias_correction")
        return rule(beta1=float(beta1), beta2=float(beta2), **named)


class AdamW(Adam):
    """Adam with decoupled weight decay: `nettrain.optimizers.rules.AdamW`, as `torch.optim.AdamW` has it."""

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


def _arguments(constructor: dict[str, Any], **implementation: Any) -> dict[str, Any]:
    """The hyperparameters among a constructor's local variables, and the keys by which torch chooses its variant."""
    others = ("self", "params", "implementation", "__class__")
    return {**{key: value for key, value in constructor.items() if key not in others}, **implementation}


def _named(group: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Some hyperparameters of a group, by name."""
    return {key: group[key] for key in keys}
