"""Figures, checked by the data that their artists hold, against definitions and scikit-learn."""

import io

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from kinds import every_figure
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image
from sklearn import metrics
from sklearn.calibration import calibration_curve

from nettrain import figures
from nettrain.figures import style, texts
from nettrain.figures.classification import calibration_points, precision_recall_points, roc_points
from nettrain.figures.grids import Grid, over_one_input, over_two_inputs
from nettrain.figures.planes import around_path, planes, random_plane
from nettrain.figures.sweeps import performance_ratios

NAMES = ["setosa", "versicolor", "virginica"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def drawn_lines(figure):
    return {line.get_label(): line.get_xydata() for line in figure.axes[0].get_lines()}


def test_curves_of_both_splits_and_the_best_epoch():
    metrics = {"epoch": [1, 2, 3], "train_loss": [3.0, np.inf, 1.0], "val_loss": [4.0, 3.0, 3.5]}
    figure = figures.curves(metrics, "loss", best=2)
    lines = drawn_lines(figure)
    assert np.array_equal(lines["training"], [[1, 3], [2, np.nan], [3, 1]], equal_nan=True)
    assert lines["validation"].tolist() == [[1, 4], [2, 3], [3, 3.5]]
    assert lines["best epoch 2"][0, 0] == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training", "validation", "best epoch 2"]


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1e-4, 1.0], "log"),
        ([0.5, 1.0], "linear"),
        ([-1.0, 1e5], "linear"),
        ([0.0, *np.geomspace(1e-4, 1, 9)], "log"),  # a loss too small for its type
        ([0.0, 0.0, 1e-4, 1.0], "linear"),
    ],
)
def test_an_axis_is_logarithmic_where_that_suits_the_values(values, scale):
    assert figures.lines(range(len(values)), {"a": values}, "x", "y").axes[0].get_yscale() == scale


def test_a_line_for_each_layer():
    metrics = {"epoch": [1, 2], "gradient_norm": [9, 9], "gradient_norm/a": [1, 2], "gradient_norm/b": [3, 4]}
    assert {name: line[:, 1].tolist() for name, line in drawn_lines(figures.layers(metrics)).items()} == {
        "a": [1, 2],
        "b": [3, 4],
    }


def test_histograms_are_densities(rng):
    figure = figures.histograms({"a": rng.normal(size=(100, 50)), "b": rng.normal(3, 1, size=70)}, "weight")
    for patch in figure.axes[0].patches:
        counts, edges, _ = patch.get_data()
        assert np.sum(counts * np.diff(edges)) == pytest.approx(1, abs=0.05)  # some lie outside


def test_the_confusion_matrix_counts():
    figure = figures.confusion([0, 0, 1, 2, 2, 2], [0, 1, 1, 2, 2, 0], NAMES)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["1", "1", "0", "0", "1", "0", "1", "0", "2"]
    assert np.allclose(axes.images[0].get_array(), [[0.5, 0.5, 0], [0, 1, 0], [1 / 3, 0, 2 / 3]])
    assert [tick.get_text() for tick in axes.get_yticklabels()] == NAMES


@pytest.mark.parametrize("decimals", [1, 8])  # with ties, and without
def test_the_points_of_the_curves_are_scikit_learn_s(rng, decimals):
    positive = rng.random(200) < 0.3
    score = np.clip((0.3 * positive + rng.random(200)) / 1.3, 0, 1).round(decimals)
    false, true, _ = metrics.roc_curve(positive, score, drop_intermediate=False)
    assert np.allclose(roc_points(positive, score), [false, true])
    precision, recall, _ = metrics.precision_recall_curve(positive, score)
    assert np.allclose(precision_recall_points(positive, score), [precision[::-1], recall[::-1]])
    inside = np.clip(score, 0.001, 0.999) - 1e-9  # at the edges of bins the two differ in which side is open
    share, mean = calibration_curve(positive, inside, n_bins=10)
    assert np.allclose(calibration_points(positive, inside, 10)[:2], [mean, share])


def test_areas_and_averages_in_the_legends(rng):
    y = rng.integers(0, 3, 100)
    p = rng.dirichlet([1, 1, 1], 100)
    for draw, word, area in (
        (figures.roc, "area", metrics.roc_auc_score),
        (figures.precision_recall, "average", metrics.average_precision_score),
    ):
        texts = [text.get_text() for text in draw(y, p, NAMES).legends[0].get_texts()]
        assert texts == [f"{name}: {word} {area(y == c, p[:, c]):.3f}" for c, name in enumerate(NAMES)]


def test_two_classes_have_one_curve_and_many_are_pooled(rng):
    y, p = rng.integers(0, 2, 50), rng.dirichlet([1, 1], 50)
    assert len(figures.roc(y, p, ["no", "yes"]).legends[0].get_texts()) == 1
    y, p = rng.integers(0, 20, 500), rng.dirichlet(np.ones(20), 500)
    (text,) = figures.roc(y, p, [str(c) for c in range(20)]).legends[0].get_texts()
    micro = metrics.roc_auc_score(np.eye(20)[y], p, average="micro")
    assert text.get_text() == f"20 classes, pooled: area {micro:.3f}"


def test_residuals_and_predictions():
    y, predicted = [1.0, 2.0, 4.0], [1.5, 2.0, 3.0]
    scatter = figures.residuals(y, predicted, "price").axes[0].collections[0]
    assert scatter.get_offsets().tolist() == [[1.5, -0.5], [2, 0], [3, 1]]
    figure = figures.predicted_against_true(y, predicted, "price")
    assert figure.axes[0].collections[0].get_offsets().tolist() == [[1, 1.5], [2, 2], [4, 3]]
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("price, true", "price, predicted")


def test_the_boundary_is_where_the_most_probable_class_changes(rng):
    x = rng.uniform(-1, 1, (40, 2))

    grid = over_two_inputs(x)
    share = 1 / (1 + np.exp(-5 * (grid.points[:, 0] - 0.25)))
    p = np.stack([1 - share, share], axis=1)
    figure = figures.decision_boundary(grid, p, x, (x[:, 0] > 0.25).astype(int), ["a", "b"], ["no", "yes"])
    axes = figure.axes[0]
    boundary = np.concatenate([path.vertices for c in axes.collections for path in c.get_paths() if len(path) > 60])
    assert boundary[:, 0] == pytest.approx(0.25, abs=0.01)
    assert len(boundary) > 100
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("a", "b")


def test_the_fitted_curve_is_the_function(rng):
    x = rng.normal(size=30)
    at = over_one_input(x)
    assert at.min() < x.min() < x.max() < at.max()
    lines = drawn_lines(figures.fitted_curve(at, at**2, x, x**2, "x", "y", others={"true": np.abs(at)}))
    assert np.allclose(lines["prediction"][:, 1], lines["prediction"][:, 0] ** 2)
    assert np.allclose(lines["true"][:, 1], np.abs(lines["true"][:, 0]))


def test_the_planes_of_two_and_three_weights_are_exact():
    path = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    (plane,) = planes(path[:, :2])
    assert plane.points(np.array([[7.0, 8.0]])).tolist() == [[7, 8]]
    assert plane.names == ("w1", "w2")
    first, second, third = planes(path)
    assert [plane.names for plane in (first, second, third)] == [("w1", "w2"), ("w1", "w3"), ("w2", "w3")]
    assert second.points(np.array([7.0, 8.0])).tolist() == [7, 4, 8]  # w2 as it was at the end
    assert second.coordinates(path).tolist() == [[0, 2], [3, 5]]


def test_the_principal_directions_span_a_flat_path(rng):
    basis = np.linalg.qr(rng.normal(size=(20, 2)))[0].T
    path = 1.0 + rng.normal(size=(15, 2)) @ basis
    (plane,) = planes(path)
    assert np.allclose(plane.directions @ plane.directions.T, np.eye(2))
    assert np.allclose(plane.points(plane.coordinates(path)), path)
    assert sum(int(name.split("(")[1].rstrip("%)")) for name in plane.names) == 100
    (straight,) = planes(path[[0, -1]])  # has no second principal direction
    assert np.allclose(straight.directions @ straight.directions.T, np.eye(2))
    assert np.allclose(straight.points(straight.coordinates(path[0])), path[0])


def test_random_directions_are_as_long_as_the_weights_of_each_layer(rng):
    end = rng.normal(size=30) * np.repeat([1, 100], [10, 20])
    plane = random_plane(end, [slice(0, 10), slice(10, 30)])
    for part in (slice(0, 10), slice(10, 30)):
        assert np.linalg.norm(plane.directions[:, part], axis=1) == pytest.approx([np.linalg.norm(end[part])] * 2)
    grid, way = around_path(end[None], plane, 5)
    w = plane.points(grid.points)
    assert np.allclose(w[[0, 12, 24]], end + np.array([[-1], [0], [1]]) * plane.directions.sum(0))
    assert "path" not in drawn_lines(figures.loss_surface(grid, (w**2).sum(1), way, plane.names))


def test_the_surface_is_the_loss_and_the_path_lies_on_it():
    def loss(w):
        return (w[:, 0] - 1) ** 2 + 4 * w[:, 1] ** 2 + 0.1

    path = np.array([[3.0, 1.0], [2.0, 0.5], [1.0, 0.0]])
    (plane,) = planes(path)
    grid, way = around_path(path, plane, 11)
    points = plane.points(grid.points)
    figure = figures.loss_surface(grid, loss(points), way, plane.names)
    assert drawn_lines(figure)["path"].tolist() == path.tolist()
    assert points.shape == (121, 2)
    assert (points.min(0) < path.min(0)).all()
    assert (points.max(0) > path.max(0)).all()
    levels = figure.axes[0].collections[0].levels
    assert levels[0] == pytest.approx(loss(points).min())
    assert levels[-1] == pytest.approx(loss(points).max())


def test_the_values_lie_where_their_points_are():
    grid = Grid(np.array([0.0, 1.0, 2.0]), np.array([5.0, 7.0]))
    assert grid.points.tolist() == [[0, 5], [1, 5], [2, 5], [0, 7], [1, 7], [2, 7]]
    assert grid.table(grid.points @ [1, 10]).tolist() == [[50, 51, 52], [70, 71, 72]]
    figure = figures.loss_surface(grid, grid.points @ [1, 10], [[0, 5], [2, 7]], ("a", "b"))
    assert figure.axes[0].collections[0].levels[[0, -1]].tolist() == [50, 72]


def test_bands_are_medians_and_quartiles(rng):
    y = rng.normal(size=(8, 4))
    figure = figures.bands({"a": ([1, 2, 3, 4], y), "b": ([1], [[5.0]])}, "epoch", "loss")
    low, middle, high = np.quantile(y, [0.25, 0.5, 0.75], axis=0)
    assert np.allclose(drawn_lines(figure)["a"][:, 1], middle)
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert set(np.round([*low, *high], 9)) <= set(np.round(band, 9))


def test_a_band_ends_where_not_all_runs_are_known_and_counts_infinite_ones_as_the_worst():
    y = [[1.0, 1.0, 1.0, 1.0], [2.0, 2.0, np.inf, 2.0], [3.0, np.inf, np.inf, np.nan]]
    line = drawn_lines(figures.bands({"a": ([1, 2, 3, 4], y)}, "epoch", "loss"))["a"][:, 1]
    assert np.array_equal(line, [2, 2, np.nan, np.nan], equal_nan=True)


def test_a_heat_map_orders_its_keys_and_frames_the_best():
    lr, optimizer = [0.1, 0.01, 0.1, 0.01, 1], ["sgd", "sgd", "adam", "adam", "adam"]
    figure = figures.heat_map(lr, optimizer, [3, 2, 1, np.nan, 5], "lr", "optimizer", "loss")
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.01", "0.1", "1"]
    shown = np.ma.filled(axes.images[0].get_array(), np.nan)
    assert np.array_equal(shown, [[2, 3, np.nan], [np.nan, 1, 5]], equal_nan=True)
    assert axes.patches[0].get_xy() == (0.5, 0.5)  # around column 1, row 1


def test_every_run_is_a_line_through_its_keys():
    figure = figures.parallel_coordinates({"lr": [0.1, 1.0, 10.0], "bs": [8, 8, 32]}, [3.0, 1.0, np.nan], "loss")
    worse, better = figure.axes[0].collections[0].get_segments()  # the better one is drawn last
    assert better.tolist() == [[0, 0.5], [1, 0], [2, 0]]
    assert worse.tolist() == [[0, 0], [1, 0], [2, 1]]


def test_losses_of_zero_have_a_place_on_logarithmic_scales():
    loss = [0.0, *np.geomspace(1e-6, 1, 9)]
    figure = figures.heat_map(range(10), [1] * 10, loss, "a", "b", "loss")
    assert figure.axes[0].images[0].norm(0.0) == 0
    *_, best = figures.parallel_coordinates({"a": range(10)}, loss, "loss").axes[0].collections[0].get_segments()
    assert best[-1, 1] == 0


def test_one_disaster_does_not_take_all_shades_of_a_heat_map():
    figure = figures.heat_map(range(5), [1] * 5, [0.1, 0.2, 0.3, 0.4, 1e9], "a", "b", "loss")
    norm = figure.axes[0].images[0].norm
    assert norm(0.4) - norm(0.1) > 0.4
    assert norm(1e9) == 1


def test_time_to_target_counts_the_runs_that_have_reached_it():
    lines = drawn_lines(figures.time_to_target({"a": [4, 2, np.inf, np.inf]}, "updates"))
    assert lines["a"][:3].tolist() == [[0, 0], [2, 0.25], [4, 0.5]]


def test_performance_profiles_are_dolan_and_more_s():
    costs = np.array([[1.0, 2.0], [8.0, 2.0], [3.0, np.inf], [np.inf, np.inf]])
    assert performance_ratios(costs).tolist() == [[1, 2], [4, 1], [1, np.inf], [np.inf, np.inf]]
    lines = drawn_lines(figures.performance_profile(costs, ["a", "b"]))
    rho = {name: dict(line.tolist()) for name, line in lines.items()}  # the last at each tau
    assert (rho["a"][1], rho["a"][4]) == (0.5, 0.75)  # cheapest on two of four problems, solves three
    assert (rho["b"][1], rho["b"][2]) == (0.25, 0.5)


STRANGE = ["$0_to_$10", "$a$", r"\$x$y$", "_private", "100 %", "{a}", r"\alpha", "^2"]
OTHERS = ["中文", "ไทย", "العربية", "😀", "\U0001f9ff", "\ue000", "a\x00b", "a\tb", "a\udc80b"]


def all_figures_of_names(names, rng):
    n = len(names)
    y, p, x = rng.integers(0, n, 100), rng.dirichlet(np.ones(n), 100), rng.normal(size=(100, 2))
    epochs = {"epoch": [1, 2, 3]}
    grid = over_two_inputs(x)
    yield figures.confusion(y, p.argmax(1), names)
    for draw in (figures.roc, figures.precision_recall, figures.calibration):
        yield draw(y, p, names)
        yield draw(y % 2, p[:, :2], names[:2], names[0])
    yield figures.decision_boundary(grid, rng.dirichlet(np.ones(n), len(grid.points)), x, y, names, names)
    yield figures.fitted_curve(*[x[:, 0]] * 4, names[0], names[1], others={names[2]: x[:, 0]})
    yield figures.residuals(*x.T, names[0])
    yield figures.predicted_against_true(*x.T, names[1])
    yield figures.layers({**epochs, **{f"dead/{name}": [1, 2, 3] for name in names}}, "dead")
    yield figures.histograms(dict.fromkeys(names, x), names[0])
    yield figures.curves({**epochs, names[0]: [1, 2, 3]}, names[0])
    yield figures.bands({name: ([1, 2, 3], x[:3].T) for name in names}, names[0], names[1], names[2])
    yield figures.heat_map(names, names[::-1], range(n), names[0], names[1], names[2], names[3])
    yield figures.parallel_coordinates({names[0]: names, names[1]: range(n)}, range(n), names[2], names[3])
    yield figures.time_to_target({name: [1, 2] for name in names}, names[0])
    yield figures.performance_profile(rng.random((5, n)), names)
    yield figures.loss_surface(Grid(*np.eye(2)), range(4), x, tuple(names[:2]), names[2])


def shown(figure):
    figures.png(figure)
    return {text.get_text() for text in figure.findobj(Text) if text.get_text()}


@pytest.mark.filterwarnings("error")
def test_names_are_literal_in_every_figure(rng):
    for figure in all_figures_of_names(STRANGE, rng):
        figures.png(figure)
        for text in figure.findobj(Text):
            if any(name in text.get_text() for name in STRANGE):
                assert text._preprocess_math(text.get_text()) == (text.get_text(), False)
    legend = figures.lines([1, 2], {name: [1, 2] for name in STRANGE}, "x", "y").legends[0]
    assert [text.get_text() for text in legend.get_texts()] == STRANGE
    ticks = {text.get_text() for text in figures.confusion([0], [0], STRANGE).axes[0].get_xticklabels()}
    assert ticks == set(STRANGE)


@pytest.mark.filterwarnings("error")
def test_signs_without_a_glyph_give_no_warnings(rng):
    for figure in all_figures_of_names(OTHERS, rng):
        figures.png(figure)
    assert "a□b" in shown(figures.residuals([1, 2], [1, 2], "y", "a\x00b"))


@pytest.mark.filterwarnings("error")
def test_a_script_is_drawn_where_a_font_has_it(tmp_path):
    builder = FontBuilder(100, isTTF=True)
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 80), (80, 80), (80, 0)):
        pen.lineTo(corner)
    pen.closePath()
    builder.setupGlyphOrder([".notdef", "A"])
    builder.setupCharacterMap({0x4E2D: "A"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "A": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (100, 0), "A": (100, 0)})
    builder.setupHorizontalHeader(ascent=80, descent=-20)
    builder.setupNameTable({"familyName": "Sans of one sign", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "one.ttf")
    fonts = list(font_manager.fontManager.ttflist)
    before = figures.png(figures.residuals([1, 2], [1, 2], "y", "中文"))
    font_manager.fontManager.addfont(tmp_path / "one.ttf")
    for cached in (texts._family, texts._further_fonts):
        cached.cache_clear()
    try:
        figure = figures.residuals([1, 2], [1, 2], "y", "中文")
        assert "中□" in shown(figure)
        assert figures.png(figure) != before
    finally:
        font_manager.fontManager.ttflist = fonts
        for cached in (texts._family, texts._further_fonts):
            cached.cache_clear()


@pytest.mark.parametrize("name", ["long_name_" * 30, "名" * 300, "many words " * 30])
def test_long_names_are_not_cut_off(name):
    for figure in (
        *(figures.residuals([1, 2], [1, 2], name), figures.predicted_against_true([1, 2], [1, 2], name)),
        *(figures.roc([0, 1], np.eye(2), [name, name]), figures.residuals([1, 2], [1, 2], "y", name)),
    ):
        figures.png(figure)
        assert_all_inside(figure)


def test_the_boundaries_of_many_classes_are_those_between_their_points(rng):
    x, centres = rng.uniform(-1, 1, (60, 2)), rng.uniform(-1, 1, (20, 2))
    grid = over_two_inputs(x, 20)
    winner = ((grid.points[:, None] - centres) ** 2).sum(-1).argmin(1)
    classes = ((x[:, None] - centres) ** 2).sum(-1).argmin(1)
    figure = figures.decision_boundary(grid, np.eye(20)[winner], x, classes, ["a", "b"], [str(c) for c in range(20)])
    table = winner.reshape(len(grid.b), len(grid.a))
    segments = np.array(figure.axes[0].collections[0].get_segments())
    changes = (table[1:] != table[:-1]).sum() + (table[:, 1:] != table[:, :-1]).sum()
    assert len(segments) == changes
    for middle in segments.mean(1):  # beside each lie two points with different winners
        first, second = np.argsort(((grid.points - middle) ** 2).sum(1))[:2]
        assert winner[first] != winner[second]
    (text,) = figure.legends[0].get_texts()
    assert text.get_text().startswith("20 classes")


def test_figures_of_many_classes_say_what_they_leave_out(rng):
    y = np.concatenate([np.arange(700), np.arange(500)])
    figure = figures.confusion(y, y, [str(c) for c in range(700)])
    counts = figure.axes[0].images[0].get_array()
    assert counts.shape == (500, 500)
    assert np.array_equal(counts, np.eye(500))
    assert "the 500 most frequent of 700 classes" in figure.axes[0].get_title(loc="left").replace("\n", " ")
    assert len(over_two_inputs(rng.normal(size=(9, 2)), 5000).points) < 1000
    layers = {"epoch": [1, 2], **{f"gradient_norm/{i}": [i, i] for i in range(100)}}
    figure = figures.layers(layers)
    assert "28 of 100 layers" in figure.axes[0].get_title(loc="left")
    assert {"0", "99"} < set(drawn_lines(figure))


def assert_all_inside(figure):
    FigureCanvasAgg(figure)
    figure.canvas.draw()
    width, height = figure.get_size_inches()
    box = figure.get_tightbbox()
    inside = box.x0 > -0.02 and box.y0 > -0.02 and box.x1 < width + 0.02 and box.y1 < height + 0.02
    assert inside, (figure.axes[0].get_title(loc="left"), figure.axes[0].get_ylabel(), box)


def test_nothing_is_cut_off(rng):
    for figure in every_figure(rng):
        assert_all_inside(figure)


def test_a_png_file_has_the_pixels_that_are_drawn():
    figure = figures.lines([1, 2, 3], {"a": [1, 3, 2]}, "x", "y", "title")
    image = Image.open(io.BytesIO(figures.png(figure, dpi=80)))
    assert image.info["dpi"] == pytest.approx((80, 80), rel=1e-3)
    assert figure.dpi == 100  # as before
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    assert np.array_equal(np.asarray(image), np.asarray(Image.open(buffer).convert("RGB")))


def test_legends_lie_below_everything_else(rng):
    for figure in every_figure(rng):
        figures.png(figure)
        figure.dpi = 150  # text has other sizes, too, with another
        axes = figure.axes[0]
        for legend in figure.legends:
            assert legend.get_window_extent().y1 < axes.get_tightbbox().y0, axes.get_title(loc="left")


def test_what_stands_around_the_axes_decides_how_large_they_are():
    short, long = (figures.heat_map([1, 2], [name] * 2, [1, 2], "a", "b", "loss").axes[0] for name in ("x", "a" * 18))
    wide, narrow = (figures.png(axes.figure) and axes.get_position().width for axes in (short, long))
    assert wide > narrow + 0.1


def test_a_figure_without_room_for_its_labels_is_drawn_all_the_same():
    figure = figures.residuals([1, 2], [1, 2], "y")
    figure.set_size_inches(0.2, 0.2)
    assert figures.png(figure)


def test_figures_that_were_made_ahead_are_like_any_other(rng):
    plain = [figures.png(figure) for figure in every_figure(np.random.default_rng(0))]
    style.prepare(len(plain))
    assert [figures.png(figure) for figure in every_figure(np.random.default_rng(0))] == plain
    assert not style._spare


def test_a_notebook_shows_a_figure_by_itself():
    figure = figures.lines([1, 2], {"a": [1, 2]}, "x", "y")
    assert figure._repr_png_().startswith(b"\x89PNG")
