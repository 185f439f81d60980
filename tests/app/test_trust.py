"""Reading somebody else's run folder runs nothing of theirs: not its checkpoints, not its config, not its numbers."""

import io
import os
import pickle
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_iris

import nettrain
from nettrain.app import tools
from nettrain.errors import CheckpointError
from nettrain.storage.checkpoint_files import load_checkpoint


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    nettrain.train(["data=iris", "epochs=2", "quiet=true", "tensorboard=false"], folder=folder / "run")
    save_table(folder)
    return folder


def save_table(folder):
    iris = load_iris(as_frame=True)
    iris.data.assign(target=iris.target_names[iris.target]).to_csv(folder / "iris.csv", index=False)


@pytest.fixture
def run(trained, here):
    """A run that somebody else has sent, and a table."""
    shutil.copy(trained / "iris.csv", here)
    shutil.copytree(trained / "run", here / "run")
    return here / "run"


@pytest.fixture
def tool(monkeypatch, capsys):
    def call(function, *arguments):
        monkeypatch.setattr(sys, "argv", [function.__name__, *arguments])
        capsys.readouterr()
        try:
            function()
        except SystemExit as end:
            return end.code, capsys.readouterr().err
        return 0, ""

    return call


def opened(run, tool, command):
    """The exit codes and messages of all that reads the folder."""
    read = [tool(function, f"run={run}", "data.path=iris.csv") for function in (tools.predict, tools.evaluate)]
    ended = command(f"resume={run}", "epochs=3")
    saved = command("--config-dir", f"{run}/.hydra", "--config-name", "config", "hydra.run.dir=again", "epochs=1")
    assert not Path("ran").exists()
    return [*read, (ended.code, ended.err), (saved.code, saved.err)]


def saved(content, **changes):
    """The bytes of a checkpoint as torch.save writes it, Python's own pickle in it."""
    buffer = io.BytesIO()
    torch.save({**content, **changes}, buffer)
    return buffer.getvalue()


BOMBS = {
    "in the weights": lambda content: saved(content, model={"w": Bomb()}),
    "in the optimizer's state": lambda content: saved(content, optimizer={"exp_avg": Bomb()}),
    "a bare pickle": lambda content: pickle.dumps(Bomb()),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_pickle_in_a_checkpoint_is_not_executed(run, tool, command, bomb):
    content = load_checkpoint(run / "checkpoints" / "last.pt")
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").mkdir()
    for name in ("last.pt", "best.pt", "previous.pt"):
        (run / "checkpoints" / name).write_bytes(BOMBS[bomb](content))
    *read, resumed, _ = opened(run, tool, command)
    assert all(code == 5 and "damaged, or not a checkpoint" in message for code, message in [*read, resumed])


@pytest.mark.parametrize(
    "line",
    [
        "model: {name: module, _target_: os.mkdir, path: ran}",
        "model: {name: module, _target_: builtins.exec, source: 'import os; os.mkdir(\"ran\")'}",
        "model: {name: module, _target_: torch.nn.functional.boolean_dispatch}",
        "model: {name: module, _target_: torch.nn.modules.module.warnings.sys.exit}",
    ],
)
def test_a_model_from_elsewhere_needs_trust(run, tool, command, line):
    path = run / ".hydra" / "config.yaml"
    kept, skipping = [], False
    for text in path.read_text().splitlines():
        skipping = text.startswith("model:") or (skipping and text.startswith(" "))
        kept += [] if skipping else [text]
    path.write_text("\n".join([*kept, line]))
    for code, message in opened(run, tool, command):
        assert code == 2
        assert "code that belongs neither to nettrain nor to torch; if you trust the folder's origin" in message


@pytest.mark.parametrize(
    "line",
    [
        "_target_: os.mkdir",
        "hydra: {callbacks: {x: {_target_: os.mkdir, path: ran}}}",
        "hydra: {launcher: {_target_: os.mkdir, path: ran}}",
        "seed: !!python/object/apply:os.mkdir [ran]",
        "checkpoint: {_target_: os.mkdir, path: ran}",
        "bs: ${oc.env:HOME}",
        "a: &a [x, x]\nb: [*a, *a]",
        "defaults: [x]",
        "seed: " + "[" * 800,
    ],
)
def test_nothing_else_in_a_config_is_executed(run, tool, command, line):
    path = run / ".hydra" / "config.yaml"
    path.write_text(path.read_text() + line)
    for code, message in opened(run, tool, command):
        assert code == 5
        assert "config" in message
        assert len(message.splitlines()) == 1


def test_a_layer_of_torch_needs_no_trust(here, tool, command):
    save_table(here)
    arguments = "data=csv", "recipe=plain", "data.path=iris.csv", "data.target=target"
    assert command(*arguments, "model._target_=torch.nn.Linear", "epochs=2", "hydra.run.dir=run").code == 0
    assert opened(here / "run", tool, command) == [(0, "")] * 4


def test_a_model_of_one_s_own_is_imported_with_trust(run, tool, command):
    Path("received.py").write_text(
        "import torch\ndef net(in_features, out_features):\n    return torch.nn.Linear(4, 3)\n"
    )
    assert command("data=iris", "model._target_=received.net", "epochs=1", "hydra.run.dir=own").code == 0
    assert tool(tools.predict, "run=own", "data.path=iris.csv")[0] == 2
    assert tool(tools.predict, "run=own", "data.path=iris.csv", "trust=true") == (0, "")
    saved = "--config-dir", "own/.hydra", "--config-name", "config", "hydra.run.dir=again"
    assert command(*saved).code == 2
    assert command(*saved, "trust=true").code == 0


def test_a_compressed_file_is_not_unpacked(tmp_path):
    """A zip file of a megabyte can hold a gigabyte of zeros."""
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", bytes(10**8))
    with pytest.raises(CheckpointError, match="not compressed"):
        load_checkpoint(tmp_path / "bomb.pt")


@pytest.mark.parametrize("name", ["model", "optimizer", "epoch", "best", "outputs", "schedule"])
def test_a_checkpoint_without_one_of_its_parts_is_refused(run, command, name):
    content = load_checkpoint(run / "checkpoints" / "last.pt")
    del content[name]
    (run / "checkpoints" / "last.pt").write_bytes(saved(content))
    ended = command(f"resume={run}", "epochs=3")
    assert ended.code == 5
    assert len(ended.err.splitlines()) == 1
