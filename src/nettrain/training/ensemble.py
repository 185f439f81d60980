"""The host's side of a run of several members: their numbers together, and what the run as a whole leaves."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrain.data.members import validates
from nettrain.data.target_scale import TargetScale
from nettrain.objective import Objective, Tensors
from nettrain.parts.heads.base import equal_shares
from nettrain.parts.mixture import members_state, out_of_bag
from nettrain.problem import Counts
from nettrain.storage.checkpoint_files import save_checkpoint
from nettrain.terminal import warn
from nettrain.training.calibration import temperature
from nettrain.training.checkpoints import what_is_needed
from nettrain.training.counters import Counters
from nettrain.training.run_state import Numbers, RunState
from nettrain.training.stack.rows import fetch
from nettrain.vector import join
from nettrain.wording import counted

POSITION = ("epoch", "step", "seconds", *(count.name for count in fields(Counts)))  # numbers that all members share

State = dict[str, Any]


class Member(RunState):
    """A row that is one member of a run, which alone records what becomes of it."""

    def take(self, state: State) -> None:
        """Be what the member was when it left the others, as its saved state says."""
        self.last, self.best, self.lr_halvings = state["last"], state["best"], state["halvings"]
        self.status, self.reason = state["status"], state["reason"]


@dataclass
class Ensemble(RunState):
    """A run of `members`. Its numbers of an epoch are the means over them, a member that has ended keeps its last ones.

    At its end its `best` numbers are those of the predictions of all members together, each with its best weights: on
    every row that members were validated on, those of these members, none of which has trained on it.
    """

    members: Sequence[Member] = ()
    states: list[State | None] = field(default_factory=list)  # of the members, as they were last saved
    spreads: Numbers = field(default_factory=dict)  # means and standard deviations over the members

    def tell(self) -> None:
        self.last = self._means()
        super().tell()

    def _means(self) -> Numbers:
        seen = [member for member in self.members if member.last]
        latest = max(seen, key=lambda member: member.last["epoch"]).last
        means = {}
        for name, value in latest.items():
            of_members = [m.last[name] for m in seen if name in m.last and m.status != "diverged"]
            if name == "skipped_updates":
                means[name] = float(sum(m.last.get(name, 0.0) for m in seen))
            else:
                means[name] = value if name in POSITION or not of_members else statistics.fmean(of_members)
        return means

    def restore(self, checkpoint: State) -> None:
        self.last = checkpoint["last"]
        self.callbacks.restore(checkpoint["callbacks"])
        if checkpoint["config"]["epochs"] == self.run.config.epochs:
            self.stop(checkpoint["callbacks"]["stopped"])

    def save(self, position: dict[str, Any]) -> None:
        """Write the checkpoint of all members, whose `states` are those of the present."""
        callbacks = self.saved()
        if self.status == "failed":
            return
        states = [state for state in self.states if state]
        folder, usable = self.run.folder / "checkpoints", what_is_needed(self.run)
        last = {
            "model": members_state([state["model"] for state in states]),
            "buffers": members_state([state["buffers"] for state in states]),
            "members": states,
            "last": self.last,
            "status": self.status,
            "callbacks": callbacks,
        }
        save_checkpoint(folder / "last.pt", {**usable, **last, **position}, keep="previous.pt")
        numbers = self._good
        if numbers:
            best = {
                "model": members_state([states[i]["best_model"] for i in numbers]),
                "buffers": members_state([states[i]["best_buffers"] for i in numbers]),
                "members": numbers,
                "epoch": int(self._best_of_each["epoch"]),
                "best": self._best_of_each,
            }
            save_checkpoint(folder / "best.pt", {**usable, **best})

    @property
    def _good(self) -> list[int]:
        """The numbers of the members that have had a best epoch: all but those that diverged in the first one."""
        return [i for i, state in enumerate(self.states) if state and state["best"]]

    @property
    def _best_of_each(self) -> Numbers:
        """The means of the numbers of each member's best epoch, and the median of these epochs."""
        best = [self.members[i].best for i in self._good]
        means = {name: statistics.fmean(numbers[name] for numbers in best) for name in best[0]}
        return {**means, "epoch": float(statistics.median_low(numbers["epoch"] for numbers in best))}

    def conclude_all(self) -> None:
        """The run has ended with its members: `diverged` if all of them have, for a reason that all of them have."""
        if not self.running:
            return
        reasons = {member.reason for member in self.members}
        diverged = all(member.status == "diverged" for member in self.members)
        self.status = "diverged" if diverged else "completed"
        self.reason = self.members[0].reason if diverged or len(reasons) == 1 else None
        bad = [i for i, member in enumerate(self.members) if member.status == "diverged"]
        if bad and not diverged:
            warn(
                f"{self.run.folder}: {counted(len(bad), 'member')} of {len(self.members)} diverged, number {bad[0]} "
                f"first: {self.members[bad[0]].reason}; they count with what was best before, if anything was."
            )

    def finish(self, status: str, counters: Counters, test: Numbers) -> None:
        """As for any run; all members must be saved by then, and `test` is empty."""
        self.lr_halvings = sum(member.lr_halvings for member in self.members)
        if self._good:
            self.best, test = self._measured()
        super().finish(status, counters, test)

    def _measured(self) -> tuple[Numbers, Numbers]:
        """The numbers of all members together: those of the best epochs, and those of the test rows."""
        run, good = self.run, self._good
        together = Objective(run.members[0].model, run.head, inputs=run.data.inputs, named_metrics=run.named_metrics)
        together.target = TargetScale.of([run.data.encoder])
        calibrated: Numbers = {}
        best = self._best_of_each
        for name in best:
            if name.startswith(f"{run.data.monitored_split}_"):
                self._spread(name, [self.members[i].best[name] for i in good])
        if len(run.data.splits["val"]):
            rows = run.data.splits["val"]
            bag = torch.as_tensor(validates(run.data, rows)[good])
            some = bag.any(0)  # of members that are left out nobody else may have validated a row
            z, y, weights = self._outputs(together, "val")
            z = out_of_bag(run.head, z[:, some], bag[:, some])
            of_some = None if weights is None else weights[some]
            (numbers,) = fetch(together.measure(z, y[some], of_some))
            best |= {f"val_{name}": value for name, value in numbers.items()}
            if run.calibrated:
                (calibrated,) = fetch(temperature(together, z, y[some], of_some))
        if not len(run.data.splits["test"]):
            return best, calibrated
        z, y, weights = self._outputs(together, "test")
        for name, values in together.measure(z, y, weights).items():
            self._spread(f"test_{name}", values.tolist())
        z = run.head.combined(z, equal_shares(z)) / calibrated.get("temperature", 1.0)
        (numbers,) = fetch(together.measure(z, y, weights))
        return best, calibrated | {f"test_{name}": value for name, value in numbers.items()}

    def _outputs(self, objective: Objective, split: str) -> tuple[Tensor, Tensor, Tensor | None]:
        """The logits (K, n, outputs) of a split by each good member's best weights, y (n,) and the weights of rows."""
        run, dtype = self.run, self.run.config.dtype
        rows = run.data.splits[split]
        states = [state for state in self.states if state and state["best"]]
        names, device = objective.layout.names, next(objective.model.parameters()).device
        w = torch.stack([join(state["best_model"][name] for name in names) for state in states]).to(device)
        buffers = _stacked([state["best_buffers"] for state in states])
        objective.buffers = {name: tensor.to(device) for name, tensor in buffers.items()}
        z = objective.logits_of_samples(w, run.data.rows(rows), run.data.inputs).cpu()
        y = torch.as_tensor(run.data.y[rows])
        weights = None if run.data.weights is None else torch.as_tensor(run.data.weights[rows])
        return z, y if y.dtype == torch.int64 else y.to(dtype), weights

    def _spread(self, name: str, values: Sequence[float]) -> None:
        self.spreads[f"members_{name}"] = statistics.fmean(values)
        # statistics.stdev raises AttributeError for numbers that are not finite, as R² of a single row is not.
        self.spreads[f"spread_{name}"] = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0

    def _members(self) -> dict[str, Any]:
        bad = len(self.members) - len(self._good) if self.last else 0
        left_out = {"members_left_out": bad} if bad else {}
        return {"members": len(self.members), **left_out, **self.spreads}


def _stacked(buffers: Sequence[Tensors]) -> Tensors:
    return {name: torch.stack([row[name] for row in buffers]) for name in buffers[0]}
