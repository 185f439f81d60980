"""What the models of some settings have learnt, as functions of weights or inputs, and what their heads stand for."""

from collections.abc import Sequence

import numpy as np
import torch

from nettrain.errors import ConfigError
from nettrain.figures.grids import Grid
from nettrain.report.pictures import Arguments, Picture
from nettrain.report.prediction_figures import function_over_inputs
from nettrain.report.run_figures import weight_names
from nettrain.report.setting import Setting
from nettrain.report.starts import least_weights, training_batch
from nettrain.results.run_folder import RunFolder
from nettrain.storage.checkpoint_files import load_checkpoint

_ONE_INPUT = "it is for one input and a target of numbers."
_TWO_CLASSES = "it is for two inputs and two classes."


def paths(settings: Sequence[Setting]) -> list[Picture]:
    """The ways of the first run of each setting over the loss of two weights, from one start."""
    run = settings[0].first
    ways = {s.label: s.first.trajectory[1].double().numpy() for s in settings if s.first.trajectory is not None}
    least = least_weights(run)
    if not ways or least is None or len(run.first_weights) != 2:
        raise ConfigError("it is for linear models of two weights.")
    end, start = least.double().numpy(), run.first_weights.double().numpy()
    reach = 1.6 * np.maximum(np.abs(start - end), 0.35 * np.abs(start - end).max())
    grid = Grid(*(np.linspace(end[i] - reach[i], end[i] + reach[i], 121) for i in (0, 1)))
    x, y = training_batch(run)
    with torch.no_grad():
        points = torch.as_tensor(grid.points, dtype=run.first_weights.dtype)
        loss = torch.cat([run.objective.value(part, x, y) for part in points.split(2048)]).double().numpy()
    names = weight_names(run)
    caption = "the loss on the training samples over the two weights, with the path of the first run of each setting"
    arguments = (grid, loss, ways, (names[0], names[1]), "The loss, and the way down")
    return [Picture("paths", caption, "paths", arguments)]


def fitted_curves(settings: Sequence[Setting]) -> list[Picture]:
    """The function of one input that each setting has learnt after the last epoch."""
    pictures = []
    for number, setting in enumerate(settings, 1):
        if any(run.encoder.classes for run in setting.runs):
            raise ConfigError(_ONE_INPUT)
        (at, _, x, y, name, target, _), curves = _learnt(setting, _ONE_INPUT)
        title = setting.label or "Fitted curve"
        caption = f"what is predicted after the last epoch{setting.of}, by each of {len(curves)} runs"
        name_of = "fitted_curves" if len(settings) == 1 else f"fitted_curves_{number}"
        pictures.append(Picture(name_of, caption, "fits", (at, curves, x, y, (name, target), title)))
    return pictures


def boundaries(settings: Sequence[Setting]) -> list[Picture]:
    """The boundary between two classes that each setting has learnt after the last epoch."""
    pictures = []
    for number, setting in enumerate(settings, 1):
        if any(len(run.encoder.classes) != 2 for run in setting.runs):
            raise ConfigError(_TWO_CLASSES)
        (grid, _, x, y, names, classes, _), probabilities = _learnt(setting, _TWO_CLASSES)
        caption = f"where the classes meet{setting.of}: the first run, and thin those of all {len(probabilities)}"
        shown = (grid, probabilities, x, y, names, classes, setting.label or "Decision boundary")
        pictures.append(Picture(f"boundaries_{number}", caption, "clouds", shown))
    return pictures


def _learnt(setting: Setting, refusal: str) -> tuple[Arguments, np.ndarray]:
    """The function of the first run after the last epoch as a figure takes it, and the values of all runs there.

    Raises `ConfigError` with the refusal where a run has no function that can be drawn over its inputs.
    """
    drawn: list[Arguments] = []
    for run in setting.runs:
        arguments = function_over_inputs(run)
        if arguments is None:
            raise ConfigError(refusal)
        drawn.append(arguments(_last_weights(run), inputs=drawn[0][0] if drawn else None))
    return drawn[0], np.stack([values for _, values, *_ in drawn])


def _last_weights(run: RunFolder) -> torch.Tensor:
    """The weights (P,) after the last epoch."""
    state = load_checkpoint(run.folder / "checkpoints" / "last.pt")["model"]
    return torch.cat([state[name].reshape(-1) for name in run.objective.layout.names])


def distributions(settings: Sequence[Setting]) -> list[Picture]:
    """The distributions that each setting's head stands for, and their losses, as functions of z."""
    pictures = []
    for number, setting in enumerate(settings, 1):
        head, classes = setting.first.head, len(setting.first.encoder.classes)
        z = torch.linspace(-6, 6, 241, dtype=torch.float64)
        logits = torch.zeros(len(z), head.outputs(classes), dtype=torch.float64)
        logits[:, 0] = z
        title = f"{head.name} ({setting.label})" if setting.label else str(head.name)
        what = "z" if logits.shape[1] == 1 else "z of class 1, the others' is 0"
        if classes:
            p = head.mean(logits)
            words = ["y = 0", "y = 1"] if logits.shape[1] == 1 else ["class 1", "class 2", "class 3"]
            shown = {word: p[:, c].numpy() for c, word in enumerate(words)}
            targets = {word: torch.full((len(z),), c) for c, word in enumerate(words[:2])}
            upper: Arguments = (z.numpy(), shown, what, "probability", title)
        else:
            y, means = torch.linspace(-4, 4, 241, dtype=torch.float64), (-1.0, 0.0, 2.0)
            shown = {}
            for mean in means:
                at = torch.zeros(len(y), head.outputs(0), dtype=torch.float64)
                at[:, 0] = mean
                shown[f"z = {mean:g}"] = head.distribution(at).log_prob(y).exp().numpy()
            targets = {f"y = {value:g}": torch.full((len(z),), value, dtype=torch.float64) for value in (0.0, 2.0)}
            upper = (y.numpy(), shown, "y", "density", title)
        losses = {name: head.loss(logits, y).numpy() for name, y in targets.items()}
        caption = f"what z says of y: {title}"
        pictures.append(Picture(f"distributions_{number}", caption, "overlaid", upper))
        lower = (z.numpy(), losses, what, "loss", f"Its loss, {head.name}")
        pictures.append(Picture(f"distribution_losses_{number}", f"the loss of {title}", "overlaid", lower))
    return pictures
