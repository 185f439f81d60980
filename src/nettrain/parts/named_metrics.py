"""Metrics that somebody names: of scikit-learn, torchmetrics, or a module of one's own. And which values are better."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nettrain.errors import ConfigError, first_line
from nettrain.targets import building, located, made_of_own_code, maker, misfit, targets

_PROBABILITIES = ("y_score", "y_proba", "y_prob", "probabilities")  # second parameters that ask for them
_LESS_IS_BETTER = ("loss", "mse", "rmse", "mae", "deviance")
_MORE_IS_BETTER = ("accuracy", "balanced_accuracy", "f1", "auroc", "r2", "exact_match", "micro_f1")


@dataclass(frozen=True)
class NamedMetric:
    """A function of the true and the predicted values, (n,) each; for classes their indices, or probabilities.

    With `of_probabilities` it is given those of the positive one of two classes, (n,), or of all of them, (n, C).
    Of several targets all of this is (n, m), also the probabilities, those that labels are there.
    """

    name: str
    path: str
    function: Callable[..., Any]
    of_probabilities: bool
    keywords: dict[str, Any]
    takes_weights: bool
    more_is_better: bool | None
    node: Mapping[str, Any]
    several: bool = False

    def __call__(
        self, y: np.ndarray, predicted: np.ndarray, p: np.ndarray | None, weights: np.ndarray | None = None
    ) -> float:
        """The value for one run; `p` (n, C) or (n, m) are the probabilities. Raises `ConfigError` where it fails."""
        given = predicted
        if self.of_probabilities:
            assert p is not None
            given = p[:, 1] if p.shape[1] == 2 and not self.several else p
        if weights is not None and weights.ndim > 1:
            if (weights != weights[:, :1]).any():
                raise ConfigError(
                    f"metrics={self.path}: it weighs rows, and class_weight weighs each label of them; leave out one "
                    "of the two."
                )
            weights = weights[:, 0]
        of_rows = {"sample_weight": weights} if self.takes_weights and weights is not None else {}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of classes that a split has not
                value = self.function(y, given, **self.keywords, **of_rows)
            return float(value)
        except Exception as error:
            if sentence := misfit("metrics", self.node, error, supplied=2):
                raise ConfigError(sentence) from error
            raise ConfigError(
                f"metrics={self.path}: it cannot be computed: {type(error).__name__}: {first_line(error)}."
            ) from error


def named_metric(asked: Any, classes: int, targets: int = 0) -> NamedMetric:
    """The metric that is asked for, for so many classes, 0 for numbers.

    A name without a dot is one of `sklearn.metrics`; a node with a `_target_` has further arguments, too. `targets` is
    the number of several targets, and 0 of one.

    Of `torchmetrics` it may be a class or a function, which is given probabilities of classes, and the kind of target.
    Of scikit-learn's functions for two classes the macro average over the classes is taken where there are more; areas
    under curves are those of each class against the rest. Raises `ConfigError` for what cannot measure such a target.
    """
    path, node = target_of(asked), dict(asked) if isinstance(asked, Mapping) else {}
    node["_target_"] = path if "." in path else f"sklearn.metrics.{path}"
    name = path.rpartition(".")[2]
    named = located(node["_target_"], "metrics")
    if _is_of_torchmetrics(named):
        return _torch_metric(name, path, node, classes, targets)
    if isinstance(named, type):
        function = made_of_own_code("metrics", node)
    else:
        with building("metrics", node, supplied=2):
            function = maker(node) if len(node) > 1 else named
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError) as error:
        if sentence := misfit("metrics", {"_partial_": True, **node}, TypeError(), supplied=2):
            raise ConfigError(sentence) from error
        raise ConfigError(f"metrics={path}: it is a {type(function).__name__}, and no function.") from error
    of_probabilities = name == "log_loss" or (len(parameters) > 1 and list(parameters)[1] in _PROBABILITIES)
    if of_probabilities and not classes:
        raise ConfigError(f"metrics={path}: it measures probabilities, and the head predicts numbers.")
    if classes and "_regression" in str(getattr(named, "__module__", "")):
        raise ConfigError(f"metrics={path}: it measures numbers, and the target has {classes} classes.")
    if name == "log_loss" and targets:
        raise ConfigError(
            f"metrics={path}: it measures one target; of {targets} labels it is the sum, which is the loss."
        )
    keywords: dict[str, Any] = {}
    if classes > 2 or (classes and targets):
        several = {"average": "macro"} if targets else {"multi_class": "ovr", "average": "macro"}
        keywords = {key: value for key, value in several.items() if key in parameters and key not in node}
    if of_probabilities and "labels" in parameters and "labels" not in node and not targets:
        keywords["labels"] = list(range(classes))
    weighs, better = "sample_weight" in parameters, more_is_better(name)
    return NamedMetric(name, path, function, of_probabilities, keywords, weighs, better, node, targets > 0)


def target_of(asked: Any) -> str:
    """What `metrics` names by a text or by a node; `ConfigError` for anything else."""
    named = asked.get("_target_") if isinstance(asked, Mapping) else asked
    if not isinstance(named, str):
        raise ConfigError(
            f"metrics={asked}: it is no metric; name a function, or one with arguments, "
            "{_target_: my.module.function, weight: 5}."
        )
    return named


def _is_of_torchmetrics(made: Any) -> bool:
    """Whether it is a class or a function of torchmetrics, or a class derived from its `Metric`."""
    kinds = made.__mro__ if isinstance(made, type) else [made]
    return any(str(getattr(kind, "__module__", "")).partition(".")[0] == "torchmetrics" for kind in kinds)


def _torch_metric(name: str, path: str, node: Mapping[str, Any], classes: int, targets: int) -> NamedMetric:
    """A metric of torchmetrics, which takes predictions first, as tensors; it says itself whether more is better."""
    import torch

    made = located(node["_target_"])
    if classes and ".regression." in made.__module__:
        raise ConfigError(f"metrics={path}: it measures numbers, and the target has {classes} classes.")
    if not classes and ".classification." in made.__module__:
        raise ConfigError(f"metrics={path}: it measures classes, and the head predicts numbers.")
    filled = {"task": "binary" if classes == 2 else "multiclass", "num_classes": classes} if classes else {}
    if targets:
        filled = {"task": "multilabel", "num_labels": targets} if classes else {"num_outputs": targets}
    is_class, better = isinstance(made, type), more_is_better(name)
    wrapper = is_class and made.__new__ is not object.__new__  # it makes another class for each task
    accepted = inspect.signature(made.__new__ if wrapper else made).parameters
    keywords = {key: value for key, value in filled.items() if key in accepted and key not in node}
    with building("metrics", {**keywords, **node}, supplied=0 if is_class else 2):
        called = maker(node)
        metric: Any = called(**keywords) if is_class else None
    if is_class:
        better = better if metric.higher_is_better is None else metric.higher_is_better

    def measure(y: np.ndarray, given: np.ndarray) -> float:
        tensors = torch.as_tensor(given), torch.as_tensor(y)
        if not is_class:
            return float(called(*tensors, **keywords))
        metric.reset()
        metric.update(*tensors)
        return float(metric.compute().double().mean())  # of numbers it may be one for each target

    return NamedMetric(name, path, measure, bool(classes), {}, False, better, {**keywords, **node}, targets > 0)


_LIBRARIES = (
    "sklearn.metrics",
    "torchmetrics",
    *(f"torchmetrics.{kind}" for kind in ("classification", "regression", "functional")),
    *(f"torchmetrics.functional.{kind}" for kind in ("classification", "regression")),
)


def is_of_library(asked: Any) -> bool:
    """Whether a metric runs nobody's code but scikit-learn's or torchmetrics'; `asked` as for `named_metric`.

    Functions of `torchmetrics.functional`, with arguments, may load models.
    """
    home, dot, _ = target_of(asked).rpartition(".")
    if not isinstance(asked, Mapping):
        return not dot or home in _LIBRARIES
    plain = not any(True for _ in targets(list(asked.values())))
    return plain and (not dot or home in _LIBRARIES) and home != "torchmetrics.functional"


def more_is_better(metric: str) -> bool | None:
    """Whether greater values of a metric are better, by its name; None where the name does not say it."""
    if metric in _MORE_IS_BETTER or metric.endswith("_score"):
        return True
    return False if metric in _LESS_IS_BETTER or metric.endswith(("_error", "_loss", "_deviance")) else None
