"""The gradient of a small network, by hand: a student's backward pass beside autograd, and the numbers of a run."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from nettrain.data import load as load_data
from nettrain.data.shipped import Line
from nettrain.errors import ConfigError, UserCodeError
from nettrain.exercises.answers import Exercise, Verdict
from nettrain.exercises.programs import load
from nettrain.parts.activations import sigmoid
from nettrain.parts.models import MLP
from nettrain.random import seeded
from nettrain.wording import joined

NAMES = ("W1", "c1", "W2", "c2")
SHAPES = ((4, 3), (4, 1), (1, 4), (1, 1))  # three features, four units; of five samples
SIGNATURE = "gradients(W1, c1, W2, c2, X, Y)"


def _loss(parameters: Sequence[torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    w1, c1, w2, c2 = parameters
    return ((w2 @ torch.sigmoid(w1 @ x + c1) + c2 - y) ** 2).mean()


def _check(answers: Sequence[str]) -> Verdict:
    program = load(answers[0], "gradients")
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=shape) for shape in (*SHAPES, (3, 5), (1, 5))]
    try:
        returned = program(*(array.copy() for array in arrays))
    except Exception as error:
        raise UserCodeError(f"{answers[0]}: {SIGNATURE} fails", error) from error
    if not isinstance(returned, tuple | list) or len(returned) != len(NAMES):
        raise ConfigError(f"{answers[0]}: {SIGNATURE} must return four arrays, the derivatives by {joined(NAMES)}.")
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays[:4]]
    right = torch.autograd.grad(_loss(tensors, torch.tensor(arrays[4]), torch.tensor(arrays[5])), tensors)
    return _compared([_array(answers[0], value) for value in returned], [g.numpy() for g in right])


def _array(path: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value, float)
    except (TypeError, ValueError):
        raise ConfigError(f"{path}: what {SIGNATURE} returns is not made of numbers.") from None


def _compared(found: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> Verdict:
    """Which of the derivatives are wrong, from the last layer to the first, in which order they are worked out."""
    wrong = []
    for name, mine, other in reversed(list(zip(NAMES, found, right, strict=True))):
        if mine.size != other.size:
            sentence = f"The derivative by {name} has the shape {mine.shape}; it must be {other.shape}, that of {name}."
            return Verdict(False, sentence)
        mine = mine.reshape(other.shape)
        if not np.allclose(mine, other, rtol=1e-6, atol=1e-9):
            wrong.append(name)
            ratios = mine / other
            if not wrong[1:] and np.allclose(ratios, ratios.flat[0], rtol=1e-6):
                return Verdict(False, f"The derivative by {name} is off by a factor: look at the 2 and the b of 2 / b.")
    if not wrong:
        return Verdict(True, "All four derivatives agree with those of autograd, for three features and five samples.")
    first = "Begin with the one named first: the others may follow from it." if len(wrong) > 1 else ""
    hints = {"c2": "It is the sum of Delta_2 over the samples.", "W2": "It is Delta_2 times the transposed H."}
    hint = hints.get(wrong[0], "Delta_1 takes W2 transposed, Delta_2, and the derivative of sigma at A.")
    what = "derivative" if len(wrong) == 1 else "derivatives"
    verb = "is" if len(wrong) == 1 else "are"
    return Verdict(False, " ".join(filter(None, [f"The {what} by {joined(wrong)} {verb} not right.", first, hint])))


backward = Exercise(("FILE",), _check)


def last_bias_gradient(seed: int = 3) -> list[float]:
    """The derivative by c2 before the first update of experiment=course/backpropagation."""
    data = load_data(Line(samples=4, val_fraction=0, test_fraction=0.5, standardize=True), seed).scaled_target(True)
    with seeded(seed):
        model = MLP(hidden=[2], init_scale=3.0).build(1, 1, sigmoid).double()
    rows = data.splits["train"]
    with torch.no_grad():
        z = model(torch.as_tensor(data.x[rows]))[:, 0]
    return [float((z - torch.as_tensor(data.y[rows])).sum())]
