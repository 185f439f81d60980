"""`report_figures`: a config chooses figures of one idea each, of a run or a sweep, and hears which it cannot have."""

import numpy as np
import pytest
import torch

import nettrain
from nettrain.config.settings import FIGURES
from nettrain.report.lessons import LESSONS
from nettrain.report.starts import excess, first_gradients, least_loss, training_batch


def figures_of(folder):
    return {path.stem for path in (folder / "figures").glob("*.png")}


def test_the_names_of_the_key_are_those_that_can_be_drawn():
    assert list(FIGURES) == sorted(LESSONS)


def test_a_report_begins_with_the_figures_that_were_asked_for(command, here):
    words = ["experiment=course/gradient_descent", "figures=auto", "quiet=true", "epochs=5"]
    assert command("-m", *words, "optimizer.lr=0.03,0.3", "seed=0,1", "hydra.sweep.dir=sweep").code == 0
    assert {"paths", "excess", "curves"} <= figures_of(here / "sweep")
    page = (here / "sweep" / "report.html").read_text()
    first, second = (
        page.index(text) for text in ("over the two weights, with the path", "how far the training loss is")
    )
    assert page[:first].count("data:image/png") <= 1
    assert page[first:second].count("data:image/png") <= 1
    assert command(*words, "hydra.run.dir=run").code == 0
    assert {"paths", "excess", "loss"} <= figures_of(here / "run")


def test_gradients_by_layer_of_networks_of_different_depths(command, here):
    words = ["data=iris", "epochs=2", "figures=auto", "quiet=true", "report_figures=[layer_gradients]"]
    assert command("-m", *words, "model.hidden=[4,4],[4,4,4]", "seed=0,1", "hydra.sweep.dir=sweep").code == 0
    assert "layer_gradients" in figures_of(here / "sweep")


def test_what_runs_do_not_have_is_left_out_with_a_sentence(command, here):
    words = ["data=iris", "epochs=2", "figures=auto", "quiet=true", "report_figures=[paths,fitted_curves,outcomes]"]
    assert command(*words, "hydra.run.dir=run").code == 0
    page = (here / "run" / "report.html").read_text()
    assert "paths is left out: it is for linear models of two weights." in page
    assert "fitted_curves is left out: it is for one input and a target of numbers." in page
    assert "outcomes" in figures_of(here / "run")


def test_an_unknown_figure_is_refused_before_training(command, here):
    ended = command("report_figures=[curve]", "hydra.run.dir=run")
    assert ended.code == 2
    assert "report_figures" in ended.err
    assert "one of activations, backpropagation" in ended.err
    assert not (here / "run").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["data=iris", "model.hidden=[3]", "precision=float64"],
        ["data=sine", "model.init_scale=0.5", "model.hidden=[3]"],
        ["experiment=course/parabola"],
    ],
)
def test_first_weights_are_those_before_the_first_update(command, here, words):
    command(*words, "epochs=1", "figures=auto", "quiet=true", "seed=3", "hydra.run.dir=run")
    run = nettrain.Run("run")
    epochs, w = run.trajectory
    assert epochs[0] == 0
    torch.testing.assert_close(run.first_weights, w[0], rtol=0, atol=0)


def test_the_initial_weights_are_scaled(command, here):
    for number, scale in enumerate((1, 2)):
        command(f"model.init_scale={scale}", "epochs=0", "quiet=true", f"hydra.run.dir={number}")
    one, two = (nettrain.Run(str(number)).first_weights for number in (0, 1))
    torch.testing.assert_close(two, 2 * one)


def test_rows_of_a_stack_may_differ_in_the_scale_of_their_weights(command, here):
    words = ["data=iris", "epochs=2"]
    ended = command("-m", *words, "model.init_scale=0,0.5,2", "hydra.sweep.dir=sweep")
    assert "3 runs -> 1 stack of 3" in ended.out
    command(*words, "model.init_scale=2", "hydra.run.dir=alone")
    (of_sweep,) = (run for run in nettrain.Sweep("sweep").runs if run.config.model.init_scale == 2)
    assert of_sweep.summary["train_loss"] == pytest.approx(nettrain.Run("alone").summary["train_loss"], rel=1e-4)


def test_the_least_loss_is_that_of_least_squares_and_a_run_approaches_it(command, here):
    words = ["data=diabetes", "model=linear", "optimizer=newton", "bs=full", "data.val_fraction=0", "precision=float64"]
    command(*words, "epochs=3", "quiet=true", "hydra.run.dir=run")
    run = nettrain.Run("run")
    x, y = (tensor.numpy() for tensor in training_batch(run))
    design = np.column_stack([x, np.ones(len(x))])
    residuals = design @ np.linalg.lstsq(design, y, rcond=None)[0] - y
    assert least_loss(run) == pytest.approx(np.mean(residuals**2), rel=1e-12)
    assert excess(run)[0] > 0.3
    assert excess(run)[-1] < 1e-12


def test_gradients_before_the_first_update_are_autograds(command, here):
    command("data=iris", "model.hidden=[4,4]", "precision=float64", "epochs=1", "quiet=true", "hydra.run.dir=run")
    run = nettrain.Run("run")
    torch.nn.utils.vector_to_parameters(run.first_weights, run.model.parameters())
    x, y = training_batch(run)
    torch.nn.functional.cross_entropy(run.model(x), y).backward()
    norms = [p.grad.norm().item() for name, p in run.model.named_parameters() if name.endswith("weight")]
    assert list(first_gradients(run).values()) == pytest.approx(norms)


def test_a_path_of_two_weights_has_every_update(command, here):
    words = ["experiment=course/gradient_descent", "epochs=60", "quiet=true"]
    command("-m", *words, "seed=0,1", "hydra.sweep.dir=sweep")
    epochs, w = nettrain.Sweep("sweep").runs[0].trajectory
    assert epochs == list(range(61))
    assert w.shape == (61, 2)
