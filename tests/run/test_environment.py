"""What bits depend on is recorded, compared when a run goes on, and the same config gives the same ones."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import nettrain
from nettrain.app.cli import main  # noqa: F401 -- imported here, so that no test pays for it
from nettrain.storage.checkpoint_files import load_checkpoint
from nettrain.storage.environment import environment

IRIS = ["data=iris", "epochs=2", "quiet=true", "tensorboard=false"]


def test_versions_device_and_threads_are_recorded(here):
    run = nettrain.train([*IRIS, "deterministic=true"])
    recorded = json.loads((run.folder / "environment.json").read_text())
    assert recorded["torch"] == torch.__version__
    assert recorded["numpy"] == np.__version__
    assert recorded["python"] == platform.python_version()
    assert recorded["cpu_capability"] in torch.__config__.show().replace(" ", "").upper()
    assert recorded["threads"] == 1
    assert recorded["deterministic"] is True
    assert recorded["earlier"] == []
    assert recorded["git_commit"] is None


def test_the_commit_of_the_working_directory_is_recorded(here):
    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(["git", *who, *words], check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    Path("a.txt").write_text("1")
    git("add", "a.txt")
    git("commit", "-m", "one")
    found = environment(torch.device("cpu"))
    assert (found["git_commit"], found["git_changed"]) == (git("rev-parse", "HEAD"), False)
    Path("sub").mkdir()
    Path("a.txt").write_text("2")
    os.chdir("sub")
    found = environment(torch.device("cpu"))
    assert (found["git_commit"], found["git_changed"]) == (git("rev-parse", "HEAD"), True)


@pytest.mark.parametrize(
    ("key", "counts"), [("torch", True), ("cpu_capability", True), ("threads", True), ("python", False)]
)
def test_going_on_elsewhere_is_said(here, capsys, key, counts):
    run = nettrain.train(IRIS, folder="run")
    path = run.folder / "environment.json"
    elsewhere = {**json.loads(path.read_text()), key: "0.0"}
    path.write_text(json.dumps(elsewhere))
    nettrain.train(["resume=run", "epochs=3"])
    sentence = f"nettrain: run: resumed in a different environment: results may differ slightly: {key} was 0.0"
    assert capsys.readouterr().err.startswith(sentence) == counts
    recorded = json.loads(path.read_text())
    assert recorded.pop("earlier") == [{name: value for name, value in elsewhere.items() if name != "earlier"}]
    nettrain.train(["resume=run", "epochs=4"])
    assert json.loads(path.read_text()) == {**recorded, "earlier": json.loads(path.read_text())["earlier"]}
    assert capsys.readouterr().err == ""


def test_an_algorithm_that_is_not_deterministic_is_refused(command, here):
    Path("strange.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Linear):\n"
        "    def forward(self, x):\n"
        "        z = super().forward(x)\n"
        "        return torch.zeros_like(z).put_(torch.arange(z.numel()), z.flatten()) if self.training else z\n"
    )
    arguments = "data=iris", "epochs=1", "model._target_=strange.Net"
    assert command(*arguments).code == 0
    ended = command(*arguments, "deterministic=true")
    assert ended.code == 1
    assert "put_ does not have a deterministic implementation; deterministic=false allows it." in ended.err
    assert not torch.are_deterministic_algorithms_enabled()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_another_process_gives_the_same_bits(tmp_path):
    """With other threads, another order of hashing, another folder, language and time zone."""
    train = Path(__file__).parents[2] / "train.py"
    runs = []
    for k, other in enumerate([{}, {"OMP_NUM_THREADS": "2", "LC_ALL": "de_DE.UTF-8", "TZ": "Asia/Tokyo"}]):
        folder = tmp_path / str(k)
        folder.mkdir()
        settings = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": str(k), **other}
        words = ["epochs=2", "model.dropout=0.1", "hydra.run.dir=run", "quiet=true", "tensorboard=false"]
        runs.append(subprocess.Popen([sys.executable, train, *words], cwd=folder, env=settings))
    assert [run.wait() for run in runs] == [0, 0]
    one, other = (load_checkpoint(tmp_path / str(k) / "run" / "checkpoints" / "last.pt") for k in (0, 1))
    assert all(torch.equal(one["model"][name], other["model"][name]) for name in one["model"])
    assert one["last"] | {"seconds": 0} == other["last"] | {"seconds": 0}
