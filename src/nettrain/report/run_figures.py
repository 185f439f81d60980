"""The figures of one finished run: which there are, what they say, and the arrays that they are drawn from."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch

from nettrain.errors import ConfigError, Mistake
from nettrain.figures.planes import Plane, around_path, planes, random_plane
from nettrain.figures.words import quantity
from nettrain.parts.models import RowModule
from nettrain.report.pictures import Arguments, Picture
from nettrain.report.prediction_figures import function_over_inputs, function_pictures, predictions
from nettrain.results.run_folder import RunFolder
from nettrain.samples import multiplications, ready

Columns = Mapping[str, np.ndarray]
FRAMES = 8  # of a figure over the epochs; TensorBoard's slider has ten places
COUNTED = 2**15  # weights from which on a surface's cost is looked at
MULTIPLICATIONS = 2**34  # of a surface at most: it has fewer cells, and of fewer samples, where the network is large
AT_ONCE = 2**31  # of these at a time: what they take lies in memory


def find(pictures: list[Picture], name: str, missing: Sequence[str] = ()) -> Picture:
    """The picture of this name; `ConfigError` if there is none, with the sentences on what is `missing`."""
    for picture in pictures:
        if picture.name == name:
            return picture
    known = ", ".join(picture.name for picture in pictures)
    raise ConfigError(" ".join([f"{name}: there is no such figure; choose from {known}.", *missing]))


def run_pictures(run: RunFolder) -> tuple[list[Picture], list[str]]:
    """All that can be drawn of a run, and sentences on what cannot."""
    found, missing = model_pictures(run)
    return curve_pictures(run) + found, missing


def curve_pictures(run: RunFolder) -> list[Picture]:
    """What can be drawn of a run without its model."""
    return _curves(run.columns, run.summary.get("best_epoch")) + _layers(run.columns)


def model_pictures(run: RunFolder) -> tuple[list[Picture], list[str]]:
    """What can be drawn of a run's model, and sentences on what cannot."""
    if run.summary.get("best_epoch") is None:
        return [], ["The run has no best epoch, so there are no predictions to draw."]
    try:
        _ = run.model
        if run.data.streamed:
            return [], ["Figures of predictions and of the loss are left out: the table is read in parts."]
    except Mistake as error:
        return [], [f"Figures of predictions are missing: {error}"]
    best = next(name for name in ("test", "val", "train") if len(run.data.splits[name]))
    return [*predictions(run, best), *function_pictures(run), *_surfaces(run)], []


def _curves(columns: Columns, best: int | None) -> list[Picture]:
    """The loss, the first metric beside it that is another number, and the learning rate where it changes."""
    if not len(columns["epoch"]):
        return []
    metrics = [name.removeprefix("train_") for name in columns if name.startswith("train_")]
    pictures = [
        Picture(name, f"{quantity(name)} after each epoch", "curves", (_only(columns, name), name, best))
        for name in [*metrics[:1], *[name for name in metrics[1:] if not _is_the_loss(columns, name)][:1]]
    ]
    if len(np.unique(columns["lr"][~np.isnan(columns["lr"])])) > 1:
        caption = "learning rate of each epoch's last update"
        pictures.append(Picture("lr", caption, "curves", (_only(columns, "lr"), "lr")))
    return pictures


def _is_the_loss(columns: Columns, name: str) -> bool:
    """Whether a metric is the loss in other units, or its root, as mean squared errors are."""
    splits = [split for split in ("train", "val") if f"{split}_{name}" in columns and f"{split}_loss" in columns]
    loss, metric = (np.concatenate([columns[f"{split}_{which}"] for split in splits]) for which in ("loss", name))
    known = np.isfinite(loss) & np.isfinite(metric) & (loss > 0)
    return any(
        known.any() and np.ptp(ratios := metric[known] ** power / loss[known]) < 1e-3 * abs(ratios).max()
        for power in (1, 2)
    )


def _layers(columns: Columns) -> list[Picture]:
    captions = {
        "gradient_norm": "the gradient of each layer at the last update of each epoch; it vanishes where it is "
        "orders of magnitude below that of the last layer",
        "update_to_weight": "how much an update changes the weights of each layer; about 0.001 is common",
        "dead": "hidden units whose activation has slope 0 on every sample: they learn nothing any more",
        "saturated": "activations whose slope is below a tenth of the greatest one",
    }
    there = {name.partition("/")[0] for name in columns if "/" in name}
    return [
        Picture(name, caption, "layers", (_only(columns, name), name))
        for name, caption in captions.items()
        if name in there and len(columns["epoch"])
    ]


def _only(columns: Columns, name: str) -> dict[str, np.ndarray]:
    """The columns of which a figure of `name` is made."""
    return {
        column: values
        for column, values in columns.items()
        if column in ("epoch", name, f"train_{name}", f"val_{name}") or column.startswith(f"{name}/")
    }


def frames(run: RunFolder) -> list[tuple[int, Picture]]:
    """The decision boundary or the fitted curve after some of the epochs, from the first to the last."""
    arguments, trajectory = function_over_inputs(run), run.trajectory
    if arguments is None or trajectory is None:
        return []
    epochs, w = trajectory
    chosen = np.unique(np.linspace(0, len(epochs) - 1, FRAMES).round().astype(int))
    name = "decision_boundary" if run.encoder.classes else "fitted_curve"
    titles = {i: f"After epoch {epochs[i]}" for i in chosen}
    return [(epochs[i], Picture(name, titles[i], name, partial(arguments, w[i], titles[i]))) for i in chosen]


def _surfaces(run: RunFolder) -> list[Picture]:
    """The loss on the training split around the path of the weights."""
    if run.trajectory is None or len(run.trajectory[0]) < 2:
        return []
    epochs, w = run.trajectory
    points = w.double().numpy()
    size = points.shape[1]
    if size < 2 or not np.isfinite(points).all():
        return []
    few = size <= 3
    rows = run.data.splits["train"][: 4096 if few else 256]
    grid = 41 if few else 25 if isinstance(run.model, RowModule) else 13
    at_once = 2**13  # samples
    if size >= COUNTED:
        each = multiplications(run.model, run.data.inputs, w.dtype)
        grid = grid if grid**2 * len(rows) * each <= MULTIPLICATIONS else 13
        rows = rows[: max(16, int(MULTIPLICATIONS / (grid**2 * max(each, 1))))]
        at_once = min(at_once, AT_ONCE // max(each, 1))
    x, y = ready(run.data.rows(rows), run.data.inputs, w.dtype), torch.as_tensor(run.data.y[rows])
    y = y if run.encoder.classes else y.to(w.dtype)
    weights = None if run.data.weights is None else torch.as_tensor(run.data.weights[rows], dtype=w.dtype)

    @torch.no_grad()
    def loss(cells: np.ndarray) -> np.ndarray:
        at = torch.as_tensor(cells, dtype=w.dtype)
        chunk = max(1, at_once // len(rows)) if isinstance(run.model, RowModule) else 1
        parts = [part if chunk > 1 else part[0] for part in at.split(chunk)]
        return (
            torch.cat([run.objective.value(part, x, y, weights=weights).reshape(-1) for part in parts]).double().numpy()
        )

    def surface(plane: Plane, title: str) -> Arguments:
        cells, way = around_path(points, plane, grid)
        return cells, loss(plane.points(cells.points)), way, plane.names, title

    which = "all" if len(rows) == len(run.data.splits["train"]) else "the first"
    on = f"the loss on {which} {len(rows)} training samples"
    seen = planes(points, list(weight_names(run)) if few else None)
    share = "" if few else "; the percentages say how much of it lies in each direction"
    caption = f"{on}, with the path from epoch {epochs[0]} to {epochs[-1]}{share}"
    names = ["loss_surface"] if len(seen) == 1 else [f"loss_surface_{i}" for i in range(1, len(seen) + 1)]
    pictures = [
        Picture(name, caption, "loss_surface", partial(surface, plane, "Loss surface"), True)
        for name, plane in zip(names, seen, strict=True)
    ]
    if not few:
        plane = random_plane(points[-1], run.objective.layout.layers.values())
        caption = f"{on}, around the last weights in two random directions; flat where it hardly depends on them"
        arguments = partial(surface, plane, "Loss surface around the end")
        pictures.append(Picture("loss_surface_random", caption, "loss_surface", arguments, True))
    return pictures


def weight_names(run: RunFolder) -> list[str]:
    """A name for each of a few weights: w1, w2, ... of a single parameter, else the names of the parameters."""
    layout = run.objective.layout
    if len(layout.names) == 1:
        return [f"w{i + 1}" for i in range(layout.size)]
    names = []
    for name, size in zip(layout.names, layout.sizes, strict=True):
        names += [name] if size == 1 else [f"{name}[{i}]" for i in range(size)]
    return names
