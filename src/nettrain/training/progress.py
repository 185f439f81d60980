"""The progress bar, shown on a terminal only."""

from types import TracebackType

from nettrain.config.settings import Settings


class Progress:
    """A bar over the epochs with the latest loss and metric beside it; nothing where the output is no terminal."""

    def __init__(self, settings: Settings, runs: int = 1) -> None:
        from tqdm import tqdm

        tqdm.monitor_interval = 0  # no thread of its own
        self.bar = tqdm(
            total=settings.epochs,
            desc=f"best of {runs} runs" if runs > 1 else None,
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} epochs [{elapsed}<{remaining}{postfix}]",
            disable=True if settings.quiet else None,
            leave=False,
        )
        self.metrics = 1 if runs > 1 else 2  # that there is room for in 80 columns

    def __enter__(self) -> "Progress":
        return self

    def show(self, numbers: dict[str, float]) -> None:
        """Advance to the epoch of these numbers."""
        if self.bar.disable:
            return
        metrics = [name for name in numbers if name.startswith("val_")] or ["train_loss", "train_accuracy", "train_mse"]
        shown = [name for name in metrics if name in numbers][: self.metrics]
        self.bar.set_postfix({name: f"{numbers[name]:.3g}" for name in shown}, refresh=False)
        self.bar.update(int(numbers["epoch"]) - self.bar.n)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()
