"""The host's side of one run in training: where it stands, what it has reached, and its files."""

import math
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from nettrain.run.books import Books
from nettrain.run.files import keep_previous, save_checkpoint
from nettrain.run.record import Record
from nettrain.run.setup import Setup
from nettrain.vector import state_dict

Numbers = dict[str, float]


@dataclass
class Row:
    """One run. `last` and `best` are its latest epoch's numbers and its best epoch's."""

    setup: Setup
    status: str = "running"
    reason: str | None = None  # why it ended before its last epoch
    signal: int | None = None  # that ended it
    pruned: bool = False  # by successive halving
    last: Numbers = field(default_factory=dict)
    best: Numbers = field(default_factory=dict)
    progress: Numbers = field(default_factory=lambda: {"loss": math.inf, "epoch": 0})  # as early stopping counts it
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def best_loss(self) -> float | None:
        """The monitored loss of the best epoch."""
        return monitored(self.best) if self.best else None

    def __post_init__(self) -> None:
        self.record = Record(self.setup)

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Stand where the run stood when the checkpoint was saved; what was recorded later is taken back."""
        self.last, self.best, self.progress = checkpoint["last"], checkpoint["best"], checkpoint["progress"]
        self.setup.schedule.restore(checkpoint["schedule"])
        self.record.rewind(checkpoint["epoch"], checkpoint["epoch"] * self.setup.updates_per_epoch)

    def observe(self, numbers: Numbers, finite: bool) -> bool:
        """Take in the numbers of an epoch, and whether all weights are finite; True if it is the best so far."""
        self.last = numbers
        self.record.epoch(numbers)
        if not finite or not math.isfinite(numbers["train_loss"]):
            self.status = "diverged"
            return False
        loss = monitored(numbers)
        self.setup.schedule.observe(loss)
        better = math.isfinite(loss) and (not self.best or loss < monitored(self.best))
        if better:
            self.best = numbers
        stopping = self.setup.settings.early_stopping
        if loss < self.progress["loss"] - stopping.min_delta:
            self.progress = {"loss": loss, "epoch": numbers["epoch"]}
        self.conclude()
        return better

    def conclude(self) -> None:
        """The run is done if it has had all its epochs, or no better loss for too long."""
        epoch, stopping = self.last.get("epoch", 0), self.setup.settings.early_stopping
        if epoch >= self.setup.settings.epochs:
            self.status = "completed"
        elif stopping.patience and epoch - self.progress["epoch"] >= stopping.patience:
            self.end(f"early_stopping.patience={stopping.patience}")

    def end(self, reason: str | None) -> None:
        """The run is done before its last epoch, for this reason; nothing happens if there is none."""
        if reason and self.status == "running":
            self.status, self.reason = "completed", reason

    def save(self, name: str, w: Tensor, buffers: dict[str, Tensor], **more: Any) -> None:
        """Write a checkpoint of weights w (P,): a `model` for `load_state_dict`, and all that predicting needs."""
        content = {
            "model": state_dict(self.setup.model, w, buffers),
            "buffers": buffers,
            "head": self.setup.head.name,
            "encoder": self.setup.data.encoder.state(),
            "data": self.setup.data_hash,
            "config": self.setup.config,
            **more,
        }
        self.record.flush()  # no checkpoint is ahead of its metrics
        path = self.setup.folder / "checkpoints" / name
        if name == "last.pt":
            keep_previous(path)
        save_checkpoint(path, content)

    def finish(self, status: str, books: Books, test: Numbers) -> None:
        """Write the summary; `test` are the test split's numbers."""
        self.status = status
        if self.setup.settings.epochs == 0:
            self.record.columns_only()
        split = "val_" if len(self.setup.data.splits["val"]) else "train_"
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
            **{f"best_{k}": v for k, v in self.best.items() if k.startswith(split)},
            **test,
        }
        self.record.summary(self.summary, test)


def monitored(numbers: Numbers) -> float:
    """The loss by which epochs are compared: on the validation split, or on the training split where there is none."""
    return numbers.get("val_loss", numbers["train_loss"])
