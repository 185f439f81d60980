"""The one style of all figures: small enough for a phone, sharp enough for print, told apart without colour vision."""

import re
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import Collection
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from nettrain.figures.encoding import encode
from nettrain.figures.layout import Margins
from nettrain.figures.texts import shortened, wrapped, write

# Okabe and Ito (2008), "Color Universal Design", without the yellow, which is too pale for lines on white.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
DASHES = ["-", "--", ":", "-."]
SEQUENTIAL = "cividis"  # made for colour-blind readers (Nunez et al., 2018)
GREY = "#666666"
SEVERAL = 14  # classes of which each has a curve, and a name in the legend


class Drawing(Figure):
    """A figure that a notebook shows by itself."""

    def _repr_png_(self) -> bytes:
        return png(self)


_spare: list[tuple[Figure, Axes]] = []  # empty figures, made when there was time


def new(title: str, xlabel: str, ylabel: str, width: float = 5.0, height: float = 3.6) -> tuple[Figure, Axes]:
    """An empty figure of `width` x `height` inches with one pair of axes."""
    figure, axes = _spare.pop() if _spare else _empty()
    figure.set_size_inches(width, height)
    write(axes.set_title("", loc="left", fontsize=10.5, y=1.0), wrapped(shortened(title, 130), 46))
    for axis, label, letters in ((axes.xaxis, xlabel, 48), (axes.yaxis, ylabel, 40)):
        axis.label.set_fontsize(9.5)
        write(axis.label, shortened(label, letters))
    return figure, axes


def prepare(count: int) -> None:
    """Make so many empty figures ahead of `new`: to make one takes a fifth of the time of drawing it."""
    for _ in range(count):
        figure, axes = _empty()
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_major_ticks(9)  # most figures have no more
        _spare.append((figure, axes))


def _empty() -> tuple[Figure, Axes]:
    figure = Drawing(layout=Margins(), facecolor="white")
    axes = figure.add_subplot()
    axes.tick_params(labelsize=8.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.yaxis.get_offset_text().set(horizontalalignment="right", x=-0.015, fontsize=8)  # left of the title
    return figure, axes


def color(i: int) -> str:
    """The colour of the i-th line, of which `dash(i)` is the line style: 28 pairs before they repeat.

    Neighbours differ in both, since some of the colours are alike to colour-blind readers.
    """
    return COLORS[i % len(COLORS)]


def dash(i: int) -> str:
    return DASHES[i % len(DASHES)]  # 7 colours and 4 styles have no common divisor


def legend(figure: Figure, least: int = 1) -> None:
    """A legend below the axes, so that it never hides data; none for fewer than `least` labels."""
    handles = [artist for artist in figure.axes[0].get_children() if _is_labelled(artist)]
    if len(handles) >= least:
        labels = [wrapped(shortened(str(handle.get_label()), 100), 56) for handle in handles]
        longest = max(len(line) for label in labels for line in label.split("\n"))
        columns = max(1, min(len(labels), 64 // (longest + 6)))
        rows = -(-sum(label.count("\n") + 1 for label in labels) // columns)
        figure.set_figheight(figure.get_figheight() + 0.19 * max(0, rows - 2))
        places = ["."] * len(labels)  # matplotlib leaves out a label that begins with an underscore
        drawn = figure.legend(handles, places, loc="lower center", ncols=columns, fontsize=8.5, frameon=False)
        for text, label in zip(drawn.get_texts(), labels, strict=True):
            write(text, label)


def _is_labelled(artist: Artist) -> bool:
    """Whether somebody has given the artist its label: matplotlib calls the others `_child0`, `_child1`, ..."""
    label = str(artist.get_label() or "")
    kinds = isinstance(artist, Line2D | Patch | Collection) and not isinstance(artist, ContourSet)
    return kinds and bool(label) and not re.fullmatch(r"_child\d+", label)


def color_bar(figure: Figure, shades: ScalarMappable, label: str, **options: Any) -> Colorbar:
    """A narrow bar beside the axes that says what the shades mean; `options` are those of `Figure.colorbar`."""
    bar = figure.colorbar(shades, ax=figure.axes[0], fraction=0.045, pad=0.035, **options)
    bar.ax.set_box_aspect(None)  # it fills its place
    bar.ax.tick_params(which="both", labelsize=8)
    if isinstance(shades.norm, LogNorm):
        low, high = shades.norm.vmin or 1.0, shades.norm.vmax or 1.0
        bar.formatter, bar.minorformatter = StrMethodFormatter("{x:g}"), NullFormatter()
        bar.ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
    bar.set_label("", fontsize=8.5)
    write(bar.ax.yaxis.label, label)
    return bar


def whole_numbers(axes: Axes) -> None:
    """Ticks of the x-axis at integers only."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, steps=[1, 2, 5, 10]))


def log_scale(axes: Axes) -> None:
    """Make the y-axis logarithmic, with plain numbers beside it."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
    axes.yaxis.set_minor_formatter("{x:g}" if high < 200 * low else NullFormatter())
    axes.tick_params(which="minor", labelsize=7.5)


def limit(axes: Axes, values: np.ndarray, log: bool | None = None, high: bool = False) -> None:
    """Make the y-axis fit the values (n,) but for a few disasters among them, and say so if there are any.

    It is logarithmic with `log`, and for None where the other values span decades. `high` is for values of which more
    is better.
    """
    finite = np.sort(values[np.isfinite(values)])
    usual = finite[~_disasters(-finite[::-1])[::-1]] if high else finite[~_disasters(finite)]
    if log or (log is None and spans_decades(usual)):
        log_scale(axes)
    if usual.size == finite.size:
        return
    logarithmic = axes.get_yscale() == "log"
    low, top = np.log10(usual[usual > 0][[0, -1]]) if logarithmic else usual[[0, -1]]
    margin = 0.06 * (top - low or 1.0)
    ends = [low - margin, top + margin]
    axes.set_ylim(*(10**end for end in ends) if logarithmic else ends)
    beyond, y, va = ("lower", 0.02, "bottom") if high else ("higher", 0.98, "top")
    axes.text(0.99, y, f"{beyond} values lie outside", ha="right", va=va, transform=axes.transAxes, size=8, color=GREY)


def _disasters(ordered: np.ndarray) -> np.ndarray:
    """Which of ordered values, the largest quarter at most, lie beyond a gap of two decades, or ten times the rest."""
    positive = bool(ordered.size) and ordered[0] > 0
    places = np.log10(ordered) if positive else ordered
    gaps = np.diff(places)
    wide = gaps > 2 if positive else gaps > 10 * (places[:-1] - places[:1])
    beyond = np.flatnonzero(wide & (np.arange(1, ordered.size) >= 0.75 * ordered.size))
    return np.arange(ordered.size) > (beyond[0] if beyond.size else ordered.size)


def spans_decades(values: np.ndarray, ratio: float = 30.0) -> bool:
    """Whether a logarithmic axis suits the finite values: none is negative, and the largest is `ratio` times the least.

    A few zeros, such as losses too small for their type, do not count.
    """
    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    some = positive.size > 0.8 * finite.size and bool((finite >= 0).all())
    return some and bool(positive.max() > ratio * positive.min())


def without_zeros(values: np.ndarray) -> np.ndarray:
    """The values with the least positive one in the place of zeros, for a logarithmic scale."""
    return np.where(values == 0, values[values > 0].min(), values)


def png(figure: Figure, dpi: int = 150) -> bytes:
    """The figure as a PNG file."""
    canvas, own = FigureCanvasAgg(figure), figure.dpi
    figure.dpi = dpi
    try:
        canvas.draw()  # `savefig` would draw twice
    finally:
        figure.dpi = own
    return encode(np.asarray(canvas.buffer_rgba()), dpi)
