"""Successive halving: of the runs that train together only the best go on (Jamieson and Talwalkar, 2016)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nettrain.errors import ConfigError

_KEY = "hydra.launcher.reduction_factor"


@dataclass
class SuccessiveHalving:
    """At the epochs r, r eta, r eta^2, ... only the best 1/eta of the running runs go on.

    r is `min_epochs`, eta `reduction_factor`; there is no rung where a single run is left.
    """

    reduction_factor: int
    min_epochs: int = 1

    def __post_init__(self) -> None:
        for name, least in [("reduction_factor", 2), ("min_epochs", 1)]:
            if getattr(self, name) < least:
                raise ConfigError(f"hydra.launcher.{name}={getattr(self, name)}: it must be at least {least}.")

    def losers(self, epoch: int, losses: Sequence[float]) -> list[int]:
        """The positions of the runs that end after this epoch; `losses` are the best monitored ones so far."""
        if len(losses) < 2 or not self._is_rung(epoch):
            return []
        survivors = max(1, len(losses) // self.reduction_factor)
        ranked = sorted(range(len(losses)), key=lambda i: (math.isnan(losses[i]), losses[i]))
        return sorted(ranked[survivors:])

    def _is_rung(self, epoch: int) -> bool:
        rung = self.min_epochs
        while rung < epoch:
            rung *= self.reduction_factor
        return rung == epoch

    def __str__(self) -> str:
        return f"{_KEY}={self.reduction_factor}"


def ended_by_halving(summary: dict[str, Any]) -> bool:
    """Whether a run with this summary was ended by successive halving."""
    return str(summary.get("reason")).startswith(_KEY)
