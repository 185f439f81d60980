"""The course: the commands of its pages run, its tables are what they leave, and conclusions hold over ten seeds."""

import inspect
import itertools
import re
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nettrain.config.schema import config_folder
from nettrain.exercises.course import EXERCISES
from nettrain.optimizers import rules
from nettrain.parts import activations
from nettrain.report.starts import excess, least_weights, training_batch
from nettrain.storage.checkpoint_files import load_checkpoint

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
import course
import course_tables
from course_tables import lost, of, settings

PAGES = course.order()
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


@pytest.fixture
def page(command, tmp_path):
    """`page(name)` runs the page's commands, and compares its tables; the runs of each command."""

    def run(name):
        found = []
        for number, arguments in enumerate(course.commands(course.parts(name)[0])):
            folder = tmp_path / str(number)
            ended = command(*course.into(arguments, folder), "quiet=true")
            assert ended.code == 0, ended.err
            found.append(course.results(folder))
        compare(course.tables(name), getattr(course_tables, name)(*found))
        return found

    return run


def compare(stated, measured):
    """The cells of a page's tables with those measured: the words are the same, and the numbers nearly."""
    for table, rows in zip(stated, measured, strict=False):
        assert len(table) == len(rows)
        for line, row in zip(table, rows, strict=True):
            for cell, value in zip(line[len(line) - len(row) :], row, strict=True):
                assert NUMBER.sub("", cell) == NUMBER.sub("", value)
                pairs = zip(NUMBER.findall(cell), NUMBER.findall(value), strict=True)
                for a, b in ((float(a), float(b)) for a, b in pairs):
                    assert a == pytest.approx(b, rel=0.1) or max(abs(a), abs(b)) < 1e-13, (cell, value)


def each_seed(*columns):
    """Whether the first of some lists of numbers is below the second, and so on, with every seed."""
    return all((np.array(a) < np.array(b)).all() for a, b in itertools.pairwise(columns))


def test_parabola(page):
    (run,), sweep = page("parabola")
    for other in sweep:
        found = other.trajectory[1][-1]
        torch.testing.assert_close(found, least_weights(other), rtol=0, atol=5e-3)
    assert max(abs(least_weights(other)[0] - 2) for other in sweep) == pytest.approx(0.07, rel=0.1)
    x, y = (t.double().numpy() for t in training_batch(run))
    np.testing.assert_allclose(least_weights(run).double().numpy(), np.polyfit(x[:, 0], y, 2), atol=1e-5)


def test_gradient_descent(page):
    (sweep,) = page("gradient_descent")
    small, medium, right, large = settings(sweep)
    assert each_seed(lost(right, 100), lost(medium, 100), lost(small, 100), lost(large, 100))
    for runs in (small, medium, right):
        assert all((np.diff(excess(run)) <= 0).all() for run in runs)
    rates = []
    for run in right:
        x = training_batch(run)[0].numpy()[:, 0]
        eigenvalues = np.linalg.eigvalsh(2 * np.array([[np.mean(x * x), x.mean()], [x.mean(), 1]]))
        assert eigenvalues == pytest.approx([0.3, 4.7], rel=0.15)
        rates.append(2 / eigenvalues[1])
    assert 0.3 < min(rates) < max(rates) < 0.5
    assert np.median(rates) == pytest.approx(0.43, abs=0.005)


def test_backpropagation(page):
    ((run,),) = page("backpropagation")
    assert run.columns["train_loss"][0] == pytest.approx(0.792, abs=5e-4)
    x, y = training_batch(run)
    w = run.first_weights
    assert float(run.objective.value(w, x, y)) == pytest.approx(0.883, abs=5e-4)
    assert run.columns["gradient_norm/layers.0"][0] == pytest.approx(0.141, abs=5e-4)
    assert run.columns["gradient_norm/layers.1"][0] == pytest.approx(0.470, abs=5e-4)


def test_counting_updates(page):
    (run,), sweep = page("counting_updates")
    assert (run.summary["updates_per_epoch"], run.summary["updates"], run.summary["epochs"]) == (8, 80, 10)
    assert each_seed(*(of(runs, "test_loss") for runs in settings(sweep)))


def test_batch_size(page):
    (sweep,) = page("batch_size")
    single, batch, full = settings(sweep)
    assert each_seed(lost(single, 1), lost(batch, 1), lost(full, 1))
    assert each_seed(lost(batch), lost(single))
    for run, other in zip(batch, full, strict=True):
        assert (np.diff(excess(other)) < 0).all()
        assert np.log(excess(run)[5] / excess(other)[40]) == pytest.approx(0, abs=1.2)  # both after 40 updates


def test_learning_rate_decay(page):
    (sweep,) = page("learning_rate_decay")
    constant, step, inverse_time, cosine = (lost(runs) for runs in settings(sweep))
    assert each_seed(step, cosine, inverse_time, constant)
    assert np.median(lost(settings(sweep)[0], 1)) == pytest.approx(np.median(constant), rel=0.5)


def test_momentum(page):
    (sweep,) = page("momentum")
    plain, half, large, best, too_large = settings(sweep)
    others = [plain, half, large, too_large]
    assert all(each_seed(lost(best, 200), lost(runs, 200)) for runs in others)
    assert sum(np.less(lost(large, 50), lost(best, 50))) > 5
    assert np.median(lost(plain, 200)) > 1e6 * np.median(lost(best, 200))
    # What the leaderboard ranks by says the same as the page.
    losses = [np.mean([run.summary["best_train_loss"] for run in runs]) for runs in settings(sweep)]
    assert losses[3] == min(losses)


def test_adaptive(page):
    sweep, (*plain_adagrad,), (*plain_adam,), standardized = page("adaptive")
    best = course_tables.best_rates(sweep)
    lowest = {name: of(runs, "best_train_loss") for name, (_, runs) in best.items()}
    assert each_seed(lowest["adam"], lowest["rmsprop"], lowest["adagrad"], lowest["sgd"])
    last = {name: of(runs, "train_loss") for name, (_, runs) in best.items()}
    assert np.median(last["adagrad"]) < np.median(last["rmsprop"])
    assert 0 < sum(np.less(last["adagrad"], last["rmsprop"])) < 10
    assert of(plain_adagrad, "train_loss") == pytest.approx(last["adagrad"], rel=1e-4)
    adam = [run for run in sweep if (run.config.optimizer.name, run.config.optimizer.lr) == ("adam", 0.1)]
    assert np.median(of(plain_adam, "train_loss")) == pytest.approx(np.median(of(adam, "train_loss")), rel=0.05)
    diverged = [run.summary["status"] for run in sweep if run.config.optimizer.name == "sgd"][10:20]
    assert diverged == ["diverged"] * 10
    least = [float(run.objective.value(least_weights(run), *training_batch(run))) for run in sweep[:10]]
    assert np.median(least) == pytest.approx(2860, rel=0.02)
    assert np.median([course_tables.constant_loss(run) for run in sweep[:10]]) == pytest.approx(5900, rel=0.02)
    own_least = [float(run.objective.value(least_weights(run), *training_batch(run))) for run in standardized]
    assert each_seed(np.divide(of(standardized, "train_loss"), own_least), np.divide(last["sgd"], least))


def test_likelihood(page):
    (sweep,) = page("likelihood")
    distributions = {
        "sigmoid_bce": lambda z: torch.distributions.Bernoulli(logits=z.squeeze(-1)),
        "softmax_ce": lambda z: torch.distributions.Categorical(logits=z),
        "identity_mse": lambda z: torch.distributions.Normal(z.squeeze(-1), 0.5**0.5),
    }
    for runs in settings(sweep):
        for run in runs[::5]:
            rows = run.data.splits["test"]
            y = torch.as_tensor(run.data.y[rows])
            distribution = distributions[run.head.name](run.model(torch.as_tensor(run.data.x[rows]).float()))
            constant = 0.5 * np.log(np.pi) if run.head.name == "identity_mse" else 0.0  # with the variance 1/2
            likelihood = distribution.log_prob(y.float() if run.head.name == "sigmoid_bce" else y).mean().item()
            assert run.summary["test_loss"] == pytest.approx(-likelihood - constant, rel=1e-4)


@pytest.mark.slow
def test_activations(page):
    (sweep,) = page("activations")
    x = torch.linspace(-8, 8, 1001, dtype=torch.float64)
    torch.testing.assert_close(activations.tanh(x), 2 * activations.sigmoid(2 * x) - 1)
    assert (activations.tanh(x) - (2 * activations.sigmoid(x) - 1)).abs().max() == pytest.approx(0.30, abs=0.001)
    _, step, sigmoid, *others = (of(runs, "train_loss") for runs in settings(sweep))
    assert all(each_seed(other, sigmoid, step) for other in others)


@pytest.mark.slow
def test_vanishing_gradients(page):
    (sweep,) = page("vanishing_gradients")
    sigmoid, *others = settings(sweep)
    assert of(sigmoid, "train_loss") == pytest.approx([2.31] * 10, abs=0.01)
    assert all(max(of(runs, "train_loss")) < 0.1 for runs in others)
    for predicted, runs in zip(course_tables.predicted_factors(), settings(sweep), strict=True):
        measured = np.median([course_tables.layer_factor(run) for run in runs])
        assert measured == pytest.approx(predicted, rel=0.15)


@pytest.mark.slow
def test_linear_network(page):
    straight, bent = page("linear_network")
    for runs in settings(straight):
        for run in runs:
            x, y = (t.numpy() for t in training_batch(run))
            least = np.mean((np.polyval(np.polyfit(x[:, 0], y, 1), x[:, 0]) - y) ** 2)
            assert run.summary["train_loss"] == pytest.approx(least, rel=1e-10)
    one, three = settings(bent)[1:]
    assert max(of(one, "train_mse")) < 0.05
    assert np.median(of(three, "train_mse")) < 0.04


@pytest.mark.slow
def test_initialisation(page):
    (sweep,) = page("initialisation")
    losses = [of(runs, "train_loss") for runs in settings(sweep)]
    assert losses[0] == pytest.approx([np.log(10)] * 10, abs=0.01)
    assert losses[1] == pytest.approx([np.log(10)] * 10, abs=0.01)
    assert all(each_seed(losses[3], losses[i]) for i in (0, 1, 2, 4, 5))
    assert each_seed(losses[4], losses[5])


@pytest.mark.slow
def test_second_order(page):
    exact, descent, network = page("second_order")
    newton, bfgs, lbfgs = settings(exact)
    assert of(newton, "updates") == [1] * 10
    assert max(lost([*newton, *bfgs, *lbfgs], 100)) < 1e-13
    assert min(lost(descent, 100)) > max(lost(newton, 100))
    newton, bfgs, lbfgs = (of(runs, "train_loss") for runs in settings(network))
    assert each_seed(newton, bfgs)
    assert each_seed(newton, lbfgs)
    for run in settings(network)[0]:
        assert run.summary["hessian_vector_products"] >= 97 * run.summary["updates"]
    assert all(np.median(of(runs, "test_loss")) > 1 for runs in settings(network))


@pytest.mark.slow
def test_search(page):
    sweep, adam = page("search")
    genetic, hill_climb = settings(sweep)
    assert max(of([*genetic, *hill_climb], "train_loss")) < min(of(adam, "train_loss"))
    for run in adam:
        first = run.objective.layout.views(run.first_weights)["layers.0.weight"]
        last = load_checkpoint(run.folder / "checkpoints" / "last.pt")["model"]["layers.0.weight"]
        torch.testing.assert_close(first, last, rtol=0, atol=0)


@pytest.mark.slow
def test_overfitting(page):
    (sweep,) = page("overfitting")
    small, right, large = settings(sweep)
    assert [runs[0].summary["parameters"] for runs in settings(sweep)] == [7, 25, 4353]
    assert sum(np.less(of(right, "val_loss"), of(small, "val_loss"))) >= 9
    assert each_seed(of(large, "train_loss"), of(right, "train_loss"))
    assert sum(np.less(of(right, "val_loss"), of(large, "val_loss"))) >= 8
    assert all(run.summary["best_epoch"] < 500 for run in large)
    assert each_seed(of(large, "best_val_loss"), of(large, "val_loss"))


@pytest.mark.slow
def test_regularisation(page):
    decays, dropouts, (*stopped,), sizes = page("regularisation")
    nothing, decay, too_much = settings(decays)
    for runs in (decay, *settings(dropouts)[:1], stopped, settings(sizes)[1]):
        assert sum(np.less(of(runs, "val_loss"), of(nothing, "val_loss"))) >= 8
        assert each_seed(of(nothing, "train_loss"), of(runs, "train_loss"))
    assert each_seed(of(nothing, "val_loss"), of(too_much, "val_loss"))
    assert each_seed(of(settings(sizes)[1], "val_loss"), of(nothing, "val_loss"))


@pytest.mark.slow
@pytest.mark.usefixtures("parts_are_forgotten")
def test_own_rule(page):
    sweep, signs = page("own_rule")
    best = {name: of(runs, "best_train_loss") for name, (_, runs) in course_tables.best_rates(sweep).items()}
    assert each_seed(best["lion"], best["sgd"])
    assert each_seed(best["adam"], best["sgd"])
    assert sum(np.less(best["adam"], best["lion"])) >= 8
    assert each_seed(best["lion"], of(signs, "best_train_loss"))


def test_pages_are_in_order_with_their_experiments_pictures_and_neighbours():
    names = {path.stem for path in course.PAGES.glob("*.md")} - {"README"}
    assert len(PAGES) == len(names)
    assert set(PAGES) == names == {path.stem for path in (config_folder() / "experiment" / "course").glob("*.yaml")}
    for before, name, after in zip([None, *PAGES[:-1]], PAGES, [*PAGES[1:], None], strict=True):
        text = (course.PAGES / f"{name}.md").read_text()
        last = text.rstrip().splitlines()[-1]
        assert re.findall(r"(Previous|Next): \[[^]]*\]\((\w+)\.md\)", last) == [
            *([("Previous", before)] if before else []),
            *([("Next", after)] if after else []),
        ]
        for target in re.findall(r"\]\((\S+\.md)\)", text):
            assert (course.PAGES / target).exists()
        assert course.pictures(name)
        for number, figure in course.pictures(name):
            image = Image.open(course.PAGES / name / f"{number}_{figure}.png")
            image.thumbnail((160, 120))
            assert len(image.convert("RGB").getcolors(1 << 24)) > 50
        assert len(list((course.PAGES / name).glob("*.png"))) == len(course.pictures(name))


@pytest.mark.parametrize("name", PAGES)
def test_code_on_a_page_is_that_of_the_program(name):
    text = (course.PAGES / f"{name}.md").read_text()
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S)
    assert {language for language, _ in blocks} <= {"sh", "math", "python"}
    for language, block in blocks:
        if language == "python":
            own = course.PAGES / name / "parts.py"
            source = own.read_text() if own.is_file() else inspect.getsource(rules)
            assert textwrap.indent(block, " " * (4 if own.is_file() else 8)) in source
        if language == "sh":
            assert all(line.startswith("python train.py ") for line in block.splitlines())


@pytest.mark.parametrize("name", PAGES)
def test_exercises_of_a_page_are_those_that_can_be_checked(name):
    text = course.parts(name)[1]
    asked = re.findall(r"`nettrain-check (\w+) ([A-Z0-9_ ]+)`", text)
    known = {key: exercise for key, exercise in EXERCISES.items() if key.rpartition("_")[0] == name}
    assert [exercise for exercise, _ in asked] == list(known) == [f"{name}_{i + 1}" for i in range(len(known))]
    assert len(re.findall(r"^\*\*\d+\. (?:Predict|Run|Explain|Write it)\.\*\*", text, re.M)) == len(known)
    for exercise, words in asked:
        assert len(words.split()) == len(known[exercise].takes)


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.usefixtures("parts_are_forgotten")
def test_commands_of_exercises_run(command, tmp_path, name):
    for number, arguments in enumerate(course.commands(course.parts(name)[1])):
        fewer = [word for word in arguments if not word.startswith(("seed=", "epochs="))]
        ended = command(*course.into(fewer, tmp_path / str(number)), "epochs=1", "quiet=true")
        assert ended.code == 0, ended.err


@pytest.mark.sample(4)
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.usefixtures("parts_are_forgotten")
def test_a_report_has_the_figures_that_its_page_shows(command, tmp_path, name):
    for number, arguments in enumerate(course.commands(course.parts(name)[0]), 1):
        shown = {figure for of_command, figure in course.pictures(name) if of_command == number}
        if not shown:
            continue
        fewer = [word for word in arguments if not word.startswith("seed=")]
        short = [] if name in ("backpropagation", "parabola") else ["epochs=2"]
        folder = tmp_path / str(number)
        ended = command(*course.into(fewer, folder), *short, "seed=0", "quiet=true", "figures=auto")
        assert ended.code == 0, ended.err
        assert shown <= {path.stem for path in (folder / "figures").glob("*.png")}
        assert "is left out" not in (folder / "report.html").read_text() or name in ("linear_network", "second_order")
