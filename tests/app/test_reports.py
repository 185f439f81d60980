"""Figures and reports that runs and sweeps leave, and what is read back from them."""

import json
import os
import re
import signal
import statistics
import sys
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas
import pytest
import yaml
from scipy.stats import friedmanchisquare, rankdata, t, ttest_ind, ttest_rel
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import nettrain
from nettrain.app import tools
from nettrain.errors import CheckpointError, ConfigError
from nettrain.report import live_figures as live
from nettrain.report import prediction_figures, run_figures
from nettrain.report.leaderboard import leaderboard
from nettrain.report.pictures import Picture
from nettrain.report.sweep_figures import sweep_pictures
from nettrain.report.sweep_sections import sweep_sections
from nettrain.report.times import Curve, problem_costs, times_to_target
from nettrain.results.comparison import Comparison, RunResult
from nettrain.results.selection import best_of_each, chosen, mean_ranks
from nettrain.results.significance import difference, holm, noise
from nettrain.results.sweep_folder import gather
from nettrain.terminal import painted
from nettrain.training.run_state import RunState

CLASSIFIER = {"loss", "accuracy", "gradient_norm", "update_to_weight", "dead", "loss_surface", "loss_surface_random"}
CLASSIFIER |= {"confusion", "roc", "precision_recall", "calibration"}


class Page(HTMLParser):
    """What a page shows, and what it refers to."""

    def __init__(self, path):
        super().__init__()
        self.links, self.captions, self.text, self.scripts = [], [], "", ""
        self.tag = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        given, self.tag = dict(attrs), tag
        self.links += [value for name, value in attrs if name in ("src", "href", "action", "data")]
        self.captions += [given["alt"]] if tag == "img" else []

    def handle_endtag(self, tag):
        self.tag = ""

    def handle_data(self, data):
        if self.tag == "script":
            self.scripts += data
        else:
            self.text += data


def names(folder):
    return {path.stem for path in (folder / "figures").glob("*.png")}


def test_a_run_leaves_figures_and_a_page_that_needs_nothing_else(command, tmp_path):
    ended = command("data=iris", "epochs=3", "figures=auto", "hydra.run.dir=run")
    assert ended.code == 0, ended.err
    assert f"report               {tmp_path}/run/report.html" in ended.out
    run = nettrain.Run(tmp_path / "run")
    assert names(tmp_path / "run") == CLASSIFIER
    page = Page(tmp_path / "run" / "report.html")
    assert len(page.captions) == len(CLASSIFIER)
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not re.search(r"@import|url\(|https?:|\bimport\b|fetch|XMLHttp", page.text + page.scripts)
    accuracy = f"{run.summary['test_accuracy']:.4g}"
    for expected in (
        accuracy,
        "iris: 150 rows, 106 for training, 22 for validation, 22 for testing; 4 features",
        "optimizer:\n  name: adam",
    ):
        assert expected in page.text
    events = EventAccumulator(str(run.folder), size_guidance={"images": 0}).Reload()
    shown = CLASSIFIER - {"loss", "accuracy", "gradient_norm", "update_to_weight", "dead"}  # those are curves there
    assert set(events.Tags()["images"]) == {f"figures/{name}" for name in shown}


def test_regression_on_one_input_plays_the_fit_over_the_epochs(here):
    options = ["experiment=quadratic_sgd", "epochs=10", "figures=auto", "quiet=true"]
    run = nettrain.train(options)
    three = {"loss_surface_1", "loss_surface_2", "loss_surface_3"}
    assert three | {"fitted_curve", "predicted", "residuals"} <= names(run.folder)
    events = EventAccumulator(str(run.folder), size_guidance={"images": 0}).Reload()
    steps = [image.step for image in events.Images("over the epochs")]
    per_epoch = run.summary["updates_per_epoch"]
    assert (len(steps), steps[0], steps[-1]) == (8, 0, 10 * per_epoch)


def test_a_metric_that_is_the_loss_in_other_units_is_not_drawn_again(here):
    run = nettrain.train(["data=diabetes", "epochs=4", "quiet=true"])
    assert run.metrics["train_mse"].corr(run.metrics["train_loss"]) > 0.999999
    assert [name for name in run.figures if f"train_{name}" in run.metrics] == ["loss", "mae"]  # no mse, no rmse
    huber = nettrain.train(["data=diabetes", "head=huber", "epochs=4", "quiet=true"])
    assert [name for name in huber.figures if f"train_{name}" in huber.metrics] == ["loss", "mse"]


def test_two_inputs_have_a_boundary_and_no_test_split_none_is_needed(here):
    run = nettrain.train(["data=moons", "epochs=2", "data.test_fraction=0", "figures=auto", "quiet=true"])
    assert {"decision_boundary", "confusion"} <= names(run.folder)
    figure = run.plot("decision_boundary")
    points = np.concatenate([c.get_offsets() for c in figure.axes[0].collections if len(c.get_offsets()) > 9])
    columns = [run.data.table.columns[name][run.data.splits["train"]] for name in run.data.table.columns]
    assert sorted(map(tuple, points.round(9))) == sorted(zip(*(c.round(9).tolist() for c in columns), strict=True))


def images(run):
    events = EventAccumulator(str(run.folder), size_guidance={"images": 0}).Reload()
    return {tag: [image.step for image in events.Images(tag)] for tag in events.Tags()["images"]}


LIVE = ("decision_boundary", "confusion", "roc", "precision_recall", "calibration")


@pytest.fixture
def clock(monkeypatch):
    """A clock by which every epoch takes a second, and drawing a picture so long: `clock.picture`."""
    clock = SimpleNamespace(now=100.0, picture=0.0, epochs=[], monotonic=lambda: clock.now)
    observe, begin = RunState.observe, Picture.begin

    def a_second_later(row, numbers, finite):
        clock.now += 1
        clock.epochs.append(clock.now)
        return observe(row, numbers, finite)

    def drawn(picture):
        clock.now += clock.picture
        return begin(picture)

    monkeypatch.setattr(live, "time", clock)
    monkeypatch.setattr(RunState, "observe", a_second_later)
    monkeypatch.setattr(Picture, "begin", drawn)
    return clock


def test_pictures_while_a_run_trains_are_drawn_whenever_the_time_has_doubled(here, clock):
    run = nettrain.train(["data=moons", "epochs=45", "figures=always", "quiet=true"])
    found, per_epoch = images(run), run.summary["updates_per_epoch"]
    for name in LIVE:
        assert found[f"while training/{name}"] == [10 * per_epoch, 20 * per_epoch, 40 * per_epoch]
        assert found[f"figures/{name}"] == [run.summary["updates"]]


def test_slow_pictures_take_a_twenty_fifth_of_the_time(here, clock):
    clock.picture = 1.0
    run = nettrain.train(["data=moons", "epochs=600", "bs=full", "figures=always", "quiet=true"])
    steps = images(run)["while training/roc"]
    assert (steps[0], len(steps)) == (10, 3)
    for drawn, step in enumerate(steps[1:], 2):
        assert drawn * len(LIVE) <= 0.04 * (clock.epochs[step - 1] - 100 + len(LIVE))


def test_what_takes_time_is_computed_for_a_figure_that_is_drawn_only(here, monkeypatch):
    run = nettrain.train(["experiment=quadratic_sgd", "epochs=3", "figures=auto", "quiet=true"])
    grids = []
    around = run_figures.around_path
    monkeypatch.setattr(run_figures, "around_path", lambda *arguments: grids.append(1) or around(*arguments))
    assert "loss_surface_3" in run.figures
    assert not grids
    run.plot("loss_surface_3")
    assert len(grids) == 1


def test_a_picture_that_cannot_be_drawn_does_not_end_a_run(here, monkeypatch, capsys):
    def broken(*_):
        raise ZeroDivisionError("no picture")

    monkeypatch.setattr(live, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(live, "predictions", broken)
    run = nettrain.train(["data=iris", "epochs=3", "figures=always", "quiet=true"])
    assert run.summary["status"] == "completed"
    sentence = "nettrain: no more figures are drawn during training: ZeroDivisionError: no picture\n"
    assert capsys.readouterr().err == sentence  # once
    assert "figures/confusion" in images(run)


def test_images_can_be_switched_off_by_themselves(here, monkeypatch):
    monkeypatch.setattr(live, "FIRST_SECONDS", 0.0)
    run = nettrain.train(["data=moons", "epochs=2", "figures=always", "watch.images=false", "quiet=true"])
    assert images(run) == {}
    assert "confusion" in names(run.folder)


def test_runs_of_a_sweep_have_all_figures_when_asked_for(command, tmp_path):
    ended = command("-m", "seed=1,2", "data=iris", "epochs=3", "figures=always", "quiet=true", "hydra.sweep.dir=sweep")
    assert ended.code == 0, ended.err
    for run in nettrain.Sweep(tmp_path / "sweep").runs:
        assert names(run.folder) == CLASSIFIER


def test_a_run_that_diverges_at_once_has_its_curves(here):
    run = nettrain.train(["data=iris", "epochs=3", "optimizer=sgd", "optimizer.lr=1e30", "figures=auto", "quiet=true"])
    assert "loss" in names(run.folder)
    assert "confusion" not in names(run.folder)
    assert "no best epoch" in Page(run.folder / "report.html").text


def test_a_run_without_epochs_has_a_page_without_figures(here):
    run = nettrain.train(["data=iris", "epochs=0", "figures=auto", "quiet=true"])
    assert Page(run.folder / "report.html").captions == []


def test_no_figures_when_switched_off(here):
    run = nettrain.train(["data=iris", "epochs=1", "figures=never", "quiet=true"])
    assert {path.name for path in run.folder.iterdir() if path.is_dir()} == {".hydra", "checkpoints"}
    assert not (run.folder / "report.html").exists()


def test_a_run_plots_what_its_files_show_and_names_what_there_is(here):
    run = nettrain.train(["data=iris", "epochs=2", "figures=never", "quiet=true"])
    assert set(run.figures) == CLASSIFIER - {"loss_surface", "loss_surface_random"}  # its path was not kept
    line = run.plot("accuracy").axes[0].get_lines()[0]
    assert line.get_ydata().tolist() == run.metrics["train_accuracy"].tolist()
    with pytest.raises(ConfigError, match="boundary: there is no such figure; choose from loss, accuracy"):
        run.plot("boundary")
    assert "<table>" in run._repr_html_()
    assert repr(run) == f"Run('{run.folder}')"
    (run.folder / "checkpoints" / "best.pt").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"choose from loss, .* Figures of predictions are missing: .*damaged"):
        nettrain.Run(run.folder).plot("confusion")


SWEEP = ("-m", "optimizer=sgd,adam", "optimizer.lr=0.001,0.1", "seed=range(3)", "data=iris", "epochs=3", "quiet=true")


@pytest.fixture
def sweep(command, tmp_path):
    ended = command(*SWEEP, "figures=auto", "hydra.sweep.dir=sweep")
    assert ended.code == 0, ended.err
    assert "report       sweep/report.html" in ended.out
    return nettrain.Sweep(tmp_path / "sweep")


def test_a_sweep_leaves_one_report_and_its_runs_none(sweep):
    pictures = {"curves", "time_to_target", "heat_map_optimizer_optimizer.lr"}  # its seconds and its cost are in step
    assert names(sweep.folder) == pictures == set(sweep.figures)
    assert not list(sweep.folder.glob("*/figures"))
    assert not list(sweep.folder.glob("*/report.html"))
    page = Page(sweep.folder / "report.html")
    assert len(page.captions) == 3
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert "paired t-test by seed, Holm-corrected for all 6 pairs" in page.text
    assert "iris: 150 rows, 106 for training, 22 for validation, 22 for testing" in page.text
    config = yaml.safe_load(page.text.partition("The same in all runs:")[2])
    assert (config["epochs"], config["data"]["name"]) == (3, "iris")
    assert not {"seed", "optimizer"} & set(config)
    best = sweep.results.groupby(["optimizer", "optimizer.lr"])["best_val_loss"].agg(["mean", "std"])
    mean, std = best.sort_values("mean").iloc[0]
    assert f"{mean:.4g} ± {std:.2g}" in page.text
    assert "choice" not in page.text


def test_a_sweep_is_read_into_tables_and_figures(sweep):
    assert len(sweep.results) == len(sweep.runs) == 12
    assert sweep.metrics.groupby("run").size().tolist() == [3] * 12
    pandas.testing.assert_frame_equal(
        sweep.metrics[sweep.metrics["run"] == "7"].drop(columns="run").reset_index(drop=True), sweep.runs[7].metrics
    )
    lines = {line.get_label(): line.get_ydata() for line in sweep.plot("curves").axes[0].get_lines()}
    own = sweep.metrics.merge(sweep.results[["run", "optimizer", "optimizer.lr"]])
    adam = own[(own["optimizer"] == "adam") & (own["optimizer.lr"] == 0.1)]
    assert lines["optimizer=adam lr=0.1"].tolist() == adam.groupby("epoch")["val_loss"].median().tolist()
    means = sweep.results.groupby(["optimizer", "optimizer.lr"])["best_val_loss"].mean()
    figure = sweep.plot("heat_map_optimizer_optimizer.lr")
    columns, shown = figure.axes[0].get_xticklabels(), np.ma.filled(figure.axes[0].images[0].get_array())
    assert {label.get_text(): column.tolist() for label, column in zip(columns, shown.T, strict=True)} == {
        name: pytest.approx(means[name].tolist()) for name in ("sgd", "adam")
    }
    lr = {name: means[name].idxmin() for name in ("sgd", "adam")}  # each at its best, of which every seed is shown
    figure = sweep.heat_map("seed", "optimizer")
    for label, row in zip(figure.axes[0].get_yticklabels(), figure.axes[0].images[0].get_array(), strict=True):
        of_best = own[(own["optimizer"] == label.get_text()) & (own["optimizer.lr"] == lr[label.get_text()])]
        assert row.tolist() == of_best.groupby("run", sort=False)["val_loss"].min().tolist()
    best = sweep.results.loc[sweep.results["best_val_loss"].idxmin()]
    assert sweep.best.folder == sweep.folder / best["run"]
    board = leaderboard(sweep.comparison).splitlines()
    first = sweep.results[(sweep.results["optimizer"] == "adam") & (sweep.results["optimizer.lr"] == 0.1)]
    row = next(i for i, line in enumerate(board) if line.split()[:2] == ["optimizer", "lr"]) + 1
    assert board[row].split()[:4] == ["adam", "0.1", first.loc[first["best_val_loss"].idxmin(), "run"], "3"]
    assert board[row].split()[8] == "best"
    assert "<table>" in sweep._repr_html_()
    assert repr(sweep) == f"Sweep('{sweep.folder}')"
    with pytest.raises(ConfigError, match=r"lr: no run of the sweep sets it; choose from optimizer, optimizer\.lr,"):
        sweep.heat_map("lr", "optimizer")
    with pytest.raises(CheckpointError, match=r"nettrain\.Sweep reads a sweep\."):
        nettrain.Run(sweep.folder)
    with pytest.raises(CheckpointError, match=r"nettrain\.Run reads a run\."):
        nettrain.Sweep(sweep.folder / "0")


def entry(values, seed, loss, status="completed", **more):
    return RunResult("0", {**values, "seed": str(seed)}, {"status": status, "best_val_loss": loss, **more})


def test_what_was_asked_for_is_a_value_in_the_results(tmp_path):
    texts = [("1e-3", "true", "null", "'2020_01'", "[8,8]", "full"), ("0.1", "False", "5", "'it\\'s'", "[8]", "8")]
    keys = ("optimizer.lr", "drop_last", "early_stopping.patience", "data.target", "model.hidden", "bs")
    for i, values in enumerate(texts):
        (tmp_path / str(i) / ".hydra").mkdir(parents=True)
        summary = {"status": "completed", "epochs": 2, "best_val_loss": 0.5 - i / 10}
        (tmp_path / str(i) / "summary.json").write_text(json.dumps(summary))
        overrides = [f"{key}={value}" for key, value in zip(keys, values, strict=True)] + ["epochs=9"]
        (tmp_path / str(i) / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(overrides))
    table = nettrain.Sweep(tmp_path).results
    assert table.loc[table["optimizer.lr"] == 0.001, "run"].tolist() == ["0"]
    assert table["drop_last"].tolist() == [True, False]
    assert table["drop_last"].dtype == bool
    assert table["early_stopping.patience"].isna().tolist() == [True, False]
    assert (table["early_stopping.patience"] == 5).tolist() == [False, True]
    assert table["data.target"].tolist() == ["2020_01", "it's"]
    assert table["model.hidden"].tolist() == ["[8,8]", "[8]"]
    assert table["bs"].tolist() == ["full", 8]
    assert table["epochs"].tolist() == [9, 9]  # asked for, as in results.csv
    assert table["summary.epochs"].tolist() == [2, 2]


def test_a_sweep_without_results_or_over_several_problems_has_no_best_run(command, tmp_path):
    arguments = ("optimizer=sgd", "optimizer.lr=1e30", "seed=1,2", "data=iris", "epochs=2", "quiet=true")
    assert command("-m", *arguments, "hydra.sweep.dir=diverged").code == 0
    with pytest.raises(CheckpointError, match="none of its runs has a result"):
        _ = nettrain.Sweep(tmp_path / "diverged").best
    assert command("-m", "data=iris,wine", "epochs=1", "quiet=true", "hydra.sweep.dir=two").code == 0
    with pytest.raises(ConfigError, match=r"2 problems \(data=iris, data=wine\)"):
        _ = nettrain.Sweep(tmp_path / "two").best


def test_interrupted_runs_show_what_they_reached(command, tmp_path, monkeypatch):
    observe, epochs = RunState.observe, []

    def then_ctrl_c(row, numbers, finite):
        epochs.append(1)
        if len(epochs) == 8:  # two epochs of four rows
            os.kill(os.getpid(), signal.SIGINT)
        return observe(row, numbers, finite)

    monkeypatch.setattr(RunState, "observe", then_ctrl_c)
    ended = command("-m", "optimizer.lr=1e-3,1e-2", "seed=1,2", "data=iris", "epochs=50", "quiet=true", *AUTO)
    assert ended.code == 130
    sweep = nettrain.Sweep(tmp_path / "sweep")
    assert set(sweep.results["status"]) == {"interrupted"}
    means = sweep.results.groupby("optimizer.lr")["best_val_loss"].mean().sort_values()
    header, *rows = [
        line.split() for line in ended.out.splitlines() if line.split()[:1] in (["lr"], ["0.001"], ["0.01"])
    ]
    assert header[:5] == ["lr", "folder", "runs", "bad", "interrupted"]
    assert [(float(row[0]), row[2:5], row[5]) for row in rows] == [
        (lr, ["2", "0", "2"], f"{mean:.4g}") for lr, mean in means.items()
    ]
    assert sweep.best.summary["best_val_loss"] == sweep.results["best_val_loss"].min()
    assert "curves" in names(sweep.folder)
    page = Page(sweep.folder / "report.html").text
    assert f"{means.iloc[0]:.4g} ±" in page


AUTO = ("figures=auto", "hydra.sweep.dir=sweep")


def band(comparison):
    (picture,) = [picture for picture in sweep_pictures(comparison) if picture.name == "curves"]
    (line,) = picture.draw().axes[0].get_lines()
    return line.get_ydata(), picture.caption


def courses(folder, **runs):
    """A comparison of runs with these statuses and losses."""
    results = []
    for i, (status, losses) in enumerate(runs.values()):
        (folder / str(i)).mkdir()
        rows = [f"{k + 1},{k + 1},0.1,{loss},0.1,{k + 1}" for k, loss in enumerate(losses)]
        header = "epoch,step,seconds,train_loss,lr,function_evaluations"
        (folder / str(i) / "metrics.csv").write_text("\n".join([header, *rows]) + "\n")
        summary = {"status": status, "updates_per_epoch": 1, "best_train_loss": min(losses), "best_epoch": 1}
        results.append(RunResult(str(i), {"seed": str(i)}, summary, folder / str(i)))
    return Comparison(results)


def test_a_run_that_ended_early_keeps_its_last_loss_in_the_curves(tmp_path):
    runs = courses(
        tmp_path, a=("completed", [5.0, 4.0]), b=("completed", [6.0, 3.0, 2.5]), c=("completed", [7.0, 1.0, 0.5, 0.1])
    )
    median, caption = band(runs)
    assert median.tolist() == [6, 3, 2.5, 2.5]  # and not that of the one that is left
    assert caption.endswith("one that ended before others keeps its last loss")


def test_a_run_that_diverged_is_the_worst_of_the_curves_and_an_interrupted_one_ends_them(tmp_path):
    losses = {"b": ("completed", [6.0, 3.0, 2.5]), "c": ("completed", [7.0, 1.0, 0.5])}
    (tmp_path / "d").mkdir()
    median, caption = band(courses(tmp_path / "d", a=("diverged", [5.0, 2.0]), **losses))
    assert median.tolist() == [6, 2, 2.5]
    assert "one that diverged counts as infinitely bad" in caption
    (tmp_path / "i").mkdir()
    median, _ = band(courses(tmp_path / "i", a=("interrupted", [5.0, 2.0]), **losses))
    assert np.array_equal(median, [6, 2, np.nan], equal_nan=True)


def test_split_seeds_are_repetitions(command, tmp_path):
    arguments = ("-m", "data=iris", "optimizer=sgd,adam", "data.split_seed=1,2,3", "epochs=2", "quiet=true")
    assert command(*arguments, "hydra.sweep.dir=sweep").code == 0
    comparison = nettrain.Sweep(tmp_path / "sweep").comparison
    assert [len(group.runs) for group in comparison.groups] == [3, 3]
    assert difference(*comparison.groups, comparison.loss).name == "paired t-test by seed"
    runs = gather([tmp_path / "sweep" / str(i) for i in range(6)])
    assert [sorted(run.repetition for run in group.runs) for group in runs.groups] == [
        [f"data.split_seed={i} seed=0" for i in (1, 2, 3)]
    ] * 2


def test_the_test_is_paired_where_the_seeds_are_the_same():
    a, b = [0.1, 0.25, 0.3], [0.2, 0.31, 0.42]
    runs = [entry({"lr": "1"}, i, x) for i, x in enumerate(a)] + [entry({"lr": "2"}, i, x) for i, x in enumerate(b)]
    one, other = Comparison(runs).groups
    tested, expected = difference(one, other, "best_val_loss"), ttest_rel(a, b)
    assert tested[:2] == ("paired t-test by seed", pytest.approx(expected.pvalue))
    low, high = expected.confidence_interval(0.95)
    assert tested.margin == pytest.approx((high - low) / 2)
    runs[-1].overrides["seed"] = "9"
    one, other = Comparison(runs).groups
    tested, expected = difference(one, other, "best_val_loss"), ttest_ind(a, b, equal_var=False)
    assert tested[:2] == ("Welch's t-test", pytest.approx(expected.pvalue))
    low, high = expected.confidence_interval(0.95)
    assert tested.margin == pytest.approx((high - low) / 2)


def test_overlapping_folds_are_compared_by_the_corrected_test():
    """Nadeau and Bengio (2003): t = mean / sqrt((1 / n + n_val / n_train) s^2), here by the t-distribution's tail."""
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=10) + 0.5, draw.normal(size=10)
    folds = [{"fold": i % 5, "split_seed": i // 5, "rows_train": 80, "rows_val": 20} for i in range(10)]

    def groups(values, n, **more):
        runs = []
        for lr, results in zip("12", values, strict=True):
            for i, value in enumerate(results[:n]):
                run = entry({"lr": lr, "split.fold": str(i % 5)}, i // 5, value)
                run.summary |= folds[i] | more
                runs.append(run)
        return sorted(Comparison(runs).groups, key=lambda group: group.values)

    for n in (5, 10):  # one partition, and two
        gap = (a - b)[:n]
        expected = 2 * t.sf(abs(gap.mean()) / np.sqrt((1 / n + 0.25) * gap.var(ddof=1)), n - 1)
        name, p, _ = difference(*groups([a, b], n), "best_val_loss")
        assert (name[:20], p) == ("paired t-test by fol", pytest.approx(expected))
        assert p > ttest_rel(a[:n], b[:n]).pvalue
    gap = (a - b).reshape(2, 5).mean(0)  # two seeds on the same folds
    expected = 2 * t.sf(abs(gap.mean()) / np.sqrt((1 / 5 + 0.25) * gap.var(ddof=1)), 4)
    assert difference(*groups([a, b], 10, split_seed=0), "best_val_loss")[1] == pytest.approx(expected)


def test_holm_s_correction():
    assert holm([0.01, 0.04, 0.03, 0.5], 4) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([0.001, 0.02], 6) == pytest.approx([0.006, 0.1])
    assert holm([], 0) == []


def losses_by_lr(losses, runs=4):
    noise = [0.0, 0.01, -0.01, 0.02][:runs]
    return [
        entry({"optimizer.lr": lr}, i, loss + e * (1 + float(lr)))
        for lr, loss in losses.items()
        for i, e in enumerate(noise)
    ]


def test_the_table_says_what_is_worse_by_more_than_the_noise():
    runs = losses_by_lr({"0.1": 1.0, "0.2": 1.001, "0.3": 5.0, "0.4": 1.006})
    table = Comparison(runs)
    told = noise(table)
    assert [group.values for group in table.groups] == [("0.1",), ("0.2",), ("0.4",), ("0.3",)]
    assert [verdict.word for verdict in told.verdicts] == ["best", "within noise", "worse?", "worse"]
    by_lr = {lr: [run.summary["best_val_loss"] for run in runs[4 * i :][:4]] for i, lr in enumerate("1234")}
    behind = [np.mean(by_lr[lr]) - np.mean(by_lr["1"]) for lr in "243"]
    assert [verdict.behind for verdict in told.verdicts[1:]] == pytest.approx(behind)
    raw = {lr: ttest_rel(by_lr["1"], by_lr[lr]).pvalue for lr in "243"}
    corrected = dict(zip("243", holm([raw[lr] for lr in "243"], 6), strict=True))
    assert [verdict.p for verdict in told.verdicts[1:]] == pytest.approx([corrected[lr] for lr in "243"])
    assert raw["4"] < 0.05 < corrected["4"]  # hence its question mark
    assert any("Holm-corrected for all 6 pairs" in sentence for sentence in told.sentences)
    few = noise(Comparison(runs[::4]))
    assert [verdict.word for verdict in few.verdicts] == ["best", "one run", "one run", "one run"]
    assert few.sentences[0].startswith("Nothing can be said about noise")


def test_a_setting_that_diverges_at_times_is_not_called_the_best():
    runs = [entry({"lr": "1"}, 0, 0.1), entry({"lr": "1"}, 1, 0.1), entry({"lr": "1"}, 2, None, "diverged")]
    runs += [entry({"lr": lr}, i, loss + i / 100) for lr, loss in (("2", 0.5), ("3", 0.9)) for i in range(3)]
    comparison = Comparison(runs)
    assert [group.values[0] for group in comparison.groups] == ["2", "3", "1"]
    assert [verdict.word for verdict in noise(comparison).verdicts] == ["best", "worse", "1 diverged"]


def test_equal_settings_are_rarely_told_apart():
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(100):
        losses = rng.normal(size=(10, 4))
        runs = [entry({"lr": str(k)}, i, float(losses[k, i])) for k in range(10) for i in range(4)]
        wrong += "worse" in [verdict.word for verdict in noise(Comparison(runs)).verdicts]
    assert wrong <= 10  # at most 5 in 100 are expected; a correction for the nine comparisons alone has about 12


def grid(losses):
    """A run for each (data, optimizer, lr) and seed, with a little noise over the seeds."""
    return [
        entry({"data": data, "optimizer": name, "optimizer.lr": lr}, i, loss * (1 + i / 100))
        for (data, name, lr), loss in losses.items()
        for i in range(3)
    ]


def test_each_optimizer_is_shown_at_its_own_best_learning_rate():
    losses = {("iris", name, lr): 1.0 for name in "abcd" for lr in ("0.1", "0.01", "1")}
    losses |= {
        ("iris", "a", "1"): 0.1,
        ("iris", "b", "0.1"): 0.3,
        ("iris", "c", "0.01"): 0.2,
        ("iris", "a", "0.1"): 0.15,
    }
    comparison = Comparison(grid(losses))
    best = {name: group.values[1] for name, group in best_of_each(comparison, "optimizer").items()}
    assert list(best.items())[:3] == [("a", "1"), ("c", "0.01"), ("b", "0.1")]
    assert [group.values for group in chosen(comparison)] == list(best.items())  # and not the best six
    (table,) = [section for section in sweep_sections(comparison) if section.heading == "Each value at its best"]
    assert [row[:4] for row in table.rows[:3]] == [
        ["optimizer", "a", "lr=1", "3"],
        ["optimizer", "c", "lr=0.01", "3"],
        ["optimizer", "b", "lr=0.1", "3"],
    ]
    pictures = {picture.name: picture for picture in sweep_pictures(comparison)}
    lines = pictures["response_optimizer.lr"].draw().axes[0].get_lines()
    assert lines[0].get_xdata().tolist() == [0.01, 0.1, 1]
    assert lines[0].get_ydata() == pytest.approx([1.01, 0.1515, 0.101])
    cells = pictures["heat_map_optimizer_optimizer.lr"].draw().axes[0]
    framed = cells.patches[0].get_xy()
    ticks = [[label.get_text() for label in labels] for labels in (cells.get_xticklabels(), cells.get_yticklabels())]
    assert [names[round(at + 0.5)] for names, at in zip(ticks, framed, strict=True)] == ["a", "1"]


def test_the_framed_cell_is_the_first_of_the_leaderboard_not_one_that_diverges_at_times():
    losses = {("iris", name, lr): 0.5 + i / 10 for i, name in enumerate("abc") for lr in ("0.1", "0.01")}
    runs = grid(losses)
    runs[0].summary |= {"status": "diverged"}
    runs[1].summary["best_val_loss"] = runs[2].summary["best_val_loss"] = 0.1
    comparison = Comparison(runs)
    assert comparison.groups[0].values == ("a", "0.01")
    cells = next(p for p in sweep_pictures(comparison) if p.name.startswith("heat_map")).draw().axes[0]
    column, row = cells.patches[0].get_xy()
    assert (cells.get_xticklabels()[round(column + 0.5)].get_text(), round(row + 0.5)) == ("a", 0)
    assert cells.images[0].get_array()[:, round(column + 0.5)].tolist() == pytest.approx([0.505, 0.1])


def test_mean_ranks_over_several_data_sets_are_those_of_friedman_s_test(capsys):
    rng = np.random.default_rng(1)
    names, sets = ["sgd", "adam", "lion", "rprop"], ["iris", "wine", "digits", "moons", "sine"]
    losses = {(data, name, "0.1"): float(rng.random()) for data in sets for name in names}
    losses[("wine", "adam", "0.1")] = losses[("wine", "sgd", "0.1")]  # a tie
    comparison = Comparison(grid(losses))
    ranking = mean_ranks(comparison)
    table = np.array([[losses[data, name, "0.1"] for name in names] for data in sets])
    expected = dict(zip([f"optimizer={name}" for name in names], rankdata(table, axis=1).mean(0), strict=True))
    assert {row.name: row.rank for row in ranking.rows} == pytest.approx(expected)
    assert [row.rank for row in ranking.rows] == sorted(expected.values())
    assert ranking.p == pytest.approx(friedmanchisquare(*table.T).pvalue)
    board = leaderboard(comparison).splitlines()
    assert max(map(len, board)) <= 80
    assert [line for line in board if line.startswith("data=")] == [f"data={name}" for name in sets]
    assert "mean rank over 5 problems, the settings" in board
    headings = [section.heading for section in sweep_sections(comparison)]
    assert headings == ["Mean ranks of the settings", *(f"Leaderboard of data={name}" for name in sets)]


def test_figures_that_would_say_nothing_are_left_out(tmp_path):
    (tmp_path / "one").mkdir()
    several = courses(tmp_path / "one", **{str(i): ("completed", [3.0, 2.0 - i / 9]) for i in range(3)})
    assert [picture.name for picture in sweep_pictures(several)] == ["curves"]  # seeds of one setting
    for i, run in enumerate(several.runs):
        run.overrides |= {"optimizer.lr": str(10.0**i)}
    names = [picture.name for picture in sweep_pictures(Comparison(several.runs))]
    assert names == ["curves", "response_optimizer.lr"]  # and no time to target of one seed


def test_diverged_runs_are_counted_and_do_not_spoil_the_mean():
    runs = [entry({"lr": "1"}, 0, 0.5), entry({"lr": "1"}, 1, 0.3), entry({"lr": "1"}, 2, 1e9, "diverged")]
    comparison = Comparison([*runs, entry({"lr": "2"}, 0, 0.6)])
    assert comparison.groups[1].spread("best_val_loss") == f"0.4 ± {statistics.stdev([0.5, 0.3]):.2g}"
    assert comparison.groups[1].count("diverged") == 1


def test_settings_without_a_validation_split_are_ordered_by_their_own_loss():
    runs = [entry({"optimizer.lr": lr}, i, loss) for lr, loss in (("1", 0.5), ("2", 0.3)) for i in range(2)]
    for lr, loss in (("1", 0.2), ("2", 0.1)):
        summary = {"status": "completed", "best_train_loss": loss}
        runs.append(RunResult("9" + lr, {"optimizer.lr": lr, "data.val_fraction": "0"}, summary))
    comparison = Comparison(runs)
    assert [(group.values, comparison.best_of(group).name) for group in comparison.groups] == [
        (("2", ""), "0"),
        (("1", ""), "0"),
        (("2", "0"), "92"),
        (("1", "0"), "91"),
    ]
    lines = [line.split() for line in leaderboard(comparison).splitlines()]
    headers = [i for i, line in enumerate(lines) if line[:4] == ["lr", "folder", "runs", "bad"]]
    assert [lines[i][4:] for i in headers] == [["best_val_loss", "vs", "best"], ["best_train_loss"]]
    assert [lines[i + 1] for i in headers] == [
        ["2", "0", "2", "0", "0.3", "±", "0", "best"],
        ["2", "92", "1", "0", "0.1"],
    ]


def test_the_leaderboard_fits_80_columns():
    keys = ["optimizer", "optimizer.lr", "model.hidden", "data.val_fraction", "schedule", "activation"]
    runs = [entry({key: f"{key} is {i} " + "x" * i for key in keys}, 0, 0.5 + i, test_accuracy=0.5) for i in range(30)]
    lines = leaderboard(Comparison(runs)).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[3].startswith("opt…")
    assert lines[3].split()[-1] == "0.5"


def test_long_numbers_are_rounded_unless_they_would_be_the_same():
    def shown(*rates):
        comparison = Comparison([entry({"lr": lr}, 0, 0.1 + i) for i, lr in enumerate(rates)])
        return [line.split()[0] for line in leaderboard(comparison).splitlines()[-len(rates) :]]

    assert shown("0.1296065659727972", "0.1", "1e-3") == ["0.129607", "0.1", "1e-3"]
    assert shown("0.1296065659727972", "0.1296065659727973") == ["0.1296065659727972", "0.1296065659727973"]


@pytest.mark.parametrize(
    ("terminal", "no_color", "shown"), [(True, "", "\x1b[32mok\x1b[0m"), (True, "1", "ok"), (False, "", "ok")]
)
def test_colours_are_for_terminals_only(monkeypatch, terminal, no_color, shown):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    assert painted("ok", "green") == shown


def test_the_target_is_nine_tenths_of_the_way_to_the_best_loss_of_the_same_seed():
    slow = Curve("1", np.array([2.0, 1.0, 0.5, 0.15]), np.arange(1.0, 5))
    fast = Curve("1", np.array([2.0, 0.1, np.nan]), np.arange(10.0, 13))
    other = Curve("2", np.array([9.0, 8.0]), np.arange(1.0, 3))  # a split on which no loss gets as low
    times = times_to_target({"a": [slow, other], "b": [fast]})  # 0.1 + 0.1 (2 - 0.1) and 8 + 0.1 (9 - 8)
    assert times == {"a": {"1": [4.0], "2": [2.0]}, "b": {"1": [11.0]}}


def test_gradients_and_hessian_vector_products_cost_and_seconds_are_drawn_beside(command, tmp_path):
    common = ("data=iris", "model.hidden=[4]", "bs=full", "epochs=4", "quiet=true", "hydra.sweep.dir=sweep")
    assert command("-m", "optimizer=newton,genetic,adam", "seed=1,2", *common).code == 0
    sweep = nettrain.Sweep(tmp_path / "sweep")
    drawn = {picture.name: picture.arguments for picture in sweep_pictures(sweep.comparison)}
    for run in sweep.runs:
        label, table = f"optimizer={run.config.optimizer.name}", run.metrics
        spent = table["function_evaluations"] + 2 * table["gradient_evaluations"] + 4 * table["hessian_vector_products"]
        which = run.config.seed - 1
        cost, seconds = (drawn[name][0][label][which] for name in ("time_to_target", "time_to_target_seconds"))
        assert cost == np.inf or cost in set(spent)
        assert seconds == np.inf or seconds in set(table["seconds"])
        if label == "optimizer=newton":
            assert np.isfinite([cost, seconds]).all()
            assert cost > 4 * 35  # one Hessian of the 35 weights


def test_runs_that_diverged_never_reach_the_target(command, tmp_path):
    ended = command(
        *("-m", "optimizer=sgd", "seed=range(3)", "data=iris", "epochs=3", "quiet=true", "hydra.sweep.dir=sweep"),
        *("hydra.sweeper.zip=[seed,optimizer.lr]", "optimizer.lr=0.1,0.1,1e30"),
    )
    assert ended.code == 0, ended.err
    sweep = nettrain.Sweep(tmp_path / "sweep")
    for run in sweep.comparison.runs:
        run.overrides["optimizer.lr"] = "0.1"  # as if they had been one setting
    others = [replace(run, overrides=run.overrides | {"optimizer.lr": "0.2"}) for run in sweep.comparison.runs]
    comparison = Comparison([*sweep.comparison.runs, *others])
    line, _ = next(p for p in sweep_pictures(comparison) if p.name == "time_to_target").draw().axes[0].get_lines()
    assert line.get_ydata()[-1] == pytest.approx(2 / 3)


def test_a_sweep_of_which_nothing_completed_has_a_page_without_figures(command, tmp_path):
    arguments = ("optimizer=sgd", "optimizer.lr=1e30", "seed=1,2", "data=iris", "epochs=2", "quiet=true")
    assert command("-m", *arguments, "figures=auto", "hydra.sweep.dir=sweep").code == 0
    page = Page(tmp_path / "sweep" / "report.html")
    assert page.captions == []
    assert "Figures" not in page.text
    assert "2 runs: 2 diverged" in page.text
    assert "iris: 150 rows" in page.text


def test_a_setting_that_cannot_be_trained_makes_no_second_problem(command, tmp_path):
    ended = command("-m", "head=auto,sigmoid_bce", "data=iris", "epochs=1", "quiet=true", "hydra.sweep.dir=sweep")
    assert ended.code == 2
    comparison = nettrain.Sweep(tmp_path / "sweep").comparison
    assert list(comparison.problems) == [""]
    assert [picture.name for picture in sweep_pictures(comparison)] == ["curves"]


def compare(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["nettrain-compare", *map(str, arguments)])
    code = 0
    try:
        tools.compare()
    except SystemExit as end:
        code = end.code
    return (code, *capsys.readouterr())


def test_runs_of_several_folders_are_compared_by_what_their_configs_differ_in(here, monkeypatch, capsys):
    for optimizer in ("sgd", "adam"):
        nettrain.train(["data=iris", "epochs=2", f"optimizer={optimizer}", "quiet=true"], folder=optimizer)
    nettrain.train(["data=iris", "epochs=2", "bs=8", "quiet=true"], folder="small")  # the default optimizer, not named
    code, out, err = compare(monkeypatch, capsys, "sgd", "adam", "small", "output=page.html")
    assert (code, out, err) == (0, "report in page.html\n", "")
    page = Page(here / "page.html")
    header = re.search(r"optimizer\s*bs\s*runs|bs\s*optimizer\s*runs", page.text)
    assert header, page.text


def test_sweeps_over_several_data_sets_have_a_performance_profile(command, tmp_path, monkeypatch, capsys):
    for data in ("iris", "wine"):
        arguments = ("-m", "optimizer=sgd,adam", "seed=1,2", f"data={data}", "epochs=4", "quiet=true")
        assert command(*arguments, f"hydra.sweep.dir={data}", "tensorboard=false").code == 0
    capsys.readouterr()
    code, out, _ = compare(monkeypatch, capsys, "iris", "wine")
    assert (code, out) == (0, "report in comparison.html\n")
    captions = " ".join(Page(tmp_path / "comparison.html").captions)
    assert "the share of the 4 problems (data and seed) that each setting solves" in captions
    both = gather([tmp_path / "iris", tmp_path / "wine"])
    assert [group.values[both.keys.index("data")] for group in both.groups] == ["iris", "iris", "wine", "wine"]
    drawn = [p.draw() for p in sweep_pictures(both) if p.name.startswith("curves") or "profile" in p.name]
    labels = {tuple(text.get_text() for text in figure.legends[0].get_texts()) for figure in drawn}
    assert len(labels) == 1  # in one order, and so in the same colours
    names, costs = problem_costs(both)
    assert sorted(names) == ["optimizer=adam", "optimizer=sgd"]
    assert costs.shape == (4, 2)
    assert np.isfinite(costs).any(1).all()  # the best run of each problem has reached its own target


RUNS = {
    "a": [],
    "b": ["early_stopping.patience=10", "data.val_fraction=0.2"],
    "c": ["data.val_fraction=0", "optimizer=sgd"],
    "d": ["data=wine", "optimizer=sgd", "bs=8"],
    "e": ["seed=1"],
}


@pytest.fixture
def runs(here):
    for name, options in RUNS.items():
        nettrain.train(["data=iris", *options, "epochs=3", "quiet=true", "tensorboard=false"], folder=name)
    return here


@pytest.mark.sample(3)
@pytest.mark.parametrize("compared", ["ab", "ac", "acd", "abcde", "de"])
def test_runs_on_different_problems_are_compared_with_the_same_names_everywhere(runs, monkeypatch, capsys, compared):
    code, out, err = compare(monkeypatch, capsys, *compared)
    assert (code, out, err) == (0, "report in comparison.html\n", "")
    comparison = gather([runs / name for name in compared])
    labels = {comparison.label(group) for group in comparison.groups}
    drawn = [picture.draw() for picture in sweep_pictures(comparison)]
    assert {text.get_text() for figure in drawn for text in figure.legends[0].get_texts()} == labels
    assert set(problem_costs(comparison)[0]) == labels
    for group in comparison.groups:  # each by the loss that it has
        results = [run.summary.get("best_val_loss", run.summary.get("best_train_loss")) for run in group.runs]
        assert any(
            group.spread(column).startswith(f"{statistics.fmean(results):.4g}") for column in comparison.measured[:2]
        )


def test_figures_are_files_of_other_formats_by_one_command(runs, monkeypatch, capsys):
    code, out, err = compare(monkeypatch, capsys, "b", "d", "figures=pdf,svg", "output=page.html")
    assert (code, out, err) == (0, "report in page.html\nfigures in page_figures\n", "")
    files = {path.name for path in (runs / "page_figures").iterdir()}
    assert {"curves_1.pdf", "curves_1.svg", "performance_profile.pdf"} <= files
    assert not [name for name in files if name.endswith("png")]
    code, _, err = compare(monkeypatch, capsys, "b", "d", "figures=gif")
    assert (code, err) == (2, "nettrain: figures=gif: 'gif' is no format; choose from png, svg, pdf.\n")


def test_a_single_run_is_reported_again(here, monkeypatch, capsys):
    run = nettrain.train(["data=iris", "epochs=1", "quiet=true"], folder="run")
    assert compare(monkeypatch, capsys, "run") == (0, "report in run/report.html\n", "")
    assert "confusion" in names(run.folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nettrain: nettrain-compare: which runs or sweeps? Give their folders.\n"),
        (("nothing",), "nettrain: nothing: there is no run or sweep that has ended.\n"),
    ],
)
def test_mistakes_in_a_comparison(here, monkeypatch, capsys, arguments, message):
    code, out, err = compare(monkeypatch, capsys, *arguments)
    assert (out, err) == ("", message)
    assert code in (2, 5)
    assert list(here.iterdir()) == []


def test_figures_of_many_samples_are_of_some_and_say_so(here, monkeypatch):
    monkeypatch.setattr(prediction_figures, "NUMBERS", 30)  # 10 samples of three classes
    monkeypatch.setattr(prediction_figures, "POINTS", 20)
    run = nettrain.train(["data=iris", "epochs=1", "quiet=true"])
    pictures = {picture.name: picture for picture in run_figures.run_pictures(run)[0]}
    assert "on the 22 samples of the test split" in pictures["confusion"].caption
    for name in ("roc", "precision_recall", "calibration"):
        assert pictures[name].caption.partition(":")[0].endswith("on 10 of the 22 samples of the test split")
    y, p, _ = pictures["roc"].arguments
    probabilities = run.head.mean(run.logits(run.data.x[run.data.splits["test"]])).double().tolist()
    labels = run.data.y[run.data.splits["test"]].tolist()
    assert len(y) == 10
    assert set(zip(map(tuple, p.tolist()), y.tolist(), strict=True)) <= set(
        zip(map(tuple, probabilities), labels, strict=True)
    )
    run = nettrain.train(["data=quadratic", "model=polynomial", "epochs=1", "quiet=true"])
    pictures = {picture.name: picture for picture in run_figures.run_pictures(run)[0]}
    rows = len(run.data.splits["train"])
    assert pictures["fitted_curve"].caption.endswith(f"with 20 of the {rows} samples of the training split")
    points = pictures["fitted_curve"].draw().axes[0].collections[0].get_offsets()
    assert len(points) == 20


def test_a_search_among_all_numbers_is_drawn_in_bins():
    rates = np.random.default_rng(0).permutation(np.geomspace(1e-4, 1, 200))
    runs = [
        entry({"optimizer": "ab"[i % 2], "optimizer.lr": f"{lr:.17g}"}, 0, abs(np.log10(lr) + 2))
        for i, lr in enumerate(rates)
    ]
    picture = next(p for p in sweep_pictures(Comparison(runs)) if p.name == "response_optimizer.lr")
    lines = picture.draw().axes[0].get_lines()[::2]
    assert [len(line.get_xdata()) for line in lines] == [10, 10]
    best = {
        name: min(run.summary["best_val_loss"] for run in runs if run.overrides["optimizer"] == name) for name in "ab"
    }
    assert {line.get_label()[-1]: line.get_ydata().min() for line in lines} == best


def test_a_key_with_very_many_values_has_no_heat_map():
    runs = [entry({"a": f"text {i}", "b": str(i % 3), "c": str(i % 2)}, 0, 0.5) for i in range(61)]
    names = [picture.name for picture in sweep_pictures(Comparison(runs))]
    assert [name for name in names if name.startswith("heat_map")] == ["heat_map_b_c"]
    names = [picture.name for picture in sweep_pictures(Comparison(runs[:60]))]
    assert sum(name.startswith("heat_map") for name in names) == 3


def test_the_surface_of_a_large_network_has_fewer_samples_and_says_how_many(tmp_path, monkeypatch):
    monkeypatch.setattr(run_figures, "MULTIPLICATIONS", 2**31)  # of a network that is not so large
    table = pandas.DataFrame(np.random.default_rng(0).normal(size=(302, 500)))
    table.columns = [f"x{i}" for i in table.columns]
    words = "data.target=x0 model=tabm epochs=2 quiet=true figures=always recipe=plain data.test_fraction=0"
    shown = {}
    for drop in (["x1"], list(table.columns[20:])):
        folder = tmp_path / str(len(drop))
        nettrain.train(words, folder=folder, data=table.drop(columns=drop))
        text = (folder / "report.html").read_text()
        shown[len(drop)] = int(re.search(r"the loss on (?:all|the first) (\d+) training", text)[1])
    assert shown[480] == 256
    assert 16 <= shown[1] < 100
