"""engine=inductor: networks that torch.compile has compiled train as by torch's own operations."""

import pytest
import torch
from torch import nn

import nettrain
from nettrain.errors import ConfigError
from nettrain.storage.checkpoint_files import load_checkpoint

COMMON = ["precision=float64", "figures=never", "tensorboard=false", "quiet=true"]


class Noisy(nn.Module):
    """Somebody's own module: with running statistics, noise, and a branch that changes with the batch."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.drop = nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Dropout(0.3)
        self.last = nn.Linear(16, 10)

    def forward(self, x):
        x = self.drop(torch.tanh(self.norm(self.first(x))))
        return self.last(x * 2 if x.sum() > 0 else x)


def trained(folder, engine, *words, **handed):
    run = nettrain.train([*COMMON, *words, f"engine={engine}"], folder=folder, **handed)
    return load_checkpoint(run.folder / "checkpoints" / "last.pt")


def assert_close(one, other):
    for name, tensor in other["model"].items():
        torch.testing.assert_close(one["model"][name], tensor, rtol=1e-10, atol=1e-12)


def test_a_network_with_dropout_whose_last_batch_is_smaller_stops_and_goes_on(here):
    words = ["data=digits", "model.dropout=0.2", "bs=100", "epochs=3"]
    eager = trained(here / "eager", "eager", *words)
    trained(here / "inductor", "inductor", *words, "budget.updates=20")
    run = nettrain.train([f"resume={here / 'inductor'}", "budget.updates=null", "quiet=true"])
    assert_close(load_checkpoint(run.folder / "checkpoints" / "last.pt"), eager)
    assert load_checkpoint(run.folder / "checkpoints" / "last.pt")["engine"] == "inductor"


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["data=digits_images", "model=cnn", "model.norm=batch"],
        ["data=digits_rows", "model=transformer", "model.dropout=0.1", "accumulate=2"],
    ],
    ids=["batch norm", "attention in micro-batches"],
)
def test_our_networks(here, words):
    assert_close(*(trained(here / engine, engine, *words, "epochs=1", "bs=256") for engine in ("inductor", "eager")))


@pytest.mark.slow
@pytest.mark.parametrize("words", [["precision=bf16"], ["precision=float32", "model.hidden=[1024,1024]"]])
def test_other_precisions_one_of_them_with_a_fused_rule(here, words):
    losses = []
    for engine in ("inductor", "eager"):
        run = nettrain.train([*COMMON, "data=digits", "epochs=5", *words, f"engine={engine}"], folder=here / engine)
        losses.append(run.summary["train_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


@pytest.mark.slow
def test_a_module_of_ones_own_with_noise_and_running_statistics(here):
    torch.manual_seed(0)
    module = Noisy()
    words = ["data=digits", "bs=100", "epochs=2", "optimizer=sgd"]  # Adam enlarges the rounding of gradients that are 0
    one, other = (trained(here / engine, engine, *words, model=module) for engine in ("inductor", "eager"))
    assert_close(one, other)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["optimizer=newton", "model=linear", "bs=full"], "optimizer=newton evaluates the loss in its own ways"),
        (["members=4"], "it is for one large network, and members=4 trains several together"),
    ],
)
def test_what_it_is_not_for(here, words, sentence):
    with pytest.raises(ConfigError, match=f"engine=inductor: {sentence}.*; use engine=auto"):
        nettrain.train([*COMMON, "data=iris", *words, "engine=inductor"])


def test_without_a_compiler(here, monkeypatch):
    monkeypatch.setenv("CXX", str(here / "none"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match=r"engine=inductor: there is no C\+\+ compiler"):
        nettrain.train([*COMMON, "data=iris", "engine=inductor"])


def test_runs_of_a_sweep_train_alone(command):
    ended = command(
        "-m", "seed=1,2", "epochs=0", "data=iris", "engine=inductor", "tensorboard=false", "hydra.sweep.dir=s"
    )
    assert "2 alone: engine=inductor is for one large network" in ended.out
