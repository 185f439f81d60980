"""Networks beyond the MLP train as rows of a stack, alone, interrupted and compiled, with the same result."""

import numpy as np
import pytest
import torch
from beside import CPU, assert_equal_to_alone, setups

import nettrain
from nettrain.errors import ConfigError
from nettrain.preparation.rows import refusal, row_bytes
from nettrain.training.engines.choose import choose_engine
from nettrain.training.stack.stack import Stack
from nettrain.training.trainer import Trainer

SMALL = ["debug.samples=70", "bs=32", "epochs=4"]  # the last batch is smaller
IMAGES, SEQUENCES = "data=digits_images", "data=digits_rows"
NO_ADAM = "optimizer=momentum"  # which would divide the gradient of a bias before a norm, 0 but for rounding, by itself
NETWORKS = {
    "lenet": [IMAGES, "model=cnn", "model.channels=[3,4]", "model.hidden=[6]"],
    "resnet": [
        IMAGES,
        "model=cnn",
        "model.channels=[2,3]",
        "model.blocks=1",
        "model.norm=batch",
        "model.flatten=false",
    ],
    "gru": [SEQUENCES, "model=gru", "model.hidden=5"],
    "lstm": [SEQUENCES, "model=lstm", "model.hidden=5", "model.bidirectional=true"],
    "transformer": [SEQUENCES, "model=transformer", "model.width=8", "model.heads=2"],
    "resmlp": ["data=diabetes", "model=resmlp", "model.width=6", "model.hidden=8", "model.norm=batch", NO_ADAM],
}
ROWS = ["seed=1 model.dropout=0.2", "seed=2 optimizer.lr=0.003", "seed=3 model.dropout=0.5 optimizer.weight_decay=0.1"]
MODULES = """
from torch import nn

def noisy(in_channels, out_features):
    layers = [nn.Conv2d(in_channels, 4, 3), nn.BatchNorm2d(4), nn.Dropout2d(0.2), nn.ReLU(), nn.Dropout(0.3)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(144, out_features))

class Attentive(nn.Module):
    def __init__(self, out_features):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 8, 0.2, batch_first=True)
        self.linear = nn.Linear(8, out_features)

    def forward(self, x):
        return self.linear(self.layer(x).mean(1))
"""
FOREIGN = {"noisy": IMAGES, "Attentive": SEQUENCES}


@pytest.fixture
def modules(here, monkeypatch):
    (here / "noisy_modules.py").write_text(MODULES)
    monkeypatch.syspath_prepend(here)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_with_noise_of_each_row_s_own(here, name):
    assert_equal_to_alone(here, *NETWORKS[name], *SMALL, rows=ROWS)


@pytest.mark.parametrize("optimizer", ["sgd optimizer.lr=0.1", "momentum", "rmsprop", "adagrad"])
def test_a_network_with_batch_norm_and_every_rule(here, optimizer):
    assert_equal_to_alone(
        here,
        *NETWORKS["resnet"],
        f"optimizer={optimizer.split()[0]}",
        *SMALL,
        *optimizer.split()[1:],
        rows=["seed=1", "seed=2"],
    )


def test_rows_that_end_earlier_leave_the_statistics_of_the_others(here):
    rows = ["seed=1 epochs=2", "seed=2 epochs=5", "seed=3 epochs=3"]
    assert_equal_to_alone(here, *NETWORKS["resnet"], "debug.samples=70", "bs=32", rows=rows)


def test_a_row_that_skips_updates_keeps_its_statistics(here):
    rows = ["seed=1 optimizer.lr=1e200", "seed=2"]
    together = assert_equal_to_alone(
        here, *NETWORKS["resnet"], "optimizer=sgd", "on_divergence=skip_step", *SMALL, rows=rows
    )
    assert together[0].summary["skipped_updates"] > 0
    for row in together:
        saved = torch.load(row.run.folder / "checkpoints" / "last.pt", weights_only=True)["buffers"]
        assert all(tensor.isfinite().all() for tensor in saved.values())


@pytest.mark.parametrize("name", FOREIGN)
def test_dropout_of_somebody_else_s_module_is_each_row_s_own(here, modules, name):
    common = [FOREIGN[name], f"model._target_=noisy_modules.{name}", *SMALL, "data.split_seed=0", NO_ADAM]
    together = assert_equal_to_alone(here, *common, rows=["seed=1", "seed=2", "seed=1 optimizer.lr=0.003"])
    losses = [row.last["train_loss"] for row in together]
    assert len(set(losses)) == 3
    assert refusal(together[0].run) is None


def test_attention_of_somebody_else_s_module_says_nothing_of_torch_s_own_shortcomings(here, modules, recwarn):
    words = [SEQUENCES, "model._target_=noisy_modules.Attentive", "debug.samples=40", "epochs=1"]
    Trainer(setups(here, *words, rows=["seed=1", "seed=2"]), CPU).run()
    assert not [str(warning.message) for warning in recwarn if "file us an issue" in str(warning.message)]


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", [*NETWORKS, *FOREIGN])
def test_a_resumed_run_has_the_same_bits(modules, name):
    words = NETWORKS.get(name) or [FOREIGN[name], f"model._target_=noisy_modules.{name}"]
    words = [*words, *(["model.dropout=0.2"] if name in NETWORKS else []), *SMALL]
    quiet = ["quiet=true", "figures=never", "tensorboard=false", "trust=true"]
    whole = nettrain.train([*words, *quiet])
    part = nettrain.train([*words, *quiet, "budget.updates=4"], folder="part")
    assert part.summary["epochs"] < 4
    resumed = nettrain.train(["resume=part", "trust=true", "budget.updates=null"])
    for (key, one), other in zip(resumed.model.state_dict().items(), whole.model.state_dict().values(), strict=True):
        assert torch.equal(one, other), key
    assert np.array_equal(resumed.metrics["val_loss"], whole.metrics["val_loss"])


def test_a_run_is_read_back_as_an_ordinary_module():
    run = nettrain.train([*NETWORKS["resnet"], *SMALL, "quiet=true", "figures=never", "tensorboard=false"])
    names = set(run.model.state_dict())
    assert {"stages.0.0.conv1.norm.running_var", "stages.1.0.shortcut.conv.weight", "linear.bias"} <= names
    last = torch.load(run.folder / "checkpoints" / "best.pt", weights_only=True)["model"]
    assert names == set(last)
    updates = 3 * run.summary["best_epoch"]  # 70 samples in batches of 32
    assert 0 < int(last["stem.0.norm.num_batches_tracked"]) <= updates
    rows = run.data.splits["test"]
    x = torch.as_tensor(np.asarray(run.data.x[rows]), dtype=torch.float32)
    input = run.data.inputs
    with torch.no_grad():
        z = run.model((x - input.mean[0]) / input.scale[0])
    y = torch.as_tensor(run.data.y[rows])
    assert float(torch.nn.functional.cross_entropy(z, y)) == pytest.approx(run.summary["test_loss"], rel=1e-5)


def test_a_solver_and_figures_of_the_loss_see_batch_norm_as_in_evaluation(here):
    words = [*NETWORKS["resnet"], "optimizer=lbfgs", "bs=full", "epochs=3", "debug.samples=70", "precision=float64"]
    run = nettrain.train([*words, "quiet=true", "tensorboard=false", "figures=always"])
    assert (run.model.stem[0].norm.running_mean == 0).all()
    assert run.metrics["train_loss"].iloc[-1] < run.metrics["train_loss"].iloc[0]
    assert list(here.rglob("loss_surface*.png"))


def test_a_frozen_layer_of_a_convolutional_network_in_a_stack(here):
    groups = "groups={stages.0.*:{freeze:true},linear.bias:{lr:0.1}}"
    assert_equal_to_alone(here, *NETWORKS["lenet"], groups, *SMALL, rows=["seed=1", "seed=2"])


def test_dead_units_of_a_convolution_are_watched(here):
    words = [*NETWORKS["lenet"], "optimizer=sgd", "optimizer.lr=1", "data.val_fraction=0", "precision=float64"]
    run = nettrain.train([*words, "debug.samples=70", "epochs=3", "quiet=true", "tensorboard=false", "figures=never"])
    best = run.metrics.iloc[run.summary["best_epoch"] - 1]
    input, model = run.data.inputs, run.model.double()
    x = torch.as_tensor(np.asarray(run.data.x[run.data.splits["train"][:16]]), dtype=torch.float64)
    z = model.stages[0].conv((x - input.mean[0]) / input.scale[0])
    images = torch.nn.functional.max_pool2d(z.relu(), 2)
    dead = {"stages.0": z, "stages.1": model.stages[1].conv(images)}
    for layer, units in dead.items():
        assert best[f"dead/{layer}"] == pytest.approx(float((units <= 0).all(0).double().mean()))
    assert 0 < best["dead/stages.1"] < 1
    assert "dead/hidden.0" in best
    assert "dead/linear" not in best


def engine_of(here, *words):
    (run,) = setups(here, *words, rows=["seed=1"])
    said = []
    stack = Stack([run], CPU)
    return choose_engine(stack, run.config.engine, 10**9, 1, lambda: False, said.append).name, said


@pytest.mark.parametrize("name", ["resnet", "transformer", "resmlp"])
def test_what_cannot_be_compiled_is_eager(here, name):
    assert engine_of(here, *NETWORKS[name], "precision=float32")[0] == "eager"


def test_a_convolutional_network_without_norms_is_compiled(here):
    assert engine_of(here, *NETWORKS["lenet"], "precision=float32")[0] == "compiled"


def test_a_residual_network_with_layer_norms_is_compiled_and_gives_the_same(here):
    words = ["data=diabetes", "model=resmlp", "model.width=6", "model.hidden=8", "model.blocks=1", "precision=float64"]
    words += ["model.dropout=0.1", "bs=32", "epochs=5", "quiet=true", "figures=never", "tensorboard=false"]
    eager, compiled = (nettrain.train([*words, f"engine={engine}"]) for engine in ("eager", "compiled"))
    for one, other in zip(eager.model.state_dict().values(), compiled.model.state_dict().values(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["resnet", "transformer"])
def test_compiling_other_networks_is_refused_in_a_sentence(name):
    model = NETWORKS[name][1]
    with pytest.raises(ConfigError, match=f"engine=compiled: {model} has layers that compiled programs do not know"):
        nettrain.train([*NETWORKS[name], *SMALL, "engine=compiled"])


BATCHES = {
    "bs=1": "bs=1: a batch, 1 sample,",
    "bs=23": "bs=23: the last batch, 1 sample,",
    "bs=32 accumulate=32": "bs=32: a batch, 32 samples in accumulate=32 parts,",
    "bs=full accumulate=24": "bs=full: a batch, 70 samples in accumulate=24 parts,",
}


@pytest.mark.parametrize("batch", BATCHES)
def test_a_batch_norm_needs_more_than_one_sample(here, batch):
    words = [*NETWORKS["resnet"], "debug.samples=70", *batch.split()]
    with pytest.raises(ConfigError, match=r"leaves one sample to the batch norm stem\.0\.norm") as caught:
        nettrain.train(words)
    assert str(caught.value).startswith(BATCHES[batch])
    assert "drop_last=true" in str(caught.value) or "last" not in BATCHES[batch]
    assert not (here / "outputs").exists()


def test_memory_of_a_row_counts_what_its_layers_keep(here):
    small, large = (
        setups(
            here / str(n), IMAGES, "model=cnn", f"model.channels=[{n}]", "model.hidden=[4]", "bs=64", rows=["seed=1"]
        )[0]
        for n in (4, 64)
    )
    images = 64 * 64 * 64 * 8  # the convolution's output alone, of a batch of 64 images of 8 x 8 in 64 channels
    assert row_bytes(large) > images > row_bytes(small)
