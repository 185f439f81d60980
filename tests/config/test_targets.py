"""A misspelt module, class or key of what a config names by `_target_` is said with what is nearest, in every group."""

import pytest

import nettrain

pytestmark = pytest.mark.usefixtures("parts_are_forgotten")
FILE = """
import nettrain
import torch
from torch import nn

class Plain(nn.Module):
    def __init__(self, in_features, out_features, width=4, inner=None, activation=torch.tanh):
        super().__init__()
        self.layer, self.out = nn.Linear(in_features, width), nn.Linear(width, out_features)
        self.activation = activation

    def forward(self, x):
        return self.out(self.activation(self.layer(x)))

class Alarm(nettrain.Callback):
    def __init__(self, above):
        self.above = above

    def epoch(self, run):
        pass

class Chatty(nettrain.Logger):
    def __init__(self, above=1):
        self.above = above

    def epoch(self, run):
        pass

def squared(z, y, factor=1.0):
    return factor * (z - y) ** 2

def cost(y, predicted, factor=1.0):
    return factor * float((y != predicted).mean())
"""
SCHEDULERS = "schedule._target_=torch.optim.lr_scheduler"
SAID = {
    # modules
    "model._target_=things_of_min.Plain": "model._target_=things_of_min.Plain: there is no module 'things_of_min', "
    "neither in the working directory nor installed; did you mean things_of_mine?",
    "optimizer._target_=torch.optm.Adam": "optimizer._target_=torch.optm.Adam: torch has no 'optm'; did you mean optim",
    f"{SCHEDULERS[:-4]}.ConstantLR": "torch.optim has no 'lr_sched'; did you mean lr_scheduler?",
    # classes
    "model._target_=things_of_mine.Plane": "things_of_mine has no 'Plane'; did you mean Plain?",
    "model._target_=things_of_mine.Quux": "things_of_mine has no 'Quux'; it has Plain, Alarm, Chatty, squared, cost.",
    "model._target_=things_of_mine": "things_of_mine: it is a module, and cannot be called; name a class or a",
    "optimizer._target_=torch.optim.Adm": "torch.optim has no 'Adm'; did you mean Adam?",
    f"{SCHEDULERS}.ConstantR": "torch.optim.lr_scheduler has no 'ConstantR'; did you mean ConstantLR?",
    "data=diabetes head._target_=torch.nn.HuberLos": "torch.nn has no 'HuberLos'; did you mean HuberLoss?",
    "activation._target_=torch.nn.RelU": "torch.nn has no 'RelU'; did you mean ReLU?",
    "data._target_=things_of_mine.Plane": "data._target_=things_of_mine.Plane: things_of_mine has no 'Plane'; did you",
    "split._target_=things_of_mine.Plane": "split._target_=things_of_mine.Plane: things_of_mine has no 'Plane'; did",
    "callbacks.a._target_=things_of_mine.Alram": "things_of_mine has no 'Alram'; did you mean Alarm?",
    "logger.a._target_=things_of_mine.Chaty": "things_of_mine has no 'Chaty'; did you mean Chatty?",
    "metrics=[acuracy_score]": "sklearn.metrics has no 'acuracy_score'; did you mean accuracy_score?",
    "metrics=[things_of_mine.csot]": "things_of_mine has no 'csot'; did you mean cost?",
    # keys
    "model._target_=things_of_mine.Plain model.widht=3": "model.widht: things_of_mine.Plain has no such argument; it "
    "takes in_features, out_features, width, inner, activation; did you mean width?",
    "model._target_=things_of_mine.Plain +model.inner={_target_:torch.nn.Linear,in_featres:3,out_features:2}": (
        "model.inner.in_featres: torch.nn.Linear has no such argument; it takes in_features"
    ),
    "optimizer._target_=torch.optim.NAdam +optimizer.beta=1": "optimizer.beta: torch.optim.NAdam has no such argument; "
    "it takes lr, betas",
    f"{SCHEDULERS}.CosineAnnealingLR +schedule.Tmax=1": "schedule.Tmax: torch.optim.lr_scheduler.CosineAnnealingLR "
    "has no such argument; it takes T_max, eta_min, last_epoch; did you mean T_max?",
    "data=diabetes head._target_=torch.nn.HuberLoss head.dleta=1": "head.dleta: torch.nn.HuberLoss has no such",
    "data=diabetes head._target_=things_of_mine.squared head.facter=1": "head.facter: things_of_mine.squared has no "
    "such argument; it takes factor; did you mean factor?",
    "callbacks.a._target_=things_of_mine.Alarm callbacks.a.abov=1": "callbacks.a.abov: things_of_mine.Alarm has no "
    "such argument; it takes above; did you mean above?",
    "logger.a._target_=things_of_mine.Chatty logger.a.abov=1": "logger.a.abov: things_of_mine.Chatty has no such",
    "metrics=[{_target_:things_of_mine.cost,factr:2}]": "metrics.factr: things_of_mine.cost has no such argument; it "
    "takes factor; did you mean factor?",
    # what is missing
    f"{SCHEDULERS}.CosineAnnealingLR": "CosineAnnealingLR: it needs T_max; set schedule.T_max=<value>.",
    "callbacks.a._target_=things_of_mine.Alarm": "Alarm: it needs above; set callbacks.a.above=<value>.",
    "metrics=[fbeta_score]": "it needs beta; write {_target_: sklearn.metrics.fbeta_score, beta: <value>}.",
    # a text where a function is called
    f"{SCHEDULERS}.LambdaLR +schedule.lr_lambda=things_of_mine.f": "schedule.lr_lambda=things_of_mine.f: a text was "
    "called as a function; a function is named by a node, 'schedule.lr_lambda={_target_: my.module.function, _partial_",
    "model._target_=things_of_mine.Plain model.activation=relu": "model.activation=relu: a text was called as a fun",
}


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "things_of_mine.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.sample(3)
@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize("words", SAID)
def test_a_mistake_in_a_target_names_the_key_and_what_would_do(command, tmp_path, words):
    data = [] if words.startswith("data") else ["data=iris"]
    ended = command(*data, *words.split(" "), "epochs=1", "quiet=true", "hydra.run.dir=run")
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), ended.err
    assert ended.err.startswith("nettrain: ")
    assert SAID[words] in ended.err
    assert not (tmp_path / "run").exists()


def test_a_module_of_ones_own_that_cannot_be_imported_shows_its_line(command, tmp_path, monkeypatch):
    (tmp_path / "broken_of_mine.py").write_text("import nowhere_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    ended = command("data=iris", "model._target_=broken_of_mine.Net", "epochs=1")
    assert ended.code == 2
    assert "import nowhere_at_all" in ended.err
    assert "broken_of_mine cannot be imported: ModuleNotFoundError: No module named 'nowhere_at_all'" in ended.err


@pytest.mark.usefixtures("mine")
def test_metrics_with_arguments(command, tmp_path):
    from sklearn.metrics import fbeta_score

    nodes = (
        "{_target_: sklearn.metrics.fbeta_score, _partial_: true, beta: 2},{_target_: things_of_mine.cost, factor: 3}"
    )
    words = ["data=breast_cancer", f"metrics=[accuracy_score,{nodes}]", "monitor=val_fbeta_score", "epochs=2"]
    assert command(*words, "quiet=true", "hydra.run.dir=run").code == 0
    assert "it measures things_of_mine.cost" in command("resume=run", "epochs=3").err
    run = nettrain.Run("run", trust=True)
    rows, classes = run.data.splits["test"], run.encoder.classes
    predicted = run.head.predict(run.logits(run.data.x[rows])).numpy()
    true = run.data.y[rows]
    assert len(classes) == 2
    assert run.summary["test_fbeta_score"] == pytest.approx(fbeta_score(true, predicted, beta=2))
    assert run.summary["test_cost"] == pytest.approx(3 * (true != predicted).mean())
    assert run.summary["monitor"] == "val_fbeta_score"


def test_a_metric_of_a_library_with_arguments_needs_no_trust(here):
    node = {"_target_": "fbeta_score", "beta": 0.5}
    config = {"data": "iris", "metrics": [node], "epochs": 1, "quiet": True, "figures": "never"}
    run = nettrain.train(config, folder="run")
    assert 0 < run.summary["test_fbeta_score"] <= 1
    assert nettrain.train(["resume=run", "epochs=2"]).summary["epochs"] == 2
