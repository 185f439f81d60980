"""Whatever goes wrong ends in one sentence: mistakes on the command line, errors nobody expects, Ctrl-C."""

import json
import signal
import subprocess
import sys

import pytest

import nettrain.data
from nettrain.app import cli
from nettrain.errors import unexpected
from nettrain.training.counters import Counters

MISTAKES = {
    "bs=0": "bs=0: bs must be a positive integer, or full for the whole training split.",
    "bs=-3": "bs=-3: bs must be a positive integer, or full for the whole training split.",
    "bs=0.5": "bs=0.5: bs must be a positive integer, or full for the whole training split.",
    "bs=fulll": "bs=fulll: bs must be a positive integer, or full for the whole training split.",
    "bs=true": "bs=True: bs must be a positive integer, or full for the whole training split.",
    "bs=": "bs=: bs must be a positive integer, or full for the whole training split.",
    "bs=[1": "bs=[1: it cannot be read: its brackets or its quotes are not closed; in a shell the whole is put into "
    "quotes.",
    "groups={layers.[0]*:{lr:2}}": "groups={layers.[0]*:{lr:2}}: it cannot be read; write it in quotes, as the shell "
    "takes braces for its own, such as 'groups={*.bias:{weight_decay:0},layers.0.*:{lr:0.1}}', and in patterns a "
    "backslash before each of ()[]{}:=, and spaces.",
    "--confg-dir mine": "--confg-dir: there is no such option; did you mean --config-dir?",
    "seed=1 --config-dir": "--config-dir: it needs a value; write --config-dir <value>.",
    "seed=range(3)": "seed=range(3): several values are a sweep, which needs -m.",
    "bs": "bs: this is not a valid override; write key=value.",
    "epochs=ten": "epochs=ten: epochs must be an integer.",
    "epochs=-1": "epochs=-1: epochs must be at least 0.",
    "seed=-1": "seed=-1: seed must be between 0 and 2**63 - 1.",
    "precision=float16": "precision=float16: precision must be one of float32, float64, bf16, tf32.",
    "device=gpu": "device=gpu: device must be one of auto, cpu, cuda, mps, or a CUDA device by its number, such "
    "as cuda:1.",
    "drop_last=perhaps": "drop_last=perhaps: drop_last must be true or false.",
    "optimizer.lr=-1": "optimizer.lr=-1.0: optimizer.lr must be at least 0.",
    "optimizer.lr=nan": "optimizer.lr=nan: optimizer.lr must be at least 0.",
    "optimizer.lr=1e39": "optimizer.lr=1e+39: float32 ends at 3.4e+38; use a smaller number.",
    "optimizer.lr=1e39 precision=bf16": "optimizer.lr=1e+39: float32 ends at 3.4e+38; use a smaller number.",
    "optimizer.weight_decay=1e40": "optimizer.weight_decay=1e+40: float32 ends at 3.4e+38; use a smaller number.",
    "optimizer.eps=1e-50": "optimizer.eps=1e-50: in float32 this is 0; use a larger number.",
    "activation=elu activation.alpha=1e39": "activation.alpha=1e+39: float32 ends at 3.4e+38; use a smaller number.",
    "optimizer.lr=fast": "optimizer.lr=fast: optimizer.lr must be a number.",
    "optimizer.beta1=1": "optimizer.beta1=1.0: optimizer.beta1 must be at least 0 and less than 1.",
    "optimizer.lrr=2": "optimizer.lrr: there is no such key; did you mean optimizer.lr?",
    "optimizer.momentum=0.9": "optimizer.momentum exists only for optimizer=momentum and rmsprop.",
    "experiment=course/momentum optimizer=newton": "experiment/course/momentum.yaml: optimizer.lr exists only for "
    "optimizer=sgd, momentum, adagrad, rmsprop, adam, adamw, bfgs, lbfgs and torch.",
    "optimizer.name=sgd": "optimizer.name=sgd: parts are chosen by their group, optimizer=sgd.",
    "lr=0.1": "lr: there is no such key; did you mean optimizer.lr?",
    "+lr=0.1": "lr: there is no such key; did you mean optimizer.lr?",
    "learning_rate=0.1": "learning_rate: there is no such key; did you mean optimizer.lr?",
    "batch_size=8": "batch_size: there is no such key; did you mean bs?",
    "epoch=3": "epoch: there is no such key; did you mean epochs?",
    "optimiser=adam": "optimiser: there is no such key; did you mean optimizer?",
    "zzz=1": "zzz: there is no such key.",
    "head.quantiles=[0.5]": "head.quantiles: there is no such key; --help head=<name> lists those that there are.",
    "optimizer.foo=1": "optimizer.foo: there is no such key; --help optimizer=<name> lists those that there are.",
    "+model.hiden=[3]": "model.hiden: there is no such key; did you mean model.hidden?",
    "model.hidden=64": "model.hidden: it must be a list, such as model.hidden=[64,32].",
    "model.hidden=[0]": "model.hidden=[0]: model.hidden must be at least 1.",
    "model.hidden=[a]": "model.hidden[0]=a: model.hidden[0] must be an integer.",
    "model.dropout=1": "model.dropout=1.0: model.dropout must be at least 0 and less than 1.",
    "early_stopping.patience=0": "early_stopping.patience=0: early_stopping.patience must be at least 1.",
    "activation=rleu": "activation=rleu: there is no such activation; choose from elu, gelu, identity, leaky_relu, "
    "relu, "
    "sigmoid, silu, step, tanh; did you mean relu?",
    "data.numbers=periodic": "data.numbers=periodic: data.numbers must be one of standard, piecewise, quantile, "
    "robust; a periodic embedding is learnt, by model=mlp of all numbers: model.periodic=16.",
    "data=csv data.path=t.csv data.target=y data.columns.x=periodic": "data.columns={'x': 'periodic'}: data.columns "
    "must be one of number, category, embedding, date, hash, drop, standard, piecewise, quantile, robust; a periodic "
    "embedding is learnt, by model=mlp of all numbers: model.periodic=16.",
    "head=sigmoid_bce": "head=sigmoid_bce: it cannot fit the target 'target', which holds 10 classes; "
    "use head=softmax_ce.",
    "head=identity_mse": "head=identity_mse: it cannot fit the target 'target', which holds 10 classes; "
    "use head=softmax_ce.",
    "data=diabetes head=softmax_ce": "head=softmax_ce: it cannot fit the target 'target', which holds "
    "numbers; use head=identity_mse.",
    "data=diabetes head=quantile head.levels=[0.9,0.1]": "head.levels=[0.9, 0.1]: head.levels must ascend, such as "
    "[0.05,0.5,0.95].",
    "data=diabetes head=quantile head.levels=[0,1]": "head.levels=[0.0, 1.0]: head.levels must be greater than 0 "
    "and less than 1.",
    "head=softmax_ce head.label_smoothing=1": "head.label_smoothing=1.0: head.label_smoothing must be at least 0 and "
    "less than 1.",
    "data=iris data.order=[setosa,virginica]": "data.order=['setosa', 'virginica']: it must name each class once: "
    "setosa, versicolor, virginica.",
    "data=diabetes data.order=[a,b]": "data.order=['a', 'b']: the target 'target' has numbers, not classes.",
    "model=polynomial": "model=polynomial: it takes one input, but the data have 64 features; use model=linear or "
    "model=mlp.",
    "model._target_=nowhere.Net": "model._target_=nowhere.Net: there is no module 'nowhere', neither in the working "
    "directory nor installed; a name is one such as my.module.Class.",
    "model._target_=torch.nn.ReLU": "model._target_=torch.nn.ReLU: the module has no parameters to train.",
    "model._target_=torch.nn.Linear model.out_features=3": "model._target_=torch.nn.Linear: for a batch of 2 rows it "
    "returned (2, 3), but the head needs the shape (2, 10).",
    "model._target_=torch.nn.Linear model.in_features=3": "model._target_=torch.nn.Linear: it fails on a batch of 2 "
    "rows with 64 features: mat1 and mat2 shapes cannot be multiplied (2x64 and 3x10).",
    "data=csv": "data.path: a value is required.",
    "split=group": "split.column: a value is required.",
    "split=kfold": "split=kfold: there is no such split; choose from column, files, fold, group, random, stratified, "
    "time; did you mean fold?",
    "split=files": "split=files: only data=csv is read from files.",
    "split.folds=3": "split.folds exists only for split=fold.",
    "split=fold split.folds=1": "split.folds=1: split.folds must be at least 2.",
    "split=fold split.fold=-1": "split.fold=-1: split.fold must be at least 0.",
    "split=fold split.fold=7": "split.fold=7: with split.folds=5 the folds are numbered from 0 to 4.",
    "data=sql data.target=y": "data.query: a value is required.",
    "data=csv data.query=x": "data.query exists only for data=sql.",
    "bs=null": "bs=null: bs must have a value.",
    "seed=1..5": "seed=1..5: seed must be an integer; a sweep over a range is -m 'seed=range(1,6)'.",
    "--optimizer adam": "--optimizer: keys have no dashes; write optimizer=<value>.",
    "--optimizer=adam": "--optimizer=adam: keys have no dashes; write optimizer=adam.",
    "--lr=0.1": "--lr=0.1: keys have no dashes; write optimizer.lr=0.1.",
    "hydra/sweeper=tpe": "hydra/sweeper=tpe: this is for sweeps; add -m.",
    "hydra.launcher.memory=4": "hydra.launcher.memory=4: this is for sweeps; add -m.",
    "-m hydra.run.dir=x seed=1,2": "hydra.run.dir=x: a sweep writes into another folder, hydra.sweep.dir=x.",
    "data=csv data.drop=a": "data.drop: it must be a list, such as data.drop=[a,b].",
    "seed=null": "seed=null: seed must have a value.",
    "~optimizer.lr": "~optimizer.lr: keys cannot be deleted; leave it unset to get the default.",
    "~optimizer": "optimizer: a value is required.",
    "~zzz": "~zzz: there is no such key.",
    "+bs=8": "+bs=8: bs already exists; use bs=8.",
    "optimizer=null": "optimizer=null: it cannot be read: Config group override must be a string or a list. Got "
    "NoneType.",
    "optimizer=[adam,sgd]": "optimizer: it takes a name, optimizer=<name>.",
    "optimizer=sgd,adam": "optimizer=sgd,adam: several values are a sweep, which needs -m; write a list as "
    "optimizer=[sgd,adam].",
    "bs=8,16": "bs=8,16: several values are a sweep, which needs -m; write a list as bs=[8,16].",
    "bs=1e1": "bs=10.0: bs must be a positive integer, or full for the whole training split.",
    "bs= 8": "8: this is not a valid override; write key=value.",
    "bs==3": "bs==3: bs must be a positive integer, or full for the whole training split.",
    "bs.x=3": "bs={}: bs must be a positive integer, or full for the whole training split.",
    "bs=${zzz}": "bs: there is no key zzz to take its value from.",
    "seed=${oc.env:NOT_THERE}": "seed: Environment variable 'NOT_THERE' not found.",
    "seed=1.5": "seed=1.5: seed must be an integer.",
    "epochs=1e3": "epochs=1000.0: epochs must be an integer.",
    "optimizer@x=sgd": "optimizer@x: there is no such group.",
    "optimizer/lr=3": "optimizer/lr: there is no such key; did you mean optimizer.lr?",
    "optimizer.lr=": "optimizer.lr=: optimizer.lr must be a number.",
    "optimizer.lr=inf": "optimizer.lr=inf: optimizer.lr must be at least 0.",
    "optimizer.lr=[0.1]": "optimizer.lr=[0.1]: optimizer.lr must be a number.",
    "optimizer=newton schedule=cosine": "schedule=cosine: optimizer=newton finds its own step lengths; use "
    "schedule=constant without warm-up.",
    "optimizer=genetic model.dropout=0.1": "model.dropout=0.1: optimizer=genetic compares the loss at several points, "
    "which dropout would make random; use model.dropout=0 or a gradient optimizer.",
    "on_divergence=ignore": "on_divergence=ignore: on_divergence must be one of stop, skip_step, restore_and_halve_lr.",
    "model.hidden=[[3]]": "model.hidden=[[3]]: model.hidden must be a flat list, such as model.hidden=[64,32].",
    "model.hidden=[1.5]": "model.hidden[0]=1.5: model.hidden[0] must be an integer.",
    "model.hidden={a:1}": "model.hidden={a:1}: the value does not fit model.hidden.",
    "model.hidden=[1000000000000]": "model=mlp: its parameters do not fit into memory; choose a smaller network.",
    "budget.seconds=0": "budget.seconds=0.0: budget.seconds must be greater than 0.",
    "budget.updates=1.5": "budget.updates=1.5: budget.updates must be an integer.",
    "checkpoint.every_steps=0": "checkpoint.every_steps=0: checkpoint.every_steps must be at least 1.",
    "hydra.run.dir=null": "hydra.run.dir=null: hydra.run.dir must have a value.",
    "--config-name nowhere": "--config-name=nowhere: there is no such config.",
    "experiment=none": "experiment=none: there is no such experiment; choose from quadratic_sgd.",
    "budget=5": "budget: it is a group of keys; set one of them, budget.<key>=... (--help lists them).",
}


@pytest.mark.sample(4)
@pytest.mark.parametrize("arguments", MISTAKES)
def test_a_mistake_on_the_command_line(command, tmp_path, arguments):
    ended = command(*arguments.split(" "))
    assert ended.code == 2
    assert ended.err == f"nettrain: {MISTAKES[arguments]}\n"
    assert ended.out == ""
    assert list(tmp_path.rglob("*")) == []


def test_an_interpolation_in_a_file_that_cannot_be_read(command, tmp_path):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "a.yaml").write_text("# @package _global_\nbs: ${a.b${seed}}\n")
    ended = command("--config-dir", "mine", "experiment=a", "data=iris")
    assert (ended.code, ended.err) == (2, "nettrain: bs: its interpolation ${...} cannot be read.\n")


def test_an_unknown_option_of_the_program(command):
    ended = command("--foo")
    assert ended.code == 2
    assert ended.err == "nettrain: --foo: there is no such option.\n"


def test_a_folder_that_holds_a_run_is_refused_and_stays_as_it_is(command, tmp_path):
    assert command("epochs=1", "hydra.run.dir=a").code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()}
    ended = command("epochs=2", "hydra.run.dir=a")
    assert (ended.code, ended.err) == (
        2,
        f"nettrain: hydra.run.dir={tmp_path}/a: the folder already holds a run; choose another one.\n",
    )
    assert {path: path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()} == before


def test_a_folder_that_was_there_before_stays(command, tmp_path):
    (tmp_path / "mine").mkdir()
    assert command("epochs=-1", "hydra.run.dir=mine/new/run").code == 2
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]


def test_a_folder_that_cannot_be_made(command, tmp_path):
    (tmp_path / "file").touch()
    ended = command("hydra.run.dir=file/run")
    assert (ended.code, ended.err) == (6, "nettrain: file/run: it cannot be written: Not a directory.\n")


def broken(counters):
    if counters.updates == 5:
        raise ZeroDivisionError("nothing can be divided by it\nreally")


def test_an_error_that_nobody_expects_is_one_line_and_a_traceback_in_the_folder(command, tmp_path, monkeypatch):
    monkeypatch.setattr(Counters, "exhausted", broken)
    ended = command("data=iris", "hydra.run.dir=run")
    message = "ZeroDivisionError: nothing can be divided by it"
    assert (ended.code, ended.err) == (1, f"nettrain: {message} (traceback: {tmp_path}/run/error.txt)\n")
    assert "Traceback" in (tmp_path / "run" / "error.txt").read_text()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary == {"status": "failed", "message": message, "exit_code": 1}


def test_an_error_before_the_run_has_begun_leaves_its_traceback_alone(command, tmp_path, monkeypatch):
    monkeypatch.setattr(nettrain.data, "load", lambda *arguments: {}["x"])
    assert command("hydra.run.dir=run").code == 1
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["error.txt"]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
)
def test_too_little_memory_is_said_with_what_helps(error):
    assert unexpected(error).endswith("; a lower bs or model.hidden needs less memory.")


def interrupt(*arguments):
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_while_the_data_are_read(command, tmp_path, monkeypatch):
    monkeypatch.setattr(nettrain.data, "load", interrupt)
    ended = command()
    assert (ended.code, ended.err) == (130, "nettrain: interrupted before training began\n")
    assert list(tmp_path.rglob("*")) == []


def test_ctrl_c_while_the_config_is_composed(command, tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "register", interrupt)
    assert command() == (130, "", "nettrain: interrupted before training began\n")


def test_ctrl_c_while_torch_is_imported():
    code = """
import sys
class Interrupt:
    def find_spec(self, name, *rest):
        if name == "torch":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
from nettrain.app.main import main
sys.argv = ["train.py"]
main()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (130, "nettrain: interrupted before training began\n")


def test_a_second_ctrl_c_ends_a_run_at_once(command, tmp_path, monkeypatch):
    def exhausted(counters):
        if counters.updates > 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(Counters, "exhausted", exhausted)
    ended = command("data=iris", "epochs=9", "quiet=true", "hydra.run.dir=run")
    assert ended == (130, "", f"nettrain: interrupted at once; {tmp_path}/run is as it was last saved\n")
    assert not (tmp_path / "run" / "summary.json").exists()
