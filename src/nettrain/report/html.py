"""report.html: a run or many runs on one page that needs nothing else, for a screen, a phone and paper."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nettrain.problem import COUNTS, cost
from nettrain.results.comparison import words
from nettrain.results.run_folder import RunFolder
from nettrain.wording import counted

if TYPE_CHECKING:
    from jinja2 import Template

WIDE = 900  # pixels, beyond which a figure has two columns of the page


class Drawn(NamedTuple):
    """A figure of a page: its caption, its PNG file, and its chart as in `figures.chart`, if it has one."""

    caption: str
    png: bytes
    chart: str = ""


@dataclass
class Section:
    """A part of the page under a heading: sentences, a table and notes on it, figures and preformatted text."""

    heading: str
    sentences: Sequence[str] = ()
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = ()
    figures: Sequence[Drawn] = field(default_factory=list)
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
    environment.filters["inert"] = lambda text: Markup(text.replace("<", "\\u003c"))  # it cannot end its element
    environment.globals["script"] = Markup((Path(__file__).parent / "charts.js").read_text())
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
    reached = [[words(name), *(brief_number(summary.get(prefix + name)) for _, prefix in columns)] for name in names]
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
    sections.append(
        Section("Cost", header=["", ""], rows=[[name, brief_number(value)] for name, value in spent if value])
    )
    return sections


def outcome(summary: dict[str, Any]) -> str:
    """How a run ended, in a sentence."""
    why = f" ({summary['reason']})" if summary.get("reason") else ""
    best = f"; the best epoch was number {summary['best_epoch']}" if summary.get("best_epoch") else ""
    return f"{summary['status'].capitalize()}{why} after {counted(summary.get('epochs', 0), 'epoch')}{best}."


def brief_number(value: Any) -> str:
    """A number of a table: whole ones in full, others to four digits."""
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
