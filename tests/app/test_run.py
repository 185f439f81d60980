"""A finished run: predictions, evaluation, and the commands that do the same."""

import json
import sys

import numpy as np
import pandas
import pytest
import torch
from sklearn.datasets import load_diabetes, load_iris

import nettrain
from nettrain.app import tools
from nettrain.errors import CheckpointError, ConfigError, DataError


def table(kind):
    rng = np.random.default_rng(0)
    n = 240
    age = rng.normal(40, 12, n).round(1)
    town = rng.choice(["Bern", "Graz", "Lyon"], n)
    income = rng.normal(3000, 400, n)
    score = (age - 40) / 12 + (town == "Lyon") + (income - 3000) / 400 + rng.normal(0, 0.3, n)
    target = {
        "regression": (score * 50 + 1000).round(2),
        "binary": np.where(score > 0.3, "yes", "no"),
        "multiclass": np.digitize(score, [-0.5, 1.0]),
    }[kind]
    frame = pandas.DataFrame({"age": age, "town": town, "income": income, "y": target})
    frame.loc[::9, "age"] = np.nan
    frame.loc[::11, "town"] = None
    return frame


@pytest.fixture(params=["regression", "binary", "multiclass"])
def trained(request, here):
    frame = table(request.param)
    frame[:180].to_csv(here / "train.csv", index=False)
    frame[180:].to_csv(here / "new.csv", index=False)
    run = nettrain.train(
        ["data=csv", "recipe=plain", "data.path=train.csv", "data.target=y", "epochs=40", "bs=16", "quiet=true"]
    )
    return request.param, frame, nettrain.Run(run.folder)


def test_predictions_of_a_new_table(trained, here):
    kind, frame, run = trained
    new = frame[180:]
    predicted = run.predict(new.drop(columns="y"))
    assert predicted.index.equals(new.index)
    if kind == "regression":
        assert list(predicted) == ["prediction"]
        assert np.corrcoef(predicted["prediction"], new["y"])[0, 1] > 0.8
        assert abs(predicted["prediction"].mean() - new["y"].mean()) < 30
    else:
        names = sorted(map(str, frame["y"].unique()))
        assert list(predicted) == ["prediction", *(f"probability_{name}" for name in names)]
        probabilities = predicted.drop(columns="prediction").to_numpy()
        assert probabilities.sum(axis=1) == pytest.approx(np.ones(60), abs=1e-6)
        assert [names[i] for i in probabilities.argmax(axis=1)] == predicted["prediction"].astype(str).tolist()
        assert (predicted["prediction"].to_numpy() == new["y"].to_numpy()).mean() > 0.75
    assert run.predict("new.csv")["prediction"].tolist() == predicted["prediction"].tolist()


def test_evaluation_agrees_with_the_predictions(trained):
    kind, frame, run = trained
    new = frame[180:]
    numbers, predicted = run.evaluate(new), run.predict(new)["prediction"]
    if kind == "regression":
        assert numbers["mse"] == pytest.approx(((predicted - new["y"]) ** 2).mean(), rel=1e-4)
    else:
        assert numbers["accuracy"] == pytest.approx((predicted.to_numpy() == new["y"].to_numpy()).mean())
        chosen = run.predict(new)[[f"probability_{name}" for name in run.encoder.classes]].to_numpy()
        own = chosen[np.arange(60), [run.encoder.classes.index(str(y)) for y in new["y"]]]
        assert numbers["loss"] == pytest.approx(-np.log(own).mean(), rel=1e-4)


def test_the_commands_write_the_predictions_and_print_the_evaluation(trained, here, monkeypatch, capsys):
    _, _, run = trained
    monkeypatch.setattr(sys, "argv", ["nettrain-predict", f"run={run.folder}", "data.path=new.csv", "output=p.csv"])
    tools.predict()
    written = pandas.read_csv(here / "p.csv")
    assert written["prediction"].tolist() == run.predict("new.csv")["prediction"].tolist()
    monkeypatch.setattr(sys, "argv", ["nettrain-evaluate", f"run={run.folder}", "data.path=new.csv"])
    capsys.readouterr()
    tools.evaluate()
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert {name: float(value) for name, value in printed.items()} == pytest.approx(run.evaluate("new.csv"), rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run=none", "data.path=x.csv"], 5, "none: no run is there (it has no .hydra/config.yaml)."),
        (["run=none"], 2, "data.path: a value is required, data.path=..."),
        (
            ["runs=none"],
            2,
            "runs=none: known are run=..., data.path=..., data.query=..., data.database=..., keep=..., strict=..., "
            "interval=..., escape=..., trust=..., output=..., data.header=..., data.separator=..., data.decimal=..., "
            "data.encoding=..., data.dates=..., data.missing=..., "
            "data.drop_missing_target=..., data.ignore_case=....",
        ),
    ],
)
def test_mistakes_of_the_predict_command(here, monkeypatch, capsys, arguments, code, message):
    monkeypatch.setattr(sys, "argv", ["nettrain-predict", *arguments])
    with pytest.raises(SystemExit) as end:
        tools.predict()
    assert (end.value.code, capsys.readouterr().err) == (code, f"nettrain: {message}\n")


def test_a_table_without_a_needed_column_is_refused(trained):
    _, frame, run = trained
    with pytest.raises(DataError, match="income"):
        run.predict(frame.drop(columns="income"))


def test_a_model_of_one_s_own_is_trained_and_asked_for_trust_when_read_back(here, monkeypatch):
    (here / "mine.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, in_features, out_features, width):\n"
        "        super().__init__()\n"
        "        self.a = torch.nn.Linear(in_features, width)\n"
        "        self.norm = torch.nn.BatchNorm1d(width)\n"
        "        self.drop = torch.nn.Dropout(0.1)\n"
        "        self.b = torch.nn.Linear(width, out_features)\n"
        "    def forward(self, x):\n"
        "        return self.b(self.drop(torch.relu(self.norm(self.a(x)))))\n"
    )
    monkeypatch.syspath_prepend(here)
    monkeypatch.delitem(sys.modules, "mine", raising=False)  # another test's
    overrides = [
        "data=iris",
        "model._target_=mine.Net",
        "model.width=16",
        "epochs=30",
        "optimizer.lr=0.01",
        "quiet=true",
    ]
    run = nettrain.train(overrides)
    assert run.summary["test_accuracy"] > 0.85
    assert run.model.norm.running_mean.abs().sum() > 0
    again = nettrain.train(overrides)
    assert again.metrics.drop(columns="seconds").equals(run.metrics.drop(columns="seconds"))
    iris = load_iris(as_frame=True)
    frame = iris.data.assign(target=iris.target_names[iris.target])
    assert run.evaluate(frame)["accuracy"] > 0.9
    with pytest.raises(ConfigError, match="trust"):
        nettrain.Run(run.folder).predict(frame)


def test_a_linear_model_in_torch_s_own_words(here):
    frame = load_diabetes(as_frame=True, scaled=False).frame
    run = nettrain.train(
        ["data=diabetes", "model._target_=torch.nn.Linear", "epochs=100", "optimizer.lr=0.01", "quiet=true"]
    )
    assert run.evaluate(frame)["r2"] > 0.45
    assert isinstance(run.model, torch.nn.Linear)


def test_a_damaged_checkpoint_is_not_used(trained):
    _, frame, run = trained
    path = run.folder / "checkpoints" / "best.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        nettrain.Run(run.folder).predict(frame)


def test_summary_and_config_are_read_back(trained):
    _, _, run = trained
    assert run.summary == json.loads((run.folder / "summary.json").read_text())
    assert run.config.optimizer.name == "adam"
    assert len(run.metrics) == 40
