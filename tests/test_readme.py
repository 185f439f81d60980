"""Every command and every piece of Python in the README runs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from sklearn.datasets import load_iris

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
COMMANDS = [block.splitlines() for language, block in BLOCKS if language == "sh"]
# this very test, and servers, which tests/run/test_tensorboard.py and tests/app/test_tensorboard_names.py start
NOT_HERE = ("make test", "tensorboard", "nettrain-tensorboard")
SCRIPTS = [block for language, block in BLOCKS if language == "python"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder that looks like the checkout to the commands, and has the tables which the README speaks of."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("train.py", "configs", "src", "Makefile", "pyproject.toml", "constraints.txt", ".venv"):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    iris = load_iris(as_frame=True)
    table = iris.data.assign(species=iris.target_names[iris.target])
    table.to_csv(folder / "flowers.csv", index=False)
    table.drop(columns="species").to_csv(folder / "new_flowers.csv", index=False)
    return folder


def run(command, folder):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=folder, env=environment, shell=isinstance(command, str), capture_output=True)
    assert ended.returncode == 0, f"{command}\n{ended.stderr.decode()}"


@pytest.mark.parametrize("commands", COMMANDS, ids=lambda commands: commands[0])
def test_the_commands_of_a_block_of_the_readme(place, commands, command, monkeypatch):
    monkeypatch.chdir(place)
    for line in commands:
        words = shlex.split(line)
        if words[:2] == ["python", "train.py"] and "hydra.launcher.cluster" not in line:
            # In this process, which has imported what it needs; workers would get whatever tests have imported.
            ended = command(*words[2:])
            assert ended.code == 0, f"{line}\n{ended.err}"
        elif not line.startswith(NOT_HERE):
            run(line, place)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_of_the_readme(place, script):
    run([sys.executable, "-c", script], place)


def test_the_readme_names_every_choice():
    text = (ROOT / "README.md").read_text()
    for group in ("data", "split", "model", "activation", "head", "optimizer", "schedule"):
        (line,) = re.findall(rf"^\| `{group}` \|(.*)\|$", text, re.M)
        for path in (ROOT / "configs" / group).glob("*.yaml"):
            assert re.search(rf"\b{path.stem}\b", line), f"{group}={path.stem}"


def test_the_sample_output_is_what_the_command_prints(command):
    (sample,) = [block for language, block in BLOCKS if language == "text" and block.startswith("data ")]
    printed = command("optimizer=adam", "bs=8", "figures=auto").out
    plan, results = printed.split("\n\n")
    sample_plan, sample_results = sample.split("\n\n")
    assert sample_plan == plan
    assert without_numbers(sample_results) == without_numbers(results)


def without_numbers(text):
    """The text without its numbers, whose last digits depend on the processor, and without its folders."""
    return re.sub(r" +[\d.e+-]+|/\S*/[\d-]+", " #", text)
