"""One run's instance of an optimizer of torch's, or like it: it sees the parameters in their own shapes."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nettrain.errors import ConfigError
from nettrain.optimizers.parameter_groups import Factors
from nettrain.optimizers.rules import clip
from nettrain.optimizers.torch_optimizer import TorchOptimizer
from nettrain.random import mix
from nettrain.vector import Layout

Evaluate = Callable[[], tuple[Tensor, Tensor]]
"""The loss, 0-d, of the present batch at the present weights, and its gradient (P,)."""

_NOISE = 4  # the stream of noise in `nettrain.random`
_PLAIN = (bool, int, float, str)


class RowOptimizer:
    """The optimizer of one run: its parameters are views of w (P,), whose gradients are views of g."""

    def __init__(self, part: TorchOptimizer, layout: Layout, factors: Sequence[Factors], w: Tensor, seed: int) -> None:
        self.part, self.layout, self.seed = part, layout, seed
        self.views: dict[int, list[Tensor]] = {}  # into w and g, by where these lie
        self.parameters = [nn.Parameter(view) for view in layout.views(w).values()]
        self.place = w.data_ptr()
        kinds = list(dict.fromkeys(factors))
        groups: list[dict[str, Any]] = [{"params": [], **self._changed(kind)} for kind in kinds]
        for parameter, kind in zip(self.parameters, factors, strict=True):
            groups[kinds.index(kind)]["params"].append(parameter)
        self.optimizer: Any = part.build(groups)
        self.lr_factors = [kind.lr for kind in kinds]
        self.lr = part.traits.defaults.get("lr", math.nan)  # that was set last

    def _changed(self, kind: Factors) -> dict[str, float]:
        """The settings of a group of parameters with these factors."""
        return {
            key: self.part.traits.defaults[key] * factor
            for key, factor in kind._asdict().items()
            if factor != 1 and key in self.part.traits.defaults
        }

    def step(self, w: Tensor, g: Tensor, lr: float, key: int, evaluate: Evaluate | None = None) -> None:
        """One update of w with the learning rate lr, in place; `key` is that of its noise, if it draws any.

        g is the gradient, or with `evaluate` that of its last evaluation.
        """
        self._move_to(w)
        if lr != self.lr and "lr" in self.part.traits.defaults:
            for group, factor in zip(self.optimizer.param_groups, self.lr_factors, strict=True):
                group["lr"] = lr * factor
            self.lr = lr
        if evaluate is None:
            self._give_gradient(g)
        closure = [] if evaluate is None else [self._closure(evaluate)]
        if self.part.traits.draws:
            with torch.random.fork_rng(generators_of(w.device)):
                torch.manual_seed(key)
                self.optimizer.step(*closure)
        else:
            self.optimizer.step(*closure)
        for parameter, view in zip(self.parameters, self._views(w), strict=True):
            if parameter.data_ptr() != view.data_ptr():  # it was given another tensor
                view.copy_(parameter.detach())
                parameter.data = view

    def _closure(self, evaluate: Evaluate) -> Callable[[], Any]:
        def closure() -> Tensor:
            loss, g = evaluate()
            self._give_gradient(g)
            return loss

        return closure

    def _give_gradient(self, g: Tensor) -> None:
        if self.part.clip_norm is not None:
            g = clip(g, self.part.clip_norm)
        for parameter, view in zip(self.parameters, self._views(g), strict=True):
            parameter.grad = view

    def _move_to(self, w: Tensor) -> None:
        """Make the parameters views of w, which may lie where it did not before."""
        if w.data_ptr() != self.place:
            self.views.clear()
            for parameter, view in zip(self.parameters, self._views(w), strict=True):
                parameter.data = view
            self.place = w.data_ptr()

    def _views(self, vector: Tensor) -> list[Tensor]:
        key = vector.data_ptr()
        if key not in self.views:
            if len(self.views) > 4:  # gradients that lie elsewhere each time
                self.views.clear()
            self.views[key] = list(self.layout.views(vector.detach()).values())
        return self.views[key]

    @property
    def switches(self) -> bool:
        """Whether it has other weights in evaluation than in training."""
        return all(callable(getattr(self.optimizer, name, None)) for name in ("train", "eval"))

    def switch(self, w: Tensor, training: bool) -> None:
        """Call the optimizer's `train` or `eval`, which exchange the weights w, where it has both."""
        if self.switches:
            self._move_to(w)
            (self.optimizer.train if training else self.optimizer.eval)()

    def state(self) -> dict[str, Any]:
        """All that going on needs beside w: tensors on the host, and plain values.

        Raises `ConfigError` for what a checkpoint cannot hold.
        """
        content = self._copied(self.optimizer.state_dict(), "state_dict()")
        assert isinstance(content, dict)
        return {"lr": self.lr, "state_dict": content}

    def _copied(self, value: Any, where: str) -> Any:
        if isinstance(value, Tensor):
            return value.detach().cpu().clone(memory_format=torch.contiguous_format)
        if isinstance(value, dict):
            return {self._copied(key, where): self._copied(inner, f"{where}[{key!r}]") for key, inner in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self._copied(inner, where) for inner in value)
        for kind in _PLAIN:
            if isinstance(value, kind):
                return kind(value)
        if value is None:
            return None
        raise ConfigError(
            f"optimizer._target_={self.part._target_}: its {where} is a {type(value).__name__}, which a checkpoint "
            "cannot hold: only tensors, numbers, texts, lists and dictionaries can be saved."
        )

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave; w is to be what it was then."""
        content = self._copied(state["state_dict"], "state_dict()")  # which may become the optimizer's own
        self.optimizer.load_state_dict(content)
        self.lr = state["lr"]
        ordered = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        for number, parameter in enumerate(ordered):
            saved, loaded = state["state_dict"].get("state", {}).get(number, {}), self.optimizer.state.get(parameter)
            for name, value in saved.items():
                if isinstance(value, Tensor) and isinstance(loaded, dict) and isinstance(loaded.get(name), Tensor):
                    loaded[name] = value.to(loaded[name].device, copy=True)  # torch would have changed its type


def generators_of(device: torch.device) -> list[torch.device]:
    """The device whose generator of random numbers counts beside the CPU's, if there is one."""
    return [device] if device.type == "cuda" else []


def update_keys(seed: int, t: np.ndarray) -> np.ndarray:
    """The keys of the noise of updates t for optimizers that draw some, int64."""
    return (mix(_NOISE, seed, t) >> np.uint64(1)).astype(np.int64)
