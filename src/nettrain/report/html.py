"""report.html: a run or many runs on one page that needs nothing else, for a screen, a phone and paper."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nettrain.problem import COUNTS, cost
from nettrain.results.comparison import Comparison, words
from nettrain.results.run_folder import RunFolder
from nettrain.wording import counted

if TYPE_CHECKING:
    from jinja2 import Template

WIDE = 900  # pixels, beyond which a figure has two columns of the page


@dataclass
class Section:
    """A part of the page under a heading: sentences, a table, figures as (caption, PNG) and preformatted text."""

    heading: str
    sentences: Sequence[str] = ()
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    figures: list[tuple[str, bytes]] = field(default_factory=list)
    text: str = ""

    @property
    def empty(self) -> bool:
        return not (self.sentences or self.rows or self.figures or self.text)

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers, and are aligned to the right."""
        return [
            any(cell[:1].isdigit() for cell in column)
            and all(cell[:1].isdigit() or cell[:1] in "-–" or cell == "null" for cell in column)
            for column in zip(*self.rows, strict=True)
        ]


def render(title: str, subtitle: str, sections: Iterable[Section]) -> str:
    """A whole page."""
    return template().render(title=title, subtitle=subtitle, sections=list(sections), whole=True)


def fragment(sections: Iterable[Section]) -> str:
    """The sections alone, as a notebook shows them."""
    return template().render(sections=list(sections), whole=False)


@cache
def template() -> "Template":
    """The page without its content: to make it takes a moment, in which figures can be drawn."""
    from jinja2 import Environment
    from markupsafe import Markup

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["base64"] = lambda png: base64.b64encode(png).decode()
    environment.filters["breakable"] = lambda key: Markup(".<wbr>").join(key.split("."))
    environment.tests["wide"] = lambda png: int.from_bytes(png[16:20], "big") > WIDE
    return environment.from_string((Path(__file__).parent / "report.html").read_text())


def run_sections(run: RunFolder, brief: bool = False) -> list[Section]:
    """What there is to say of a run, without its figures; `brief`: only what it reached."""
    summary = run.summary
    columns = [("training", "train_"), ("validation", "best_val_"), ("test", "test_")]
    columns = [(title, prefix) for title, prefix in columns if f"{prefix}loss" in summary]
    has_baseline = any(key.startswith("baseline_") for key in summary)
    columns += [("baseline", "baseline_")] if columns and has_baseline else []
    first = columns[0][1] if columns else "none"
    names = [key.removeprefix(first) for key in summary if key.startswith(first)]
    reached = [[words(name), *(_number(summary.get(prefix + name)) for _, prefix in columns)] for name in names]
    what = "Training: after the last epoch; validation: after the best one; test: with the weights of the best one."
    if has_baseline:
        what += " Baseline: the most frequent class, or the mean, of the training rows for any x."
    sections = [Section("Results", [outcome(summary), what], ["", *(title for title, _ in columns)], reached)]
    if brief:
        return sections
    spent = [
        ("epochs", summary.get("epochs")),
        ("updates per epoch", summary.get("updates_per_epoch")),
        ("updates", summary.get("updates")),
        ("evaluations of the loss", summary.get("function_evaluations")),
        ("evaluations of the gradient", summary.get("gradient_evaluations")),
        ("Hessian-vector products", summary.get("hessian_vector_products")),
        ("all of it, in evaluations of the loss", cost(*(summary.get(name, 0) for name in COUNTS))),
        ("seconds", summary.get("seconds")),
    ]
    sections.append(Section("Cost", header=["", ""], rows=[[name, _number(value)] for name, value in spent if value]))
    return sections


def outcome(summary: dict[str, Any]) -> str:
    """How a run ended, in a sentence."""
    why = f" ({summary['reason']})" if summary.get("reason") else ""
    best = f"; the best epoch was number {summary['best_epoch']}" if summary.get("best_epoch") else ""
    return f"{summary['status'].capitalize()}{why} after {counted(summary.get('epochs', 0), 'epoch')}{best}."


def leaderboard_section(comparison: Comparison, most: int = 20) -> Section:
    """The choices, best first: mean and spread over the seeds, and how many runs diverged, failed, were interrupted."""
    others = [s for s in ("failed", "interrupted") if any(group.count(s) for group in comparison.groups)]
    statuses = ["diverged", *others]
    header = [*comparison.keys, "folder", "runs", *statuses, *map(words, comparison.measured)]
    rows = []
    for group in comparison.groups[:most]:
        counts = [len(group.runs), *map(group.count, statuses)]
        folder = comparison.best_of(group).name
        results = (group.spread(name) for name in comparison.measured)
        rows.append([*comparison.shown(group), folder, *map(str, counts), *results])
    left = len(comparison.groups) - most
    each = " on each problem" if len(comparison.problems) > 1 else ""
    over = "the runs of each setting that completed or were interrupted" if others[-1:] == ["interrupted"] else ""
    over = over or "the completed runs of each setting"
    notes = [f"Mean ± standard deviation over {over}, best first{each}; the folder is that of its best run."]
    notes += [f"{counted(left, 'more setting')} are left out."] if left > 0 else []
    if len(comparison.problems) == 1 and (known := comparison.baseline):
        reached = ", ".join(f"{words(name)} {_number(value)}" for name, value in known.items())
        notes.append(f"The most frequent class or the mean of the training rows, for any x, reaches {reached}.")
    return Section("Leaderboard", notes, header, rows)


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
