"""What changes while the runs of some settings train: losses, weights, learning rates, counts of updates."""

from collections.abc import Callable, Sequence

import numpy as np

from nettrain.errors import ConfigError
from nettrain.problem import COUNTS, cost
from nettrain.random import permutation
from nettrain.report.pictures import Picture
from nettrain.report.run_figures import weight_names
from nettrain.report.setting import SHOWN, Setting, most, over_seeds
from nettrain.report.starts import excess as excess_of
from nettrain.report.starts import least_weights
from nettrain.results.run_folder import RunFolder

EXCESS = "training loss − least loss"


def excess(settings: Sequence[Setting], by_epoch: bool) -> list[Picture]:
    """The training loss above the least one, by updates or by epochs."""
    series = {}
    for setting in settings:
        curves = [curve for run in setting.runs if (curve := excess_of(run)) is not None]
        if curves:
            longest = max(curves, key=len)
            run = setting.runs[[len(curve) for curve in curves].index(len(longest))]
            at = np.append(0, run.columns["epoch" if by_epoch else "step"])
            table = np.stack([np.append(c, np.full(len(longest) - len(c), c[-1])) for c in curves])
            series[setting.label] = (at, table) if by_epoch else (at[1:], table[:, 1:])
    if not series:
        raise ConfigError(
            "the least loss is known of a linear model of numbers alone, trained without validation rows."
        )
    across = "epoch" if by_epoch else "update"
    caption = f"how far the training loss is above the least one, by {across}s: {over_seeds(most(settings))}"
    log_x = not by_epoch and len({len(at) for at, _ in series.values()} | {int(at[0]) for at, _ in series.values()}) > 2
    arguments = (series, across, EXCESS, f"Training loss above the least, by {across}s", True, log_x)
    return [Picture("excess_by_epoch" if by_epoch else "excess", caption, "spread", arguments)]


def losses(settings: Sequence[Setting], by: str) -> list[Picture]:
    """The training loss by updates, by evaluations of the loss, or by what they cost."""
    spent: dict[str, tuple[str, Callable[[RunFolder], np.ndarray]]] = {
        "update": ("update", lambda run: run.columns["step"]),
        "evaluations": ("evaluations of the loss", lambda run: run.columns["function_evaluations"]),
        "cost": (
            "cost, in evaluations of the loss",
            lambda run: cost(*(run.columns[count] for count in COUNTS)),
        ),
    }
    across, measure = spent[by]
    series = {}
    for setting in settings:
        longest = max(setting.runs, key=lambda run: len(run.columns["epoch"]))
        size = len(longest.columns["epoch"])
        losses = [_kept(run.columns["train_loss"], size) for run in setting.runs]
        at = np.median([_kept(measure(run), size) for run in setting.runs], axis=0)
        series[setting.label] = at, np.stack(losses)
    caption = f"the training loss over the {across}: {over_seeds(most(settings))}"
    log_x = max(float(at[-1]) for at, _ in series.values()) > 300
    arguments = (series, across, "training loss", "Training loss", True, log_x)
    return [Picture(f"losses_by_{by}", caption, "spread", arguments)]


def splits(settings: Sequence[Setting]) -> list[Picture]:
    """Training and validation loss of each setting."""
    pictures = []
    for number, setting in enumerate(settings, 1):
        size = max(len(run.columns["epoch"]) for run in setting.runs)
        at, series = np.arange(1, size + 1), {}
        for split, name in (("train", "training"), ("val", "validation")):
            if f"{split}_loss" in setting.first.columns:
                series[name] = at, np.stack([_kept(run.columns[f"{split}_loss"], size) for run in setting.runs])
        caption = f"training and validation loss{setting.of}: {over_seeds(len(setting.runs))}"
        pictures.append(
            Picture(f"splits_{number}", caption, "spread", (series, "epoch", "loss", setting.label or "Loss", True))
        )
    return pictures


def weights(settings: Sequence[Setting]) -> list[Picture]:
    """The course of a few weights in the runs of the first setting."""
    runs = [run for run in settings[0].runs if run.trajectory is not None]
    if not runs or len(runs[0].first_weights) > SHOWN:
        raise ConfigError(f"it is for models of at most {SHOWN} weights.")
    epochs = np.array(runs[0].trajectory[0]) if runs[0].trajectory else np.zeros(0)
    table = np.stack([run.trajectory[1].double().numpy() for run in runs if run.trajectory])
    at = epochs * runs[0].summary["updates_per_epoch"]
    series = {name: (at, table[:, :, i]) for i, name in enumerate(weight_names(runs[0]))}
    least = least_weights(runs[0])
    levels = [] if least is None else least.tolist()
    caption = f"the weights over the updates: {over_seeds(len(runs))}; dotted: least squares, first run"
    arguments = (series, "update", "weight", "The weights", False, True, levels)
    return [Picture("weights", caption, "spread", arguments)]


def outcomes(settings: Sequence[Setting]) -> list[Picture]:
    """What each run has reached in what it monitors."""
    summaries = {setting.label: [run.summary for run in setting.runs] for setting in settings}
    first = settings[0].first.summary
    column = "val_loss" if "val_loss" in first else "train_loss"
    values = {label: [float(s.get(column) or np.nan) for s in all_of] for label, all_of in summaries.items()}
    name = "validation loss" if column == "val_loss" else "training loss"
    every = np.concatenate([np.asarray(v, float) for v in values.values()])
    finite = every[np.isfinite(every) & (every > 0)]
    log = len(finite) > 0 and bool(finite.max() > 10 * finite.min())
    caption = f"the {name} after the last epoch of each run, with the median and the quartiles of each setting"
    return [Picture("outcomes", caption, "outcomes", (values, name, f"{name.capitalize()} after the last epoch", log))]


def learning_rates(settings: Sequence[Setting]) -> list[Picture]:
    epochs = max((setting.first.columns["epoch"] for setting in settings), key=len)
    series = {s.label: _kept(s.first.columns["lr"], len(epochs)) for s in settings}
    arguments = (epochs, series, "epoch", "learning rate", "Learning rates")
    return [Picture("learning_rates", "the learning rate of each epoch's last update", "overlaid", arguments)]


def updates(settings: Sequence[Setting]) -> list[Picture]:
    epochs = max((setting.first.columns["epoch"] for setting in settings), key=len)
    series = {s.label: np.append(0, _kept(s.first.columns["step"], len(epochs))) for s in settings}
    arguments = (np.append(0, epochs), series, "epoch", "updates", "Updates so far")
    return [Picture("updates", "how many updates there have been after each epoch", "overlaid", arguments)]


def batches(settings: Sequence[Setting]) -> list[Picture]:
    """Which update of each epoch uses which sample, in the first run."""
    run = settings[0].first
    n, epochs = len(run.data.splits["train"]), min(int(run.summary["epochs"]), 20)
    size = n if run.config.bs == "full" else min(int(run.config.bs), n)
    update = np.empty((epochs, n))
    for epoch in range(epochs):
        update[epoch, permutation(run.config.seed, epoch, n)] = np.arange(n) // size + 1
    title = f"Which update of the epoch uses a sample, bs={run.config.bs}"
    return [Picture("batches", "which update of each epoch uses which training sample", "batches", (update, title))]


def _kept(values: np.ndarray, size: int) -> np.ndarray:
    """The values, the last of them repeated to this size."""
    return np.append(values, np.full(size - len(values), values[-1]))
