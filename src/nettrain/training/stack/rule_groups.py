"""The update rules of a stack's rows: neighbouring rows with the same kind of rule are a group, updated together."""

import dataclasses
import itertools
from collections.abc import Sequence
from types import EllipsisType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrain.optimizers.numerics import as_in
from nettrain.optimizers.rules import Coefficients, Rule, State
from nettrain.training.stack.rows import take


@dataclasses.dataclass
class RuleGroup:
    """Rows of w (K, P), all of them (`...`) where there is one run, and their rule with its state.

    `rule` has the rows' numbers as arrays (K, 1); `first` is the rule of the first row as it is.
    """

    rule: Rule
    first: Rule
    rows: slice | EllipsisType
    state: State

    @property
    def kind(self) -> tuple[Any, ...]:
        return kind(self.first)

    @np.errstate(over="ignore", invalid="ignore")  # what overflows is infinite, and the run diverges
    def table(self, t: np.ndarray, lr: np.ndarray) -> tuple[list[str], np.ndarray]:
        """The names of the rule's scalars, and their values (S, C), or (S, rows, C) for a stack.

        t (S,) are the numbers of the updates, lr (S,) or (S, K, 1) their learning rates.
        """
        if lr.ndim > 1:
            t, lr = t[:, None, None], lr[:, self.rows]
        scalars = self.rule.all_coefficients(t, lr)
        columns = [np.broadcast_to(value, lr.shape) for value in scalars.values()]
        return list(scalars), np.stack(columns, -1) if lr.ndim == 1 else np.concatenate(columns, -1)

    def coefficients(
        self, t: np.ndarray, lr: np.ndarray, device: torch.device, dtype: torch.dtype
    ) -> list[Coefficients]:
        """The rule's scalars for each of the updates, numbers for one run, and for a stack tensors (rows, 1)."""
        names, table = self.table(t, lr)
        if table.ndim == 2:
            return [dict(zip(names, update, strict=True)) for update in as_in(dtype, table).tolist()]
        columns = torch.as_tensor(table, dtype=dtype).to(device).movedim(-1, 1).unsqueeze(-1)
        return [dict(zip(names, update.unbind(), strict=True)) for update in columns.unbind()]


def kind(rule: Rule) -> tuple[Any, ...]:
    """What rules of one group have in common: their class, their switches, and which of their numbers are 0 or none.

    Whatever a rule computes and remembers depends on that, and on nothing else of its fields.
    """
    return (type(rule).__name__, *(_switch(getattr(rule, field.name)) for field in dataclasses.fields(rule)))


def _switch(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | str) else value > 0


def group_rules(rules: Sequence[Rule], w: Tensor) -> list[RuleGroup]:
    """The groups of K rules for the rows of w (K, P), or that of one rule for w (P,)."""
    if w.dim() == 1:
        return [RuleGroup(rules[0], rules[0], ..., rules[0].init(w))]
    groups, start = [], 0
    for _, neighbours in itertools.groupby(rules, kind):
        alike = list(neighbours)
        rule, end = _stacked(alike), start + len(alike)
        groups.append(RuleGroup(rule, alike[0], slice(start, end), rule.init(w[start:end])))
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


def select(groups: Sequence[RuleGroup], rules: Sequence[Rule], rows: list[int]) -> list[RuleGroup]:
    """The groups of a stack that goes on with the given rows alone; `rules` are those of the rows."""
    selected, position = [], 0
    for group in groups:
        assert isinstance(group.rows, slice)
        inside = [row - group.rows.start for row in rows if group.rows.start <= row < group.rows.stop]
        if inside:
            end = position + len(inside)
            state = {name: take(tensor, inside) for name, tensor in group.state.items()}
            alike = rules[position:end]
            selected.append(RuleGroup(_stacked(alike), alike[0], slice(position, end), state))
            position = end
    return selected
