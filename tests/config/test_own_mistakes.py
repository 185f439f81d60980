"""What parts of a user's own get wrong is said with the part's name, before any training."""

import pytest

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
