"""Figures, checked by the data that their artists hold, against definitions and scikit-learn."""

import io

import numpy as np
import pytest
from kinds import every_figure
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from sklearn import metrics
from sklearn.calibration import calibration_curve

from nettrain import figures
from nettrain.figures import style
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
    y = rng.normal(size=(9, 4))
    y[0, 2:] = np.nan  # a run that ended early
    figure = figures.bands({"a": ([1, 2, 3, 4], y), "b": ([1], [[5.0]])}, "epoch", "loss")
    low, middle, high = np.nanquantile(y, [0.25, 0.5, 0.75], axis=0)
    assert np.allclose(drawn_lines(figure)["a"][:, 1], middle)
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert set(np.round([*low, *high], 9)) <= set(np.round(band, 9))


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


def test_nothing_is_cut_off(rng):
    for figure in every_figure(rng):
        FigureCanvasAgg(figure)
        figure.canvas.draw()
        width, height = figure.get_size_inches()
        box = figure.get_tightbbox()
        inside = box.x0 > -0.02 and box.y0 > -0.02 and box.x1 < width + 0.02 and box.y1 < height + 0.02
        assert inside, (figure.axes[0].get_title(loc="left"), figure.axes[0].get_ylabel(), box)


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
