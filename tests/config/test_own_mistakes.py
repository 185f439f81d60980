"""What parts of a user's own get wrong is said with the part's name, before any training."""

import pytest

from nettrain.config.own_parts import all_files

HEAD = """
from dataclasses import dataclass

import numpy as np

from nettrain.data import Dataset, Table
from nettrain.data.splitting import Partition, Split
from nettrain.optimizers.rules import Rule
from nettrain.parts.activations import activation
from nettrain.parts.schedules import Schedule

"""


def rule(update, coefficients="{'step': -lr}"):
    return (
        "@dataclass\nclass Wrong(Rule):\n    name: str = 'wrong_of_mine'\n"
        f"    def coefficients(self, t, lr):\n        return {coefficients}\n"
        f"    def update(self, state, w, g, c):\n        {update}\n"
    )


def schedule(factor):
    return (
        "@dataclass\nclass Wrong(Schedule):\n    name: str = 'wrong_of_mine'\n"
        f"    def factor(self, t, per_epoch, updates):\n        return {factor}\n"
    )


def dataset(table):
    return f"@dataclass\nclass Wrong(Dataset):\n    name: str = 'wrong_of_mine'\n    def load(self):\n        {table}\n"


def split(rows):
    return (
        "@dataclass\nclass Wrong(Split):\n    name: str = 'wrong_of_mine'\n"
        "    def partition(self, table, fractions, seed):\n        n = np.arange(len(table.target))\n"
        f"        return Partition({rows}, ('val', 'test'))\n"
    )


def function(result):
    return f"@activation\ndef wrong_of_mine(x):\n    return {result}\n"


TABLE = "return Table({'a': np.zeros(%d)}, np.arange(6) %% %d, 't', 'multiclass', ['p', 'q', 'r'], 'mine')"
WRONG = {
    "a rule that returns": (
        "optimizer",
        rule("return w + g * c['step']"),
        "its update returns a Tensor; it must change",
    ),
    "a rule without its scalar": ("optimizer", rule("w.add_(g * c['stop'])"), "it fails on a first try: KeyError"),
    "a negative factor": (
        "schedule",
        schedule("np.where(t < 3, 1.0, -1.0)"),
        "its factor of the learning rate is -1 at",
    ),
    "a factor for one t": ("schedule", schedule("1.0 if t < 3 else 0.1"), "it fails on a first try: ValueError"),
    "an activation of rows": (
        "activation",
        function("x.sum(-1)"),
        "for x of shape (2, 5) it gives a tensor of shape (2,); it must",
    ),
    "an activation of nothing": ("activation", function("None"), "for x of shape (2, 5) it gives a NoneType; it must"),
    "an activation that fails": ("activation", function("x.nothing"), "it fails on a first try: AttributeError"),
    "no table": ("data", dataset("return np.zeros(3), np.zeros(3)"), "its load returns a tuple; it must return"),
    "a table that fails": ("data", dataset("open('nofile.txt')"), "it fails on a first try: FileNotFoundError"),
    "columns of other lengths": ("data", dataset(TABLE % (5, 3)), "its column 'a' has 5 rows, and its target 6"),
    "a class too many": ("data", dataset(TABLE % (6, 4)), "its target has values from 0 to 3; with 3 classes"),
    "a row in two splits": ("split", split("{'train': n, 'val': n[:9], 'test': n[:0]}"), "it gives row 0 twice"),
    "a row that is not there": (
        "split",
        split("{'train': n + 5, 'val': n[:3], 'test': n[:0]}"),
        "it gives the row 154,",
    ),
    "a split without one": (
        "split",
        split("{'train': n}"),
        "its partition must be a Partition with the rows of train,",
    ),
}


@pytest.mark.sample(3)
@pytest.mark.usefixtures("parts_are_forgotten")
@pytest.mark.parametrize("kind", WRONG)
def test_a_mistake_in_a_part_names_it(command, tmp_path, kind):
    group, code, said = WRONG[kind]
    (tmp_path / "parts.py").write_text(HEAD + code)
    data = [] if group == "data" else ["data=iris"]
    ended = command("--config-dir", ".", *data, "quiet=true", "epochs=1", f"{group}=wrong_of_mine", "hydra.run.dir=run")
    assert ended.code in (2, 3), ended.err
    assert f"nettrain: {group}=wrong_of_mine: {said}" in ended.err
    frames = [line for line in ended.err.splitlines() if line.startswith("  File ")]
    assert not any("nettrain/src" in frame or "/preparation/" in frame for frame in frames)  # only those of the part
    assert not (tmp_path / "run").exists()


NAMELESS = rule("w.add_(g * c['step'])").replace("    name: str = 'wrong_of_mine'\n", "").replace("Wrong", "Nameless")
TASKS = (
    "from typing import ClassVar\nfrom torch.distributions import Normal\nfrom nettrain.parts.heads import Head\n"
    "@dataclass\nclass Wrong(Head):\n    name: str = 'wrong_of_mine'\n    tasks: ClassVar = {tasks}\n"
    "    def distribution(self, z):\n        return Normal(z.squeeze(-1), 1.0)\n"
)
OF_ARGUMENT = "@activation\ndef wrong_of_mine(x, {}):\n    return x * 2\n"
SHAPES = {
    "no name": (
        "optimizer=nameless",
        NAMELESS,
        'has no name, by which it would be chosen; put a field such as name: str = "nameless" into it.',
    ),
    "a task": (
        "head=wrong_of_mine",
        TASKS.format(tasks="('regresion',)"),
        "head=wrong_of_mine: its tasks are ('regresion',); they must be a tuple of regression, binary, multiclass, "
        'such as ("regression",); did you mean regression?',
    ),
    "a text": (
        "head=wrong_of_mine",
        TASKS.format(tasks="'regression'"),
        "head=wrong_of_mine: its tasks are 'regression'; they must be a tuple",
    ),
    "no default": (
        "activation=wrong_of_mine",
        OF_ARGUMENT.format("k"),
        "wrong_of_mine: its argument k needs a default, such as k=1.0",
    ),
    "no key": (
        "activation=wrong_of_mine",
        OF_ARGUMENT.format("k=(1, 2)"),
        "wrong_of_mine: its argument k is of type tuple; a key is a number",
    ),
}


@pytest.mark.usefixtures("parts_are_forgotten")
@pytest.mark.parametrize("kind", SHAPES)
def test_a_part_of_a_wrong_shape_is_one_sentence(command, tmp_path, kind):
    chosen, code, said = SHAPES[kind]
    (tmp_path / "parts.py").write_text(HEAD + code)
    ended = command("--config-dir", ".", "data=diabetes", "epochs=1", "quiet=true", chosen, "hydra.run.dir=run")
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err.splitlines()[-1]


@pytest.mark.usefixtures("parts_are_forgotten")
def test_a_file_that_cannot_be_imported_does_not_travel_to_other_processes(command, tmp_path):
    (tmp_path / "parts.py").write_text("1 / 0\n")
    (tmp_path / "more.py").write_text(HEAD + "@activation\ndef travelling_of_mine(x):\n    return x.tanh()\n")
    for name in ("parts.py", "more.py"):
        command("data=iris", "epochs=0", "quiet=true", f"parts=[{name}]", f"hydra.run.dir={name}.run")
    assert [path for path in all_files() if path.startswith(str(tmp_path))] == [str(tmp_path / "more.py")]


@pytest.mark.usefixtures("parts_are_forgotten")
def test_the_type_of_an_activation_s_key_is_that_of_its_default(command, tmp_path):
    (tmp_path / "parts.py").write_text(HEAD + "@activation\ndef scaled_of_mine(x, k=2.0):\n    return k * x\n")
    words = ["data=iris", "epochs=1", "quiet=true", "activation=scaled_of_mine"]
    assert command(*words, "--config-dir", ".", "activation.k=3").code == 0  # an option may come later
    ended = command(*words, "--config-dir", ".", "activation.k=x")
    assert ended.err == "nettrain: activation.k=x: activation.k must be a number.\n"


@pytest.mark.usefixtures("parts_are_forgotten")
def test_only_a_run_with_parts_of_ones_own_needs_trust(command, tmp_path):
    (tmp_path / "parts.py").write_text(HEAD + "@activation\ndef plain_of_mine(x):\n    return x.tanh()\n")
    for name, trusted in (("tanh", True), ("plain_of_mine", False)):
        words = ["data=iris", "epochs=1", "quiet=true", f"activation={name}"]
        assert command("--config-dir", ".", *words, f"hydra.run.dir={name}").code == 0
        assert bool(list((tmp_path / name / ".hydra").glob("nettrain_parts_*"))) is not trusted
        assert command(f"resume={name}", "epochs=2").code == (0 if trusted else 2)
