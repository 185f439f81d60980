"""The training of a run of several members: the rows of a stack of their own, which leave one folder."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from nettrain.parts.mixture import Mixture
from nettrain.preparation.prepared import PreparedRun
from nettrain.profile import stage
from nettrain.training.checkpoint_schema import member_states
from nettrain.training.checkpoints import SaveTimes, is_finite, states_of
from nettrain.training.counters import Counters
from nettrain.training.ensemble import Ensemble, Member, State
from nettrain.training.epoch import EpochResult
from nettrain.training.run_state import Numbers, RunState
from nettrain.training.trainer import Trainer
from nettrain.training.watching import write_joint_histograms


class EnsembleTrainer(Trainer):
    """Trains the members of one run together; the run ends with the last of them, and is all that comes back."""

    row_type = Member

    def __init__(self, run: PreparedRun, device: torch.device, threads: int = 1) -> None:
        super().__init__(run.members, device, threads=threads, stacked=True)
        self.counters = Counters(run.config.budget)
        self.times = SaveTimes([run.config.checkpoint], alone=True)
        members: list[Any] = list(self.rows)
        self.ensemble = Ensemble(run, self._mixture, members=members, states=[None] * len(members))

    @property
    def written(self) -> Sequence[RunState]:
        return [self.ensemble]

    def restore(self, checkpoints: Sequence[dict[str, Any]]) -> None:
        """Stand where the run stood when it saved this checkpoint, a last.pt; as for any run."""
        (checkpoint,) = checkpoints
        states, position = member_states(checkpoint), [checkpoint["epoch"], checkpoint["batch"]]
        self.ensemble.states = list(checkpoint["members"])
        self.ensemble.restore(checkpoint)
        for member, state in zip(self.ensemble.members, states, strict=True):
            if state["at"] != position:  # it has ended before
                member.take(state)
        going = [i for i, state in enumerate(states) if state["at"] == position]
        if len(going) < len(states):
            self._go_on_with(going)
        super().restore([states[i] for i in going])
        for row, i in zip(self.rows, going, strict=True):
            if states[i]["status"] == "diverged":
                row.status, row.reason = "diverged", states[i]["reason"]

    def run(self) -> list[RunState]:
        super().run()
        return [self.ensemble]

    def _record_weights(self, result: EpochResult) -> None:
        super()._record_weights(result)
        every = self.ensemble.run.config.watch.histograms_every
        if every and self.epoch % every == 0:
            write_joint_histograms(self.stack, self.ensemble, result.gradient)

    def _finish_ended(self) -> None:
        """Keep what the members have come to that have ended, and go on with the others; end the run with the last."""
        if not self.ensemble.running:  # a callback has ended it
            for row in self.rows:
                row.end(self.ensemble.reason or "a callback has failed")
        ended = [i for i, row in enumerate(self.rows) if not row.running]
        if len(ended) == len(self.rows):
            self.ensemble.conclude_all()
            self._save(ended)
            self._finish(self.rows, [], self.ensemble.status)
            self.rows = []
        elif ended:
            self._keep(ended)
            self._go_on_with([i for i, row in enumerate(self.rows) if row.running])

    def _test_numbers(self) -> list[Numbers]:
        """None: all members are measured together, when the run has ended."""
        return []

    def _finish(self, rows: Sequence[RunState], tests: Sequence[Numbers], status: str | None = None) -> None:
        ensemble = self.ensemble
        ensemble.signal = rows[0].signal
        ensemble.finish(status or ensemble.status, self.counters, {})

    def _save(self, which: Iterable[int]) -> None:
        states = self._states(range(len(self.rows)))
        if any(row.running and not is_finite(state) for row, state in zip(self.rows, states, strict=True)):
            return
        self._remember(range(len(self.rows)), states)
        with stage("writing"):
            self.ensemble.save(self.position)
        self.times.note(self.counters.updates)

    def _keep(self, which: Sequence[int]) -> None:
        self._remember(which, self._states(which))

    def _states(self, which: Iterable[int]) -> list[State]:
        """What going on with these rows needs, and where they stand."""
        state_of = states_of(self.stack, self.rows, self.begun.outputs)
        at = [self.epoch, self.begun.batches]
        return [{**state_of(i), "reason": self.rows[i].reason, "at": at} for i in which]

    def _remember(self, which: Iterable[int], states: Sequence[State]) -> None:
        numbers = {id(member): i for i, member in enumerate(self.ensemble.members)}
        for i, state in zip(which, states, strict=True):
            self.ensemble.states[numbers[id(self.rows[i])]] = state

    def _mixture(self, run: RunState, best: bool) -> nn.Module:
        """All members with their present weights, or their best ones, together."""
        modules = []
        for member, state in zip(self.ensemble.members, self.ensemble.states, strict=True):
            if any(row is member for row in self.rows):
                modules.append(self._module(member, best))
            else:
                assert state is not None
                module = self.stack.module(0)
                module.load_state_dict(state["best_model" if best else "model"])
                modules.append(module)
        return Mixture(modules, self.ensemble.run.head).eval()
