"""Figures that a config asks for by name (`report_figures`): each shows one idea, of a run or of a sweep's settings."""

from collections.abc import Callable, Sequence
from functools import partial

from nettrain.errors import Mistake
from nettrain.report import lesson_curves, lesson_functions, lesson_networks
from nettrain.report.pictures import Picture
from nettrain.report.setting import Setting

Lesson = Callable[[Sequence[Setting]], list[Picture]]

LESSONS: dict[str, Lesson] = {
    "activations": lesson_networks.activations,
    "backpropagation": lesson_networks.backpropagation,
    "batches": lesson_curves.batches,
    "boundaries": lesson_functions.boundaries,
    "distributions": lesson_functions.distributions,
    "excess": partial(lesson_curves.excess, by_epoch=False),
    "excess_by_epoch": partial(lesson_curves.excess, by_epoch=True),
    "fitted_curves": lesson_functions.fitted_curves,
    "layer_gradients": lesson_networks.layer_gradients,
    "learning_rates": lesson_curves.learning_rates,
    "losses_by_cost": partial(lesson_curves.losses, by="cost"),
    "losses_by_evaluations": partial(lesson_curves.losses, by="evaluations"),
    "losses_by_update": partial(lesson_curves.losses, by="update"),
    "outcomes": lesson_curves.outcomes,
    "paths": lesson_functions.paths,
    "splits": lesson_curves.splits,
    "updates": lesson_curves.updates,
    "weights": lesson_curves.weights,
}


def lesson(name: str, settings: Sequence[Setting]) -> tuple[list[Picture], list[str]]:
    """The pictures of a name among `LESSONS`, or a sentence on why there are none."""
    if not any(len(run.columns["epoch"]) for setting in settings for run in setting.runs):
        return [], [f"{name} is left out: no run has had an epoch."]
    try:
        return LESSONS[name](settings), []
    except Mistake as error:
        return [], [f"{name} is left out: {error}"]
