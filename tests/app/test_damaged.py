"""Every entry of a run's files replaced by other types, shapes and sizes: one sentence and an exit code, or no harm."""

import copy
import json
import os
import shutil
import sys

import pytest
import torch
import yaml
from sklearn.datasets import load_iris

import nettrain
from nettrain.app import tools
from nettrain.storage.checkpoint_files import load_checkpoint

MISTAKES = (0, 2, 3, 4, 5)  # exit codes


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


PLAIN = {
    "null": None,
    "minus": -1,
    "huge": 10**30,
    "nan": float("nan"),
    "text": "\x1b[31mx",
    "interpolation": "${oc.env:HOME}",
    "list": [1, [2]],
    "mapping": {"a": {"b": None}},
    "deep": nested(60),
    "long": "x" * 10**5,
}
TENSORS = {
    "scalar": torch.tensor(float("nan")),
    "empty": torch.zeros(0),
    "matrix": torch.zeros(3, 5),
    "whole": torch.tensor([2**62]),
    "expanded": torch.zeros(1).expand(10**6),
    "complex": torch.zeros(2, dtype=torch.complex64),
}
TRAINED = [
    "data=csv",
    "recipe=plain",
    "data.target=target",
    "epochs=2",
    "quiet=true",
    "tensorboard=false",
    "engine=eager",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Runs that were interrupted within an epoch, alone, with members and with folds, and their table."""
    folder = tmp_path_factory.mktemp("trained")
    iris = load_iris(as_frame=True)
    iris.data.assign(target=iris.target_names[iris.target]).to_csv(folder / "iris.csv", index=False)
    more = ["model.dropout=0.1", "schedule=plateau", "budget.updates=6"]
    for name, kind in {"run": [], "members": ["members=3"], "folds": ["folds=3", "data.test_fraction=0"]}.items():
        nettrain.train([*TRAINED, *more, *kind, f"data.path={folder / 'iris.csv'}"], folder=folder / name)
    return folder


@pytest.fixture
def opened(trained, command, tmp_path, monkeypatch, capsys):
    """Change a file of a copy of the run, and read the copy: the exit codes, each with one sentence at most."""

    def tool(function, *arguments):
        monkeypatch.setattr(sys, "argv", [function.__name__, *arguments])
        capsys.readouterr()
        try:
            function()
        except SystemExit as end:
            return end.code, capsys.readouterr().err
        return 0, ""

    def read(change, compare=False, source="run"):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        shutil.copytree(trained / source, tmp_path / "run")
        change(tmp_path / "run")
        ended = [] if not compare else [tool(tools.compare, "run")]
        ended += [tool(f, "run=run", f"data.path={trained / 'iris.csv'}") for f in (tools.predict, tools.evaluate)]
        resumed = command("resume=run", "epochs=3", "budget.updates=null")
        for code, said in [*ended, (resumed.code, resumed.err)]:
            assert code in MISTAKES, said
            assert len(said.splitlines()) <= 1
            assert "\x1b" not in said
        return [code for code, _ in ended] + [resumed.code]

    return read


def places(content, before=()):
    """The keys of all entries of nested containers."""
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else []
    for key, value in entries:
        yield (*before, key)
        yield from places(value, (*before, key))


def replaced(content, place, value):
    content = copy.deepcopy(content)
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return content


def checkpoints(content):
    """Makes it the content of all checkpoints of a run."""

    def change(run):
        for path in (run / "checkpoints").iterdir():
            torch.save(content, path)

    return change


LAST = [
    *("format", "model", "buffers", "best_model", "optimizer", "data", "config", "epoch", "batch", "updates"),
    *("function_evaluations", "gradient_evaluations", "hessian_vector_products", "skipped", "halvings", "seconds"),
    *("schedule", "engine", "last", "best", "progress", "initial", "outputs", "status", "pruned", "path"),
    "callbacks",
]


@pytest.mark.sample(5)
@pytest.mark.parametrize("key", LAST)
def test_no_entry_of_a_checkpoint_is_believed(trained, opened, key):
    content = load_checkpoint(trained / "run" / "checkpoints" / "last.pt")
    assert {*LAST} <= content.keys()
    opened(checkpoints({**content, key: nested(20)}))


OF_WHOLE = ["members", "model", "buffers", "callbacks", "last", "status", "epoch", "batch", "updates", "engine"]
OF_MEMBER = [
    *("model", "buffers", "optimizer", "schedule", "last", "best", "progress", "halvings", "initial", "skipped"),
    *("status", "pruned", "best_model", "best_buffers", "outputs", "path", "reason", "at"),
]


@pytest.mark.sample(5)
@pytest.mark.parametrize("source", ["members", pytest.param("folds", marks=pytest.mark.slow)])
@pytest.mark.parametrize("place", [*((key,) for key in OF_WHOLE), *(("members", 1, key) for key in OF_MEMBER)])
def test_no_entry_of_a_checkpoint_of_several_members_is_believed(trained, opened, source, place):
    content = load_checkpoint(trained / source / "checkpoints" / "last.pt")
    assert content["members"][1].keys() == {*OF_MEMBER}
    codes = opened(checkpoints(replaced(content, place, nested(20))), source=source)
    assert (
        5 in codes if place in [("model",), ("buffers",)] else codes[-1] == 5
    )  # those of each member are gone on with


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    "members",
    [
        lambda states: [],
        lambda states: states[:2],
        lambda states: states * 2,
        lambda states: [*states[:2], {}],
        lambda states: [{**state, "at": [0, 0]} for state in states],
        lambda states: [states[0], {**states[1], "at": [0, 0], "status": "running"}, states[2]],
        lambda states: [states[0], {**states[1], "at": [9, 0], "status": "completed"}, states[2]],
        lambda states: [states[0], {**states[1], "outputs": states[1]["outputs"][:1]}, states[2]],
        lambda states: [states[0], {**states[1], "schedule": {}}, states[2]],
    ],
)
def test_what_cannot_be_the_members_of_this_run_is_refused(trained, opened, members):
    content = load_checkpoint(trained / "members" / "checkpoints" / "last.pt")
    changed = {**content, "members": members(content["members"])}
    assert opened(checkpoints(changed), source="members")[-1] == 5


@pytest.mark.slow
@pytest.mark.parametrize("source", ["run", "members", "folds"])
@pytest.mark.parametrize("value", [*PLAIN, *TENSORS])
def test_no_entry_of_a_checkpoint_at_any_depth_is_believed(trained, opened, source, value):
    content = load_checkpoint(trained / source / "checkpoints" / "last.pt")
    for place in places(content):
        opened(checkpoints(replaced(content, place, {**PLAIN, **TENSORS}[value])), source=source)


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("batch", -1),
        ("batch", 10**6),
        ("epoch", -3),
        ("updates", 10**30),
        ("outputs", torch.zeros(2, 3)),
        ("outputs", None),
        ("engine", "theirs"),
        ("status", "fine"),
        ("halvings", 10**6),
        ("progress", {"loss": "low", "epoch": 1}),
        ("best", {"epoch": 1.5, "step": 1}),
    ],
)
def test_what_cannot_be_a_position_of_this_run_is_refused(trained, opened, key, value):
    content = load_checkpoint(trained / "run" / "checkpoints" / "last.pt")
    assert opened(checkpoints({**content, key: value}))[-1] == 5


@pytest.mark.parametrize("what", ["model", "optimizer"])
def test_tensors_of_other_shapes_and_types_are_refused(trained, opened, what):
    content = load_checkpoint(trained / "run" / "checkpoints" / "last.pt")
    (name, tensor), *_ = content[what].items()
    for other in (tensor.double(), tensor[:1], torch.zeros(())):
        codes = opened(checkpoints({**content, what: {**content[what], name: other}}))
        assert codes[-1] == 5
        assert what == "optimizer" or codes[:-1] == [5, 5] or other.shape == tensor.shape


def text_of(name, content):
    return json.dumps(content) if name.endswith(".json") else yaml.safe_dump(content)


def text_places(trained, name):
    text = (trained / "run" / name).read_text()
    content = json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
    return content, list(places(content))


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", ["summary.json", "environment.json", ".hydra/config.yaml"])
@pytest.mark.parametrize("value", ["huge", "mapping"])
def test_no_entry_of_a_text_file_is_believed(trained, opened, name, value):
    content, all_places = text_places(trained, name)
    for place in all_places[::16]:
        opened(lambda run, place=place: (run / name).write_text(text_of(name, replaced(content, place, PLAIN[value]))))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["summary.json", "environment.json", ".hydra/config.yaml"])
@pytest.mark.parametrize("value", PLAIN)
def test_no_entry_of_a_text_file_at_any_depth_is_believed(trained, opened, name, value):
    content, all_places = text_places(trained, name)
    for place in all_places:
        text = text_of(name, replaced(content, place, PLAIN[value]))
        opened(lambda run, text=text: (run / name).write_text(text), compare=True)


NODE = {"_target_": "theirs.function"}


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("model", "hidden", 1), NODE),
        (("data", "drop"), [NODE]),
        (("data", "name"), NODE),
        (("activation", "name"), ["relu"]),
        (("activation",), NODE),
        (("optimizer",), {"a": NODE}),
        (("head",), ["auto"]),
        (("model",), "mlp"),
        (("metrics",), [NODE]),
        (("groups",), {"*": [NODE]}),
    ],
)
def test_a_node_or_a_list_where_a_config_has_something_else_is_refused(trained, opened, place, value):
    content, _ = text_places(trained, ".hydra/config.yaml")
    text = text_of("config.yaml", replaced(content, place, value))
    codes = opened(lambda run: (run / ".hydra" / "config.yaml").write_text(text), compare=True)
    assert codes[-1] != 0


TEXTS = {
    "deep": "[" * 10**5,
    "deep mappings": "{a: " * 10**5,
    "anchors": "a: &a [x, x, x]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\n",
    "an escaped interpolation": 'seed: "\\x24{oc.env:HOME}"\n',
    "a long number": "seed: " + "9" * 10**6,
    "a key twice": "seed: 1\nseed: 2\n",
    "two documents": "a: 1\n---\nb: 2\n",
    "a list": "- 1\n",
    "nothing": "",
    "bytes": "\udcff\udcfe",
    "a tag": "seed: !!binary aaaa\n",
}


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", [".hydra/config.yaml", "summary.json"])
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_is_costly_or_strange_is_refused(trained, opened, name, text):
    codes = opened(lambda run: (run / name).write_bytes(TEXTS[text].encode(errors="surrogateescape")))
    if name == ".hydra/config.yaml":
        assert set(codes) == {5}


@pytest.mark.sample(3)
@pytest.mark.parametrize("cell", ["", "x", "nan", "-1", "9" * 400, "1,1", "\x00", "=1+1"])
def test_no_cell_of_the_metrics_is_believed(trained, opened, cell):
    lines = (trained / "run" / "metrics.csv").read_text().splitlines()
    for row, column in [(0, 0), (1, 3)]:
        cells = lines[row].split(",")
        cells[column] = cell
        text = "\n".join([*lines[:row], ",".join(cells), *lines[row + 1 :]]) + "\n"
        opened(lambda run, text=text: (run / "metrics.csv").write_text(text))


@pytest.mark.parametrize("name", ["checkpoints/last.pt", ".hydra/config.yaml", "summary.json", "metrics.csv"])
def test_a_pipe_or_a_folder_in_the_place_of_a_file_is_refused(opened, name, tmp_path):
    def pipe(run):
        (run / name).unlink()
        os.mkfifo(run / name)

    def folder(run):
        (run / name).unlink()
        (run / name).mkdir()

    for change in (pipe, folder):
        opened(change)
