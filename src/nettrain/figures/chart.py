"""A figure as numbers, in JSON, from which a page draws a chart that can be pointed at, taken apart and enlarged.

Of lines: `{"kind": "lines", "title", "x", "y", "lines", "marks"}`, in which an axis is its `label`, `log` and `limits`,
and a line its `name`, `color`, `dash`, `marker`, `points` [x, y], and `areas`, the outlines of its bands. Of a map:
`{"kind": "cells", "box", "x", "y", "columns", "rows", "values", "label"}`, whose `box` says where in the picture the
cells are, as shares of its width and height.
"""

import json
import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import Collection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

OF_LINES = (
    *("bands", "curves", "layers", "lines", "performance_profile", "precision_recall", "response", "roc"),
    "time_to_target",
)
MOST_POINTS = 600  # of a line: more than a page has pixels for


def chart(function: str, figure: Figure) -> bytes:
    """The chart of a figure that a `function` of `figures` has drawn; empty for one of which a page shows the picture.

    The figure must have been drawn, since that decides where its axes lie.
    """
    axes = figure.axes[0]
    if function in OF_LINES:
        return json.dumps(_lines(axes), separators=(",", ":"), allow_nan=False).encode()
    if function == "heat_map":
        return json.dumps(_cells(axes), separators=(",", ":"), allow_nan=False).encode()
    return b""


def _lines(axes: Axes) -> dict[str, Any]:
    lines: list[dict[str, Any]] = []
    marks: list[dict[str, Any]] = []
    for line in axes.get_lines():
        if line.get_transform() != axes.transData:  # a vertical line over the whole height
            marks.append({"name": str(line.get_label()), "x": _number(np.asarray(line.get_xdata(), float)[0])})
        else:
            lines.append(_line(line))
    for collection in axes.collections:
        name = collection.get_gid()
        for of_line in lines:
            if name and of_line["name"] == name:
                of_line["areas"] += _outlines(collection)
    return {
        "kind": "lines",
        "title": axes.get_title(loc="left").replace("\n", " "),
        "x": _axis(axes.xaxis, axes.get_xlim()),
        "y": _axis(axes.yaxis, axes.get_ylim()),
        "lines": lines,
        "marks": marks,
    }


def _axis(axis: Axis, limits: tuple[float, float]) -> dict[str, Any]:
    return {
        "label": axis.label.get_text(),
        "log": axis.get_scale() == "log",
        "limits": [float(limit) for limit in limits],
    }


def _line(line: Line2D) -> dict[str, Any]:
    name = str(line.get_label())
    x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
    if (style := line.get_drawstyle()) != "default":  # steps: the corners between the points
        x, y = np.repeat(x, 2), np.repeat(y, 2)
        x, y = (x[1:], y[:-1]) if style == "steps-post" else (x[:-1], y[1:])
    return {
        "name": "" if name.startswith("_") else name,
        "color": to_hex(line.get_color()),
        "dash": str(line.get_linestyle()),
        "marker": str(line.get_marker()),
        "filled": str(line.get_markerfacecolor()) != "white",
        "points": _points(x, y),
        "areas": [],
    }


def _points(x: np.ndarray, y: np.ndarray) -> list[list[float | None]]:
    every = max(1, -(-len(x) // MOST_POINTS))
    kept = np.unique([*range(0, len(x), every), *([len(x) - 1] if len(x) else [])]).astype(int)
    return [[_number(x[i]), _number(y[i])] for i in kept]


def _outlines(collection: Collection) -> list[list[list[float | None]]]:
    corners = [np.asarray(path.vertices, float) for path in collection.get_paths()]
    return [_points(*array.T) for array in corners]


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _cells(axes: Axes) -> dict[str, Any]:
    place, figure = axes.get_position(), axes.figure
    values: np.ndarray = np.ma.filled(np.ma.asarray(axes.images[0].get_array(), float), np.nan)
    return {
        "kind": "cells",
        "box": [place.x0, 1 - place.y1, place.x1, 1 - place.y0],
        "x": axes.xaxis.label.get_text(),
        "y": axes.yaxis.label.get_text(),
        "columns": [label.get_text() for label in axes.get_xticklabels()],
        "rows": [label.get_text() for label in axes.get_yticklabels()],
        "values": [[_number(value) for value in row] for row in values],
        "label": figure.axes[1].yaxis.label.get_text(),
    }
