"""What one run tells: metrics.csv, TensorBoard's events and summary.json."""

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from nettrain.preparation.prepared import Setup
from nettrain.storage.files import append, replace_file, write_json
from nettrain.training.logging.tensorboard import EventFile, tag

APART = ("epoch", "step", "seconds")  # columns that are no curves


class Record:
    """The growing record of one run, in its folder: a row per epoch, and a summary at the end.

    What is recorded is kept in memory until `flush`.
    """

    def __init__(self, setup: Setup) -> None:
        self.folder = setup.folder
        self.events = EventFile(setup.folder) if setup.settings.tensorboard else None
        self.columns: list[str] = []
        self.header = ""  # of metrics.csv, while it is not written yet
        self.rows: list[tuple[float, Sequence[float]]] = []  # not written yet: when each was added, and its numbers
        self.samples = setup.n_train
        self.clock = (0, 0.0)  # epochs and seconds at the last row that was written
        if self.events:
            self.events.text("config", f"```yaml\n{setup.config_text}```")
            self.events.hparams_start(setup.hparams)

    def rewind(self, epoch: int, step: int) -> None:
        """Take back what was recorded after this epoch, which ended with update number `step`."""
        path = self.folder / "metrics.csv"
        recorded = path.exists()
        if recorded:
            lines = path.read_text(errors="replace").splitlines(keepends=True)
            width = lines[0].count(",") if lines else 0
            rows = [line for line in lines[1:] if line.endswith("\n") and line.count(",") == width]  # others are torn
            kept = [row for row in rows if row.partition(",")[0].isdigit() and int(row.partition(",")[0]) <= epoch]
            self.columns = lines[0].strip().split(",") if kept else []
            replace_file(path, "".join([lines[0], *kept]).encode() if kept else b"")
            self.clock = (epoch, math.nan)  # of the process that came before
        if self.events and recorded:
            self.events.restart(step + 1)

    def columns_only(self) -> None:
        """A table without rows, for a run without epochs."""
        replace_file(self.folder / "metrics.csv", b"epoch,step,seconds,train_loss,val_loss,lr\n")

    def epoch(self, row: dict[str, float]) -> None:
        """Add one row; its keys are the columns, the same ones every time."""
        if not self.columns:
            self.columns = list(row)
            self.header = ",".join(self.columns) + "\n"
            if self.events:
                self.events.layout(
                    tag(name) for name in self.columns if name not in APART and not math.isnan(row[name])
                )
        self.rows.append((time.time(), [row[name] for name in self.columns]))

    def graph(self, graph: bytes) -> None:
        """The model's graph, as `model_graph` gives it."""
        if self.events:
            self.events.graph(graph)

    def histograms(self, step: int, weights: dict[str, Tensor], gradients: dict[str, Tensor]) -> None:
        """Histograms of each parameter's weights and gradient, on the host."""
        if self.events:
            found = {f"weights/{name}": tensor.numpy() for name, tensor in weights.items()}
            found |= {f"gradients/{name}": tensor.numpy() for name, tensor in gradients.items()}
            self.events.histograms(step, found)

    def flush(self, sync: bool = False) -> None:
        """Append what has been recorded to the files; with `sync` the table's rows are on the disk when it returns."""
        if self.rows:
            lines = [",".join(map(repr, numbers)) + "\n" for _, numbers in self.rows]
            append(self.folder / "metrics.csv", (self.header + "".join(lines)).encode(), sync)
            if self.events:
                self._scalars(self.events)
            self.header, self.rows = "", []
        if self.events:
            self.events.flush()

    def _scalars(self, events: EventFile) -> None:
        """Write the rows as TensorBoard's scalars, and the training samples per second between them."""
        times, table = np.array([at for at, _ in self.rows]), np.array([numbers for _, numbers in self.rows], float)
        column = self.columns.index
        epochs = np.append(self.clock[0], table[:, column("epoch")])
        seconds = np.append(self.clock[1], table[:, column("seconds")])
        self.clock = int(epochs[-1]), float(seconds[-1])
        passed = np.diff(seconds)
        rate = self.samples * np.diff(epochs) / np.where(passed > 0, passed, np.nan)
        shown = [i for i, name in enumerate(self.columns) if name not in APART]
        tags = [*(tag(self.columns[i]) for i in shown), "throughput/samples_per_second"]
        events.scalars(tags, times, table[:, column("step")], np.column_stack([table[:, shown], rate]))

    def summary(self, summary: dict[str, Any], test: dict[str, float]) -> None:
        """Write summary.json, and end the run in TensorBoard."""
        self.flush()
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in summary.items()}
        write_json(self.folder / "summary.json", finite)
        if self.events:
            if test:
                now, step = np.array([time.time()]), np.array([summary["updates"]])
                self.events.scalars([tag(name) for name in test], now, step, np.array([[*test.values()]]))
            self.events.hparams_end(summary["status"])
            self.events.flush()
