"""The update rules of a stack's rows: neighbouring rows with the same kind of rule are a group, updated together."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from types import EllipsisType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from nettrain.optimizers.numerics import as_in
from nettrain.optimizers.parameter_groups import Factors
from nettrain.optimizers.pieces import Pieces, Step
from nettrain.optimizers.rules import Coefficients, Rule, State
from nettrain.optimizers.torch_optimizer import TorchOptimizer
from nettrain.storage.checkpoint_files import require_alike
from nettrain.training.stack.rows import each_of, join, take, to_device, where
from nettrain.training.stack.torch_group import TorchGroup
from nettrain.vector import Layout


@dataclasses.dataclass
class RuleGroup:
    """Rows of w (K, P), all of them (`...`) where there is one run, and their rule with its state.

    `rule` has the rows' numbers as arrays (K, 1); `first` is the rule of the first row as it is; `pieces` say to what
    parts of w it is applied.
    """

    rule: Rule
    first: Rule
    rows: slice | EllipsisType
    state: State
    pieces: Pieces

    @property
    def kind(self) -> tuple[Any, ...]:
        return kind(self.first)

    @property
    def names(self) -> list[str]:
        """The names of the scalars that the rule is given at every update."""
        return list(self.pieces.scalars(self.first, 1.0, self.first.lr))

    def scalars(self, t: np.ndarray, lr: np.ndarray, device: torch.device, dtype: torch.dtype) -> Tensor:
        """The values of `table` on the device; those of rows that have the same numbers are computed once."""
        if lr.ndim == 1:
            return to_device(as_in(dtype, self.table(t, lr)[1]), device, dtype)
        lr = lr[:, self.rows]
        arrays = {name: value for name, value in vars(self.rule).items() if isinstance(value, np.ndarray)}
        numbers = np.concatenate([lr[..., 0].T, *arrays.values()], axis=1)
        first: dict[bytes, int] = {}  # row with these numbers
        firsts = np.array([first.setdefault(line.tobytes(), row) for row, line in enumerate(numbers)])
        rows, of_row = np.unique(firsts, return_inverse=True)
        changes: dict[str, Any] = {name: value[rows] for name, value in arrays.items()}
        rule = dataclasses.replace(self.rule, **changes)
        alike = dataclasses.replace(self, rule=rule, rows=slice(None))
        table = to_device(alike.table(t, lr[:, rows])[1], device, dtype)
        return table if len(rows) == len(of_row) else table[:, to_device(of_row, device)]

    @np.errstate(over="ignore", invalid="ignore")  # what overflows is infinite, and the run diverges
    def table(self, t: np.ndarray, lr: np.ndarray) -> tuple[list[str], np.ndarray]:
        """The names of the rule's scalars, and their values (S, C), or (S, rows, C) for a stack.

        t (S,) are the numbers of the updates, lr (S,) or (S, K, 1) their learning rates.
        """
        if lr.ndim > 1:
            t, lr = t[:, None, None], lr[:, self.rows]
        scalars = self.pieces.scalars(self.rule, t, lr)
        columns = [np.broadcast_to(value, lr.shape) for value in scalars.values()]
        return list(scalars), np.stack(columns, -1) if lr.ndim == 1 else np.concatenate(columns, -1)

    def coefficients(
        self, t: np.ndarray, lr: np.ndarray, device: torch.device, dtype: torch.dtype
    ) -> list[Coefficients]:
        """The rule's scalars for each of the updates, numbers for one run, and for a stack tensors (rows, 1)."""
        if lr.ndim == 1:
            names, table = self.table(t, lr)
            return [dict(zip(names, update, strict=True)) for update in as_in(dtype, table).tolist()]
        columns = self.scalars(t, lr, device, dtype).movedim(-1, 1).unsqueeze(-1)
        return [dict(zip(self.names, update.unbind(), strict=True)) for update in columns.unbind()]

    def step(self, w: Tensor, g: Tensor, c: Coefficients, step: Step | None = None) -> None:
        """One update of the rows w (rows, P), or (P,), by their gradients g; `step` as for `Pieces.step`."""
        self.pieces.step(self.rule, self.state, w, g, c, step)

    switches: ClassVar[bool] = False  # a rule has the same weights in training and in evaluation

    def switch(self, w: Tensor, training: bool) -> None:
        """Nothing is exchanged."""

    def states(self) -> list[State]:
        """The state of every row, on the host."""
        return each_of(self.state, self._number, isinstance(self.rows, slice))

    def restore(self, states: Sequence[State]) -> None:
        """Take back what `states` gave."""
        for name, tensor in self.state.items():
            tensor.copy_(join([state[name] for state in states], isinstance(self.rows, slice)))

    def require_alike(self, states: Sequence[Any], paths: Sequence[Path]) -> None:
        """Raise `CheckpointError`, which names the file, for a state with other names, shapes or types."""
        for state, expected, path in zip(states, self.states(), paths, strict=True):
            require_alike(state, expected, path, "optimizer")

    def restart(self, mask: Tensor, w: Tensor) -> None:
        """Begin anew from w in the rows of the mask, (rows,) or 0-d."""
        for name, new in self.rule.init(w).items():
            self.state[name].copy_(where(mask, new, self.state[name]))

    def select(self, inside: list[int], rows: slice, rules: Sequence[Rule]) -> "RuleGroup":
        """The group with these of its rows alone, which then are `rows` of the stack, and their rules."""
        state = {name: take(tensor, inside) for name, tensor in self.state.items()}
        return RuleGroup(_stacked(rules), rules[0], rows, state, self.pieces)

    @property
    def _number(self) -> int:
        return self.rows.stop - self.rows.start if isinstance(self.rows, slice) else 1


Group = RuleGroup | TorchGroup


def kind(rule: Rule | TorchOptimizer) -> tuple[Any, ...]:
    """What rules of one group have in common: their class, their switches, and which of their numbers are 0 or none.

    Whatever a rule computes and remembers depends on that, and on nothing else of its fields.
    """
    return (type(rule).__name__, *(_switch(getattr(rule, field.name)) for field in dataclasses.fields(rule)))


def _switch(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | str) else value > 0


def group_rules(
    rules: Sequence[Rule | TorchOptimizer], seeds: Sequence[int], w: Tensor, layout: Layout, factors: Sequence[Factors]
) -> list[Group]:
    """The groups of K rules for the rows of w (K, P), or that of one rule for w (P,).

    `seeds` are those of the runs, `factors` those of the parameters' learning rates and weight decays.
    """
    groups: list[Group] = []
    start = 0
    for _, neighbours in itertools.groupby(rules, kind):
        alike: list[Any] = list(neighbours)
        end = start + len(alike)
        rows, first = slice(start, end) if w.dim() > 1 else ..., alike[0]
        if isinstance(first, TorchOptimizer):
            groups.append(TorchGroup(rows, alike, seeds[start:end], w[rows], layout, factors))
        else:
            rule = _stacked(alike) if w.dim() > 1 else first
            groups.append(RuleGroup(rule, first, rows, rule.init(w[rows]), Pieces(layout, factors, first.by_layer)))
        start = end
    return groups


def _stacked(rules: Sequence[Rule]) -> Rule:
    """One rule whose numbers are arrays (K, 1), a row for each of these rules of one kind."""
    first = rules[0]
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(first):
        values = [getattr(rule, field.name) for rule in rules]
        if any(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            changes[field.name] = np.array([[np.inf if value is None else value] for value in values], dtype=float)
    return dataclasses.replace(first, **changes)


def select(groups: Sequence[Group], rules: Sequence[Any], rows: list[int]) -> list[Group]:
    """The groups of a stack that goes on with the given rows alone; `rules` are those of the rows."""
    selected: list[Group] = []
    position = 0
    for group in groups:
        assert isinstance(group.rows, slice)
        inside = [row - group.rows.start for row in rows if group.rows.start <= row < group.rows.stop]
        if inside:
            end = position + len(inside)
            selected.append(group.select(inside, slice(position, end), rules[position:end]))
            position = end
    return selected
