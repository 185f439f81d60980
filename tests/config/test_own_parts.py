"""Parts of a user's own: found in a file or a module, used as nettrain's, saved with the run, and behind trust."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

import nettrain
from nettrain.errors import ConfigError, UserCodeError

PARTS = '''
"""Parts of my own."""
from dataclasses import dataclass

import torch
from nettrain.optimizers.rules import Rule
from nettrain.parts.activations import activation
from nettrain.parts.schedules import Schedule
from nettrain.registry import option


@activation
def softsign_of_mine(x, scale: float = 1.0):
    """f(x) = x / (scale + |x|)."""
    return x / (scale + x.abs())


@dataclass
class SignOfMine(Rule):
    """w <- w - lr sign(g)."""

    name: str = "sign_of_mine"
    share: float = option(1.0, "share of the sign", minimum=0, maximum=1, per_row=True)
    text: "str | None" = None

    def coefficients(self, t, lr):
        return {"step": -lr * self.share}

    def update(self, state, w, g, c):
        w.add_(torch.sign(g) * c["step"])


@dataclass
class TriangleOfMine(Schedule):
    name: str = "triangle_of_mine"
    period: int = 4

    def factor(self, t, per_epoch, updates):
        return 1 - abs(2 * (t / per_epoch / self.period % 1) - 1)
'''
pytestmark = pytest.mark.usefixtures("parts_are_forgotten")
QUIET = ["data=iris", "quiet=true", "figures=never", "tensorboard=false"]
MINE = ["optimizer=sign_of_mine", "activation=softsign_of_mine", "schedule=triangle_of_mine"]


@pytest.fixture
def mine(tmp_path):
    """The options for a folder of configs with parts.py in it, and nothing else."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "parts.py").write_text(PARTS)
    return ["--config-dir", "mine"]


def test_parts_in_a_file_are_parts_like_any_other(command, tmp_path, mine):
    ended = command(*mine, *MINE, *QUIET, "epochs=3", "hydra.run.dir=run")
    assert ended.code == 0, ended.err
    run = nettrain.Run(tmp_path / "run", trust=True)
    assert run.config.optimizer.share == 1
    rates = np.array([t / 4 / 4 % 1 for t in (3, 7, 11)])
    assert run.metrics["lr"].to_numpy() == pytest.approx(1e-3 * (1 - abs(2 * rates - 1)))
    x = torch.tensor([[1.0, -2.0, 0.5, 3.0]])
    first, second, last = run.model.layers
    soft = lambda z: z / (1 + z.abs())  # noqa: E731
    assert torch.allclose(run.model(x), last(soft(second(soft(first(x))))))
    shown = " ".join(command(*mine, *MINE, "--help").out.split())
    assert "share of the sign (between 0 and 1)" in shown
    assert "optimizer=sign_of_mine: w <- w - lr sign(g)." in shown


@pytest.mark.sample(2)
@pytest.mark.parametrize("engine", ["eager", "compiled"])
def test_parts_of_one_s_own_stack_compile_and_resume(command, tmp_path, mine, engine):
    options = [*mine, *MINE, *QUIET, f"engine={engine}", "optimizer.lr=0.01"]
    assert command("-m", *options, "optimizer.share=1,0.5", "seed=1,2", "epochs=4", "hydra.sweep.dir=sweep").code == 0
    for number, (share, seed) in enumerate([(1, 1), (1, 2), (0.5, 1), (0.5, 2)]):
        alone = [*options, f"optimizer.share={share}", f"seed={seed}", f"hydra.run.dir=alone{number}"]
        assert command(*alone, "epochs=2").code == 0
        assert command(f"resume=alone{number}", "trust=true", "epochs=4").code == 0
        losses = nettrain.Run(tmp_path / f"alone{number}").metrics["train_loss"].to_numpy()
        row = nettrain.Run(tmp_path / "sweep" / str(number)).metrics["train_loss"].to_numpy()
        assert losses == pytest.approx(row, rel=0 if engine == "compiled" else 1e-4)


def test_a_run_keeps_its_parts_and_they_need_trust(command, tmp_path, mine):
    assert command(*mine, *MINE, *QUIET, "epochs=1", "hydra.run.dir=run").code == 0
    shutil.rmtree(tmp_path / "mine")
    ended = command("resume=run", "epochs=2")
    assert ended.code == 2
    assert "code that belongs neither to nettrain nor to torch" in ended.err
    with pytest.raises(ConfigError, match="trust=True"):
        nettrain.Run(tmp_path / "run").model  # noqa: B018
    assert command("resume=run", "epochs=2", "trust=true").code == 0
    assert nettrain.Run(tmp_path / "run").summary["epochs"] == 2
    again = ["--config-dir", "run/.hydra", "--config-name", "config", "trust=true", "hydra.run.dir=again"]
    assert command(*again).code == 0
    assert nettrain.Run(tmp_path / "again", trust=True).summary["epochs"] == 2


def test_parts_in_a_module_and_from_python(tmp_path, monkeypatch):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "nettrain_test_module.py").write_text(PARTS.replace("of_mine", "of_a_module"))
    monkeypatch.syspath_prepend(tmp_path / "modules")
    run = nettrain.train(["parts=[nettrain_test_module]", "optimizer=sign_of_a_module", *QUIET, "epochs=1"])
    assert run.config.parts == ["nettrain_test_module"]
    assert nettrain.Run(run.folder, trust=True).model is not None


FAILING = {
    "import nowhere": "ModuleNotFoundError: No module named 'nowhere'",
    "x = (": "SyntaxError: '(' was never closed (parts.py, line 1)",
    "def f():\n    return 1 / 0\nf()": "ZeroDivisionError: division by zero",
}


@pytest.mark.parametrize("text", FAILING)
def test_a_file_that_fails_shows_its_own_traceback(command, tmp_path, text):
    (tmp_path / "parts.py").write_text(text)
    ended = command("parts=[parts.py]", *QUIET)
    assert (ended.code, ended.out) == (2, "")
    *traceback, line = ended.err.splitlines()
    assert line == f"nettrain: parts={tmp_path}/parts.py: it cannot be imported: {FAILING[text]}."
    assert traceback[0] == "Traceback (most recent call last):"
    assert f'File "{tmp_path}/parts.py", line' in traceback[1]
    assert traceback.count(traceback[0]) == 1
    assert not any("/nettrain/" in frame for frame in traceback)
    with pytest.raises(UserCodeError, match="it cannot be imported"):
        nettrain.train(["parts=[parts.py]", *QUIET])


RULE = "from nettrain.optimizers.rules import Rule\nfrom dataclasses import dataclass\n"
MISTAKES = {
    "parts=[nowhere]": "parts=nowhere: there is no such module; give its name, as in an import, or a file's path.",
    "parts=[nowhere.py]": "parts={here}/nowhere.py: the file cannot be read: No such file or directory.",
    "optimizer=signofmine": "optimizer=signofmine: there is no such optimizer; choose from adagrad, adam, adamw, ",
}


@pytest.mark.parametrize("argument", MISTAKES)
def test_parts_that_are_not_there(command, tmp_path, mine, argument):
    ended = command(*mine, *QUIET, argument)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("nettrain: " + MISTAKES[argument].format(here=tmp_path))
    assert "parts.py in the folder of --config-dir" in command(*QUIET, "optimizer=zzz").err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            RULE + "class A(Rule):\n    name = 'own_a'\n    def update(self, *rest): pass\n",
            "A: a part is a dataclass with",
        ),
        (
            RULE + "@dataclass\nclass Adam(Rule):\n    name: str = 'adam'\n    def update(self, *rest): pass\n",
            "Adam: the name adam is that of a part of nettrain; choose another one.",
        ),
        (
            "from nettrain.parts.activations import activation\n@activation\ndef relu(x): return x\n",
            "relu: the name is that of an activation of nettrain; choose another.",
        ),
    ],
)
def test_classes_that_are_no_parts(tmp_path, text, sentence):
    """In a process of their own: a class, once defined, stays."""
    (tmp_path / "parts.py").write_text(text)
    arguments = [sys.executable, "-m", "nettrain", "parts=[parts.py]", *QUIET]
    ended = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 2
    assert f"{tmp_path}/parts.py: {sentence}" in ended.stderr


NET = """
import torch
class Net(torch.nn.Module):
    def __init__(self, in_features, out_features, width=8, act=None):
        super().__init__()
        first, last = torch.nn.Linear(in_features, width), torch.nn.Linear(width, out_features)
        self.net = torch.nn.Sequential(first, act or torch.nn.ReLU(), last)
    def forward(self, x):
        return self.net(x)
"""


@pytest.mark.parametrize("schema", ["", "defaults:\n  - /schema/model/module@_here_\n"])
def test_a_module_s_file_has_arguments_and_nested_targets(command, tmp_path, mine, monkeypatch, schema):
    (tmp_path / "net_of_mine.py").write_text(NET)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine" / "model").mkdir()
    nested = "width: 16\nact: {_target_: torch.nn.Softplus, beta: 2}\n"
    (tmp_path / "mine" / "model" / "net.yaml").write_text(f"{schema}_target_: net_of_mine.Net\n{nested}")
    assert command(*mine, *QUIET, "model=net", "epochs=1", "hydra.run.dir=run").code == 0
    net = nettrain.Run(tmp_path / "run", trust=True).model.net
    assert (net[0].out_features, net[1].beta) == (16, 2)
    assert command("resume=run", "epochs=2", "trust=true").code == 0
    assert (
        command(
            *mine,
            *QUIET,
            "model=net",
            "model.width=5",
            "model.act._target_=torch.nn.Tanh",
            "~model.act.beta",
            "epochs=1",
            "hydra.run.dir=other",
        ).code
        == 0
    )
    net = nettrain.Run(tmp_path / "other", trust=True).model.net
    assert (net[0].out_features, type(net[1])) == (5, torch.nn.Tanh)


def test_positional_arguments_of_a_module(command, tmp_path):
    layers = "[{_target_:torch.nn.Linear,in_features:4,out_features:3}]"
    sequential = ["model._target_=torch.nn.Sequential", f"model._args_={layers}"]
    assert command(*QUIET, *sequential, "epochs=1", "hydra.run.dir=run").code == 0
    assert command("resume=run", "epochs=2").code == 0  # all of it is torch's: no trust is needed
    config = tmp_path / "run" / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("torch.nn.Linear", "os.getcwd"))
    ended = command("resume=run", "epochs=3")
    assert (ended.code, "its model is os.getcwd, code that belongs neither" in ended.err) == (2, True)


def test_a_part_by_target(command, tmp_path, monkeypatch):
    (tmp_path / "parts_by_target.py").write_text(PARTS.replace("of_mine", "by_target"))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine" / "optimizer").mkdir(parents=True)
    (tmp_path / "mine" / "optimizer" / "s.yaml").write_text("_target_: parts_by_target.SignOfMine\nshare: 0.25\n")
    for arguments in (
        ["optimizer._target_=parts_by_target.SignOfMine", "optimizer.share=0.25"],
        ["--config-dir", "mine", "optimizer=s"],
    ):
        folder = f"run{len(arguments)}"
        activation = "activation._target_=parts_by_target.softsign_by_target"
        ended = command(*arguments, activation, *QUIET, "epochs=1", f"hydra.run.dir={folder}")
        assert ended.code == 0, ended.err
        config = nettrain.Run(tmp_path / folder).config
        assert (config.optimizer.name, config.optimizer.share) == ("sign_by_target", 0.25)
        assert set(config.parts) == {"parts_by_target"}
        assert command(f"resume={folder}", "epochs=2", "trust=true").code == 0
    ended = command(*QUIET, "data._target_=torch.optim.NAdam")
    assert ended.err.startswith("nettrain: data._target_=torch.optim.NAdam: it is no part; data takes a data")
