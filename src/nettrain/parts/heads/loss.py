"""The head that any loss function makes."""

import copy
import functools
import inspect
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, constraints

from nettrain.errors import ConfigError, first_line
from nettrain.parts.heads.base import Head
from nettrain.registry import option
from nettrain.targets import located, make, misfit

Function = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Loss(Head):
    """Any loss l(z, y): what `_target_` names, a class such as `torch.nn.HuberLoss` or a function of z and y.

    Its further keys are the arguments. Numbers are predicted by the network's output itself. Of classes, l is taken for
    a negative log-likelihood: p_c = exp(-l(z, c)) / sum_k exp(-l(z, k)), which for cross-entropy is the softmax. A loss
    of classes is given a score for each of them, (n, C), and class numbers (n,); one that takes numbers can fit two
    classes, which are 0 and 1. A target of numbers is standardised where l depends on y - z alone.
    """

    name: str = "loss"
    tasks: ClassVar[tuple[str, ...]] = ("regression", "binary", "multiclass")
    takes_any_key: ClassVar[bool] = True
    _target_: str | None = option(
        None, "loss class or function, such as torch.nn.HuberLoss; it gives a loss for each sample"
    )
    _handed: ClassVar[Any] = None  # of an instance, which is no key
    _classes: ClassVar[int] = 0

    @classmethod
    def of(cls, function: Any) -> "Loss":
        """The head of a loss that was handed over in Python."""
        made = cls(_target_=None)
        made.__dict__["_handed"] = _for_each_sample(function)
        return made

    def for_target(self, classes: int) -> "Loss":
        """Raises `ConfigError` for a loss that such targets cannot have."""
        fitted = self._of_classes(classes)
        try:
            _ = fitted._takes_scores
        except ConfigError as error:
            try:
                _ = self._of_classes(0 if classes else 3)._takes_scores
            except ConfigError:
                raise error from error.__cause__
            of, target, kind = "classes", "numbers", "numbers, such as torch.nn.HuberLoss"
            if classes:
                of, target, kind = "numbers", f"{classes} classes", "classes, such as torch.nn.CrossEntropyLoss"
            raise ConfigError(
                f"{self._called}: it is a loss of {of}, and the target holds {target}; use one of {kind}."
            ) from error
        return fitted

    def _of_classes(self, classes: int) -> "Loss":
        """The head for so many classes, 0 for numbers, which may be none that it can fit."""
        fitted = copy.copy(self)
        fitted.__dict__["_classes"] = classes
        fitted.__dict__.pop("_takes_scores", None)
        return fitted

    @property
    def for_classes(self) -> bool:
        return self._classes > 0

    def outputs(self, classes: int) -> int:
        return classes if classes and self._takes_scores else 1

    @property
    def standardizes(self) -> bool:
        generator = torch.Generator().manual_seed(0)
        z, y = (torch.rand(8, generator=generator, dtype=torch.float64) * 3 for _ in range(2))
        try:
            return bool(torch.allclose(self._function(z + 3.7, y + 3.7), self._function(z, y), rtol=1e-9))
        except ConfigError:
            raise
        except Exception:  # of other people's code, for numbers that are not its own
            return False

    @property
    def support(self) -> constraints.Constraint:
        return constraints.real

    def loss(self, z: Tensor, y: Tensor, reduction: str = "none") -> Tensor:
        scores = self.for_classes and self._takes_scores
        flat = (z.flatten(0, -2), y.flatten()) if scores else (z.flatten(), y.flatten().to(z.dtype))
        losses = self._of(z)(*flat).reshape(y.shape)
        return losses if reduction == "none" else losses.sum()

    def distribution(self, z: Tensor) -> Distribution:
        if not self.for_classes:
            raise ConfigError(f"head=loss: {self._called} names no distribution of numbers.")
        each = [self.loss(z, torch.full(z.shape[:-1], c, device=z.device)) for c in range(self._classes)]
        return Categorical(logits=-torch.stack(each, dim=-1))

    def mean(self, z: Tensor) -> Tensor:
        return super().mean(z) if self.for_classes else z.squeeze(-1)

    def interval(self, z: Tensor, level: float) -> Tensor:
        raise ConfigError(
            f"interval={level}: head=loss fits no spread around its predictions; head=normal and head=quantile do."
        )

    @property
    def _called(self) -> str:
        return f"head._target_={self._target_}" if self._target_ else "the loss that was handed over"

    @functools.cached_property
    def _function(self) -> Function:
        """The loss of each sample, (n,), for z (n,) or (n, C) and y (n,)."""
        if self._handed is not None:
            handed: Function = self._handed
            return handed
        if not self._target_:
            raise ConfigError(
                "head._target_: a value is required, such as torch.nn.HuberLoss; a loss that was handed over in Python "
                "is not kept, nettrain.train(..., head=<loss>) takes it again."
            )
        node = self._node
        if "reduction" in node:
            raise ConfigError(
                f"head.reduction={node['reduction']}: nettrain averages, and weighs, the losses of samples itself; "
                "leave it out."
            )
        is_class = isinstance(located(self._target_, "head._target_"), type)
        made = make("head", node if is_class else {"_partial_": True, **node}, {"reduction": "none"})
        function: Function = _for_each_sample(made)
        return function

    @property
    def _node(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "name" and (key[0] != "_" or key[-1] == "_")}

    def _of(self, z: Tensor) -> Function:
        function = self._function
        if isinstance(function, nn.Module) and next(function.buffers(), None) is not None:
            return function.to(z.device, z.dtype)
        return function

    @functools.cached_property
    def _takes_scores(self) -> bool:
        """Whether it takes a score for each class; `ConfigError` for a loss that fits no such target."""
        if self._classes == 0:
            self._try(torch.linspace(-1, 2, 4), torch.tensor([1.0, 2.0, 1.0, 3.0]), "numbers")
            z = torch.tensor([3.0, 1e3, -1e3])
            near, *far = self._of(z)(z, torch.full_like(z, 3.0))
            if min(far) < near - 100:  # such as that of logits, whose targets are 0 and 1
                raise ConfigError(f"{self._called}: for a target of 3 it has no minimum, so numbers cannot be learnt.")
            return False
        n = self._classes + 1  # another number than that of the classes, which could be taken for one another
        y = torch.arange(n) % self._classes
        try:
            self._try(torch.linspace(-1, 2, n * self._classes).view(n, -1), y, f"{self._classes} classes")
            return True
        except ConfigError:
            if self._classes != 2:
                raise
        self._try(torch.linspace(-1, 2, n), y.float(), "two classes")
        return False

    def _try(self, z: Tensor, y: Tensor, what: str) -> None:
        """Raise `ConfigError` unless the loss gives a number for each sample, of its own, with a derivative."""
        z = z.requires_grad_()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of shapes that do not fit, which are found here
            try:
                with torch.enable_grad():
                    losses = self._of(z)(z, y)
                alone = torch.cat([self._of(z)(z[i : i + 1], y[i : i + 1]).reshape(-1) for i in range(len(y))])
            except ConfigError:
                raise
            except Exception as error:
                if self._target_ and (sentence := misfit("head", {"_partial_": True, **self._node}, error, supplied=2)):
                    raise ConfigError(sentence) from error
                raise ConfigError(
                    f"{self._called}: it cannot be computed of {what}: outputs {tuple(z.shape)} and targets "
                    f"{tuple(y.shape)}: {first_line(error)}."
                ) from error
        shape = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        if shape != (len(y),):
            raise ConfigError(
                f"{self._called}: for {len(y)} samples it gives {shape}, and must give a loss for each, ({len(y)},), "
                "which nettrain averages itself."
            )
        if not losses.requires_grad:
            raise ConfigError(f"{self._called}: its result has no derivative by the outputs, so nothing can be learnt.")
        if not torch.allclose(losses, alone, rtol=1e-4, atol=1e-6, equal_nan=True):
            raise ConfigError(
                f"{self._called}: what it gives for a sample depends on the others of the batch, which a loss must not."
            )


def _for_each_sample(function: Any) -> Any:
    """A loss that does not average; `ConfigError` for one that adds up, or has weights to learn."""
    if isinstance(function, nn.Module) and any(p.requires_grad for p in function.parameters()):
        raise ConfigError("head: the loss has parameters of its own, which would not be trained.")
    if getattr(function, "reduction", "none") == "none":
        return function
    if function.reduction != "mean":
        raise ConfigError(
            f"head: the loss has reduction={function.reduction!r}; nettrain averages, and weighs, the losses of "
            "samples itself; leave it out."
        )
    function = copy.deepcopy(function)
    function.reduction = "none"
    return function


def arguments_of(loss: Any) -> dict[str, Any] | None:
    """The node with a `_target_` that makes such a loss again; None where that cannot be known."""
    if isinstance(loss, functools.partial):
        inner = None if loss.args else arguments_of(loss.func)
        found = {**inner, **loss.keywords} if inner is not None else None
        return found if found is not None and all(map(_is_plain, found.values())) else None
    named = loss if inspect.isfunction(loss) or inspect.isbuiltin(loss) else type(loss)
    target = f"{named.__module__}.{named.__qualname__}"
    try:
        if named.__module__ == "__main__" or located(target) is not named:
            return None
    except ConfigError:
        return None
    if named is loss:
        return {"_target_": target}
    node: dict[str, Any] = {"_target_": target}
    for name, parameter in inspect.signature(named).parameters.items():
        if name in ("size_average", "reduce", "reduction"):
            continue
        value = getattr(loss, name, parameter.empty)
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or not _is_plain(value):
            return None
        if value != parameter.default:
            node[name] = value
    return node


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))
