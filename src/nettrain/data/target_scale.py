"""`TargetScale`: numbers as a network gives them, back in the units of the target."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nettrain.data.encoding import Encoder
from nettrain.data.target_power import unpowered


@dataclass
class TargetScale:
    """Mean, scale and power of a target, (..., 1) in float64, (..., 1, m) for several targets.

    Of targets whose range predictions do not leave, the lowest and the highest numbers, (..., 1, m) in the units of the
    network.
    """

    mean: Tensor
    scale: Tensor
    power: Tensor
    plain: bool  # whether all powers are 1
    low: Tensor | None = None
    high: Tensor | None = None

    @classmethod
    def of(
        cls, encoders: Sequence[Encoder], device: torch.device | None = None, stacked: bool = False
    ) -> "TargetScale | None":
        """That of a run, or where they are `stacked` those of K runs; None for classes."""
        if encoders[0].task != "regression":
            return None
        of_each = [[[getattr(e, f"target_{name}")] for e in encoders] for name in ("mean", "scale", "power")]
        mean, scale, power = (torch.tensor(v if stacked else v[0], dtype=torch.float64) for v in of_each)
        result = cls(mean.to(device), scale.to(device), power.to(device), plain=bool((power == 1).all()))
        if encoders[0].target_range:
            ranges = torch.tensor([e.target_range for e in encoders], dtype=torch.float64).mT.unsqueeze(-2).to(device)
            result.low, result.high = (ranges if stacked else ranges[0]).unbind(-3)
        return result

    def within_range(self, z: Tensor) -> Tensor:
        """Predictions z (..., n, m), those that are finite within the range of the targets, if they have one."""
        if self.low is None or self.high is None:
            return z
        return torch.where(z.isfinite(), z.clamp(self.low.to(z), self.high.to(z)), z)

    def in_units(self, values: Tensor) -> Tensor:
        """Numbers (..., n), or (..., n, m), in the target's own units."""
        values = values.double() * self.scale + self.mean
        return values if self.plain else unpowered(values, self.power, torch)

    def of_rows(self, rows: Sequence[int]) -> "TargetScale":
        """Those of these runs alone."""
        index = torch.tensor(rows).to(self.mean.device)
        low, high = (None if limit is None else limit[index] for limit in (self.low, self.high))
        return TargetScale(self.mean[index], self.scale[index], self.power[index], self.plain, low, high)
