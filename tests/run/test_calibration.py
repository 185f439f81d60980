"""The temperature of a classifier: SciPy's, fitted on the validation rows, and used wherever it predicts."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from sklearn.datasets import load_digits

import nettrain
from nettrain.parts.heads import SigmoidBCE, SoftmaxCE
from nettrain.training.calibration import solve

QUIET = {"quiet": True, "figures": "never"}


def least(loss, count):
    """log T with the least sum of losses and (log T)^2 / (2 0.5^2), by SciPy."""
    found = minimize_scalar(
        lambda log_t: count * float(loss(math.exp(log_t))) + log_t**2 / 0.5,
        bounds=(-4, 4),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return found.x


@pytest.mark.parametrize("scale", [0.2, 1.0, 6.0])
def test_the_temperature_is_scipy_s(scale):
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(3, 80, 4, generator=draw, dtype=torch.float64)
    y = torch.distributions.Categorical(logits=z).sample()
    weights = torch.rand(3, 80, generator=draw, dtype=torch.float64)
    many = solve(SoftmaxCE(), scale * z, y, weights)
    assert (scale < 2) or (many > 1.5).all()
    for k in range(3):
        expected = least(
            lambda t, k=k: (F.cross_entropy(scale * z[k] / t, y[k], reduction="none") * weights[k]).mean(), 80
        )
        assert math.log(many[k]) == pytest.approx(expected, abs=1e-6)
        alone = solve(SoftmaxCE(), scale * z[k], y[k], weights[k])
        assert alone == pytest.approx(float(many[k]), rel=1e-9)
    two = solve(SigmoidBCE(), scale * z[0, :, :1], (y[0] > 1).long(), torch.ones(80, dtype=torch.float64))
    expected = least(lambda t: F.binary_cross_entropy_with_logits(scale * z[0, :, 0] / t, (y[0] > 1).double()), 80)
    assert math.log(two) == pytest.approx(expected, abs=1e-6)


def test_few_rows_that_are_all_right_do_not_make_it_sure():
    z = torch.tensor([[3.0, 0.0], [0.0, 3.0], [4.0, 0.0]])
    assert 0.5 < solve(SoftmaxCE(), z, torch.tensor([0, 1, 0]), torch.ones(3)) < 1


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


OVERFITTED = {
    "data": "digits",
    "monitor": "val_accuracy",
    "optimizer.lr": 0.01,
    "epochs": 25,
    "calibrate": "always",
    **QUIET,
}


def test_a_run_that_is_too_sure_is_calibrated_wherever_it_predicts(here, capsys):
    run = nettrain.train({**OVERFITTED, "quiet": False})
    plain = nettrain.train({**OVERFITTED, "calibrate": "never"})
    t = run.summary["temperature"]
    assert t > 1.1
    said = capsys.readouterr().out
    losses = f"{run.summary['best_val_loss']:.4g} to {run.summary['calibrated_val_loss']:.4g}"
    assert f"temperature {t:.4g}: the loss of the validation rows goes from {losses}" in said
    of_val = run.data.splits["val"]
    z_val = run.model(torch.as_tensor(run.data.x[of_val], dtype=torch.float32)).detach().double()
    expected = least(lambda t: F.cross_entropy(z_val / t, torch.as_tensor(run.data.y[of_val])), len(of_val))
    assert math.log(t) == pytest.approx(expected, abs=1e-4)
    assert run.summary["test_loss"] < plain.summary["test_loss"]
    assert run.summary["test_accuracy"] == plain.summary["test_accuracy"]
    assert "temperature" not in plain.summary
    rows, data = run.data.splits["test"], run.data
    z = run.model(torch.as_tensor(data.x[rows], dtype=torch.float32)).detach().double() / t
    assert run.summary["test_loss"] == pytest.approx(float(F.cross_entropy(z, torch.as_tensor(data.y[rows]))), rel=1e-5)
    digits = load_digits(as_frame=True)
    table = digits.data.set_axis(list(data.table.columns), axis=1).iloc[rows]
    p = run.predict(table)[[f"probability_{c}" for c in range(10)]].to_numpy()
    np.testing.assert_allclose(p, torch.softmax(z, -1).numpy(), rtol=1e-4, atol=1e-7)
    measured = run.evaluate(table.assign(target=digits.target.iloc[rows]))
    assert measured["loss"] == pytest.approx(run.summary["test_loss"], rel=1e-4)


def test_rows_of_a_stack_have_the_temperatures_of_the_runs_alone(here):
    config = {**OVERFITTED, "data": "breast_cancer", "precision": "float64", "epochs": 8}
    folds = {"split": "fold", "split.folds": 3, "data.split_seed": 0}
    for words, key, numbers in (({}, "seed", (1, 2, 3)), (folds, "split.fold", (0, 1, 2))):
        sweep = nettrain.sweep({**config, **words, key: ",".join(map(str, numbers))})
        found = set()
        for number, row in zip(numbers, sweep.runs, strict=True):
            alone = nettrain.train({**config, **words, key: number})
            for name in ("temperature", "calibrated_val_loss", "test_loss"):
                assert row.summary[name] == pytest.approx(alone.summary[name], rel=1e-6)
            found.add(row.summary["temperature"])
        assert len(found) == 3


def test_a_temperature_never_raises_the_loss_of_the_validation_rows(here):
    for epochs in (0, 3):
        run = nettrain.train({"data": "iris", "epochs": epochs, "calibrate": "always", **QUIET})
        losses = run.summary["calibrated_val_loss"], run.summary.get("best_val_loss", math.inf)
        assert losses[0] < losses[1] or (run.summary["temperature"] == 1 and losses[0] == losses[1])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=diabetes"], "head=identity_mse predicts numbers; it is for head=sigmoid_bce and softmax_ce."),
        (["head=ordinal"], "head=ordinal has logits without a temperature; it is for head=sigmoid_bce and softmax_ce."),
        (["data.val_fraction=0"], "no rows validate; use data.val_fraction=0.15, or calibrate=auto."),
    ],
)
def test_what_has_no_temperature_is_refused(words, said, command):
    ended = command(*words, "calibrate=always", "epochs=1")
    assert (ended.code, ended.err) == (2, f"nettrain: calibrate=always: {said}\n")
