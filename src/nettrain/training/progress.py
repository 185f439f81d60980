"""How far a training is: a bar on a terminal, a line every half minute elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType

from nettrain.config.settings import Settings
from nettrain.terminal import Output, say

_listener: ContextVar[Callable[[int], None] | None] = ContextVar("_listener", default=None)


@contextmanager
def listening(listener: Callable[[int], None]) -> Iterator[None]:
    """Within it the listener is told of each epoch that runs which train together have behind them."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


class Progress:
    """A bar over the epochs with the latest loss and metric beside it; no bar where stderr is no terminal.

    There, a line is printed `every` so many seconds.
    """

    def __init__(self, settings: Settings, runs: int = 1, every: float = 30.0) -> None:
        from tqdm import tqdm

        class Bar(tqdm):
            monitor_interval = 0  # no thread of its own

        self.bar = Bar(
            total=settings.epochs,
            desc=f"best of {runs} runs" if runs > 1 else None,
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} epochs [{elapsed}<{remaining}{postfix}]",
            disable=True if settings.quiet else None,
            leave=False,
            file=Output(sys.stderr),
        )
        self.shown = 1 if runs > 1 else 2  # metrics that there is room for in 80 columns
        self.every = every if self.bar.disable and not settings.quiet else float("inf")
        self.epochs, self.runs = settings.epochs, runs
        self.numbers: dict[str, float] = {}
        self.began = self.printed = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def show(self, numbers: dict[str, float]) -> None:
        """Advance to the epoch of these numbers."""
        metrics = [name for name in numbers if name.startswith("val_")] or ["train_loss", "train_accuracy", "train_mse"]
        self.numbers = {name: numbers[name] for name in metrics if name in numbers}
        if listener := _listener.get():
            listener(int(numbers["epoch"]))
        if not self.bar.disable:
            texts = {name: f"{value:.3g}" for name, value in list(self.numbers.items())[: self.shown]}
            self.bar.set_postfix(texts, refresh=False)
            self.bar.update(int(numbers["epoch"]) - self.bar.n)

    def pulse(self, epoch: int, updates: int) -> None:
        """Called between updates: print how far the training is, if it is time to."""
        now = time.monotonic()
        if now - self.printed < self.every:
            return
        self.printed = now
        of_runs = f" of {self.runs} runs" if self.runs > 1 else ""
        numbers = "".join(f", {name} {value:.3g}" for name, value in list(self.numbers.items())[:2])
        best = " of the best" if numbers and self.runs > 1 else ""
        say(f"{now - self.began:8.0f} s  epoch {epoch + 1} of {self.epochs}{of_runs}, update {updates}{numbers}{best}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()
