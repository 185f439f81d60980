"""What is recorded of the inside of a network: by hand, and alike for a run alone and for a row of a stack."""

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from test_rows import setups
from torch import nn

import nettrain
from nettrain.parts import activations
from nettrain.parts.models import DenseNetwork, Entry
from nettrain.parts.slopes import can_die, can_saturate
from nettrain.storage.checkpoint_files import load_checkpoint
from nettrain.training.logging.graph import model_graph
from nettrain.training.trainer import Trainer


def read(folder) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0, "histograms": 0})
    accumulator.Reload()
    return accumulator


def nodes(model):
    return {node.name: node for node in GraphDef.FromString(model_graph(model)).node}


def test_the_norms_of_a_layer_are_those_of_its_parameters(here):
    options = ["data=iris", "bs=full", "optimizer=sgd", "precision=float64", "model.hidden=[5]", "quiet=true"]
    before = load_checkpoint(nettrain.train([*options, "epochs=3"]).folder / "checkpoints" / "last.pt")["model"]
    run = nettrain.train([*options, "epochs=4"])
    after = load_checkpoint(run.folder / "checkpoints" / "last.pt")["model"]
    last, lr = run.metrics.iloc[-1], run.config.optimizer.lr
    for layer in ("layers.0", "layers.1"):
        change = torch.cat([(after[f"{layer}.{p}"] - before[f"{layer}.{p}"]).flatten() for p in ("weight", "bias")])
        w = torch.cat([after[f"{layer}.{p}"].flatten() for p in ("weight", "bias")])
        assert last[f"update_to_weight/{layer}"] == pytest.approx(float(change.norm() / w.norm()))
        assert last[f"gradient_norm/{layer}"] == pytest.approx(float(change.norm()) / lr)
    whole = np.hypot(last["gradient_norm/layers.0"], last["gradient_norm/layers.1"])
    assert last["gradient_norm"] == pytest.approx(whole)


def units(run, f):
    """The activations of the hidden units of a run's best weights on the first training samples."""
    x = torch.as_tensor(run.data.x[run.data.splits["train"][:16]], dtype=torch.float64)
    layer = run.model.double().layers[0]
    return f(x @ layer.weight.T + layer.bias)


def test_dead_units_give_nothing_on_any_sample(here):
    options = ["data=iris", "optimizer=sgd", "optimizer.lr=1", "model.hidden=[40]", "quiet=true", "precision=float64"]
    run = nettrain.train([*options, "epochs=12", "data.val_fraction=0"])
    best = run.metrics.iloc[run.summary["best_epoch"] - 1]
    silent = (units(run, torch.relu) == 0).all(0).double().mean()
    assert silent > 0  # such a learning rate kills some
    assert best["dead/layers.0"] == float(silent)
    assert not any(name.startswith("saturated") for name in run.metrics)


SLOPES = {"sigmoid": lambda a: 4 * a * (1 - a), "tanh": lambda a: 1 - a**2}  # over the greatest one


@pytest.mark.parametrize("activation", SLOPES)
def test_saturated_activations_are_those_on_the_flat_ends(here, activation):
    options = ["data=iris", "optimizer=sgd", "optimizer.lr=5", "quiet=true", "precision=float64", "model.hidden=[40]"]
    run = nettrain.train([*options, "epochs=9", f"activation={activation}", "data.val_fraction=0"])
    best = run.metrics.iloc[run.summary["best_epoch"] - 1]
    flat = (SLOPES[activation](units(run, getattr(torch, activation))) < 0.1).double().mean()
    assert flat > 0
    assert best["saturated/layers.0"] == pytest.approx(float(flat))
    assert not any(name.startswith("dead") for name in run.metrics)


class Mixed(nn.Module):
    """Every way of writing an activation: a module, one in place, a function, a method, twice behind one layer."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(in_features, 40), nn.Linear(40, 40), nn.Linear(40, 40)
        self.norm, self.out = nn.LayerNorm(40), nn.Linear(40, out_features)
        self.relu, self.sigmoid = nn.ReLU(inplace=True), nn.Sigmoid()
        self.register_parameter("unused", None)

    def inputs(self, x):
        """What the activations are given, by the names of their shares."""
        found = {"dead/a": self.a(x)}
        found["saturated/norm"] = self.norm(self.b(found["dead/a"].relu()))
        found["saturated/c"] = self.c(found["saturated/norm"].sigmoid())
        found["dead/c"] = found["saturated/c"].tanh() - 0.1
        return found

    def forward(self, x):
        x = self.sigmoid(self.norm(self.b(self.relu(self.a(x)))))
        return self.out(nn.functional.relu(self.c(x).tanh() - 0.1))


def test_units_of_any_module_are_watched_under_the_names_of_its_layers(here):
    target = f"model._target_={Mixed.__module__}.Mixed"
    options = ["data=iris", target, "optimizer=sgd", "optimizer.lr=2", "quiet=true", "precision=float64"]
    run = nettrain.train([*options, "epochs=20", "data.val_fraction=0"])
    trusted = nettrain.Run(run.folder, trust=True)
    x = torch.as_tensor(run.data.x[run.data.splits["train"][:16]])
    best = run.metrics.iloc[run.summary["best_epoch"] - 1]
    steep = {"norm": SLOPES["sigmoid"], "c": SLOPES["tanh"]}
    functions = {"norm": torch.sigmoid, "c": torch.tanh}
    shares = {}
    for name, z in trusted.model.inputs(x).items():
        what, _, layer = name.partition("/")
        flat = (z <= 0).all(0) if what == "dead" else steep[layer](functions[layer](z)) < 0.1
        shares[name] = float(flat.double().mean())
    assert {name: best[name] for name in best.index if name.startswith(("dead", "saturated"))} == pytest.approx(shares)
    assert len(set(shares.values())) == 4  # no zeros that would agree by chance


def test_a_module_without_such_activations_has_no_shares(here):
    run = nettrain.train(["data=iris", "model._target_=torch.nn.Linear", "epochs=1", "quiet=true"])
    assert not any(name.startswith(("dead", "saturated")) for name in run.metrics)


def test_which_activations_can_die_and_which_saturate():
    names = ("identity", "step", "sigmoid", "relu", "leaky_relu", "tanh", "gelu", "silu", "elu")
    functions = {name: getattr(activations, name) for name in names}
    assert {name for name, f in functions.items() if can_die(f)} == {"step", "relu"}
    assert {name for name, f in functions.items() if can_saturate(f)} == {"sigmoid", "tanh"}


def test_each_can_be_switched_off(here):
    off = ["watch.layers=false", "watch.units=false", "watch.graph=false"]
    run = nettrain.train(["data=iris", "epochs=1", "quiet=true", *off])
    assert not any("/" in name for name in run.metrics)
    assert not read(run.folder).Tags()["graph"]


def test_histograms_at_the_chosen_interval(here):
    run = nettrain.train(["data=iris", "epochs=4", "bs=full", "quiet=true", "watch.histograms_every=2"])
    events = read(run.folder)
    points = events.Histograms("weights/layers.1.bias")
    assert [point.step for point in points] == [2, 4]
    last = load_checkpoint(run.folder / "checkpoints" / "last.pt")["model"]
    bias = last["layers.1.bias"]
    found = points[-1].histogram_value
    assert (found.num, sum(found.bucket)) == (64, 64)
    assert (found.min, found.max, found.sum) == pytest.approx((float(bias.min()), float(bias.max()), float(bias.sum())))
    assert "gradients/layers.0.weight" in events.Tags()["histograms"]


def test_custom_scalars_draw_both_splits_and_all_layers_in_one_chart(here):
    run = nettrain.train(["data=iris", "epochs=1", "quiet=true"])
    (point,) = read(run.folder).Tensors("custom_scalars__config__")
    layout = Layout.FromString(point.tensor_proto.string_val[0])
    charts = {chart.title: list(chart.multiline.tag) for category in layout.category for chart in category.chart}
    assert charts["loss"] == ["^loss/train$", "^loss/val$"]
    assert charts["gradient_norm"] == [rf"^gradient_norm/layers\.{i}$" for i in range(3)]
    assert [category.title for category in layout.category] == ["training and validation", "layers"]


def test_throughput_counts_samples(here):
    run = nettrain.train(["data=iris", "epochs=3", "quiet=true"])
    points = read(run.folder).Scalars("throughput/samples_per_second")
    seconds = run.metrics["seconds"].diff().tolist()
    samples = len(run.data.splits["train"])
    assert [point.value for point in points[1:]] == pytest.approx([samples / s for s in seconds[1:]], rel=1e-5)


def test_the_graph_shows_what_feeds_what():
    found = nodes(DenseNetwork([8, 3], activations.relu, Entry(4)))
    (second,) = [node for name, node in found.items() if name.startswith("layers.1/") and node.op == "linear"]
    assert {"layers.1/weight", "layers.1/bias", "relu"} == set(second.input)
    assert list(found["relu"].input) == ["layers.0/linear"]


class Fickle(nn.Module):
    """Its way depends on the data, which a symbolic trace cannot follow."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(2, 1), nn.Linear(2, 1)

    def forward(self, x):
        return self.one(x) if x.sum() > 0 else self.other(x)


def test_a_module_that_cannot_be_traced_is_shown_as_its_parts():
    assert {name: node.op for name, node in nodes(Fickle()).items()} == {"one": "Linear", "other": "Linear"}


def trained(folder, *overrides, checkpoint=None):
    """A run whose path is kept, without the drawing."""
    (setup,) = setups(folder, "data=iris", "model=linear", *overrides, rows=[""])
    setup.drawn = True
    trainer = Trainer([setup], torch.device("cpu"))
    if checkpoint:
        trainer.restore([checkpoint])
    trainer.run()
    return load_checkpoint(setup.folder / "checkpoints" / "last.pt")


def test_the_path_is_denser_at_its_beginning_and_survives_a_resume(tmp_path):
    whole = trained(tmp_path / "whole", "epochs=70")
    epochs, w = whole["path"]["epochs"], whole["path"]["w"]
    assert epochs[:6] == [0, 1, 2, 3, 4, 5]
    assert epochs[-1] == 70
    assert len(epochs) <= 31
    assert max(np.diff(epochs)) <= 5
    assert torch.equal(w[-1], torch.cat([tensor.flatten() for tensor in whole["model"].values()]))
    part = trained(tmp_path / "part", "epochs=70", "budget.updates=50")
    assert part["path"]["epochs"][-1] == 13  # 4 updates each
    resumed = trained(tmp_path / "rest", "epochs=70", checkpoint=part)["path"]
    kept = dict(zip(resumed["epochs"], resumed["w"], strict=True))
    for epoch, point in zip(epochs, w, strict=True):
        assert torch.equal(kept[epoch], point)


def test_rows_of_a_stack_keep_the_paths_that_they_have_alone(tmp_path):
    rows = ["seed=1 epochs=9", "seed=2 epochs=30", "seed=3 epochs=30 early_stopping.patience=2 optimizer.lr=0.5"]

    def paths(name, groups):
        found = []
        for number, own in enumerate(groups):
            made = setups(tmp_path / name / str(number), "data=iris", "model=linear", rows=own)
            for setup in made:
                setup.drawn = True
            Trainer(made, torch.device("cpu")).run()
            found += [load_checkpoint(setup.folder / "checkpoints" / "last.pt")["path"] for setup in made]
        return found

    together, alone = paths("together", [rows]), paths("alone", [[row] for row in rows])
    for one, other in zip(together, alone, strict=True):
        assert one["epochs"] == other["epochs"]
        torch.testing.assert_close(one["w"], other["w"], rtol=1e-10, atol=1e-12)
    assert together[2]["epochs"][-1] < 30  # it was stopped early, and its last weights are there
