"""The host's side of one run in training: where it stands and what it has reached."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from nettrain.data.splitting import Fold
from nettrain.errors import Mistake, UserCodeError
from nettrain.preparation.prepared import PreparedRun
from nettrain.training.counters import Counters
from nettrain.training.logging.run_log import RunLog
from nettrain.training.run_callbacks import RunCallbacks
from nettrain.training.trajectory import Trajectory

Numbers = dict[str, float]

MOST_LR_HALVINGS = 10  # after them the learning rate is a thousandth


@dataclass
class RunState:
    """One run. `last` and `best` are the numbers of its latest epoch and of its best one."""

    run: PreparedRun
    module: Callable[["RunState", bool], nn.Module]  # with its present weights, or its best ones
    status: str = "running"
    reason: str | None = None  # why it ended before its last epoch
    signal: int | None = None  # that ended it
    pruned: bool = False  # by successive halving
    last: Numbers = field(default_factory=dict)
    best: Numbers = field(default_factory=dict)
    progress: Numbers = field(default_factory=lambda: {"loss": math.inf, "epoch": 0})  # as early stopping counts it
    initial: float = math.inf  # the loss to go back to while no epoch has a lower one, where `on_divergence` goes back
    lr_halvings: int = 0  # after it had diverged
    summary: dict[str, Any] = field(default_factory=dict)
    trajectory: Trajectory | None = None  # where figures will show it
    best_saved: float | None = None  # the best epoch whose weights are in best.pt
    stopped: str | None = None  # the reason of a callback that has ended it

    def __post_init__(self) -> None:
        self.callbacks = RunCallbacks(self.run, partial(self.module, self))
        self.log = RunLog(self.run)

    @property
    def error(self) -> Mistake | None:
        """What a callback has failed with, and the run by it."""
        return self.callbacks.error

    @property
    def running(self) -> bool:
        return self.status == "running"

    def monitored(self, numbers: Numbers) -> float:
        """The loss by which epochs are compared; less is better, also where more of the metric is."""
        return self.run.monitor.loss(numbers)

    @property
    def best_loss(self) -> float | None:
        """The monitored loss of the best epoch."""
        return self.monitored(self.best) if self.best else None

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Stand where the run stood when the checkpoint was saved."""
        self.last, self.best, self.progress = checkpoint["last"], checkpoint["best"], checkpoint["progress"]
        self.lr_halvings, self.initial = checkpoint["halvings"], checkpoint["initial"]
        self.run.config.schedule.restore(checkpoint["schedule"])
        if self.trajectory:
            self.trajectory.restore(checkpoint.get("path"))
        of_callbacks = checkpoint.get("callbacks")
        if of_callbacks:
            self.callbacks.restore(of_callbacks)
        if checkpoint["config"]["epochs"] == self.run.config.epochs:
            if checkpoint.get("pruned"):
                self.prune(checkpoint["pruned"])
            self.stop(of_callbacks["stopped"] if of_callbacks else None)

    def observe(self, numbers: Numbers, finite: bool) -> bool:
        """Take in the numbers of an epoch, and whether all weights are finite; True if it is the best so far."""
        skipped = numbers.get("skipped_updates", 0) - self.last.get("skipped_updates", 0)
        self.last = numbers
        all_skipped = skipped >= self.run.updates_per_epoch
        if not finite or all_skipped or not (skipped or math.isfinite(numbers["train_loss"])):
            self.status = "diverged"
            return False
        loss = self.monitored(numbers)
        self.run.config.schedule.observe(loss, self.run.monitor.sign)
        better = math.isfinite(loss) and loss < (self.monitored(self.best) if self.best else self.initial)
        if better:
            self.best = numbers
        if loss < self.progress["loss"] - self.run.config.early_stopping.min_delta:
            self.progress = {"loss": loss, "epoch": numbers["epoch"]}
        self.conclude(int(numbers["epoch"]))
        return better

    def begin(self) -> None:
        """Call the callbacks before the first epoch, or before the next one of a run that goes on."""
        if self.run.callbacks:
            self.callbacks.start(**self._present)
            self._fail()

    def tell(self) -> None:
        """Call the callbacks after an epoch, and record its numbers, and theirs."""
        if self.run.callbacks:
            self.stop(self.callbacks.epoch(**self._present | {"numbers": self.last}))
            self._fail()
        self.log.epoch(self._numbers)

    def saved(self) -> dict[str, Any]:
        """Call the callbacks before a checkpoint is saved, and record everything; what it has to keep of them."""
        if self.run.callbacks:
            self.callbacks.save(**self._present)
        state = {**self.callbacks.state(), "stopped": self.stopped}
        self._fail()
        self.log.flush(sync=True)  # no checkpoint is ahead of its metrics
        return state

    @property
    def _numbers(self) -> Numbers:
        """Those of the last epoch, and what callbacks have recorded of it."""
        recorded = self.callbacks.recorded
        return self.last | recorded if recorded else self.last

    @property
    def _present(self) -> dict[str, Any]:
        """How it stands, as callbacks are shown it."""
        return {"numbers": self._numbers, "best": self.best, "status": self.status, "reason": self.reason}

    def _fail(self) -> None:
        """A callback that has failed ends the run, whatever else might."""
        if self.error:
            self.status, self.reason = "failed", None

    @property
    def goes_back(self) -> bool:
        """Whether the run is to go back to its best weights when it diverges."""
        return self.run.config.on_divergence == "restore_and_halve_lr"

    def recover(self) -> bool:
        """Whether the run, which has diverged, goes on from its best weights; with half the learning rate, then."""
        if not self.goes_back or self.lr_halvings == MOST_LR_HALVINGS:
            return False
        self.lr_halvings += 1
        self.status, self.reason = "running", None
        self.conclude(int(self.last["epoch"]))
        return True

    def conclude(self, epoch: int) -> None:
        """The run is done if this epoch was its last one, or if it has waited for a better one long enough."""
        patience = self.run.config.early_stopping.patience
        if epoch >= self.run.config.epochs:
            self.status = "completed"
        elif patience and epoch - self.progress["epoch"] >= patience:
            self.end(f"early_stopping.patience={patience}")
        elif self.learnt:
            self.end("debug.overfit: its batch is learnt")

    @property
    def learnt(self) -> bool | None:
        """With `debug.overfit`, whether the run predicts its batch: all classes, or of numbers an R2 of 0.99."""
        if not self.run.config.debug.overfit:
            return None
        if self.run.head.for_classes:
            return self.last.get("train_accuracy") == 1
        r2, rmse = self.last.get("train_r2", math.nan), self.last.get("train_rmse", math.inf)
        scale = float(np.mean(self.run.data.encoder.target_scale))
        return r2 >= 0.99 or (math.isnan(r2) and rmse <= 0.01 * scale)

    def end(self, reason: str | None) -> None:
        """The run is done before its last epoch, for this reason; nothing happens if there is none."""
        if reason and self.running:
            self.status, self.reason = "completed", reason

    def stop(self, reason: str | None) -> None:
        """A callback ends the run, if it has a reason to, unless it has ended."""
        if reason and self.running:
            self.end(reason)
            self.stopped = reason

    def prune(self, reason: str) -> None:
        """Successive halving ends the run, unless it has ended."""
        self.end(reason)
        self.pruned = True

    def finish(self, status: str, counters: Counters, test: Numbers) -> None:
        """Call the callbacks, and write the summary; `test` are the test split's numbers."""
        self.status = "failed" if self.error else status
        if self.run.config.epochs == 0:
            self.log.metrics.columns_only()
        monitored = f"{self.run.data.monitored_split}_"
        config = self.run.config
        self.summary = {
            "status": self.status,
            "reason": self.reason,
            "epochs": int(self.last.get("epoch", 0)),
            "updates_per_epoch": self.run.updates_per_epoch,
            **counters.spent,
            "parameters": self.run.parameters,
            "seconds": counters.row_seconds,
            "best_epoch": int(self.best["epoch"]) if self.best else None,
            **self._members(),
            **self._fold(),
            **self._recoveries(),
            **({} if self.learnt is None else {"learnt": self.learnt}),
            **{name: value for name, value in self.last.items() if name.startswith(("train_", "val_"))},
            **{f"best_{name}": value for name, value in self.best.items() if name.startswith(monitored)},
            **test,
            **{f"baseline_{name}": value for name, value in self.run.baseline.items()},
            **({"monitor": config.monitor, "monitor_sign": self.run.monitor.sign} if config.monitor else {}),
            **self.callbacks.latest,
        }
        if self.run.callbacks:
            self.callbacks.end(**self._present, summary=self.summary)
            self._fail()
        error = self.error
        if error:
            spent = {name: self.summary[name] for name in ("epochs", "updates", "seconds")}
            self.summary = {"status": "failed", "message": str(error), "exit_code": error.exit_code, **spent}
        self.log.end(self.summary, test, error.traceback if isinstance(error, UserCodeError) else None)

    def _members(self) -> dict[str, Any]:
        """What is said of the members of a run that has several."""
        return {}

    def _fold(self) -> dict[str, int]:
        """Which fold validated, where one did, and what a comparison needs to know of it."""
        config, splits = self.run.config, self.run.data.splits
        if not isinstance(config.split, Fold):
            return {}
        seed = config.seed if config.data.split_seed is None else config.data.split_seed
        sizes = {f"rows_{name}": len(splits[name]) for name in ("train", "val")}
        return {"fold": config.split.fold, "split_seed": seed, **sizes}

    def _recoveries(self) -> dict[str, int]:
        """How often the run had to do what `on_divergence` asks for."""
        return {
            "stop": {},
            "skip_step": {"skipped_updates": int(self.last.get("skipped_updates", 0))},
            "restore_and_halve_lr": {"lr_halvings": self.lr_halvings},
        }[self.run.config.on_divergence]
