"""Callbacks: when they are called and what they see, what they add, how they stop a run, fail and go on."""

import json
import math
import os
import signal
import sys

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import nettrain
from nettrain.errors import ConfigError, UserCodeError

pytestmark = pytest.mark.usefixtures("parts_are_forgotten")
QUIET = ["data=iris", "quiet=true", "figures=never"]
PARTS = '''
import json, os, signal
from dataclasses import dataclass

import nettrain
from nettrain.registry import option


@dataclass
class Diary(nettrain.Callback):
    """Writes down what it is called with, into diary.jsonl."""

    name: str = "diary"
    stop_at: int = option(0, "stop after this epoch", minimum=0)
    fail_in: str = ""
    fail_at: int = 0
    fail_seed: int = -1
    kill_at: int = 0

    def __post_init__(self):
        self.seen = []

    def note(self, hook, run):
        self.seen.append(run.epoch)
        line = {"hook": hook, "epoch": run.epoch, "status": run.status, "seen": len(self.seen)}
        with open(run.folder / "diary.jsonl", "a") as file:
            file.write(json.dumps(line) + "\\n")
        chosen = self.fail_seed in (-1, run.config["seed"])
        if hook == self.fail_in and chosen and run.epoch >= self.fail_at:
            raise ZeroDivisionError(f"in {hook}")

    def start(self, run):
        self.note("start", run)

    def epoch(self, run):
        self.note("epoch", run)
        run.record("seen", len(self.seen))
        if run.epoch % 2 == 0:
            run.record("norm/all", float(sum(p.square().sum() for p in run.model.parameters())))
        if run.epoch == self.kill_at:
            os.kill(os.getpid(), signal.SIGTERM)
        if run.epoch == self.stop_at:
            return "that will do"

    def save(self, run):
        self.note("save", run)

    def end(self, run):
        self.note("end", run)

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = state["seen"]
'''


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "parts.py").write_text(PARTS)
    return ["--config-dir", "mine", *QUIET, "callbacks=[diary]"]


def diary(folder, *fields):
    lines = [json.loads(line) for line in (folder / "diary.jsonl").read_text().splitlines()]
    return [tuple(line[field] for field in fields or ("hook", "epoch")) for line in lines]


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def scalars(folder, tag):
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_the_four_hooks_and_the_numbers_they_add(command, tmp_path, mine):
    ended = command(*mine, "epochs=4", "hydra.run.dir=run")
    assert ended.code == 0, ended.err
    epochs = [("epoch", n) for n in (1, 2, 3, 4)]
    assert diary(tmp_path / "run") == [("start", 0), *epochs, ("save", 4), ("end", 4)]
    assert diary(tmp_path / "run", "status")[-2:] == [("completed",), ("completed",)]
    run = nettrain.Run(tmp_path / "run", trust=True)
    assert run.metrics["seen"].tolist() == [2, 3, 4, 5]
    assert run.metrics["norm/all"].isna().tolist() == [True, False, True, False]
    assert run.summary["seen"] == 5
    last = torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)
    norm = sum(float(tensor.square().sum()) for tensor in last["model"].values())
    assert run.metrics["norm/all"].iloc[-1] == pytest.approx(norm, rel=1e-5)
    assert run.summary["norm/all"] == run.metrics["norm/all"].iloc[-1]
    assert scalars(tmp_path / "run", "callbacks/seen") == [(4, 2), (8, 3), (12, 4), (16, 5)]
    assert [step for step, _ in scalars(tmp_path / "run", "norm/all")] == [8, 16]


def test_a_reason_ends_the_run_and_stays_its_end(command, tmp_path, mine):
    assert command(*mine, "epochs=9", "callbacks.diary.stop_at=3", "hydra.run.dir=run").code == 0
    assert summary(tmp_path / "run")["status"] == "completed"
    assert summary(tmp_path / "run")["reason"] == "callbacks.diary: that will do"
    assert summary(tmp_path / "run")["epochs"] == 3
    (tmp_path / "run" / "summary.json").unlink()  # as if it had been killed before it could write that
    assert command("resume=run", "trust=true").code == 0
    assert (summary(tmp_path / "run")["epochs"], summary(tmp_path / "run")["reason"]) == (
        3,
        "callbacks.diary: that will do",
    )
    assert command("resume=run", "epochs=12", "trust=true").code == 0
    assert summary(tmp_path / "run")["epochs"] == 12  # the reason was that of epoch 3


@pytest.mark.parametrize("launcher", ["stacked", "basic"])
def test_each_run_of_a_sweep_has_its_own(command, tmp_path, mine, launcher):
    sweep = ["-m", *mine, "seed=1,2,3", "epochs=3", f"hydra/launcher={launcher}", "hydra.sweep.dir=sweep"]
    ended = command(*sweep)
    assert ended.code == 0, ended.err
    for number in range(3):
        folder = tmp_path / "sweep" / str(number)
        assert diary(folder, "seen") == [(n,) for n in range(1, 7)]
        run = nettrain.Run(folder, trust=True)
        assert run.metrics["seen"].tolist() == [2, 3, 4]
    results = nettrain.Sweep(tmp_path / "sweep").results
    assert results["seen"].tolist() == [4, 4, 4]


@pytest.mark.slow
def test_in_processes_of_joblib(command, tmp_path, mine):
    ended = command("-m", *mine, "seed=1,2", "epochs=2", "hydra/launcher=joblib", "hydra.sweep.dir=sweep")
    assert ended.code == 0, ended.err
    assert [len(diary(tmp_path / "sweep" / str(number))) for number in (0, 1)] == [5, 5]


@pytest.mark.parametrize("optimizer", ["bfgs bs=full", "newton bs=full", "genetic", "lbfgs"])
def test_with_any_optimizer(command, tmp_path, mine, optimizer):
    arguments = [f"optimizer={optimizer.split()[0]}", *optimizer.split()[1:], "model.hidden=[3]", "epochs=2"]
    assert command(*mine, *arguments, "hydra.run.dir=run").code == 0
    assert diary(tmp_path / "run") == [("start", 0), ("epoch", 1), ("epoch", 2), ("save", 2), ("end", 2)]


@pytest.mark.sample(3)
@pytest.mark.parametrize(("hook", "at"), [("start", 0), ("epoch", 2), ("save", 1), ("end", 4), ("state_dict", 0)])
def test_an_error_ends_its_own_run_alone(command, tmp_path, mine, hook, at):
    """Of three rows the second fails; the others are as without it, to the last digit."""
    if hook == "state_dict":
        text = PARTS.replace('return {"seen": self.seen}', "return {'folder': object()} if self.fail_in else {}")
        (tmp_path / "mine" / "parts.py").write_text(text)
    shared = ["-m", *mine, "seed=1,2,3", "epochs=4", "engine=eager", "checkpoint.every_steps=6"]
    failing = [f"callbacks.diary.fail_in={hook}", f"callbacks.diary.fail_at={at}", "callbacks.diary.fail_seed=2"]
    ended = command(*shared, *failing, "hydra.sweep.dir=sweep")
    assert ended.code == 2
    assert "retrying" not in ended.out
    if hook == "state_dict":
        statuses = ["failed"] * 3
        assert "callbacks.diary: its state_dict has a builtins.object at ['folder']" in ended.err
    else:
        statuses = ["completed", "failed", "completed"]
        assert f"ZeroDivisionError: in {hook}" in ended.err
        assert ended.err.count("Traceback (most recent call last):") == 1
        assert "/nettrain/" not in ended.err.partition("Traceback")[2].partition("nettrain: ")[0]
    assert [summary(tmp_path / "sweep" / str(n))["status"] for n in range(3)] == statuses
    failed = summary(tmp_path / "sweep" / "1")
    assert failed["message"].startswith("callbacks.diary: ")
    assert failed["exit_code"] == 2
    if hook == "state_dict":
        return
    assert "ZeroDivisionError" in (tmp_path / "sweep" / "1" / "error.txt").read_text()
    assert command(*shared, "hydra.sweep.dir=sound").code == 0
    for number in (0, 2):
        sound, row = (nettrain.Run(tmp_path / name / str(number), trust=True) for name in ("sound", "sweep"))
        # rows of a smaller stack are computed by other kernels
        assert row.metrics["train_loss"].to_numpy() == pytest.approx(sound.metrics["train_loss"].to_numpy(), rel=1e-5)
    (tmp_path / "mine" / "parts.py").write_text(PARTS.replace("raise ZeroDivisionError", "print"))  # mended
    ended = command(*shared, *failing, "hydra.sweep.dir=sweep")  # goes on from its checkpoint, or begins anew
    assert ended.code == 0, ended.err
    assert [summary(tmp_path / "sweep" / str(n))["status"] for n in range(3)] == ["completed"] * 3
    assert not (tmp_path / "sweep" / "3").exists()
    mended, sound = (nettrain.Run(tmp_path / name / "1", trust=True) for name in ("sweep", "sound"))
    assert mended.metrics["norm/all"].to_numpy() == pytest.approx(
        sound.metrics["norm/all"].to_numpy(), rel=1e-5, nan_ok=True
    )


def test_an_error_in_a_single_run(command, tmp_path, mine):
    failing = ["callbacks.diary.fail_in=epoch", "callbacks.diary.fail_at=2", "hydra.run.dir=run"]
    ended = command(*mine, "epochs=4", *failing)
    assert ended.code == 2
    assert ended.err.splitlines()[-1] == (
        "nettrain: callbacks.diary: epoch after epoch 2 failed: ZeroDivisionError: in epoch."
    )
    assert ended.err.count("Traceback (most recent call last):") == 1
    assert diary(tmp_path / "run")[-2:] == [("epoch", 2), ("end", 2)]
    assert diary(tmp_path / "run", "status")[-1] == ("failed",)
    assert summary(tmp_path / "run")["epochs"] == 2
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 3


def test_going_on_is_exact_also_within_an_epoch(command, tmp_path, mine):
    killed = ["callbacks.diary.kill_at=2"]
    assert command(*mine, "epochs=5", *killed, "hydra.run.dir=run").code == 128 + signal.SIGTERM
    assert diary(tmp_path / "run", "hook", "status")[-2:] == [("save", "running"), ("end", "interrupted")]
    seen = diary(tmp_path / "run", "seen")[-2]
    assert command("resume=run", "trust=true").code == 0
    resumed = diary(tmp_path / "run", "hook", "epoch", "seen")
    assert ("start", 2, seen[0] + 1) in resumed
    whole = [*mine, "epochs=5", "hydra.run.dir=whole"]
    assert command(*whole).code == 0
    one, other = (nettrain.Run(tmp_path / name, trust=True).metrics for name in ("run", "whole"))
    assert one["norm/all"].equals(other["norm/all"])
    assert one["train_loss"].equals(other["train_loss"])


def test_keys_are_checked_and_helped_like_those_of_any_part(command, tmp_path, mine):
    shown = " ".join(command(*mine, "--help").out.split())
    assert "callbacks.diary.stop_at=0 stop after this epoch (at least 0)" in shown
    for argument, sentence in {
        "callbacks.diary.stop_at=-1": "callbacks.diary.stop_at=-1: callbacks.diary.stop_at must be at least 0.",
        "callbacks.diary.stop_at=x": "callbacks.diary.stop_at=x: callbacks.diary.stop_at must be an integer.",
        "callbacks.diary.stop=1": "callbacks.diary.stop: there is no such key; did you mean callbacks.diary.stop_at?",
        "callbacks.other.stop_at=1": "callbacks.other: it does not say which callback it is; choose one by its name, "
        "callbacks=[other], or a class, callbacks.other._target_=<module.Class>.",
        "callbacks.x=3": "callbacks.x: it does not say which callback it is; choose one by its name, callbacks=[x], or",
    }.items():
        ended = command(*mine, argument)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith(f"nettrain: {sentence}")
    unknown = command("--config-dir", "mine", *QUIET, "callbacks=[dairy]").err
    assert unknown == "nettrain: callbacks=dairy: there is no such callback; choose from diary; did you mean diary?\n"


def test_without_any_of_one_s_own_a_name_says_where_they_are_looked_for(command):
    ended = command(*QUIET, "callbacks=[diary]")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert ended.err.startswith("nettrain: callbacks=diary: there is no such callback; parts of your own are found in")


HOOKS = "the hooks are start, epoch, save and end."
SHAPES = {
    "Nothing(nettrain.Callback): pass": f"Nothing overrides no hook; {HOOKS}",
    "Foreign:\n    def on_train_epoch_end(self, trainer, module): pass": (
        "Foreign is not derived from nettrain.Callback, whose hooks such as on_train_epoch_end would not be called; "
        + HOOKS
    ),
    "Both(nettrain.Callback):\n    def on_epoch_end(self, epoch, logs): pass\n    def end(self, run): pass": (
        f"Both has a method on_epoch_end, which would not be called; {HOOKS}"
    ),
    "Plain:\n    def epoch(self, run): pass": f"Plain is not derived from nettrain.Callback; {HOOKS}",
    "Few(nettrain.Callback):\n    def epoch(self): pass": (
        "epoch of Few cannot be called with the run alone; write it as epoch(self, run)."
    ),
    "Many(nettrain.Callback):\n    def end(self, run, more): pass": "end of Many cannot be called with the run alone",
    "Later(nettrain.Callback):\n    async def end(self, run): pass": "end of Later is not an ordinary method",
    "Yields(nettrain.Callback):\n    def epoch(self, run): yield 1": "epoch of Yields is not an ordinary method",
    "Value(nettrain.Callback):\n    epoch = 3": "epoch of Value is not an ordinary method",
    "Half(nettrain.Callback):\n    def end(self, run): pass\n    def state_dict(self): return {}": (
        "Half has state_dict without load_state_dict, and could not go on where it was."
    ),
    "Abstract(nettrain.Callback, abc.ABC):\n    @abc.abstractmethod\n    def epoch(self, run): pass": (
        "it cannot be built: Can't instantiate abstract class Abstract with abstract method epoch"
    ),
}


@pytest.mark.sample(3)
@pytest.mark.parametrize("text", SHAPES, ids=lambda text: text.partition("(")[0].partition(":")[0])
def test_what_is_no_callback_is_refused_before_training(command, tmp_path, monkeypatch, text):
    name = text.partition("(")[0].partition(":")[0]
    module = f"shape_{name.lower()}"
    (tmp_path / f"{module}.py").write_text(f"import abc\nimport nettrain\nclass {text}\n")
    monkeypatch.syspath_prepend(tmp_path)
    ended = command(*QUIET, f"callbacks.mine._target_={module}.{name}", "hydra.run.dir=run")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines()[-1].startswith(f"nettrain: callbacks.mine._target_={module}.{name}: {SHAPES[text]}")
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


TARGETS = {
    "nowhere.Diary": "there is no module 'nowhere', neither in the working directory nor installed",
    "by_target.Nobody": "by_target has no 'Nobody'; it has Diary",
    "by_target.Diary +callbacks.x.volume=3": "callbacks.x.volume: by_target.Diary has no such argument; it takes",
    "by_target.Diary +callbacks.x.stop_at=-2": "callbacks.x.stop_at=-2: callbacks.x.stop_at must be at least 0.",
    "torch.nn.ReLU": "ReLU is not derived from nettrain.Callback; the hooks are start, epoch, save and end.",
}


@pytest.mark.parametrize("target", TARGETS)
def test_targets_that_are_none(command, tmp_path, monkeypatch, target):
    (tmp_path / "by_target.py").write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    target, *rest = target.split(" +")
    ended = command(*QUIET, f"callbacks.x._target_={target}", *rest)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert TARGETS[" +".join([target, *rest])] in ended.err


@pytest.mark.parametrize("where", ["callbacks.x", "callbacks"])
def test_a_callback_by_target_takes_arguments_and_nodes(command, tmp_path, monkeypatch, where):
    (tmp_path / "nodes.py").write_text(
        "import nettrain\n"
        "class Norm(nettrain.Callback):\n"
        "    def __init__(self, name, loss, scale=1): self.column, self.loss, self.scale = name, loss, scale\n"
        "    def epoch(self, run):\n"
        "        x, y = run.samples('val')\n"
        "        run.record(self.column, self.scale * self.loss(run.model(x), y).item())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    keys = {"_target_": "nodes.Norm", "_args_": "[again]", "loss._target_": "torch.nn.CrossEntropyLoss", "scale": "2"}
    arguments = [f"{where}.{key}={value}" for key, value in keys.items()]
    assert command(*QUIET, *arguments, f"{where}._partial_=true", "epochs=2", "hydra.run.dir=run").code == 0
    metrics = nettrain.Run(tmp_path / "run").metrics
    assert metrics["again"].to_numpy() == pytest.approx(2 * metrics["val_loss"].to_numpy(), rel=1e-5)
    ended = command("resume=run", "epochs=3")
    assert (ended.code, f"{where} runs nodes.Norm, code that belongs neither" in ended.err) == (2, True)
    assert command("resume=run", "epochs=3", "trust=true").code == 0
    assert command("--config-dir", "run/.hydra", "--config-name", "config", "hydra.run.dir=again").code == 2
    again = ["--config-dir", "run/.hydra", "--config-name", "config", "trust=true", "hydra.run.dir=again"]
    assert command(*again).code == 0
    assert nettrain.Run(tmp_path / "again").metrics["again"].equals(nettrain.Run(tmp_path / "run").metrics["again"])


def test_nothing_of_a_received_folder_is_executed(command, tmp_path):
    """Not when it is read, not when it is to go on, also where the target hides in a node inside another."""
    assert command(*QUIET, "epochs=1", "hydra.run.dir=run").code == 0
    config = tmp_path / "run" / ".hydra" / "config.yaml"
    for callbacks in (
        "{x: {_target_: os.mkdir, path: made}}",
        "{_target_: os.mkdir, path: made}",
        "{x: {_target_: nettrain.Callback, inner: [{_target_: os.mkdir, path: made}]}}",
    ):
        text = config.read_text()
        config.write_text(text.replace("callbacks: {}", f"callbacks: {callbacks}"))
        assert len(nettrain.Run(tmp_path / "run").predict(_table(tmp_path))) == 3
        for arguments in (["resume=run", "epochs=2"], ["--config-dir", "run/.hydra", "--config-name", "config"]):
            assert command(*arguments).code == 2
        config.write_text(text)
    assert not (tmp_path / "made").exists()


def _table(folder):
    names = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
    (folder / "three.csv").write_text(",".join(names) + "\n" + "5,3,1,0.2\n" * 3)
    return folder / "three.csv"


class Recorder(nettrain.Callback):
    def __init__(self):
        self.views = []

    def start(self, run):
        self.views.append(run)

    def epoch(self, run):
        self.views.append(run)

    def end(self, run):
        self.views.append(run)


def test_callbacks_from_python_are_called_themselves(here):
    recorder = Recorder()
    run = nettrain.train([*QUIET, "epochs=2", "optimizer.lr=0.01"], callbacks=[recorder, Recorder()])
    assert [view.epoch for view in recorder.views] == [0, 1, 2, 2]
    last = recorder.views[-1]
    assert last.folder == run.folder
    assert last.config["optimizer"]["lr"] == 0.01
    assert last.hparams["optimizer"] == "adam"
    assert (last.sweep, last.number, "epochs=2" in last.overrides) == (None, None, True)
    assert last.summary["test_accuracy"] == run.summary["test_accuracy"]
    assert last.numbers["val_loss"] == run.metrics["val_loss"].iloc[-1]
    assert list(run.config.callbacks) == ["Recorder", "Recorder_2"]
    assert recorder.views[1].numbers["epoch"] == 1  # a view stays as it was
    with pytest.raises(TypeError):
        last.numbers["val_loss"] = 0
    with pytest.raises(AttributeError):
        last.status = "failed"
    with pytest.raises(RuntimeError, match="for the hook epoch"):
        last.record("late", 1)


def test_the_weights_are_a_copy(here):
    class Vandal(nettrain.Callback):
        def epoch(self, run):
            x, _ = run.samples("train")
            with torch.no_grad():
                for parameter in run.model.parameters():
                    parameter.zero_()
                x.zero_()
            run.config["optimizer"]["lr"] = 0
            assert not run.model.training
            torch.nn.functional.cross_entropy(run.model(run.samples("train")[0]), run.samples("train")[1]).backward()

    plain = nettrain.train([*QUIET, "epochs=3"])
    spoilt = nettrain.train([*QUIET, "epochs=3"], callbacks=[Vandal()])
    assert spoilt.metrics["train_loss"].equals(plain.metrics["train_loss"])


def test_best_model_is_that_of_the_best_epoch(here):
    class Keep(nettrain.Callback):
        def end(self, run):
            self.best, self.last = run.best_model, run.model

    keep = Keep()
    run = nettrain.train([*QUIET, "epochs=20", "optimizer.lr=1"], callbacks=[keep])
    assert run.summary["best_epoch"] < 20
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(keep.best.state_dict()[name], tensor)
    assert not torch.equal(keep.last.state_dict()[name], tensor)


@pytest.mark.parametrize(
    ("handed", "sentence"),
    [
        (Recorder, "found a value of type type"),
        ([Recorder], "it is the class Recorder itself; hand over an object, Recorder(...)"),
        ([torch.nn.ReLU()], "ReLU is not derived from nettrain.Callback"),
        (Recorder(), "found a value of type Recorder; it must be a list"),
        ("diary", "found a value of type str"),
        ([None], "NoneType is not derived"),
        ([twice := Recorder(), twice], "one of them is there twice"),
    ],
)
def test_what_python_may_not_hand_over(here, handed, sentence):
    with pytest.raises(ConfigError, match=r"callbacks: ") as raised:
        nettrain.train([*QUIET, "epochs=1"], callbacks=handed)
    assert sentence in str(raised.value)
    assert not list(here.iterdir())


class Returns(nettrain.Callback):
    def __init__(self, value):
        self.value = value

    def epoch(self, run):
        return self.value(run) if callable(self.value) else self.value


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (True, "its hook epoch returned True; it returns None, or a text to end the run: the reason."),
        ("", "its hook epoch returned ''"),
        ({"loss": 1.0}, "its hook epoch returned a dict"),
        (lambda run: run.record("val_loss", 1), "val_loss is, or may be, a number of nettrain's"),
        (lambda run: run.record("best_epoch", 1), "best_epoch is, or may be"),
        (lambda run: run.record("status", 1), "status is, or may be"),
        (lambda run: run.record("a,b", 1), "'a,b' cannot be the name of a number"),
        (lambda run: run.record("", 1), "'' cannot be the name"),
        (lambda run: run.record("a\nb", 1), "cannot be the name"),
        (lambda run: run.record("a", "much"), "a is 'much'; only numbers are recorded"),
        (lambda run: (run.record("a", 1), run.record("a", 2)), "a has been recorded in this epoch already"),
    ],
)
def test_what_an_epoch_may_not_say(here, value, sentence):
    with pytest.raises(ConfigError) as raised:
        nettrain.train([*QUIET, "epochs=2"], folder="run", callbacks=[Returns(value)])
    assert sentence in str(raised.value)
    assert str(raised.value).startswith("callbacks.Returns: ")
    assert summary(here / "run")["status"] == "failed"
    assert summary(here / "run")["message"] == str(raised.value)


def test_numbers_of_any_kind_are_recorded(here):
    values = iter([torch.tensor(2.5), math.inf, True])
    run = nettrain.train([*QUIET, "epochs=3"], callbacks=[Returns(lambda run: run.record("n", next(values)))])
    assert run.metrics["n"].tolist() == [2.5, math.inf, 1]
    assert run.summary["n"] == 1


@pytest.mark.parametrize("engine", ["eager", "compiled"])
def test_state_of_many_kinds_comes_back_as_it_was(here, engine):
    import numpy as np

    class Keeper(nettrain.Callback):
        state = None

        def __init__(self, kept):
            self.kept = kept

        def end(self, run):
            pass

        def state_dict(self):
            return self.kept

        def load_state_dict(self, state):
            Keeper.state = state

    tensor = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3).T)
    kept = {"n": np.float64(0.1), "i": np.int64(3), "b": np.bool_(True), "t": (1, [2, None]), "w": tensor, 4: "four"}
    nettrain.train([*QUIET, "epochs=1", f"engine={engine}"], folder="run", callbacks=[Keeper(kept)])
    arguments = ["resume=run", "epochs=2", "trust=true", "quiet=true"]
    nettrain.train(arguments, callbacks=[Keeper(kept)])
    state = Keeper.state
    assert {key: state[key] for key in ("n", "i", "b", "t", 4)} == {
        "n": 0.1,
        "i": 3,
        "b": True,
        "t": (1, [2, None]),
        4: "four",
    }
    assert torch.equal(state["w"], tensor.detach())
    checkpoint = torch.load(here / "run" / "checkpoints" / "last.pt", weights_only=True)
    assert set(checkpoint["callbacks"]["states"]) == {"callbacks.Keeper"}


def test_an_error_from_python_keeps_its_cause(here):
    def fail(run):
        raise OSError("the disk of mine")

    with pytest.raises(UserCodeError, match=r"callbacks.Returns: epoch after epoch 1 failed: OSError") as raised:
        nettrain.train([*QUIET, "epochs=2"], callbacks=[Returns(fail)])
    assert isinstance(raised.value.__cause__, OSError)


def test_others_are_told_of_a_failure(here):
    recorder = Recorder()
    with pytest.raises(UserCodeError):
        nettrain.train([*QUIET, "epochs=2"], callbacks=[Returns(lambda run: 1 / 0), recorder])
    assert [(view.epoch, view.status) for view in recorder.views] == [(0, "running"), (1, "failed")]


def test_another_callback_makes_another_run(command, tmp_path, mine):
    assert command(*mine, "epochs=1", "hydra.run.dir=run").code == 0
    for argument in ("callbacks=[]", "callbacks.diary.stop_at=2"):
        ended = command("resume=run", argument, "epochs=2", "trust=true")
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert ended.err.startswith(f"nettrain: {argument}: resume goes on with the run's own callbacks")
    sweep = ["-m", *mine, "epochs=1", "hydra.sweep.dir=sweep"]
    assert command(*sweep, "callbacks.diary.stop_at=1,2").code == 0
    assert command(*sweep, "callbacks.diary.stop_at=2,3").code == 0
    assert sorted(path.name for path in (tmp_path / "sweep").glob("[0-9]")) == ["0", "1", "2"]


def test_successive_halving_and_its_end(command, tmp_path, mine):
    halving = ["hydra.launcher.reduction_factor=3", "seed=range(3)", "epochs=3", "hydra.sweep.dir=sweep"]
    assert command("-m", *mine, *halving).code == 0
    ends = [diary(tmp_path / "sweep" / str(n))[-1] for n in range(3)]
    assert sorted(ends) == [("end", 1), ("end", 1), ("end", 3)]


def test_without_callbacks_nothing_of_them_is_imported():
    code = "import sys, nettrain.app.cli; print([m for m in ('mlflow', 'wandb') if m in sys.modules])"
    import subprocess

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert ended.stdout == "[]\n"


def test_what_is_recorded_and_no_number_is_said_with_its_name(here):
    class Text(nettrain.Callback):
        def epoch(self, run):
            run.record("depth", "text")

    with pytest.raises(UserCodeError, match="depth is 'text'; only numbers are recorded"):
        nettrain.train([*QUIET, "epochs=1"], callbacks=[Text()])


ENDED = {
    "callback": (["callbacks=[stop_of_mine]"], "ended after 1 epoch (callbacks.stop_of_mine: enough)", "other epochs"),
    "budget": (["budget.updates=5"], "(budget.updates=5)", "raise budget.updates=... to train it further"),
    "all epochs": ([], "the run is complete", "raise epochs=... to train it further"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ENDED)
def test_a_run_that_has_ended_says_why_and_what_lets_it_go_on(command, tmp_path, kind):
    words, why, remedy = ENDED[kind]
    (tmp_path / "parts.py").write_text(
        "from dataclasses import dataclass\nimport nettrain\n@dataclass\nclass Stop(nettrain.Callback):\n"
        "    name: str = 'stop_of_mine'\n    def epoch(self, run):\n        return 'enough'\n"
    )
    assert command("--config-dir", ".", *QUIET, *words, "epochs=3", "hydra.run.dir=run").code == 0
    ended = command("resume=run", "trust=true")
    assert ended.code == 0
    assert why in ended.out
    assert remedy in ended.out
