"""What one run tells: metrics.csv, TensorBoard's events and summary.json."""

import math
from typing import Any

import yaml
from torch import Tensor

from nettrain.run.files import append, replace_file, write_json
from nettrain.run.setup import Setup
from nettrain.run.tensorboard import EventFile, tag


class Record:
    """The growing record of one run, in its folder: a row per epoch, and a summary at the end.

    What is recorded is kept in memory until `flush`.
    """

    def __init__(self, setup: Setup) -> None:
        self.folder = setup.folder
        self.events = EventFile(setup.folder) if setup.settings.tensorboard else None
        self.columns: list[str] = []
        self.rows: list[str] = []  # of metrics.csv, not written yet
        self.samples = setup.n_train
        self.clock = (0, 0.0)  # epochs and seconds at the last row
        if self.events:
            self.events.text("config", _markdown(setup.config))
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
            self.rows.append(",".join(self.columns) + "\n")
            if self.events:
                self.events.layout(_scalars(row))
        self.rows.append(",".join(_text(row[column]) for column in self.columns) + "\n")
        if self.events:
            self.events.scalars(int(row["step"]), {**_scalars(row), **self._throughput(row)})

    def _throughput(self, row: dict[str, float]) -> dict[str, float]:
        """Training samples per second since the last row."""
        (epochs, before), self.clock = self.clock, (int(row["epoch"]), row["seconds"])
        samples, seconds = self.samples * (row["epoch"] - epochs), row["seconds"] - before
        return {"throughput/samples_per_second": samples / seconds} if seconds > 0 else {}

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
            append(self.folder / "metrics.csv", "".join(self.rows).encode(), sync)
            self.rows = []
        if self.events:
            self.events.flush()

    def summary(self, summary: dict[str, Any], test: dict[str, float]) -> None:
        """Write summary.json, and end the run in TensorBoard."""
        self.flush()
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in summary.items()}
        write_json(self.folder / "summary.json", finite)
        if self.events:
            self.events.scalars(summary["updates"], _scalars(test))
            self.events.hparams_end(summary["status"])
            self.events.flush()


def _scalars(numbers: dict[str, float]) -> dict[str, float]:
    """The numbers that are worth a curve, by their tags."""
    apart = ("epoch", "step", "seconds")
    return {tag(k): v for k, v in numbers.items() if k not in apart and not math.isnan(v)}


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))


def _markdown(config: dict[str, Any]) -> str:
    return "```yaml\n" + yaml.dump(config, Dumper=yaml.CSafeDumper, sort_keys=False) + "```"
