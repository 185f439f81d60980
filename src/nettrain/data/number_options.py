"""`NumberOptions`: how columns of numbers become features."""

from collections.abc import Mapping
from dataclasses import dataclass

from nettrain.errors import ConfigError
from nettrain.registry import option

ENCODINGS = ("standard", "piecewise", "quantile", "robust")
ELSEWHERE = {"periodic": "a periodic embedding is learnt, by model=mlp of all numbers: model.periodic=16"}


@dataclass
class NumberOptions:
    """How columns of numbers are encoded."""

    numbers: str = option(
        "standard",
        "how numbers are encoded: standard: scaled; piecewise: scaled, and piecewise linear in bins; quantile: as "
        "normal quantiles; robust: scaled by median and quartiles, smoothly clipped",
        choices=ENCODINGS,
        elsewhere=ELSEWHERE,
    )
    bins: int = option(16, "bins of a number that is encoded as piecewise, at most", minimum=2)
    binning: str = option(
        "quantile",
        "where bins end: at quantiles of the training rows, or where a decision tree splits them by the target",
        choices=("quantile", "tree"),
    )

    def require_scaling(self, standardize: bool, encodings: Mapping[str, str]) -> None:
        """Raise `ConfigError` for an encoding that scales, also of single columns, where numbers keep their scale."""
        of_columns = {f"data.columns.{name}": encoding for name, encoding in encodings.items()}
        for key, encoding in {"data.numbers": self.numbers, **of_columns}.items():
            if not standardize and encoding in ("quantile", "robust"):
                raise ConfigError(
                    f"data.standardize=false: {key}={encoding} scales numbers; use data.standardize=true, or encode "
                    "them as standard or piecewise."
                )
