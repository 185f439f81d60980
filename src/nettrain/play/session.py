"""What one page trains: lanes that race on the same data, from the same start, as far as their settings agree."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nettrain.errors import ConfigError
from nettrain.play.lane import Lane
from nettrain.play.settings import check, command, config_of, same_data
from nettrain.play.views import box_of

MOST_LANES = 6  # that can be told apart
MOST_SEEDS = 64

computing = threading.RLock()  # torch's threads and random numbers are those of the whole process


@dataclass(frozen=True)
class Setting:
    """What a page asks for: the overrides of each lane, and how many seeds each of them trains, from its own on."""

    lanes: Sequence[Sequence[str]]
    seeds: int = 1

    def check(self, readable: Sequence[Path]) -> None:
        """Raise `ConfigError` for what a page must not set."""
        if not 1 <= len(self.lanes) <= MOST_LANES:
            raise ConfigError(f"lanes: found {len(self.lanes)}; there may be 1 to {MOST_LANES}.")
        if not 1 <= self.seeds <= MOST_SEEDS:
            raise ConfigError(f"seeds={self.seeds}: seeds must be between 1 and {MOST_SEEDS}.")
        for lane in self.lanes:
            check(lane, readable)


class Session:
    """The lanes of a setting, in training together: none is an update ahead of another that still runs."""

    def __init__(self, setting: Setting) -> None:
        configs = [config_of(lane) for lane in setting.lanes]
        if not same_data(configs):
            raise ConfigError("data: all lanes of a race train on the same data.")
        self.setting = setting
        self.seeds = [range(config.seed, config.seed + setting.seeds) for config in configs]
        with computing:
            self.lanes = [Lane(config, list(seeds)) for config, seeds in zip(configs, self.seeds, strict=True)]
            self.box = box_of(self.lanes[0].runs[0].data)

    @property
    def commands(self) -> list[str]:
        """The command line of each lane."""
        many = self.setting.seeds > 1
        return [
            command(lane, list(seeds) if many else ())
            for lane, seeds in zip(self.setting.lanes, self.seeds, strict=True)
        ]

    @property
    def running(self) -> bool:
        """Whether any lane has not come to its end."""
        return any(lane.running for lane in self.lanes)

    def advance_update(self) -> None:
        """Make one update in each lane."""
        with computing:
            for lane in self.lanes:
                lane.advance(1)

    def advance_epochs(self, epochs: int, seconds: float = float("inf")) -> None:
        """Train to the end of so many epochs, the present one included; of fewer when so many seconds have passed."""
        end = time.monotonic() + seconds
        with computing:
            for _ in range(epochs):
                for lane in self.lanes:
                    if lane.running:
                        lane.advance(lane.trainer.updates_left)
                if not self.running or time.monotonic() > end:
                    break
