"""The course: every command of its pages runs, what each page claims holds, and its picture can be drawn.

The numbers are those that the pages state.
"""

import inspect
import io
import re
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nettrain.config.schema import config_folder
from nettrain.optimizers import rules
from nettrain.parts import activations
from nettrain.storage.checkpoint_files import load_checkpoint

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
import course
import course_pictures
import course_runs

PAGES = {path.stem: path.read_text() for path in course.PAGES.glob("*.md") if path.stem != "README"}


@pytest.fixture
def page(command, tmp_path):
    """`page(name)` runs the page's commands, and draws its picture; the runs of each command."""

    def run(name):
        found = []
        for number, arguments in enumerate(course.commands(name)):
            folder = tmp_path / str(number)
            ended = command(*course.into(arguments, folder), "quiet=true")
            assert ended.code == 0, ended.err
            found.append(course.results(folder))
        image = Image.open(io.BytesIO(course_pictures.png(getattr(course_pictures, name)(*found), dpi=30)))
        assert len(image.convert("RGB").getcolors(1 << 24)) > 50
        return found

    return run


def losses(runs, key="train_loss"):
    return [run.summary[key] for run in runs]


def lower_half(run):
    """The median of what the last 20 epochs lose to the least loss."""
    return np.median(course_runs.excess(run)[1][0, -20:])


def test_activations(page):
    (sweep,) = page("activations")
    x = torch.linspace(-8, 8, 1001, dtype=torch.float64)
    torch.testing.assert_close(activations.tanh(x), 2 * activations.sigmoid(2 * x) - 1)
    assert (activations.tanh(x) - (2 * activations.sigmoid(x) - 1)).abs().max() == pytest.approx(0.30, abs=0.001)
    loss = dict(zip(("identity", "step", "sigmoid", "tanh", "relu", "leaky_relu"), losses(sweep), strict=True))
    stated = {"identity": 0.27, "step": 0.40, "sigmoid": 0.19, "tanh": 0.078, "relu": 0.055, "leaky_relu": 0.053}
    assert loss == pytest.approx(stated, rel=0.1)


def test_linear_network(page):
    straight, bent = page("linear_network")
    x, y = course_runs.training_points(straight[0])
    least = np.mean((np.polyval(np.polyfit(x, y, 1), x) - y) ** 2)
    assert losses([*straight, bent[0]], "train_mse") == pytest.approx([least] * 4, rel=1e-12)
    assert losses(straight, "parameters") == [2, 49, 593]
    assert max(losses(bent[1:], "train_mse")) < 0.04 < 0.4 < least


def test_vanishing_gradients(page):
    (sweep,) = page("vanishing_gradients")
    norms = [course_runs.first_gradient_norms(run) for run in sweep]
    assert [len(n) for n in norms] == [9] * 4
    ratios = [n[-1] / n[0] for n in norms]
    assert ratios[0] == pytest.approx(2100, rel=0.1)
    assert max(ratios[1:]) < 5
    sigmoid, *others = losses(sweep)
    assert sigmoid == pytest.approx(np.log(10), rel=0.01)
    assert max(others) < 0.1


def test_likelihood(page):
    (sweep,) = page("likelihood")
    distributions = {
        "sigmoid_bce": lambda z: torch.distributions.Bernoulli(logits=z.squeeze(-1)),
        "softmax_ce": lambda z: torch.distributions.Categorical(logits=z),
        "identity_mse": lambda z: torch.distributions.Normal(z.squeeze(-1), 0.5**0.5),
    }
    for run in sweep:
        data = course_runs.prepared(run).data
        rows = data.splits["test"]
        y = torch.as_tensor(data.y[rows])
        distribution = distributions[run.head.name](run.model(torch.as_tensor(data.x[rows], dtype=torch.float32)))
        constant = 0.5 * np.log(np.pi) if run.head.name == "identity_mse" else 0.0  # with the variance 1/2
        likelihood = distribution.log_prob(y.float() if run.head.name == "sigmoid_bce" else y).mean().item()
        assert run.summary["test_loss"] == pytest.approx(-likelihood - constant, rel=1e-4)
    assert losses(sweep, "test_loss") == pytest.approx([0.0642, 0.2905, 0.423], rel=0.1)


def test_counting_updates(page):
    (run,), sweep = page("counting_updates")
    assert (run.summary["updates_per_epoch"], run.summary["updates"], run.summary["epochs"]) == (8, 80, 10)
    assert losses(sweep, "updates_per_epoch") == [64, 13, 8, 1]
    assert losses(sweep, "updates") == [640, 130, 80, 10]
    assert losses(sweep, "test_loss") == pytest.approx([0.017, 0.62, 1.47, 9.16], rel=0.1)


def test_batch_size(page):
    (sweep,) = page("batch_size")
    assert losses(sweep, "updates") == [3840, 480, 60]
    single, batch, full = (course_runs.excess(run)[1][0] for run in sweep)
    assert single[1] < batch[1] < full[1]
    assert lower_half(sweep[0]) > 10 * lower_half(sweep[1])
    assert (np.diff(full) < 0).all()
    assert batch[5] == pytest.approx(full[40], rel=0.2)  # both after 40 updates


def test_learning_rate_decay(page):
    (sweep,) = page("learning_rate_decay")
    constant, step, inverse_time, cosine = map(lower_half, sweep)
    assert constant > 10 * inverse_time > 100 * cosine > 1000 * step
    assert [run.metrics["lr"].iloc[-1] for run in sweep[:3]] == pytest.approx([0.3, 0.3 / 2**9, 0.3 / 10.9])


def test_momentum(page):
    (sweep,) = page("momentum")
    end = [course_runs.excess(run)[1][0, -1] for run in sweep]
    assert end == pytest.approx([0.0015, 0.00074, 8.2e-5, 7.0e-7, 0.060], rel=0.05)


def test_adaptive(page):
    sweep, (plain_adagrad,), (plain_adam,), (standardized,) = page("adaptive")
    best = {}
    for run in sweep:
        name = run.config.optimizer.name
        best[name] = min(best.get(name, np.inf), run.summary["train_loss"])
    assert best == pytest.approx({"sgd": 0.98, "adagrad": 0.22, "rmsprop": 0.32, "adam": 0.15}, rel=0.1)
    assert plain_adagrad.summary["train_loss"] == pytest.approx(best["adagrad"], rel=1e-4)
    assert plain_adam.summary["train_loss"] == pytest.approx(0.21, rel=0.1)
    assert standardized.summary["train_loss"] == pytest.approx(0.034, rel=0.1)


@pytest.mark.usefixtures("parts_are_forgotten")
def test_own_rule(page):
    sweep, (signs,) = page("own_rule")
    best = {}
    for run in sweep:
        name, loss = run.config.optimizer.name, run.summary["train_loss"]
        best[name] = min(best.get(name, (np.inf, 0)), (loss, run.config.optimizer.lr))
        if (name, run.config.optimizer.lr) == ("lion", 0.1):
            assert loss == pytest.approx(51, rel=0.1)
    assert {name: rate for name, (_, rate) in best.items()} == {"sgd": 1e-5, "adam": 0.01, "lion": 0.001}
    assert [loss for loss, _ in best.values()] == pytest.approx([0.98, 0.15, 0.23], rel=0.1)
    assert signs.summary["train_loss"] == pytest.approx(0.47, rel=0.1)


def test_second_order(page):
    exact, (descent,), network = page("second_order")
    assert losses(exact, "updates") == [1, 14, 10]
    assert max(course_runs.excess(run)[1][0, -1] for run in exact) < 1e-16
    assert 1e-11 < course_runs.excess(descent)[1][0, -1] < 1e-9
    assert losses(network) == pytest.approx([0.087, 0.18, 0.18], rel=0.1)
    assert network[0].summary["hessian_vector_products"] == 97 * network[0].summary["updates"]


def test_search(page):
    (genetic, hill_climb), (adam,) = page("search")
    assert max(losses([genetic, hill_climb])) < 0.1
    assert adam.summary["train_loss"] == pytest.approx(0.31, rel=0.1)
    before = course_runs.prepared(adam).model.state_dict()["layers.0.weight"]
    after = load_checkpoint(adam.folder / "checkpoints" / "last.pt")["model"]["layers.0.weight"]
    assert torch.equal(before, after)


def test_parabola(page):
    (whole,), shorter, (lbfgs,) = page("parabola")
    least_squares = np.polyfit(*course_runs.training_points(whole), 2)
    for run in (whole, lbfgs):
        (found,) = course_runs.last_weights(run)["weight"].numpy()
        np.testing.assert_allclose(found, least_squares, atol=6e-4)
    assert (whole.summary["updates"], lbfgs.summary["updates"]) == (4000, 10)
    assert losses(shorter, "updates") == [8 * n for n in (0, 5, 10, 20, 50, 100)]
    for run in shorter[1:]:
        assert run.summary["train_loss"] == whole.metrics["train_loss"][run.summary["epochs"] - 1]


def test_overfitting(page):
    ((small, right, large),) = page("overfitting")
    assert losses([small, right, large], "parameters") == [7, 13, 4353]
    assert small.summary["val_loss"] > 0.6
    assert right.summary["val_loss"] < 0.2
    best = large.metrics.loc[large.summary["best_epoch"] - 1]
    assert large.summary["train_loss"] < 0.1 * best["train_loss"]
    assert large.summary["val_loss"] > 1.8 * best["val_loss"]


def test_every_page_has_its_experiment_its_picture_and_its_place_in_the_contents():
    assert set(PAGES) == {path.stem for path in (config_folder() / "experiment" / "course").glob("*.yaml")}
    contents = (course.PAGES / "README.md").read_text()
    for name, text in PAGES.items():
        assert f"]({name}.md)" in contents
        assert f"]({name}.png)" in text
        assert (course.PAGES / f"{name}.png").exists()
        for target in re.findall(r"\]\((\S+\.md)\)", text):
            assert (course.PAGES / target).exists()


@pytest.mark.parametrize("name", PAGES)
def test_code_on_a_page_is_that_of_the_program(name):
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", PAGES[name], re.M | re.S)
    assert {language for language, _ in blocks} <= {"sh", "math", "python"}
    for language, block in blocks:
        if language == "python":
            own = course.PAGES / name / "parts.py"
            source = own.read_text() if own.is_file() else inspect.getsource(rules)
            assert textwrap.indent(block, " " * (4 if own.is_file() else 8)) in source
        if language == "sh":
            assert all(line.startswith("python train.py ") for line in block.splitlines())
