"""The host's side of one run in training: where it stands, what it has reached, and its files."""

import math
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from nettrain.run.books import Books
from nettrain.run.files import save_checkpoint
from nettrain.run.record import Record
from nettrain.run.setup import Setup
from nettrain.vector import Layout

Numbers = dict[str, float]


@dataclass
class Row:
    """One run. `last` and `best` are its latest epoch's numbers and its best epoch's."""

    setup: Setup
    status: str = "running"
    reason: str | None = None  # why it ended before its last epoch
    signal: int | None = None  # that ended it
    last: Numbers = field(default_factory=dict)
    best: Numbers = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def best_loss(self) -> float | None:
        """The monitored loss of the best epoch."""
        return monitored(self.best) if self.best else None

    def __post_init__(self) -> None:
        self.record = Record(self.setup)

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Stand where the run stood when the checkpoint was saved; what was recorded later is taken back."""
        self.last, self.best = checkpoint["last"], checkpoint["best"]
        self.setup.schedule.restore(checkpoint["schedule"])
        self.record.rewind(checkpoint["epoch"], int(self.last.get("step", 0)))

    def observe(self, numbers: Numbers) -> bool:
        """Take in the numbers of an epoch; True if its weights are the best so far."""
        self.last = numbers
        self.record.epoch(numbers)
        if not math.isfinite(numbers["train_loss"]):
            self.status = "diverged"
            return False
        loss = monitored(numbers)
        self.setup.schedule.observe(loss)
        stopping = self.setup.settings.early_stopping
        better = not self.best or loss < monitored(self.best) - stopping.min_delta
        if better:
            self.best = numbers
        waited = numbers["epoch"] - self.best["epoch"]
        if numbers["epoch"] >= self.setup.settings.epochs:
            self.status = "completed"
        elif stopping.patience and waited >= stopping.patience:
            self.end(f"early_stopping.patience={stopping.patience}")
        return better

    def end(self, reason: str | None) -> None:
        """The run is done before its last epoch, for this reason; nothing happens if there is none."""
        if reason and self.status == "running":
            self.status, self.reason = "completed", reason

    def save(self, name: str, w: Tensor, buffers: dict[str, Tensor], **more: Any) -> None:
        """Write a checkpoint of weights w (P,): a `model` for `load_state_dict`, and all that predicting needs."""
        layout = Layout.of(self.setup.model)
        content = {
            "model": {**{k: v.clone() for k, v in layout.views(w).items()}, **buffers},
            "head": self.setup.head.name,
            "encoder": self.setup.data.encoder.state(),
            "config": self.setup.config,
            **more,
        }
        save_checkpoint(self.setup.folder / "checkpoints" / name, content)

    def finish(self, status: str, books: Books, test: Numbers) -> None:
        """Write the summary; `test` are the test split's numbers."""
        self.status = status
        last = {k: v for k, v in self.last.items() if k.startswith(("train_", "val_"))}
        self.summary = {
            "status": status,
            "reason": self.reason,
            "epochs": int(self.last.get("epoch", 0)),
            "updates_per_epoch": self.setup.updates_per_epoch,
            **books.spent,
            "parameters": self.setup.parameters,
            "seconds": books.seconds,
            "best_epoch": int(self.best["epoch"]) if self.best else None,
            **last,
            **{f"best_{k}": v for k, v in self.best.items() if k.startswith("val_")},
            **test,
        }
        self.record.summary(self.summary, test)


def monitored(numbers: Numbers) -> float:
    """The loss by which epochs are compared: on the validation split, or on the training split where there is none."""
    return numbers.get("val_loss", numbers["train_loss"])
