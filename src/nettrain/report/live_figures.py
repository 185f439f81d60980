"""The pictures of a run while it trains, for TensorBoard."""

import time
from typing import Any

from torch import Tensor

from nettrain.errors import unexpected
from nettrain.objective import Objective
from nettrain.preparation.prepared import PreparedRun
from nettrain.report.prediction_figures import function_pictures, predictions
from nettrain.terminal import warn
from nettrain.training.logging.tensorboard import EventFile
from nettrain.training.run_state import RunState
from nettrain.training.stack.stack import Stack

SHARE = 0.04  # of the time that drawing may take
FIRST_SECONDS = 0.4  # that it is expected to take before it has been done


class LiveFigures:
    """Draws what the model of a run predicts for its validation split, and its function of one or two inputs.

    That is done whenever the time has doubled since it was done last, as soon as all drawing takes no more than its
    share. So short runs have none, and those that take days hardly more than TensorBoard's slider has places.
    """

    def __init__(self, run: PreparedRun) -> None:
        self.data, self.head = run.data, run.head
        self.begun, self.spent = time.monotonic(), 0.0
        self.due = FIRST_SECONDS / SHARE
        self.objective: Objective
        self.w: Tensor

    def after_epoch(self, row: RunState, stack: Stack) -> None:
        """Draw, if it is time to, and write the images into the run's events."""
        start = time.monotonic()
        if start - self.begun < self.due or not row.log.tensorboard or self.data.streamed:
            return
        self.objective, self.w = stack.objective, stack.w.flatten()
        try:
            self._draw(int(row.last["step"]), row.log.tensorboard.events)
        except Exception as error:  # a run that has trained for days does not end by a picture
            warn(f"no more figures are drawn during training: {unexpected(error)}")
            self.due = float("inf")
            return
        took, elapsed = time.monotonic() - start, time.monotonic() - self.begun
        self.spent += took
        self.due = max((self.spent + took) / SHARE, 2 * elapsed)

    def _draw(self, step: int, events: EventFile) -> None:
        pictures = [*function_pictures(self), *predictions(self, self.data.monitored_split)]
        begun = [picture.begin() for picture in pictures]
        for picture, png in zip(pictures, begun, strict=True):
            events.image(step, f"while training/{picture.name}", png())
        events.flush()

    def logits_of(self, split: str) -> Tensor:
        """The logits (n, outputs) of the rows of a split, with the present weights."""
        return self.logits(self.data.rows(self.data.splits[split]))

    def logits(self, features: Any, w: Tensor | None = None) -> Tensor:
        """The logits (n, outputs) of samples as in `data.x`, with the present weights."""
        return self.objective.logits_of_samples(self.w if w is None else w, features, self.data.inputs).cpu()
