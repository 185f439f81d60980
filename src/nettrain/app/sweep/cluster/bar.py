"""How far the stacks of a sweep are that train elsewhere: one bar for all of them."""

import sys
import time
from collections.abc import Sequence

from nettrain.app.jobs.job import Job
from nettrain.app.sweep.cluster.cutting import Piece
from nettrain.terminal import Output, say

EVERY = 30.0  # seconds between two lines where there is no terminal


class Bar:
    """A bar over the epochs of all runs on a terminal, a line every half minute elsewhere; neither if it is `quiet`."""

    def __init__(self, quiet: bool) -> None:
        from tqdm import tqdm

        class Silent(tqdm):
            monitor_interval = 0  # no thread of its own

        self.bar = Silent(
            total=0,
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} epochs [{elapsed}<{remaining}{postfix}]",
            disable=True if quiet else None,
            leave=False,
            file=Output(sys.stderr),
        )
        self.quiet = quiet
        self.runs = self.epochs = self.done = 0
        self.of_stacks: dict[int, int] = {}  # epochs of those that train
        self.began = self.printed = time.monotonic()

    def add(self, runs: int, pieces: Sequence[Piece], jobs: Sequence[Job]) -> None:
        """So many more runs are to be trained."""
        self.runs += runs
        self.epochs += sum(_epochs(piece.jobs, jobs) for piece in pieces)
        self.bar.total = self.epochs

    def show(self, number: int, epochs: int) -> None:
        """The runs of a stack have so many epochs behind them."""
        self.of_stacks[number] = epochs

    def end(self, number: int, piece: Piece, rest: Sequence[int], jobs: Sequence[Job]) -> None:
        """A stack has ended, but for the rest of its runs."""
        self.of_stacks.pop(number, None)
        self.done += _epochs(piece.jobs, jobs) - _epochs(rest, jobs)

    def refresh(self, stacks: int) -> None:
        """Show it, with the number of stacks that are left."""
        epochs = min(self.epochs, self.done + sum(self.of_stacks.values()))
        left = f"{stacks} stack{'s' * (stacks != 1)} left"
        if not self.bar.disable:
            self.bar.set_description_str(f"{self.runs} runs", refresh=False)
            self.bar.set_postfix_str(left, refresh=False)
            self.bar.update(epochs - self.bar.n)
        elif not self.quiet and time.monotonic() - self.printed > EVERY:
            self.printed = time.monotonic()
            seconds = self.printed - self.began
            say(f"{seconds:8.0f} s  epochs {epochs} of {self.epochs} of {self.runs} runs, {left}")

    def close(self) -> None:
        """Take it away."""
        self.bar.close()


def _epochs(numbers: Sequence[int], jobs: Sequence[Job]) -> int:
    return sum(jobs[i].config.epochs for i in numbers)
