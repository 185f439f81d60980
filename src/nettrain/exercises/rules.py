"""The update rules that students write from their equations, beside ours."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from nettrain.errors import ConfigError, UserCodeError
from nettrain.exercises.answers import Exercise, Verdict
from nettrain.exercises.programs import Task, compared, followed, load, of_rule
from nettrain.optimizers.rules import Adagrad, Adam, Rule
from nettrain.testing import check_rule

ADAGRAD = Task(
    "adagrad",
    state=("s",),
    numbers={"lr": 0.3},
    rules=[Adagrad(lr=0.3, eps=0.0)],
    mistakes={
        "So does a step without the division: where has the root gone?": lambda w, g, s, lr: (w - lr * g, s),
        "So does one that divides by s instead of its root.": lambda w, g, s, lr: (w - lr * g / (s + g * g), s + g * g),
        "So does one in which s is not a sum, but only the last square.": lambda w, g, s, lr: (
            w - lr * g / (g * g).sqrt(),
            g * g,
        ),
        "So does one that divides by the root of the old s, before g is in it.": lambda w, g, s, lr: (
            w - lr * g / (s.sqrt() + 1e-10),
            s + g * g,
        ),
        "So does one that goes up instead of down.": lambda w, g, s, lr: (
            w + lr * g / (s + g * g).sqrt(),
            s + g * g,
        ),
        "So does one that sums g instead of its square.": lambda w, g, s, lr: (
            w - lr * g / (s + g).abs().sqrt(),
            s + g,
        ),
    },
)


def _adam(corrected: tuple[bool, bool] = (True, True), root: bool = True, late: int = 0, swapped: bool = False) -> Any:
    """Adam with a mistake: a mean that is not corrected, no root, t that counts from another number, swapped betas."""

    def update(
        w: Tensor, g: Tensor, m: Tensor, v: Tensor, t: int, lr: float, beta1: float, beta2: float
    ) -> tuple[Tensor, ...]:
        first, second = (beta2, beta1) if swapped else (beta1, beta2)
        m, v = first * m + (1 - first) * g, second * v + (1 - second) * g * g
        m_hat = m / (1 - first ** (t + late)) if corrected[0] else m
        v_hat = v / (1 - second ** (t + late)) if corrected[1] else v
        return w - lr * m_hat / (v_hat.sqrt() if root else v_hat), m, v

    return update


ADAM = Task(
    "adam",
    state=("m", "v"),
    numbers={"lr": 0.3, "beta1": 0.9, "beta2": 0.999},
    rules=[Adam(lr=0.3, eps=0.0), Adam(lr=0.3, eps=0.0, bias_correction=False)],
    counts=True,
    mistakes={
        "So does one in which v is not corrected.": _adam((True, False)),
        "So does one in which m is not corrected.": _adam((False, True)),
        "So does one without the root.": _adam(root=False),
        "So does one that counts t from 2 on: it is 1 at the first update already.": _adam(late=1),
        "So does one with beta1 and beta2 in each other's places.": _adam(swapped=True),
        "So does AdaGrad's step with Adam's sums: is the gradient averaged, too?": lambda w, g, m, v, t, lr, b1, b2: (
            w - lr * g / ((b2 * v + (1 - b2) * g * g) / (1 - b2**t)).sqrt(),
            b1 * m + (1 - b1) * g,
            b2 * v + (1 - b2) * g * g,
        ),
    },
)

_AVERAGED = Task(
    "averaged",
    state=("v",),
    numbers={"lr": 0.3, "beta": 0.9},
    rules=[],
    mistakes={
        "So does momentum as a sum: (1 - beta) is missing.": lambda w, g, v, lr, beta: (
            w - lr * (beta * v + g),
            beta * v + g,
        ),
        "So does one that steps along the old v.": lambda w, g, v, lr, beta: (w - lr * v, beta * v + (1 - beta) * g),
    },
)


def _average(w: Tensor, g: Tensor, v: Tensor, lr: float, beta: float) -> tuple[Tensor, Tensor]:
    v = beta * v + (1 - beta) * g
    return w - lr * v, v


def _check_averaged(answers: Sequence[str]) -> Verdict:
    made = load(answers[0], "Averaged")
    if not isinstance(made, type) or not issubclass(made, Rule):
        raise ConfigError(f"{answers[0]}: Averaged has to be a class derived from nettrain.optimizers.rules.Rule.")
    try:
        rule = made(lr=0.3)
        way = of_rule(rule)
        check_rule(rule)
    except AssertionError as error:
        return Verdict(False, f"check_rule finds that this is not so: {error}")
    except Exception as error:
        raise UserCodeError(f"{answers[0]}: Averaged fails", error) from error
    return compared(_AVERAGED, way, [followed(_AVERAGED, _average)])


AVERAGED = Exercise(("FILE",), _check_averaged)
