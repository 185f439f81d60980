"""The settings whose runs a figure shows together."""

from collections.abc import Sequence
from dataclasses import dataclass

from nettrain.results.comparison import Comparison, SeedGroup
from nettrain.results.run_folder import RunFolder

SHOWN = 6  # settings in one figure


@dataclass
class Setting:
    """A sweep's runs that differ by chance alone, or a run by itself, with its name."""

    label: str
    runs: list[RunFolder]

    @property
    def first(self) -> RunFolder:
        """The first of the runs."""
        return self.runs[0]

    @property
    def of(self) -> str:
        """` with <name>`, in the middle of a caption."""
        return f" with {self.label}" if self.label else ""


def settings_of(comparison: Comparison) -> list[Setting]:
    """The first settings of a sweep, in its own order; runs without an epoch are left out."""
    settings: dict[str, list[RunFolder]] = {}
    labels = {run.name: _label(comparison, group) for group in comparison.groups for run in group.runs}
    for run in comparison.runs:
        label = labels[run.name]
        if run.folder is None or run.status == "failed" or (label not in settings and len(settings) == SHOWN):
            continue
        if (run.folder / "metrics.csv").is_file() and len((opened := RunFolder(run.folder)).columns["epoch"]):
            settings.setdefault(label, []).append(opened)
    return [Setting(label, runs) for label, runs in settings.items()]


def _label(comparison: Comparison, group: SeedGroup) -> str:
    """The problem and the settings in words; empty where there is one setting."""
    words = [comparison.problem(group.runs[0]), comparison.label(group) if comparison.keys else ""]
    return " ".join(text for text in words if text and text != "all runs")


def over_seeds(count: int) -> str:
    return f"median and quartiles over {count} runs of each setting" if count > 1 else "one run of each setting"


def most(settings: Sequence[Setting]) -> int:
    return max((len(setting.runs) for setting in settings), default=0)
