"""A figure as the bytes of a file: PNG, SVG, PDF, or the numbers of a chart that a page draws itself."""

import io
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from nettrain.figures.chart import chart
from nettrain.figures.style import png

# Letters are TrueType fonts in a PDF, which journals ask for, and outlines in an SVG, which need no font at all.
_FONTS: Any = {"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "nettrain"}


def content(function: str, figure: Figure, format: str) -> bytes:
    """The figure that a `function` of `figures` has drawn, as a png, svg or pdf file, or as a chart."""
    if format == "png":
        return png(figure)
    if format == "chart":
        return chart(function, figure)
    file = io.BytesIO()
    with matplotlib.rc_context(_FONTS):
        date = "Date" if format == "svg" else "CreationDate"  # without it the same figure is the same file
        figure.savefig(file, format=format, metadata={date: None})
    return file.getvalue()
