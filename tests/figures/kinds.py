"""A figure of every kind, with long names, many classes and values that are hard to show."""

import numpy as np

from nettrain import figures
from nettrain.figures.grids import over_one_input, over_two_inputs
from nettrain.figures.layer_numbers import LayerNumbers
from nettrain.figures.planes import around_path, planes, random_plane


def every_request(rng):
    """The names of all functions of `figures` that draw, with arguments."""
    long = "a name that is much longer than anybody would like it to be, and then some more"
    y, p = rng.integers(0, 10, 100), rng.dirichlet(np.ones(10), 100)
    many = [f"class number {c}" for c in range(10)]
    metrics = {"epoch": range(1, 31), "train_loss": np.geomspace(1e-9, 1e5, 30), "val_loss": np.full(30, np.nan)}
    metrics |= {f"dead/layers.{i}": np.linspace(0, 1, 30) for i in range(12)}
    x, path = rng.normal(size=(30, 2)), np.cumsum(rng.normal(size=(9, 40)), axis=0)
    labels = [f"{long} {i}" for i in range(6)]
    yield "curves", (metrics, "loss", 7, long)
    yield "layers", (metrics, "dead")
    yield "histograms", ({long: x}, "weight")
    yield "confusion", (y, p.argmax(1), many)
    for name in ("calibration", "roc", "precision_recall"):
        yield name, (y, p, many)
    yield "residuals", (x[:, 0] * 1e7, x[:, 1], long[:40])
    yield "predicted_against_true", (*x.T, "y")
    grid, at = over_two_inputs(x), over_one_input(x[:, 0])
    yield "decision_boundary", (grid, np.full((len(grid.points), 2), 0.5), x, x[:, 0] > 0, ["a", "b"], ["no", "yes"])
    yield "fitted_curve", (at, at**2, x[:, 0], x[:, 1], "x", "y", "Fitted curve", {"true": -at})
    for plane in (*planes(path), random_plane(path[-1], [slice(0, 40)])):
        cells, way = around_path(path, plane)
        yield "loss_surface", (cells, 1e6 * (plane.points(cells.points) ** 2).sum(1), way, plane.names)
    yield "bands", ({label: (range(9), rng.normal(size=(3, 9))) for label in labels}, "epoch", "loss")
    lrs, means = np.geomspace(1e-4, 1, 5), rng.random((6, 5))
    yield "response", ({label: (lrs, row, row / 3) for label, row in zip(labels, means, strict=True)}, "lr", "loss")
    yield "heat_map", (labels * 2, [1e-9] * 6 + [1e9] * 6, range(12), "key", "optimizer.some_option", "loss")
    yield "parallel_coordinates", ({"activation": labels, "optimizer.lr": rng.random(6)}, range(6), "validation loss")
    yield from lessons(rng, long, x)
    yield "time_to_target", ({label: rng.random(4) for label in labels}, "updates")
    yield "performance_profile", (rng.random((9, 6)), labels)


def lessons(rng, long, x):
    """The figures of one idea each."""
    of_seeds = {f"{long} {i}": (np.arange(9), rng.random((5, 9))) for i in range(2)}
    yield "spread", (of_seeds, "update", "loss", long, True, True, (0.5,))
    yield "overlaid", (range(9), {name: values[0] for name, (_, values) in of_seeds.items()}, "x", "y", long)
    yield "fits", (np.linspace(0, 1, 9), rng.random((5, 9)), x[:, 0], x[:, 1], ("x", "y"), long)
    grid = over_two_inputs(x)
    p = rng.random((3, len(grid.points)))
    yield "clouds", (grid, np.stack([p, 1 - p], -1), x, x[:, 0] > 0, ["a", "b"], ["no", "yes"], long)
    yield "paths", (grid, 1 + (grid.points**2).sum(1), {long: np.cumsum(x, 0)}, ("w1", "w2"), long)
    yield "batches", (rng.integers(1, 9, (5, 40)), long)
    yield "outcomes", ({long: [1e-9, 1, np.inf], "b": [2.0]}, "loss", long, True)
    yield "by_layer", ({long: rng.random((5, 4))}, {long: rng.random(4)}, "norm", long)
    shapes = (4, 2), (4,), (4, 3), (4, 2), (4,), (4, 3)  # two inputs, four units, three samples
    numbers = LayerNumbers(*(rng.normal(size=shape) for shape in shapes))
    yield "network", (rng.normal(size=(2, 3)), [numbers], long)


def every_figure(rng):
    """The figures themselves."""
    for function, arguments in every_request(rng):
        yield getattr(figures, function)(*arguments)
