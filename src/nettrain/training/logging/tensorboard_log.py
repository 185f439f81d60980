"""What TensorBoard shows of one run: its config, its curves, its graph, its row among the hyperparameters."""

import math
import time
from collections.abc import Iterator

import numpy as np
from torch import Tensor

from nettrain.config.scopes import hparams
from nettrain.preparation.prepared import PreparedRun
from nettrain.training.logging.tensorboard import EventFile, tag

NO_CURVES = ("epoch", "step", "seconds")  # numbers of an epoch that are where it stands


class TensorBoardLog:
    """The events of one run in its folder. What is recorded is kept in memory until `flush`."""

    def __init__(self, run: PreparedRun) -> None:
        self.events = EventFile(run.folder)
        self.samples = run.samples_per_epoch
        self.clock = (0, 0.0)  # epochs and seconds at the last row that was written
        self.names: list[str] = []  # of the curves; those of the first epoch are laid out
        self.rows: list[tuple[float, dict[str, float]]] = []  # not written yet: when each was added, and its numbers
        self.events.text("config", f"```yaml\n{run.config_text}```")
        self.events.hparams_start(hparams(run.container))

    def rewind(self, epoch: int, step: int) -> None:
        """Take back what earlier processes recorded after this epoch, which ended with update number `step`."""
        self.clock = (epoch, math.nan)
        self.events.restart(step + 1)

    def epoch(self, numbers: dict[str, float]) -> None:
        """Add the numbers of one epoch."""
        if not self.names:
            self.names = [name for name in numbers if name not in NO_CURVES]
            self.events.layout(tag(name) for name in self.names if not math.isnan(numbers[name]))
        elif len(numbers) != len(self.names) + len(NO_CURVES) and (added := numbers.keys() - {*NO_CURVES, *self.names}):
            self._write_rows()  # callbacks do not record everything in every epoch
            self.names += [name for name in numbers if name in added]
        self.rows.append((time.time(), numbers))

    def histograms(self, step: int, weights: dict[str, Tensor], gradients: dict[str, Tensor]) -> None:
        """Histograms of each parameter's weights and gradient, on the host."""
        arrays = {f"weights/{name}": tensor.numpy() for name, tensor in weights.items()}
        arrays |= {f"gradients/{name}": tensor.numpy() for name, tensor in gradients.items()}
        self.events.histograms(step, arrays)

    def flush(self) -> None:
        """Append what has been recorded to the file."""
        self._write_rows()
        self.events.flush()

    def end(self, status: str, updates: int, test: dict[str, float]) -> None:
        """The numbers of the test split, and how the run ended."""
        self.flush()
        if test:
            now, step = np.array([time.time()]), np.array([updates])
            self.events.scalars([tag(name) for name in test], now, step, np.array([[*test.values()]]))
        self.events.hparams_end(status)
        self.events.flush()

    def _write_rows(self) -> None:
        """The rows as scalars, and the training samples per second between them."""
        if not self.rows:
            return
        times, table = np.array([at for at, _ in self.rows]), np.array(list(self._table()), float)
        epochs, steps, seconds = table[:, :3].T
        rate = self._throughput(epochs, seconds)
        tags = [*map(tag, self.names), "throughput/samples_per_second"]
        self.events.scalars(tags, times, steps, np.column_stack([table[:, 3:], rate]))
        self.rows = []

    def _table(self) -> Iterator[list[float]]:
        columns = [*NO_CURVES, *self.names]
        return ([numbers.get(name, math.nan) for name in columns] for _, numbers in self.rows)

    def _throughput(self, epochs: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        epochs, seconds = np.append(self.clock[0], epochs), np.append(self.clock[1], seconds)
        self.clock = int(epochs[-1]), float(seconds[-1])
        passed = np.diff(seconds)
        return self.samples * np.diff(epochs) / np.where(passed > 0, passed, np.nan)
