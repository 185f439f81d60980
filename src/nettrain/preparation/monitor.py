"""By which number epochs and runs are compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nettrain.errors import ConfigError
from nettrain.parts.named_metrics import more_is_better
from nettrain.wording import listed


@dataclass(frozen=True)
class Monitor:
    """A column of metrics.csv, and the sign that makes of its values losses: -1 where more is better."""

    column: str
    sign: int = 1

    def loss(self, numbers: dict[str, float]) -> float:
        """The number of an epoch, less being better."""
        return self.sign * numbers[self.column]


def choose_monitor(
    asked: str, mode: str, split: str, names: Sequence[str], better: Mapping[str, bool | None]
) -> Monitor:
    """The monitor called `asked` of a run with these metrics, of which `split` is measured after each epoch.

    `better` says of some whether more of them is; of others the name says it.

    Raises `ConfigError` for one that is not there, and where it is not known which values are better.
    """
    prefix = f"{split}_"
    metric = asked.removeprefix(prefix)
    if metric not in names or not asked.startswith(prefix):
        why = "" if split == "val" else "there are no validation rows; "
        raise ConfigError(f"monitor={asked}: {why}choose from {listed([prefix + name for name in names], 20)}.")
    more = {"max": True, "min": False, "auto": better.get(metric, more_is_better(metric))}[mode]
    if more is None:
        raise ConfigError(
            f"monitor={asked}: its name does not say whether more or less of it is better; set monitor_mode=max or "
            "monitor_mode=min."
        )
    return Monitor(asked, -1 if more else 1)
