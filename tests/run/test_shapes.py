"""Samples of any shape are trained like vectors: alone, as rows of a stack, resumed, compiled, evaluated, shown."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from beside import configured
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import Dataset

import nettrain
from nettrain.app.sweep.stacks import Cache
from nettrain.errors import ConfigError, DataError
from nettrain.preparation import prepared
from nettrain.preparation.prepare import HandedOver, prepare
from nettrain.preparation.rows import row_bytes
from nettrain.training.stack.batches import Batches

NETS = """
import torch
from torch import nn

def conv(in_channels, out_features, width=4):
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, stride=2, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(),
        nn.Linear(9 * width, out_features),
    )

class Rows(nn.Module):
    def __init__(self, out_features):
        super().__init__()
        self.inner, self.out = nn.Linear(8, 6), nn.Linear(6, out_features)

    def forward(self, x):
        h = x.new_zeros(len(x), 6)
        for step in x.unbind(1):
            h = torch.tanh(self.inner(step) + h)
        return self.out(h)

class Named(nn.Module):
    def __init__(self, out_features):
        super().__init__()
        self.out = nn.Linear(4, out_features)

    def forward(self, x):
        return self.out(x["features"])

class Bag(nn.Module):
    def __init__(self, num_embeddings, out_features):
        super().__init__()
        self.embedding, self.out = nn.Embedding(num_embeddings, 4), nn.Linear(4, out_features)

    def forward(self, x):
        return self.out(self.embedding(x).mean(1))

class Both(nn.Module):
    def __init__(self, out_features):
        super().__init__()
        self.embedding, self.conv, self.out = nn.Embedding(17, 4), nn.Conv2d(1, 4, 3), nn.Linear(8, out_features)

    def forward(self, x):
        seen = torch.relu(self.conv(x["image"])).mean((2, 3))
        return self.out(torch.cat([self.embedding(x["ids"]).mean(1), seen], 1))
"""
DIGITS = load_digits()
IMAGES = (DIGITS.images[:400] * 15).astype(np.uint8)[:, None]
IDS = DIGITS.images[:400].astype(np.int64).reshape(400, 64)
Y = DIGITS.target[:400]
QUIET = ["quiet=true", "figures=never", "tensorboard=false", "epochs=3"]
KINDS = {
    "bytes": ["data.path=images.npz", "model._target_=nets.conv"],
    "floats": ["data.path=floats.npz", "model._target_=nets.Rows"],
    "ids": ["data.path=ids.npz", "model._target_=nets.Bag"],
    "dictionary": ["data.path=both.npz", "model._target_=nets.Both"],
    "own": ["data.path=images.npz", "model.hidden=[8]", "model.dropout=0.1"],
    "own_floats": ["data.path=floats.npz", "model.hidden=[8]"],
}


@pytest.fixture(autouse=True)
def files(here, monkeypatch):
    (here / "nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(here)
    np.savez("images.npz", x=IMAGES, y=Y)
    np.savez("floats.npz", x=IMAGES[:, 0].astype(np.float32), y=Y)
    np.savez("ids.npz", x=IDS, y=Y)
    np.savez("both.npz", image=IMAGES, ids=IDS, y=Y)


def train(kind, *overrides, **arguments):
    return nettrain.train(["data=npz", *KINDS[kind], *QUIET, "trust=true", *overrides], **arguments)


def weights(run):
    return torch.cat([parameter.detach().flatten() for parameter in run.model.state_dict().values()])


@pytest.mark.sample(5)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("split_seed", ["null", "0"])
def test_rows_of_a_stack_are_what_each_is_alone(command, kind, split_seed):
    words = ["data=npz", *KINDS[kind], *QUIET, f"data.split_seed={split_seed}"]
    ended = command("-m", *words, "seed=range(3)", "optimizer.lr=0.01,0.03", "hydra.sweep.dir=sweep", "quiet=false")
    assert ended.code == 0, ended.err
    assert "6 runs -> 1 stack of 6" in ended.out
    rows = {(run.config.seed, run.config.optimizer.lr): run for run in nettrain.Sweep("sweep", trust=True).runs}
    for seed, lr in [(0, 0.01), (2, 0.03)]:
        alone = train(kind, f"data.split_seed={split_seed}", f"seed={seed}", f"optimizer.lr={lr}")
        for column in ("train_loss", "val_loss", "val_accuracy"):
            row = rows[seed, lr].metrics[column]
            np.testing.assert_allclose(row, alone.metrics[column], rtol=2e-4, atol=1e-6)


@pytest.mark.sample(2)
@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_has_the_same_bits(kind):
    whole = train(kind, "epochs=4", "bs=48")
    part = train(kind, "epochs=4", "bs=48", "budget.updates=15", folder="part")
    assert part.summary["epochs"] < 4
    resumed = nettrain.train(["resume=part", "trust=true", "budget.updates=null"])
    assert torch.equal(weights(resumed), weights(whole))
    assert np.array_equal(resumed.metrics["val_loss"], whole.metrics["val_loss"])


def test_images_train_as_by_torch_alone():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 10))
    run = nettrain.train(
        [*QUIET, "optimizer=sgd", "optimizer.lr=0.5", "bs=full", "precision=float64"], data=(IMAGES, Y), model=model
    )
    rows = run.data.splits["train"]
    x, y = torch.tensor(IMAGES[rows], dtype=torch.float64), torch.tensor(Y[rows])
    x = (x - x.mean()) / x.std(correction=0)
    model.double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    last = torch.load(run.folder / "checkpoints" / "last.pt", weights_only=True)["model"]
    for name, parameter in model.state_dict().items():
        torch.testing.assert_close(last[name], parameter, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["bytes", "dictionary"])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(kind):
    one, parts = (
        train(kind, "optimizer=sgd", "precision=float64", f"accumulate={n}", *model) for n, model in [(1, []), (4, [])]
    )
    if kind == "bytes":  # batch norm sees the parts
        assert not torch.equal(weights(one), weights(parts))
    else:
        torch.testing.assert_close(weights(parts), weights(one), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["own_floats", "own"])
def test_floats_and_bytes_are_compiled(kind):
    compiled, eager = (train(kind, f"engine={engine}") for engine in ("compiled", "eager"))
    np.testing.assert_allclose(compiled.metrics["val_loss"], eager.metrics["val_loss"], rtol=1e-4)


def test_bytes_that_would_be_too_many_floats_are_not_compiled(monkeypatch):
    monkeypatch.setattr(prepared, "MOST_FLOATS", 1000)
    with pytest.raises(
        ConfigError, match=r"engine=compiled: compiled programs read floats, and x holds .* bytes; use "
    ):
        train("own", "engine=compiled")
    assert train("own", "bs=1", "epochs=300", "budget.seconds=0.01", "engine=auto").summary["updates"]


@pytest.mark.parametrize(("kind", "engine"), [("dictionary", "eager"), ("own", "compiled"), ("own_floats", "compiled")])
def test_a_long_run_is_compiled_where_it_can_be(kind, engine):
    run = train(kind, "bs=1", "epochs=300", "budget.seconds=0.01", "engine=auto")
    assert torch.load(run.folder / "checkpoints" / "last.pt", weights_only=True)["engine"] == engine


@pytest.mark.parametrize("optimizer", ["lbfgs", "newton", "genetic"])
@pytest.mark.parametrize("kind", ["dictionary", "floats", "own"])
def test_solvers_take_any_shape(kind, optimizer):
    run = train(
        kind, f"optimizer={optimizer}", "bs=full", "model.dropout=0" if kind == "own" else "epochs=2", "epochs=2"
    )
    assert run.summary["status"] == "completed"


def runs_of(*overrides, seeds=(0, 1)):
    cache = Cache()
    configs = [configured("data=npz", *overrides, f"seed={seed}") for seed in seeds]
    return [prepare(config, Path("unused"), handed=HandedOver(cache.load)) for config in configs]


def test_rows_with_different_splits_share_the_images():
    runs = runs_of("data.path=images.npz")
    batches = Batches(runs, torch.device("cpu"), torch.float32)
    assert batches.resident.values.shape == IMAGES.shape
    assert batches.resident.values.dtype == torch.uint8
    for epoch in (0, 1):
        x, y = next(iter(batches.of_epoch(epoch)))
        for k, run in enumerate(runs):
            rows = run.data.splits["train"]
            order = rows[batches.order("train", epoch)[k].numpy() - k * len(rows)][:32]
            train = IMAGES[rows].astype(float)
            np.testing.assert_allclose(x[k], (IMAGES[order] - train.mean()) / train.std(), rtol=1e-4, atol=1e-5)
            np.testing.assert_array_equal(y[k], Y[order])
    batches.select([1])
    (x, y), row = next(batches.parts("val", 7)), runs[1].data
    train = IMAGES[row.splits["train"]].astype(float)
    expected = (IMAGES[row.splits["val"][:7]] - train.mean()) / train.std()
    np.testing.assert_allclose(x.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)


def test_memory_of_a_convolution_is_that_of_its_outputs():
    (run,) = runs_of("data.path=images.npz", "model._target_=nets.conv", "model.width=50", "bs=full", seeds=[0])
    values = 280 * (9 * 50 * 2)  # of a batch, which are kept behind the convolution and the activation
    assert 3 * 4 * values < row_bytes(run) < 8 * 4 * values


@pytest.mark.parametrize("kind", ["bytes", "ids", "dictionary"])
def test_new_data_are_predicted_and_evaluated(kind, here):
    run = nettrain.Run(train(kind).folder, trust=True)
    path = KINDS[kind][0].removeprefix("data.path=")
    arrays = dict(np.load(path))
    y = arrays.pop("y")
    x = arrays if kind == "dictionary" else arrays["x"]
    predicted = run.predict(path)
    assert predicted.equals(run.predict(x))
    tensors = {name: torch.tensor(value) for name, value in arrays.items()}
    assert predicted.equals(run.predict(tensors if kind == "dictionary" else tensors["x"]))
    numbers = run.evaluate((x, y))
    assert numbers == run.evaluate(path)
    assert numbers["accuracy"] == pytest.approx((predicted["prediction"] == y).mean())
    z = run.logits(run.data.rows(run.data.splits["test"]))
    test = run.data.splits["test"]
    assert (z.argmax(1).numpy() == predicted["prediction"].to_numpy()[test]).all()
    with pytest.raises(DataError, match="there is no column"):
        run.predict({"other": IMAGES})


class Pairs(Dataset):
    def __len__(self):
        return len(Y)

    def __getitem__(self, i):
        return {"image": torch.tensor(IMAGES[i]), "ids": torch.tensor(IDS[i])}, int(Y[i])


def test_what_is_handed_over_in_python_trains_as_its_file():
    import nets

    of_file = train("dictionary")
    x = {"image": IMAGES, "ids": IDS}
    for data in ((x, Y), Pairs(), {"train": (x, Y)}):
        run = nettrain.train(QUIET, data=data, model=nets.Both(10))
        if not isinstance(data, dict):
            assert run.data.digest == of_file.data.digest
        assert run.evaluate(data if not isinstance(data, dict) else (x, Y))["accuracy"] > 0.05


def test_whole_numbers_are_ids_for_a_module_and_features_for_nettrains_models():
    import nets

    assert nettrain.train(QUIET, data=(IDS, Y), model=nets.Bag(17, 10)).data.inputs.kind == "ids"
    of_ints, of_floats = (nettrain.train(QUIET, data=(IDS.astype(t), Y)) for t in (int, float))
    assert of_ints.data.digest == of_floats.data.digest
    with pytest.raises(ConfigError, match=r"model=mlp: x holds ids \(64 ids below 17\), and this model takes numbers"):
        nettrain.train([*QUIET, "data.ids=true"], data=(IDS, Y))


REFUSED = {
    "data.path=ids.npz": "model=mlp: x holds ids (64 ids below 17), and this model takes numbers; use a module of your "
    "own (model._target_), or make numbers of them with data.ids=false.",
    "data.path=both.npz": "model=mlp: x holds several tensors (image: 1 x 8 x 8 bytes, ids: 64 ids below 17), and this "
    "model takes numbers; use a module of your own (model._target_).",
    "data.path=images.npz model=polynomial": "model=polynomial: it takes one input, but the data have 64 features; use "
    "model=linear or model=mlp.",
    "data.path=ids.npz model._target_=nets.Bag model.num_embeddings=5": "model._target_=nets.Bag: it fails on a batch "
    "of 2 rows with 64 ids below 17: its layer embedding has num_embeddings=5, for the ids 0 to 4, and is given the id "
    "16.",
    "data.path=both.npz model._target_=nets.Named": "model._target_=nets.Named: it fails on a batch of 2 rows with "
    "image: 1 x 8 x 8 bytes, ids: 64 ids below 17: x has no 'features'; it is a dictionary with the keys 'image' and "
    "'ids'.",
    "data.path=ids.npz model._target_=nets.conv": "model._target_=nets.conv: it needs in_channels; in_channels is "
    "filled in where a sample has three dimensions (C, H, W), and here a sample is 64 ids below 17; set "
    "model.in_channels=<value>.",
    "data=iris model._target_=nets.Bag": "model._target_=nets.Bag: it needs num_embeddings; num_embeddings is filled "
    "in where x holds ids in one tensor, and here a sample is 4 numbers; set model.num_embeddings=<value>.",
    "data.path=images.npz model._target_=torch.nn.Linear": "model._target_=torch.nn.Linear: it fails on a batch of 2 "
    "rows with 1 x 8 x 8 bytes: mat1 and mat2 shapes cannot be multiplied (16x8 and 64x10).",
    "data.path=images.npz data.vocabulary=0": "data.vocabulary=0: data.vocabulary must be at least 1.",
    "data.path=images.npz data.size=[3,3]": "data.size exists only for data=images.",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_a_model_cannot_take(command, here, words):
    ended = command("data=npz", *words.split(), "hydra.run.dir=run")
    assert ended.code == 2
    assert REFUSED[words] in ended.err
    assert not (here / "run").exists()


def test_the_report_and_the_graph_of_a_convolution(command, here):
    words = ["data=npz", *KINDS["bytes"], "epochs=2", "figures=always", "hydra.run.dir=run", "quiet=true"]
    assert command(*words).code == 0
    page = (here / "run" / "report.html").read_text()
    assert "x of 1 x 8 x 8 bytes" in page
    names = {path.stem for path in (here / "run" / "figures").iterdir()}
    assert {"confusion", "loss", "loss_surface"} <= names
    assert not names & {"decision_boundary", "fitted_curve"}
    (events,) = (here / "run").glob("events.out.tfevents.*")
    assert b"Conv2d" in events.read_bytes()
    assert json.loads((here / "run" / "summary.json").read_text())["status"] == "completed"
    metrics = pd.read_csv(here / "run" / "metrics.csv")
    assert metrics["dead/1"].between(0, 1).all()
