"""`TargetScale`: numbers as a network gives them, back in the units of the target."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nettrain.data.encoding import Encoder
from nettrain.data.target_power import unpowered


@dataclass
class TargetScale:
    """Mean, scale and power of a target, (..., 1) in float64, (..., 1, m) for several targets."""

    mean: Tensor
    scale: Tensor
    power: Tensor
    plain: bool  # whether all powers are 1

    @classmethod
    def of(
        cls, encoders: Sequence[Encoder], device: torch.device | None = None, stacked: bool = False
    ) -> "TargetScale | None":
        """That of a run, or where they are `stacked` those of K runs; None for classes."""
        if encoders[0].task != "regression":
            return None
        of_each = [[[getattr(e, f"target_{name}")] for e in encoders] for name in ("mean", "scale", "power")]
        mean, scale, power = (torch.tensor(v if stacked else v[0], dtype=torch.float64) for v in of_each)
        return cls(mean.to(device), scale.to(device), power.to(device), plain=bool((power == 1).all()))

    def in_units(self, values: Tensor) -> Tensor:
        """Numbers (..., n), or (..., n, m), in the target's own units."""
        values = values.double() * self.scale + self.mean
        return values if self.plain else unpowered(values, self.power, torch)

    def of_rows(self, rows: Sequence[int]) -> "TargetScale":
        """Those of these runs alone."""
        index = torch.tensor(rows).to(self.mean.device)
        return TargetScale(self.mean[index], self.scale[index], self.power[index], self.plain)
