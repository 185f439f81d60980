"""Data and models that are handed over in Python."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import nettrain
from nettrain.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
X, B = RNG.normal(size=240).round(3), RNG.random(240) < 0.5
TABLE = pd.DataFrame({"x": X, "b": B, "y": np.where((X > 0) ^ B, "p", "q")})
POINTS = RNG.normal(size=(100, 3))
SUMS = POINTS @ [1.0, 2.0, 3.0]
QUIET = ["quiet=true", "figures=never", "tensorboard=false"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_dataframe_is_learnt_as_its_file_would_be(here):
    TABLE.to_parquet("t.parquet", index=False)
    of_file = nettrain.train(["data=csv", "recipe=plain", "data.path=t.parquet", "data.target=y", "epochs=5", *QUIET])
    run = nettrain.train(["data.target=y", "epochs=5", *QUIET], data=TABLE)
    assert np.array_equal(run.metrics["train_loss"], of_file.metrics["train_loss"])
    assert run.evaluate(TABLE) == of_file.evaluate("t.parquet")
    assert run.data.x.shape == (240, 3)
    again = nettrain.train([f"resume={run.folder}", "epochs=7"], data=TABLE)
    assert again.summary["epochs"] == 7
    with pytest.raises(DataError, match="the data have changed"):
        nettrain.train([f"resume={run.folder}", "epochs=8"], data=TABLE[::-1])
    later = nettrain.Run(run.folder)
    assert later.predict(TABLE).equals(nettrain.train([f"resume={run.folder}", "epochs=7"], data=TABLE).predict(TABLE))
    with pytest.raises(DataError, match=r"handed over in Python, and is not kept; nettrain.train\(..., data=<table>\)"):
        later.data  # noqa: B018


class Frames:
    """What polars' frames and Hugging Face's data sets have in common: they become pandas' tables."""

    def __init__(self, table):
        self.table = table

    def to_pandas(self):
        return self.table


KINDS = {
    "arrays": (POINTS, SUMS),
    "lists": (POINTS.tolist(), SUMS.tolist()),
    "tensors": (torch.tensor(POINTS), torch.tensor(SUMS, requires_grad=True)),
    "torch": TensorDataset(torch.tensor(POINTS), torch.tensor(SUMS)),
    "frame": pd.DataFrame(POINTS, columns=["x0", "x1", "x2"]).assign(y=SUMS),
    "to_pandas": Frames(pd.DataFrame(POINTS, columns=["x0", "x1", "x2"]).assign(y=SUMS)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_data_with_the_same_numbers_train_alike(kind):
    target = ["data.target=y"] if kind in ("frame", "to_pandas") else []
    run = nettrain.train([*target, "epochs=2", *QUIET], data=KINDS[kind])
    encoder = run.data.encoder
    assert run.data.y * encoder.target_scale + encoder.target_mean == pytest.approx(SUMS)
    train = POINTS[run.data.splits["train"]]
    assert run.data.x == pytest.approx((POINTS - train.mean(0)) / train.std(0))


def test_splits_that_are_handed_over_are_those_of_the_run():
    parts = {"test": TABLE[:30], "train": TABLE[30:200], "val": TABLE[200:]}
    run = nettrain.train(["data.target=y", "epochs=2", *QUIET], data=parts)
    assert {name: len(rows) for name, rows in run.data.splits.items()} == {"train": 170, "val": 40, "test": 30}
    assert run.summary["test_accuracy"] == pytest.approx(run.evaluate(TABLE[:30])["accuracy"])
    without = nettrain.train(["data.target=y", "epochs=2", *QUIET], data={"train": TABLE})
    assert "test_loss" not in without.summary
    assert len(without.data.splits["train"]) == 240


def test_a_module_is_trained_as_a_copy_of_itself():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    before = [parameter.clone() for parameter in module.parameters()]
    run = nettrain.train(["epochs=30", "optimizer.lr=0.05", *QUIET], data=(POINTS, SUMS), model=module)
    assert all(map(torch.equal, module.parameters(), before))
    assert run.summary["val_mse"] < 0.5
    x = torch.tensor(run.data.x, dtype=torch.float32)
    table = pd.DataFrame(POINTS, columns=["x0", "x1", "x2"])
    scale, mean = run.data.encoder.target_scale, run.data.encoder.target_mean
    assert run.predict(table)["prediction"].to_numpy() == pytest.approx(
        run.model(x).detach().numpy()[:, 0] * scale + mean, rel=1e-4, abs=1e-4
    )
    again = nettrain.train([f"resume={run.folder}", "epochs=31"], data=(POINTS, SUMS), model=module)
    assert again.summary["epochs"] == 31


@pytest.mark.parametrize("hook", ["register_hook", "register_post_accumulate_grad_hook"])
def test_hooks_that_would_not_be_called_are_refused(here, hook):
    module = nn.Linear(3, 1)
    getattr(module.weight, hook)(lambda gradient: None)
    with pytest.raises(ConfigError, match="its parameter weight has a backward hook, which would not be called"):
        nettrain.train(QUIET, data=(POINTS, SUMS), model=module)
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    module[0].weight.requires_grad_(False)
    run = nettrain.train(["epochs=2", *QUIET], data=(POINTS, SUMS), model=module)
    assert torch.equal(run.model[0].weight, module[0].weight)
    assert not torch.equal(run.model[0].bias, module[0].bias)


MISTAKES = [
    (5, "data: found a value of type int; it must be a DataFrame"),
    ("iris", "data: found a value of type str; it must be a DataFrame"),
    ([1, 2], "data: found a value of type list; it must be a DataFrame"),
    ((POINTS, SUMS[:3]), r"data: x has the shape \(100, 3\) and y \(3,\); they must be"),
    ((SUMS, SUMS), r"data: x has the shape \(100,\) and y \(100,\)"),
    ({"train": TABLE, "dev": TABLE}, "data: found a split 'dev'; its splits are train, and val and test"),
    ({"val": TABLE}, "data: there is no train; its splits are train"),
    ({"train": TABLE, "val": TABLE[["x", "y"]]}, "data: the columns of val are not those of train"),
]


@pytest.mark.parametrize(("data", "sentence"), MISTAKES)
def test_what_is_no_data(here, data, sentence):
    with pytest.raises(DataError, match=sentence):
        nettrain.train(["data.target=y", *QUIET], data=data)
    assert not any(here.iterdir())


def test_mistakes_in_what_is_handed_over(here):
    for arguments, sentence in [
        ({"model": nn.Linear}, "model: found the class Linear instead of an instance; it must be a torch.nn.Module."),
        ({"config": "data=iris", "data": TABLE}, "data=iris: data were handed over in Python, too; leave out one"),
        ({"data": TABLE}, "data.target: a value is required"),
        ({"config": "data=frame data.target=y"}, "data=frame: its table was handed over in Python"),
        ({"model": nn.Linear(4, 7), "config": "data=iris"}, r"for a batch of 2 rows it returned \(2, 7\)"),
        (
            {"config": "data.target=y data.drop_missing_target=true", "data": {"train": TABLE}},
            "data.drop_missing_target=True: the splits that were handed over would lose rows",
        ),
    ]:
        with pytest.raises((ConfigError, DataError), match=sentence):
            nettrain.train(**{"config": QUIET, **arguments})
    assert not any(here.iterdir())


@pytest.mark.usefixtures("parts_are_forgotten")
def test_configs_and_parts_of_one_s_own_from_python(here):
    (here / "mine" / "optimizer").mkdir(parents=True)
    (here / "mine" / "optimizer" / "fast.yaml").write_text("name: adam\nlr: 0.25\n")
    (here / "mine" / "parts.py").write_text(
        "from nettrain.parts.activations import activation\n@activation\ndef cube_in_python(x):\n    return x**3\n"
    )
    config = ["optimizer=fast", "activation=cube_in_python", "data=iris", "epochs=1", *QUIET]
    run = nettrain.train(config, config_dir="mine")
    assert (run.config.optimizer.lr, run.config.activation.name) == (0.25, "cube_in_python")


BAD = POINTS.copy()
BAD[4, 1] = np.inf


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ((BAD, SUMS), r"^data, row 5 \(index 4\), column 'x1': found inf"),
        ((POINTS, BAD[:, 1]), r"^data, row 5 \(index 4\), column 'y': found inf"),
        ({"train": (POINTS, SUMS), "val": (BAD, SUMS)}, r"^data, row 5 \(index 4\) of val, column 'x1': found inf"),
        (({"a": BAD, "b": POINTS}, SUMS), r"^data, row 5 \(index 4\), column 'a1': found inf"),
        ((BAD.reshape(100, 3, 1, 1), SUMS), r"^data, row 5 \(index 4\), column 'x': found inf"),
    ],
)
def test_a_number_that_cannot_be_is_found_in_its_array(data, said):
    with pytest.raises(DataError, match=said):
        nettrain.train(QUIET, data=data)


def test_a_loader_of_batches_is_told_apart_from_its_data_set():
    dataset = KINDS["torch"]
    with pytest.raises(DataError, match=r"DataLoader, .* hand over its data set, data=loader.dataset, and bs=7\.$"):
        nettrain.train(QUIET, data=torch.utils.data.DataLoader(dataset, batch_size=7))

    class Module:
        def setup(self, stage=None):
            pass

        def train_dataloader(self):
            return torch.utils.data.DataLoader(dataset)

        val_dataloader = train_dataloader

    said = r"after data.setup\(\): data=\{'train': data.train_dataloader\(\).dataset, 'val': data.val_dataloader\(\)"
    with pytest.raises(DataError, match=said):
        nettrain.train(QUIET, data=Module())


def test_an_argument_that_there_is_not_is_said_with_those_that_there_are():
    with pytest.raises(ConfigError, match=r"train\(epochs=...\): .* epochs is a key of the config, 'epochs=...'\.$"):
        nettrain.train(QUIET, epochs=3)
    with pytest.raises(ConfigError, match=r"sweep\(calbacks=...\): .* did you mean callbacks\?$"):
        nettrain.sweep(QUIET, calbacks=[])


@pytest.mark.parametrize("words", ["seed=1,2", "seed=range(3)", "-m seed=1"])
def test_several_values_are_for_nettrain_sweep(words):
    with pytest.raises(ConfigError, match=r"nettrain\.sweep"):
        nettrain.train(f"data=iris {words}")


def test_an_option_of_the_command_line_is_no_override():
    with pytest.raises(ConfigError, match=r"--config-dir: options .* are no overrides, config_dir=<folder> stands"):
        nettrain.train("--config-dir . data=iris")
