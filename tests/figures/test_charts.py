"""What a page is told of a figure, and figures as files of other formats."""

import json
import re
import zlib

import numpy as np
import pytest
from kinds import every_request

from nettrain import figures
from nettrain.figures import style
from nettrain.figures.chart import MOST_POINTS


def chart(function, *arguments):
    figure = getattr(figures, function)(*arguments)
    figures.png(figure)
    return json.loads(figures.content(function, figure, "chart"))


def test_a_chart_has_the_numbers_of_its_lines_and_bands():
    y = np.array([[4.0, 3.0, np.nan], [2.0, 1.0, 5.0], [6.0, 2.0, 7.0]])
    told = chart("bands", {"a": ([1, 2, 3], y), "b": ([1, 2], [[0.5, 0.25]])}, "epoch", "loss", "Loss")
    a, b = told["lines"]
    assert (a["name"], a["points"]) == ("a", [[1, 4], [2, 2], [3, None]])
    assert (b["points"], b["areas"]) == ([[1, 0.5], [2, 0.25]], [])
    corners = [tuple(corner) for outline in a["areas"] for corner in outline]
    assert {(1, 3), (1, 5), (2, 1.5), (2, 2.5)} <= set(corners)  # the quartiles
    assert (told["x"]["label"], told["y"]["label"], told["title"]) == ("epoch", "loss", "Loss")


def test_a_chart_has_the_corners_of_steps_and_vertical_lines_as_marks():
    (line,) = chart("time_to_target", {"a": [2.0, 4.0]}, "cost")["lines"]
    assert line["points"] == [[0, 0], [2, 0], [2, 0.5], [4, 0.5], [4, 1], [4.2, 1], [4.2, 1]]
    told = chart("curves", {"epoch": [1, 2], "train_loss": [2.0, 1.0]}, "loss", 2)
    assert told["marks"] == [{"name": "best epoch 2", "x": 2}]
    assert [line["name"] for line in told["lines"]] == ["training"]


def test_a_long_line_is_thinned_and_keeps_its_ends():
    (line,) = chart("lines", range(100_000), {"a": np.arange(100_000.0)}, "x", "y")["lines"]
    assert len(line["points"]) <= MOST_POINTS + 1
    assert (line["points"][0], line["points"][-1]) == ([0, 0], [99_999, 99_999])


def test_the_cells_of_a_map_are_where_the_picture_has_them():
    told = chart("heat_map", [1, 2, 1], ["a", "a", "b"], [0.5, 0.25, 1], "lr", "optimizer", "loss")
    assert (told["columns"], told["rows"]) == (["1", "2"], ["a", "b"])
    assert told["values"] == [[0.5, 0.25], [1, None]]
    left, top, right, bottom = told["box"]
    assert 0 < left < right < 1
    assert 0 < top < bottom < 1


def test_an_axis_leaves_a_diverged_setting_outside_and_spans_the_others():
    lines = {"a": (range(1, 9), [np.geomspace(1, 0.5, 8)]), "b": (range(1, 9), [np.geomspace(0.9, 0.3, 8)])}
    lines |= {"c": (range(1, 9), [np.full(8, 0.7)]), "diverged": (range(1, 9), [np.geomspace(1e3, 1e9, 8)])}
    axes = figures.bands(lines, "epoch", "loss").axes[0]
    assert axes.get_yscale() == "linear"
    low, high = axes.get_ylim()
    assert (0 < low < 0.3, 1 < high < 1.1) == (True, True)
    assert [text.get_text() for text in axes.texts] == ["higher values lie outside"]
    decaying = {"a": (range(60), [np.geomspace(1e6, 1e-9, 60)])}  # a long way, but no jump
    axes = figures.bands(decaying, "epoch", "loss").axes[0]
    assert (axes.get_yscale(), axes.texts[:]) == ("log", [])
    assert axes.get_ylim()[1] > 1e6


def test_learning_rates_and_results_over_decades_have_logarithmic_axes():
    means = [0.5, 0.001, 0.2]
    figure = figures.response({"adam": ([1e-4, 1e-2, 1], means, [0.1, 0.0005, 0.3])}, "lr", "loss")
    axes = figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    curve, best = axes.get_lines()
    assert curve.get_ydata().tolist() == means
    assert best.get_xydata().tolist() == [[1e-2, 0.001]]
    axes = figures.response({"a": ([1, 2, 3], [0.5, 0.9, 0.7], [0, 0, 0])}, "k", "accuracy", high=True).axes[0]
    assert (axes.get_xscale(), axes.get_lines()[1].get_xydata().tolist()) == ("linear", [[2, 0.9]])
    assert figures.time_to_target({"a": [1, 1000.0]}, "cost").axes[0].get_xscale() == "log"


@pytest.mark.parametrize("index", [0, 9, 17])
def test_files_for_print_hold_their_fonts(index):
    function, arguments = list(every_request(np.random.default_rng(0)))[index]
    figure = getattr(figures, function)(*arguments)
    pdf, svg = (figures.content(function, figure, format) for format in ("pdf", "svg"))
    assert pdf.startswith(b"%PDF")
    assert re.search(rb"/Subtype /Type0|/Subtype /TrueType", pdf)
    assert b"/Type3" not in pdf
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.S)
    fonts = [text for stream in streams if (text := zlib.decompressobj().decompress(stream))[:4] == b"\0\1\0\0"]
    assert len(fonts) == pdf.count(b"/FontFile2 ") > 0  # TrueType files
    assert b"<text" not in svg  # letters are outlines, so that no font is needed
    assert svg.count(b"<use ") > 20
    assert figures.content(function, figure, "svg") == svg


def test_lines_are_told_apart_without_colours_too():
    looks = [(style.color(i), style.dash(i)) for i in range(28)]
    assert len(set(looks)) == 28
    confused = [("#009E73", "#CC79A7"), ("#D55E00", "#E69F00")]  # nearly alike in deuteranopia
    of_color = dict(looks[:6])
    assert all(of_color[one] != of_color[other] for one, other in confused)
