"""A picture for each page of the course: a function of the runs of each of its commands, named like the page."""

import io
from collections.abc import Mapping

import numpy as np
import pandas
import torch
from course_runs import (
    excess,
    first_gradient_norms,
    from_zero,
    last_curve,
    last_weights,
    prepared,
    training_points,
    training_tensors,
)
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from nettrain import Run, figures
from nettrain.config.build import build_activation
from nettrain.figures.grids import over_one_input, over_two_inputs
from nettrain.parts.heads import Head
from nettrain.problem import COUNTS, cost
from nettrain.random import permutation

EXCESS = "training loss − least loss"

Picture = list[list[Figure]]  # rows of figures


def png(picture: Picture, dpi: int = 100) -> bytes:
    """The figures side by side, one row below the other, as one image."""
    for row in picture:
        for figure in row:
            if len(row) > 2:  # three must be smaller for their text to stay legible on a page
                figure.set_size_inches(4.0, 3.3)
    rows = [[Image.open(io.BytesIO(figures.png(figure, dpi))).convert("RGB") for figure in row] for row in picture]
    heights = [max(image.height for image in row) for row in rows]
    widths = [max(image.width for image in column) for column in zip(*rows, strict=True)]
    sheet = Image.new("RGB", (sum(widths), sum(heights)), "white")
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            sheet.paste(image, (sum(widths[:j]), sum(heights[:i])))
    file = io.BytesIO()
    sheet.save(file, "png", optimize=True)
    return file.getvalue()


def activations(sweep: list[Run]) -> Picture:
    x = torch.linspace(-4, 4, 801, dtype=torch.float64, requires_grad=True)
    named = {run.config.activation.name: run for run in sweep}
    functions = {name: build_activation(prepared(run).config.activation) for name, run in named.items()}
    values = {name: f(x).detach() for name, f in functions.items()}
    slopes = {name: torch.autograd.grad(f(x).sum(), x)[0] for name, f in functions.items()}
    return [
        [
            _show_all(figures.lines(x.detach(), values, "x", "f(x)", "Activations")),
            _show_all(figures.lines(x.detach(), slopes, "x", "f'(x)", "Their derivatives")),
            _show_all(losses(named, "The moons: training loss")),
        ],
        [boundary(named[name], f"activation={name}") for name in ("identity", "sigmoid", "relu")],
    ]


def vanishing_gradients(sweep: list[Run]) -> Picture:
    named = {run.config.activation.name: run for run in sweep}
    norms = {name: first_gradient_norms(run) for name, run in named.items()}
    layers = np.arange(1, 1 + len(next(iter(norms.values()))))
    title, across = "Each layer's gradient before the first update", "layer (1: next to the input)"
    return [
        [
            _show_all(figures.lines(layers, norms, across, "norm of the gradient", title, log=True)),
            losses(named, "Training loss"),
        ]
    ]


def linear_network(straight: list[Run], bent: list[Run]) -> Picture:
    x, y = training_points(straight[0])
    at = np.linspace(-1.1, 1.1, 401)
    picture = []
    for runs in (straight, bent):
        lines = {f"{len(run.config.model.hidden)} hidden layers": last_curve(run)(at) for run in runs}
        title = f"activation={runs[0].config.activation.name}"
        figure = figures.lines(at, {**lines, "least squares": np.polyval(np.polyfit(x, y, 1), at)}, "x", "y", title)
        _show_all(figure, 1.4)
        figure.axes[0].scatter(x, y, s=12, color=figures.COLORS[-1], alpha=0.35, linewidths=0)
        picture.append(figure)
    return [picture]


def likelihood(sweep: list[Run]) -> Picture:
    bernoulli, categorical, normal = (prepared(run).head for run in sweep)
    z = torch.linspace(-6, 6, 241, dtype=torch.float64)
    one, three = z.unsqueeze(1), torch.stack([z, torch.zeros_like(z), torch.zeros_like(z)], dim=1)
    two_classes = {f"y = {y}": _loss(bernoulli, one, y) for y in (0, 1)}
    more_classes = {f"y = {y + 1}": _loss(categorical, three, y) for y in (0, 1)}
    numbers = {f"y = {y}": _loss(normal, one, float(y)) for y in (0, 2)}
    return [
        [
            figures.lines(z, two_classes, "z", "loss", "Bernoulli: binary cross-entropy", log=False),
            figures.lines(
                z, more_classes, "z of class 1, the others' is 0", "loss", "Categorical: cross-entropy", False
            ),
            figures.lines(z, numbers, "z", "loss", "Normal: squared error", log=False),
        ],
        [_with_baseline(run) for run in sweep],
    ]


def counting_updates(single: list[Run], sweep: list[Run]) -> Picture:
    config = single[0].config
    epochs, n = config.epochs, prepared(single[0]).n_train
    update = np.empty((epochs, n))
    for epoch in range(epochs):
        update[epoch, permutation(config.seed, epoch, n)] = np.arange(n) // config.bs + 1
    figure, axes = figures.new("Which update of the epoch uses a sample, bs=8", "training sample", "epoch", 5.4)
    axes.grid(False)
    image = axes.imshow(update, cmap="cividis", aspect="auto", extent=(0.5, n + 0.5, epochs + 0.5, 0.5))
    axes.set_yticks(range(1, epochs + 1))
    figures.color_bar(figure, image, "update")
    counts = {f"bs={run.config.bs}": from_zero(run, run.metrics["step"], 0) for run in sweep}
    return [[figure, figures.bands(counts, "epoch", "updates", "Updates so far", log=False)]]


def batch_size(sweep: list[Run]) -> Picture:
    named = {f"bs={run.config.bs}": run for run in sweep}
    by_epoch = {name: excess(run, "epoch") for name, run in named.items()}
    by_update = {name: (at[1:], loss[:, 1:]) for name, run in named.items() for at, loss in [excess(run)]}
    return [
        [
            figures.bands(by_epoch, "epoch", EXCESS, "By passes over the data", log=True),
            _logarithmic(figures.bands(by_update, "update", EXCESS, "The same runs, by updates", log=True)),
        ]
    ]


def learning_rate_decay(sweep: list[Run]) -> Picture:
    named = {run.config.schedule.name: run for run in sweep}
    rates = {name: run.metrics["lr"] for name, run in named.items()}
    loss = {name: excess(run, "epoch") for name, run in named.items()}
    return [
        [
            figures.lines(sweep[0].metrics["epoch"], rates, "epoch", "learning rate", "Schedules", log=False),
            figures.bands(loss, "epoch", EXCESS, "Stochastic gradient descent, bs=1", log=True),
        ]
    ]


def momentum(sweep: list[Run]) -> Picture:
    named = {f"momentum={run.config.optimizer.momentum:g}": excess(run) for run in sweep}
    return [[figures.bands(named, "update", EXCESS, "Full gradient descent with momentum", log=True)]]


def adaptive(sweep: list[Run], *_: list[Run]) -> Picture:
    names = [run.config.optimizer.name for run in sweep]
    rates = [float(run.config.optimizer.lr) for run in sweep]
    final = [run.summary["train_loss"] for run in sweep]
    best = {
        name: min((loss, i) for i, loss in enumerate(final) if names[i] == name)[1] for name in dict.fromkeys(names)
    }
    named = {f"{name}, lr={rates[i]:g}": sweep[i] for name, i in best.items()}
    return [
        [
            figures.heat_map(rates, names, final, "optimizer.lr", "optimizer", "loss", "Training loss at the end"),
            losses(named, "Each with its best learning rate"),
        ]
    ]


def own_rule(sweep: list[Run], *_: list[Run]) -> Picture:
    return adaptive(sweep)


def second_order(parabola: list[Run], descent: list[Run], network: list[Run]) -> Picture:
    three_weights = {run.config.optimizer.name: excess(run) for run in [*parabola, *descent]}
    by_update, by_cost = {}, {}
    for run in network:
        table, name = run.metrics, run.config.optimizer.name
        by_update[name] = table["step"], [table["train_loss"]]
        by_cost[name] = cost(*(table[count] for count in COUNTS)), [table["train_loss"]]
    products = "cost in evaluations of the loss"
    return [
        [
            figures.bands(three_weights, "update", EXCESS, "The parabola: three weights", log=True),
            figures.bands(by_update, "update", "training loss", "A network with 97 weights", log=True),
            _logarithmic(figures.bands(by_cost, products, "training loss", "The same runs, by their cost", log=True)),
        ]
    ]


def search(sweep: list[Run], gradient: list[Run]) -> Picture:
    named = {run.config.optimizer.name: run for run in [*sweep, *gradient]}
    loss = {name: (run.metrics["function_evaluations"], [run.metrics["train_loss"]]) for name, run in named.items()}
    curves = _logarithmic(figures.bands(loss, "evaluations of the loss", "training loss", "Training loss", log=True))
    return [
        [curves, boundary(named["adam"], "adam: it trains the last layer alone")],
        [boundary(named["genetic"], "genetic"), boundary(named["hill_climb"], "hill_climb")],
    ]


def parabola(whole: list[Run], shorter: list[Run], *_: list[Run]) -> Picture:
    runs = {run.config.epochs: run for run in [*whole, *shorter]}
    epochs = sorted(runs)
    x, y = training_points(whole[0])
    at = over_one_input(x)
    earlier = {f"after {n} epochs": last_curve(runs[n])(at) for n in (0, 5, 20)}
    last = last_curve(runs[epochs[-1]])(at)
    fit = figures.fitted_curve(at, last, x, y, "x", "y", f"After {epochs[-1]} epochs", earlier)
    weights = np.array([last_weights(runs[n])["weight"][0].tolist() for n in epochs])
    courses = {f"w{i + 1}": (epochs, weights[None, :, i]) for i in range(3)}
    right = figures.bands(courses, "epoch", "weight", "The weights; dotted: least squares", log=False)
    right.axes[0].set_xscale("symlog", linthresh=1)
    right.axes[0].xaxis.set_major_formatter("{x:g}")
    for value in np.polyfit(x, y, 2):
        right.axes[0].axhline(value, color=figures.COLORS[-1], linewidth=1, linestyle=":")
    return [[fit, right]]


def overfitting(sweep: list[Run]) -> Picture:
    x, y = training_points(sweep[0])
    at = over_one_input(x)
    true = {"sin(2πx)": np.sin(2 * np.pi * at)}
    titles = [f"hidden={list(run.config.model.hidden)}" for run in sweep]
    return [
        [
            figures.fitted_curve(at, last_curve(run)(at), x, y, "x", "y", f"{title}, after the last epoch", true)
            for run, title in zip(sweep, titles, strict=True)
        ],
        [
            figures.curves(run.metrics, best=run.summary["best_epoch"], title=f"{title}: loss")
            for run, title in zip(sweep, titles, strict=True)
        ],
    ]


def losses(named: Mapping[str, Run], title: str) -> Figure:
    """The training loss of each run over the epochs."""
    series = {name: (run.metrics["epoch"], [run.metrics["train_loss"]]) for name, run in named.items()}
    return figures.bands(series, "epoch", "training loss", title)


def boundary(run: Run, title: str) -> Figure:
    """The decision boundary of a run with two inputs, with the points that it was trained on."""
    data = prepared(run).data
    rows, columns = data.splits["train"], data.table.columns
    assert data.table.target is not None

    points = np.column_stack([np.asarray(values)[rows] for values in columns.values()])
    grid = over_two_inputs(points)
    answer = run.predict(pandas.DataFrame(grid.points, columns=list(columns)))
    p = answer[[f"probability_{name}" for name in data.table.classes]].to_numpy()
    return figures.decision_boundary(grid, p, points, data.table.target[rows], list(columns), data.table.classes, title)


def _loss(head: Head, z: Tensor, y: float) -> Tensor:
    return head.loss(z, torch.full(z.shape[:1], y, dtype=torch.int64 if isinstance(y, int) else z.dtype))


def _with_baseline(run: Run) -> Figure:
    """The losses over the epochs, and that of the best prediction which does not look at x."""
    _, y = training_tensors(prepared(run))
    shares = torch.bincount(y) / len(y) if run.encoder.classes else None
    baseline = y.var(correction=0) if shares is None else torch.special.entr(shares).sum()
    figure = figures.curves(run.metrics, title=f"data={run.config.data.name}, head={run.head.name}")
    figure.axes[0].axhline(float(baseline), color=figures.COLORS[-1], linewidth=1, linestyle=":")
    return figure


def _show_all(figure: Figure, step: float = 0.7) -> Figure:
    """Make each line thinner than the one before, by so many points, so that lines which coincide are all seen."""
    for i, line in enumerate(reversed(figure.axes[0].get_lines())):
        line.set_linewidth(1.2 + step * i)
    return figure


def _logarithmic(figure: Figure) -> Figure:
    figure.axes[0].set_xscale("log")
    return figure
