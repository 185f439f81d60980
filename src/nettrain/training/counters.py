"""What a run has spent, and what it may spend."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from nettrain.config.settings import Budget
from nettrain.problem import Counts

_GRADIENT_COSTS = ("function_evaluations", "gradient_evaluations")  # one each for an update by a gradient rule


class Counters:
    """The updates, evaluations and seconds of a run so far; those of each row, where several train together."""

    def __init__(self, budget: Budget, rows: int = 1, clock: Callable[[], float] | None = None) -> None:
        """`clock` gives the seconds, by default those of this process."""
        self.limits = {name: limit for name, limit in vars(budget).items() if limit is not None}
        self.updates = 0
        self.counts = Counts()
        self.clock = clock or time.monotonic
        self.started = self.clock()
        self.rows, self._since, self._share = rows, 0.0, 0.0

    @property
    def seconds(self) -> float:
        return self.clock() - self.started

    @property
    def row_seconds(self) -> float:
        """What a row has spent: the seconds, each divided by the number of rows that trained then.

        Those before a resume are divided by the rows that went on.
        """
        return self._share + (self.seconds - self._since) / self.rows

    def go_on_with(self, rows: int) -> None:
        """From now on so many rows share the seconds."""
        self._share, self._since = self.row_seconds, self.seconds
        self.rows = rows

    @property
    def spent(self) -> dict[str, int]:
        """The counts by name."""
        return {"updates": self.updates, **dataclasses.asdict(self.counts)}

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Take back the counts and the seconds that a checkpoint holds."""
        self.updates = checkpoint["updates"]
        self.counts = Counts(**{field.name: checkpoint[field.name] for field in dataclasses.fields(Counts)})
        self.started = self.clock() - checkpoint["seconds"]

    def exhausted(self) -> str | None:
        """The first budget that is spent, such as `budget.updates=100`; None while there is some left."""
        if self.limits:  # this is asked after every update
            spent = {**self.spent, "seconds": self.seconds}
            for name, limit in self.limits.items():
                if spent[name] >= limit:
                    return f"budget.{name}={limit}"
        return None

    def add(self, updates: int, costs: Counts) -> None:
        """Count some updates and what they cost."""
        self.updates += updates
        self.counts.function_evaluations += costs.function_evaluations
        self.counts.gradient_evaluations += costs.gradient_evaluations
        self.counts.hessian_vector_products += costs.hessian_vector_products

    def left(self, updates: int) -> int:
        """How many updates by a gradient rule are left of so many in all, within the budgets of counts."""
        spent = self.spent
        rest = [self.limits[name] - spent[name] for name in ("updates", *_GRADIENT_COSTS) if name in self.limits]
        return min([updates - self.updates, *rest])
