"""The numbers in the tables of docs/course: for each page a function of its commands' runs, named like the page.

Each returns the tables under "What to see", as rows of cells; the words with which a row begins stand in the page.
Where there are several seeds, a number is the median, with the quartiles in brackets.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import torch

from nettrain import Run
from nettrain.report.starts import excess, first_gradients, least_weights, training_batch

Table = list[list[str]]
SEEDS = 10


def number(value: float) -> str:
    """Three digits, or all of a whole number."""
    return f"{value:.0f}" if 100 <= abs(value) < 1e5 else f"{value:.3g}"


def spread(values: Sequence[float]) -> str:
    """The median, and the quartiles in brackets; the median alone where all are nearly the same."""
    low, middle, high = np.quantile(np.asarray(values, float), [0.25, 0.5, 0.75])
    if 0 < high < 1e-15:  # rounding
        return "below 1e-15"
    return number(middle) if high - low <= 1e-9 * abs(middle) else f"{number(middle)} ({number(low)} to {number(high)})"


def settings(sweep: Sequence[Run]) -> list[list[Run]]:
    """The runs of each setting, which differ in the seed."""
    assert len(sweep) % SEEDS == 0
    return [list(sweep[i : i + SEEDS]) for i in range(0, len(sweep), SEEDS)]


def of(runs: Sequence[Run], key: str) -> list[float]:
    """An entry of the runs' summaries."""
    return [run.summary[key] for run in runs]


def lost(runs: Sequence[Run], update: int | None = None) -> list[float]:
    """The loss above the least one after an epoch; by default the median over the last 20 epochs."""
    curves = [excess(run) for run in runs]
    return [float(np.median(curve[-20:]) if update is None else curve[min(update, len(curve) - 1)]) for curve in curves]


def parabola(single: list[Run], sweep: list[Run]) -> list[Table]:
    (run,) = single
    found, least = run.trajectory[1][-1].tolist(), least_weights(run).tolist()
    data = run.config.data
    true = [data.w1, data.w2, data.w3]
    return [[[f"{t:g}", f"{a:.3f}", f"{b:.3f}"] for t, a, b in zip(true, least, found, strict=True)]]


def gradient_descent(sweep: list[Run]) -> list[Table]:
    return [[[spread(lost(runs, 20)), spread(lost(runs, 100))] for runs in settings(sweep)]]


def backpropagation(single: list[Run]) -> list[Table]:
    (run,) = single
    before, after = run.trajectory[1].numpy()
    (x, y), lr = training_batch(run), run.config.optimizer.lr
    X, Y = x.T.numpy(), y.numpy()[None]
    W1, c1, W2, c2 = before[:2, None], before[2:4, None], before[None, 4:6], before[6]
    A = W1 @ X + c1
    H = 1 / (1 + np.exp(-A))
    Z = W2 @ H + c2
    delta2 = Z - Y
    delta1 = (W2.T @ delta2) * H * (1 - H)
    gradient = np.concatenate([(delta1 @ X.T)[:, 0], delta1.sum(1), (delta2 @ H.T)[0], delta2.sum(1)])
    np.testing.assert_allclose(before - lr * gradient, after, rtol=1e-12, atol=1e-12)
    rows = [A[0], A[1], H[0], H[1], Z[0], delta2[0], delta1[0], delta1[1]]
    exact = [f"{v:.4f}".removesuffix(".0000") for v in before]
    weights = [[b, f"{g:.4f}", f"{a:.4f}"] for b, g, a in zip(exact, gradient, after, strict=True)]
    return [[[f"{v:.4f}" for v in row] for row in rows], weights]


def counting_updates(single: list[Run], sweep: list[Run]) -> list[Table]:
    return [
        [
            [str(runs[0].summary["updates_per_epoch"]), str(runs[0].summary["updates"]), spread(of(runs, "test_loss"))]
            for runs in settings(sweep)
        ]
    ]


def batch_size(sweep: list[Run]) -> list[Table]:
    return [
        [
            [str(runs[0].summary["updates"]), spread(lost(runs, 1)), spread(lost(runs, 10)), spread(lost(runs))]
            for runs in settings(sweep)
        ]
    ]


def learning_rate_decay(sweep: list[Run]) -> list[Table]:
    return [
        [[number(runs[0].columns["lr"][-1]), spread(lost(runs, 1)), spread(lost(runs))] for runs in settings(sweep)]
    ]


def momentum(sweep: list[Run]) -> list[Table]:
    return [[[spread(lost(runs, 50)), spread(lost(runs, 200))] for runs in settings(sweep)]]


def best_rates(sweep: list[Run]) -> dict[str, tuple[float, list[Run]]]:
    """Each rule's best learning rate, by the median of what the report ranks by, and the runs with it."""
    best: dict[str, tuple[float, float, list[Run]]] = {}
    for runs in settings(sweep):
        config = runs[0].config.optimizer
        losses = [run.summary["best_train_loss"] if run.summary["status"] == "completed" else np.inf for run in runs]
        mine = float(np.median(losses)), float(config.lr), runs
        best[config.name] = min(best.get(config.name, mine), mine, key=lambda entry: entry[0])
    return {name: (rate, runs) for name, (_, rate, runs) in best.items()}


def adaptive(sweep: list[Run], *_: list[Run]) -> list[Table]:
    return [
        [
            [f"{rate:g}", spread(of(runs, "best_train_loss")), spread(of(runs, "train_loss"))]
            for rate, runs in best_rates(sweep).values()
        ]
    ]


def constant_loss(run: Run) -> float:
    """The training loss of the best prediction that does not look at x."""
    _, y = training_batch(run)
    if not run.encoder.classes:
        return float(y.var(correction=0))
    return float(torch.special.entr(torch.bincount(y) / len(y)).sum())


def likelihood(sweep: list[Run]) -> list[Table]:
    return [
        [
            [runs[0].head.name, spread(of(runs, "test_loss")), spread([constant_loss(run) for run in runs])]
            for runs in settings(sweep)
        ]
    ]


def final_losses(sweep: list[Run]) -> list[Table]:
    return [[[spread(of(runs, "train_loss"))] for runs in settings(sweep)]]


activations = initialisation = final_losses


def layer_factor(run: Run) -> float:
    """The factor per layer by which the first gradient of the fourth layer comes from that of the eighth."""
    norms = list(first_gradients(run).values())
    return float((norms[3] / norms[7]) ** (1 / 4))


def vanishing_gradients(sweep: list[Run]) -> list[Table]:
    return [
        [
            [f"{predicted:.2f}", spread([layer_factor(run) for run in runs]), spread(of(runs, "train_loss"))]
            for predicted, runs in zip(predicted_factors(), settings(sweep), strict=True)
        ]
    ]


def predicted_factors() -> list[float]:
    """sqrt(E f'^2 / E f^2) for sigmoid, tanh, relu and leaky_relu at a standard normal Z, by integration."""
    z = np.linspace(-10, 10, 200_001)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    sigma = 1 / (1 + np.exp(-z))
    pairs = [
        (sigma, sigma * (1 - sigma)),
        (np.tanh(z), 1 - np.tanh(z) ** 2),
        (np.maximum(z, 0), z > 0),
        (np.where(z > 0, z, 0.01 * z), np.where(z > 0, 1, 0.01)),
    ]
    return [float(np.sqrt((slope**2 * density).sum() / (f**2 * density).sum())) for f, slope in pairs]


def linear_network(straight: list[Run], bent: list[Run]) -> list[Table]:
    return [
        [
            [str(a[0].summary["parameters"]), spread(of(a, "train_mse")), spread(of(b, "train_mse"))]
            for a, b in zip(settings(straight), settings(bent), strict=True)
        ]
    ]


def evaluations(run: Run) -> float:
    counts = run.summary
    return (
        counts["function_evaluations"]
        + 2 * counts["gradient_evaluations"]
        + 4 * counts.get("hessian_vector_products", 0)
    )


def second_order(parabola: list[Run], descent: list[Run], network: list[Run]) -> list[Table]:
    first = [
        [spread(of(runs, "updates")), spread(of(runs, "gradient_evaluations")), spread(lost(runs, 100))]
        for runs in [*settings(parabola), *settings(descent)]
    ]
    second = [
        [
            spread(of(runs, "train_loss")),
            spread(of(runs, "test_loss")),
            spread([evaluations(run) for run in runs]),
        ]
        for runs in settings(network)
    ]
    return [first, second]


def search(sweep: list[Run], gradient: list[Run]) -> list[Table]:
    keys = ("function_evaluations", "train_loss", "train_accuracy")
    return [[[spread(of(runs, key)) for key in keys] for runs in [*settings(sweep), *settings(gradient)]]]


def overfitting(*sweeps: list[Run]) -> list[Table]:
    keys = ("train_loss", "val_loss", "best_val_loss")
    return [[[spread(of(runs, key)) for key in keys] for runs in itertools.chain(*map(settings, sweeps))]]


regularisation = overfitting


def own_rule(sweep: list[Run], signs: list[Run]) -> list[Table]:
    rows = [[f"{rate:g}", spread(of(runs, "best_train_loss"))] for rate, runs in best_rates(sweep).values()]
    return [[*rows, [f"{signs[0].config.optimizer.lr:g}", spread(of(signs, "best_train_loss"))]]]
