"""Solvers on networks and real data: step units, which no gradient can train, and smooth ones by curvature."""

import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.model_selection import train_test_split

from nettrain.minimization import optimizers
from nettrain.objective import Objective
from nettrain.parts.activations import step, tanh
from nettrain.parts.heads import SoftmaxCE
from nettrain.parts.models import MLP
from nettrain.problem import Problem
from nettrain.vector import flatten

DATA = {"breast_cancer": load_breast_cancer, "iris": load_iris, "digits": load_digits}


def train(data, hidden, activation, name, updates, **options):
    """The accuracies on the training and on the held-out fifth of the data, and the gradient evaluations."""
    features, target = DATA[data](return_X_y=True)
    x, x_test, y, y_test = (
        torch.as_tensor(part)
        for part in train_test_split(features, target, test_size=0.2, random_state=0, stratify=target)
    )
    mean, std = x.mean(0), x.std(0).clamp(min=1e-9)
    x, x_test = ((part - mean).div(std).float() for part in (x, x_test))
    torch.manual_seed(0)
    model = MLP(hidden=[hidden]).build(x.shape[1], int(y.max()) + 1, activation)
    objective, w = Objective(model, SoftmaxCE()), flatten(model)
    problem = Problem(lambda w: objective.value(w, x, y.expand(*w.shape[:-1], -1)), rows=True)
    solver = optimizers()[name](**options)
    state = solver.init(problem, w, 0)
    for t in range(1, updates + 1):
        solver.step(problem, state, w, t, 0)
    accuracies = [float((objective.logits(w, a).argmax(-1) == b).float().mean()) for a, b in ((x, y), (x_test, y_test))]
    return *accuracies, problem.counts


@pytest.mark.parametrize(
    ("data", "name", "updates", "bar"),
    [
        ("breast_cancer", "genetic", 100, 0.94),
        ("breast_cancer", "cma_es", 150, 0.94),
        ("breast_cancer", "hill_climb", 300, 0.91),
        ("iris", "genetic", 100, 0.9),
        ("iris", "cma_es", 150, 0.9),
        ("iris", "simulated_annealing", 400, 0.8),
    ],
)
def test_search_trains_a_network_of_step_units(data, name, updates, bar):
    train_accuracy, test_accuracy, counts = train(data, 16, step, name, updates)
    assert counts.gradient_evaluations == counts.hessian_vector_products == 0
    assert train_accuracy >= bar
    assert test_accuracy >= bar - 0.04


@pytest.mark.slow
@pytest.mark.parametrize(("name", "updates", "bar"), [("genetic", 200, 0.8), ("cma_es", 200, 0.87)])
def test_search_trains_step_units_on_digits(name, updates, bar):
    _, test_accuracy, _ = train("digits", 32, step, name, updates)
    assert test_accuracy >= bar


@pytest.mark.parametrize(
    ("name", "options"), [("newton", {}), ("newton", {"solver": "cg"}), ("bfgs", {}), ("lbfgs", {})]
)
def test_curvature_trains_a_smooth_network(name, options):
    train_accuracy, test_accuracy, _ = train("iris", 6, tanh, name, 25, **options)
    assert train_accuracy >= 0.975
    assert test_accuracy >= 0.93
