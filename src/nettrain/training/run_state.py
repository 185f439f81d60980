"""The host's side of one run in training: where it stands, what it has reached, and its files."""

import math
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from nettrain.preparation.prepared import Setup
from nettrain.storage.files import save_checkpoint
from nettrain.training.counters import Books
from nettrain.training.logging.record import Record
from nettrain.training.trajectory import Path
from nettrain.vector import state_dict

Numbers = dict[str, float]

HALVINGS = 10  # of the learning rate: after them it is a thousandth


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
    initial: float = math.inf  # the loss to go back to while no epoch has a lower one, where `on_divergence` goes back
    halvings: int = 0  # of the learning rate, after it had diverged
    summary: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None  # that its weights take, where figures will show it

    @property
    def best_loss(self) -> float | None:
        """The monitored loss of the best epoch."""
        return monitored(self.best) if self.best else None

    def __post_init__(self) -> None:
        self.record = Record(self.setup)

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Stand where the run stood when the checkpoint was saved."""
        self.last, self.best, self.progress = checkpoint["last"], checkpoint["best"], checkpoint["progress"]
        self.halvings, self.initial = checkpoint["halvings"], checkpoint["initial"]
        self.setup.schedule.restore(checkpoint["schedule"])
        if self.path:
            self.path.restore(checkpoint.get("path"))
        if checkpoint.get("pruned") and checkpoint["config"]["epochs"] == self.setup.settings.epochs:
            self.prune(checkpoint["pruned"])

    def observe(self, numbers: Numbers, finite: bool) -> bool:
        """Take in the numbers of an epoch, and whether all weights are finite; True if it is the best so far."""
        skipped = numbers.get("skipped_updates", 0) - self.last.get("skipped_updates", 0)
        self.last = numbers
        self.record.epoch(numbers)
        all_skipped = skipped >= self.setup.updates_per_epoch
        if not finite or all_skipped or not (skipped or math.isfinite(numbers["train_loss"])):
            self.status = "diverged"
            return False
        loss = monitored(numbers)
        self.setup.schedule.observe(loss)
        better = math.isfinite(loss) and loss < (monitored(self.best) if self.best else self.initial)
        if better:
            self.best = numbers
        if loss < self.progress["loss"] - self.setup.settings.early_stopping.min_delta:
            self.progress = {"loss": loss, "epoch": numbers["epoch"]}
        self.conclude(int(numbers["epoch"]))
        return better

    @property
    def goes_back(self) -> bool:
        """Whether the run is to go back to its best weights when it diverges."""
        return self.setup.settings.on_divergence == "restore_and_halve_lr"

    def recover(self) -> bool:
        """Whether the run, which has diverged, goes on from its best weights; with half the learning rate, then."""
        if not self.goes_back or self.halvings == HALVINGS:
            return False
        self.halvings += 1
        self.status, self.reason = "running", None
        self.conclude(int(self.last["epoch"]))
        return True

    def conclude(self, epoch: int) -> None:
        """The run is done if this epoch was its last one, or if it has waited for a better one long enough."""
        patience = self.setup.settings.early_stopping.patience
        if epoch >= self.setup.settings.epochs:
            self.status = "completed"
        elif patience and epoch - self.progress["epoch"] >= patience:
            self.end(f"early_stopping.patience={patience}")

    def end(self, reason: str | None) -> None:
        """The run is done before its last epoch, for this reason; nothing happens if there is none."""
        if reason and self.status == "running":
            self.status, self.reason = "completed", reason

    def prune(self, reason: str) -> None:
        """Successive halving ends the run, unless it has ended."""
        self.end(reason)
        self.pruned = True

    def save(self, name: str, w: Tensor, buffers: dict[str, Tensor], **more: Any) -> None:
        """Write a checkpoint of weights w (P,): a `model` for `load_state_dict`, and all that predicting needs."""
        content = {
            "model": state_dict(self.setup.model, w, buffers),
            "buffers": buffers,
            "head": self.setup.head.name,
            "encoder": self.setup.data.encoder.state,
            "data": self.setup.data.digest,
            "config": self.setup.config,
            **more,
        }
        self.record.flush(sync=True)  # no checkpoint is ahead of its metrics
        path = self.setup.folder / "checkpoints" / name
        save_checkpoint(path, content, keep="previous.pt" if name == "last.pt" else None)

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
            **self._recovery(),
            **last,
            **{f"best_{k}": v for k, v in self.best.items() if k.startswith(split)},
            **test,
        }
        self.record.summary(self.summary, test)

    def _recovery(self) -> dict[str, int]:
        """How often the run had to do what `on_divergence` asks for."""
        return {
            "stop": {},
            "skip_step": {"skipped_updates": int(self.last.get("skipped_updates", 0))},
            "restore_and_halve_lr": {"lr_halvings": self.halvings},
        }[self.setup.settings.on_divergence]


def monitored(numbers: Numbers) -> float:
    """The loss by which epochs are compared: on the validation split, or on the training split where there is none."""
    return numbers.get("val_loss", numbers["train_loss"])
