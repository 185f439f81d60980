"""A run that is interrupted and goes on ends, bit for bit, like one that was never stopped."""

import signal

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import nettrain
from nettrain.config.schema import parts
from nettrain.errors import ConfigError, DataError, InUseError
from nettrain.optimizers.solvers import Solver
from nettrain.problem import Problem
from nettrain.storage.checkpoint_files import load_checkpoint
from nettrain.storage.locks import locked
from nettrain.training import trainer
from nettrain.training.counters import Counters
from nettrain.training.logging.run_log import RunLog

SOLVERS = [name for name, part in parts("optimizer").items() if issubclass(part, Solver)]


def interrupted(monkeypatch, folder, after, overrides):
    """Train until a signal arrives after so many updates."""
    count, sent = Counters.exhausted, []

    def exhausted(counters):
        if counters.updates == after and not sent:
            sent.append(True)
            signal.raise_signal(signal.SIGINT)
        return count(counters)

    with monkeypatch.context() as patch:
        patch.setattr(Counters, "exhausted", exhausted)
        with pytest.raises(KeyboardInterrupt):
            nettrain.train(overrides, folder=folder)
    assert nettrain.Run(folder).summary["status"] == "interrupted"


def test_a_run_that_is_interrupted_in_its_first_epoch_says_so(here, monkeypatch, capsys):
    interrupted(monkeypatch, here / "run", 1, ["data=iris", "bs=5"])
    said = capsys.readouterr().out
    assert "interrupted" in said, said[-300:]
    assert f"resume={here / 'run'}" in said


def assert_equal(one, other):
    assert one.metrics.drop(columns="seconds").equals(other.metrics.drop(columns="seconds"))
    for name, value in one.summary.items():
        if name != "seconds":
            assert other.summary[name] == value, name
    for file in ("last.pt", "best.pt"):
        a, b = (load_checkpoint(run.folder / "checkpoints" / file) for run in (one, other))
        for kind in ("model", "optimizer"):
            assert _same_bits(a.get(kind), b.get(kind))
        for kind in ("schedule", "last", "best", "epoch", "updates"):
            drop = {"seconds", "lr", "update_to_weight"}  # NaN, which some may be, differs from itself
            assert _without(a.get(kind), drop) == _without(b.get(kind), drop)


def _same_bits(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same_bits(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same_bits, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def _without(value, names):
    return {k: v for k, v in value.items() if k.partition("/")[0] not in names} if isinstance(value, dict) else value


@pytest.mark.sample(3)
@pytest.mark.parametrize("after", [8, 11], ids=["between epochs", "within an epoch"])
@pytest.mark.parametrize(
    "setting",
    [
        *(f"optimizer={name}" for name in parts("optimizer") if name not in [*SOLVERS, "torch"]),
        *(f"schedule={name} schedule.warmup=1" for name in parts("schedule") if name != "torch"),
        "optimizer._target_=torch.optim.NAdam schedule._target_=torch.optim.lr_scheduler.LinearLR",
        "schedule=plateau schedule.patience=0 schedule.threshold=0.9",  # drops in every epoch
        "data=wine optimizer.lr=1",  # is at its best before it is interrupted
        "model.dropout=0.3",
        "early_stopping.patience=2 optimizer.lr=0.05",
        "data=diabetes",
    ],
)
def test_a_run_that_goes_on_equals_one_that_never_stopped(here, monkeypatch, setting, after):
    overrides = ["data=iris", "epochs=6", "quiet=true", "tensorboard=false", *setting.split()]
    whole = nettrain.train(overrides)
    interrupted(monkeypatch, here / "cut", after, overrides)
    assert_equal(whole, nettrain.train([f"resume={here / 'cut'}"]))


class Crash(BaseException):
    """The end of the process, whatever it was doing."""


@pytest.fixture
def crashing(monkeypatch):
    """`crashing(n, overrides, folder)` trains until the n-th save is done; after how many updates each one was."""

    def train(saves, overrides, folder):
        save, updates = trainer.save_rows, []

        def crash(stack, rows, which, position, z):
            save(stack, rows, which, position, z)
            updates.append(position["updates"])
            if len(updates) == saves:
                raise Crash

        with monkeypatch.context() as patch:
            patch.setattr(trainer, "save_rows", crash)
            with pytest.raises(Crash):
                nettrain.train(overrides, folder=folder)
        return updates

    return train


@pytest.mark.parametrize(
    "setting",
    [
        "optimizer=adam model.dropout=0.3",
        "schedule=plateau schedule.patience=0 schedule.threshold=0.9",
        "optimizer=momentum early_stopping.patience=2 optimizer.lr=0.3",
        "optimizer=lbfgs model.hidden=[4]",
        "optimizer=genetic model.hidden=[4]",
    ],
)
def test_a_run_is_saved_within_an_epoch_and_goes_on_from_there(here, crashing, setting):
    overrides = ["data=iris", "epochs=4", "bs=16", "quiet=true", "checkpoint.every_steps=3", *setting.split()]
    whole = nettrain.train(overrides)
    assert crashing(4, overrides, here / "cut") == [3, 6, 9, 12]
    last = load_checkpoint(here / "cut" / "checkpoints" / "last.pt")
    assert (last["epoch"], last["batch"]) == (1, 5)
    assert_equal(whole, nettrain.train([f"resume={here / 'cut'}"]))


def test_a_run_is_saved_by_the_clock_within_an_epoch_too(here, crashing):
    overrides = ["data=iris", "epochs=2", "quiet=true", "checkpoint.every_seconds=0"]
    assert crashing(6, overrides, here / "cut") == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "ending",
    [
        "epochs=3",
        "early_stopping.patience=1 optimizer.lr=1",
        "budget.updates=9",
        "bs=full optimizer=bfgs optimizer.tolerance_grad=0.5",
    ],
)
def test_a_run_that_dies_between_its_last_save_and_its_summary_has_nothing_left_to_train(here, crashing, ending):
    overrides = ["data=iris", "epochs=30", "bs=16", "quiet=true", "tensorboard=false", *ending.split()]
    whole = nettrain.train(overrides)
    crashing(1, overrides, here / "cut")
    assert not (here / "cut" / "summary.json").exists()
    assert_equal(whole, nettrain.train([f"resume={here / 'cut'}"]))


def test_a_run_that_dies_before_it_has_saved_anything_begins_again(here, monkeypatch, capsys):
    overrides = ["data=iris", "epochs=3", "quiet=true"]
    whole = nettrain.train(overrides)

    epoch = RunLog.epoch

    def crash(log, numbers):
        epoch(log, numbers)
        log.flush()
        if numbers["epoch"] == 2:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "epoch", crash)
        with pytest.raises(Crash):
            nettrain.train(overrides, folder=here / "cut")
    assert len((here / "cut" / "metrics.csv").read_text().splitlines()) == 3
    assert_equal(whole, nettrain.train([f"resume={here / 'cut'}"]))
    assert "the run ended before its first checkpoint; starting it again." in capsys.readouterr().err


@pytest.mark.parametrize("torn", ["5,20,0.1", "5,20,0.1,0.2", "\0\0\0\0", "5"])
def test_a_torn_line_at_the_end_of_the_table_is_dropped(here, torn):
    whole = nettrain.train(["data=iris", "epochs=6", "quiet=true"])
    nettrain.train(["data=iris", "epochs=4", "quiet=true"], folder=here / "cut")
    with open(here / "cut" / "metrics.csv", "a") as file:
        file.write(torn)
    assert_equal(whole, nettrain.train([f"resume={here / 'cut'}", "epochs=6"]))


@pytest.mark.sample(3)
@pytest.mark.parametrize("optimizer", SOLVERS)
def test_every_solver_goes_on(here, monkeypatch, optimizer):
    overrides = ["data=iris", "model.hidden=[4]", f"optimizer={optimizer}", "epochs=8", "quiet=true"]
    whole = nettrain.train(overrides)
    interrupted(monkeypatch, here / "cut", 3, overrides)
    assert_equal(whole, nettrain.train([f"resume={here / 'cut'}"]))


@pytest.mark.parametrize("optimizer", ["newton", "newton optimizer.solver=cg", "lbfgs", "genetic"])
def test_a_solver_leaves_an_update_in_the_middle_and_goes_on(here, monkeypatch, optimizer):
    overrides = ["data=iris", "model.hidden=[4]", f"optimizer={optimizer}", "epochs=5", "quiet=true"]
    overrides = [word for override in overrides for word in override.split()]
    whole = nettrain.train(overrides)
    gradient, value, calls = Problem.gradient, Problem.value, []

    def counted(method):
        def evaluate(problem, w):
            calls.append(method)
            if len(calls) == 4:
                signal.raise_signal(signal.SIGTERM)
            return method(problem, w)

        return evaluate

    with monkeypatch.context() as patch:
        patch.setattr(Problem, "gradient", counted(gradient))
        patch.setattr(Problem, "value", counted(value))
        with pytest.raises(KeyboardInterrupt):
            nettrain.train(overrides, folder=here / "cut")
    assert len(calls) == 4
    assert_equal(whole, nettrain.train([f"resume={here / 'cut'}"]))


def test_a_module_with_buffers_and_dropout_of_its_own_goes_on(here, monkeypatch):
    (here / "buffered.py").write_text(
        "from torch.nn import *\n"
        "def net(in_features, out_features):\n"
        "    parts = Linear(in_features, 8), BatchNorm1d(8), ReLU(), Dropout(0.2), Linear(8, out_features)\n"
        "    return Sequential(*parts)\n"
    )
    monkeypatch.syspath_prepend(here)
    overrides = ["data=iris", "model._target_=buffered.net", "epochs=5", "quiet=true"]
    whole = nettrain.train(overrides)
    interrupted(monkeypatch, here / "cut", 10, overrides)
    with pytest.raises(ConfigError, match="trust"):
        nettrain.train([f"resume={here / 'cut'}"])
    assert_equal(whole, nettrain.train([f"resume={here / 'cut'}", "trust=true"]))


def test_a_finished_run_goes_on_for_more_epochs(here):
    whole = nettrain.train(["data=iris", "epochs=9", "quiet=true"])
    nettrain.train(["data=iris", "epochs=4", "quiet=true"], folder=here / "short")
    assert_equal(whole, nettrain.train([f"resume={here / 'short'}", "epochs=9"]))


@pytest.mark.parametrize("begin", ["epochs=0", "epochs=3"])
def test_a_run_goes_on_from_its_very_beginning(here, monkeypatch, begin):
    whole = nettrain.train(["data=iris", "epochs=3", "quiet=true"])
    if begin == "epochs=0":
        nettrain.train(["data=iris", begin, "quiet=true"], folder=here / "cut")
    else:
        interrupted(monkeypatch, here / "cut", 2, ["data=iris", begin, "quiet=true"])
    assert_equal(whole, nettrain.train([f"resume={here / 'cut'}", "epochs=3"]))


def test_what_was_recorded_after_the_checkpoint_is_taken_back(here):
    """As after a kill: the table and the events are ahead of the last checkpoint."""
    overrides = ["data=iris", "epochs=6", "quiet=true"]
    whole = nettrain.train(overrides)
    nettrain.train(["data=iris", "epochs=3", "quiet=true"], folder=here / "cut")
    saved = (here / "cut" / "checkpoints" / "last.pt").read_bytes()
    best = (here / "cut" / "checkpoints" / "best.pt").read_bytes()
    nettrain.train([f"resume={here / 'cut'}", "epochs=5"])
    (here / "cut" / "checkpoints" / "last.pt").write_bytes(saved)
    (here / "cut" / "checkpoints" / "best.pt").write_bytes(best)
    again = nettrain.train([f"resume={here / 'cut'}", "epochs=6"])
    assert_equal(whole, again)
    events = EventAccumulator(str(again.folder))
    events.Reload()
    assert [point.step for point in events.Scalars("loss/train")] == whole.metrics["step"].tolist()


def test_going_on_with_a_finished_run_changes_nothing(command, tmp_path):
    assert command("data=iris", "epochs=2", "hydra.run.dir=run").code == 0
    before = (tmp_path / "run" / "metrics.csv").read_bytes(), (tmp_path / "run" / "summary.json").read_bytes()
    ended = command("resume=run")
    assert ended.code == 0
    assert "there is nothing left to do" in ended.out
    assert ((tmp_path / "run" / "metrics.csv").read_bytes(), (tmp_path / "run" / "summary.json").read_bytes()) == before
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("change", ["optimizer=sgd", "optimizer.lr=0.5", "seed=3", "bs=4", "model.hidden=[3]"])
def test_a_change_that_would_make_it_another_run_is_refused(here, change):
    nettrain.train(["data=iris", "epochs=1", "quiet=true"], folder=here / "run")
    with pytest.raises(ConfigError, match=f"^{change.partition('=')[0]}.*resume goes on with the run's own"):
        nettrain.train(["resume=run", "epochs=2", change])


def test_changed_data_are_refused(here):
    table = "x,y\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(40))
    (here / "t.csv").write_text(table)
    nettrain.train(
        ["data=csv", "recipe=plain", "data.path=t.csv", "data.target=y", "epochs=1", "quiet=true"], folder=here / "run"
    )
    (here / "t.csv").write_text(table.replace("a", "c").replace("b", "a").replace("c", "b"))
    with pytest.raises(DataError, match="have changed"):
        nettrain.train(["resume=run", "epochs=2"])


@pytest.mark.parametrize(("folder", "message"), [("none", "no run is there")])
def test_no_run_to_go_on_with(command, folder, message):
    ended = command(f"resume={folder}")
    assert ended.code == 5
    assert message in ended.err


@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_it_used(here, capsys, damage):
    whole = nettrain.train(["data=iris", "epochs=6", "quiet=true"])
    nettrain.train(["data=iris", "epochs=4", "checkpoint.every_seconds=0", "quiet=true"], folder=here / "cut")
    path = here / "cut" / "checkpoints" / "last.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content if damage == "flipped" else content[:1000])
    if damage == "missing":
        path.unlink()
    again = nettrain.train(["resume=cut", "epochs=6", "quiet=false"])
    assert "The one saved before it is used." in capsys.readouterr().err
    assert_equal(whole, again)


def test_a_second_run_in_the_same_folder_is_refused_while_the_first_trains(here):
    with locked(here / "run"), pytest.raises(InUseError, match="another run is using this folder"):
        nettrain.train(["data=iris", "epochs=1", "quiet=true"], folder=here / "run")
    assert nettrain.train(["data=iris", "epochs=1", "quiet=true"], folder=here / "run").summary["updates"] == 4
