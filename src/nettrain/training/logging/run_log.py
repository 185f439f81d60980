"""What one run tells while it trains: metrics.csv, TensorBoard's events and summary.json."""

import math
from typing import Any

from nettrain.preparation.prepared import PreparedRun
from nettrain.profile import stage
from nettrain.storage.atomic import replace_file, write_json
from nettrain.training.logging.metrics_file import MetricsFile
from nettrain.training.logging.tensorboard_log import TensorBoardLog

TRACEBACK = "error.txt"  # of what a run has failed with


class RunLog:
    """The growing record of one run, in its folder: a row per epoch, and a summary at the end."""

    def __init__(self, run: PreparedRun) -> None:
        self.folder = run.folder
        self.metrics = MetricsFile(run.folder)
        self.tensorboard = TensorBoardLog(run) if run.config.tensorboard else None

    def rewind(self, epoch: int, step: int) -> None:
        """Take back what was recorded after this epoch, which ended with update number `step`."""
        if self.metrics.rewind(epoch) and self.tensorboard:
            self.tensorboard.rewind(epoch, step)

    def epoch(self, numbers: dict[str, float]) -> None:
        """Add the numbers of one epoch."""
        self.metrics.epoch(numbers)
        if self.tensorboard:
            self.tensorboard.epoch(numbers)

    def flush(self, sync: bool = False) -> None:
        """Append what has been recorded to the files; with `sync` the table's rows are on the disk when it returns."""
        with stage("writing"):
            self.metrics.flush(sync)
            if self.tensorboard:
                self.tensorboard.flush()

    def end(self, summary: dict[str, Any], test: dict[str, float], traceback: str | None = None) -> None:
        """Write summary.json, and end the run in TensorBoard; `test` are the numbers of the test split.

        `traceback` is that of a user's code which has failed.
        """
        with stage("writing"):
            self.metrics.flush()
            if traceback:
                replace_file(self.folder / TRACEBACK, traceback.encode())
            finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in summary.items()}
            write_json(self.folder / "summary.json", finite)
            if self.tensorboard:
                self.tensorboard.end(summary["status"], summary["updates"], test)
