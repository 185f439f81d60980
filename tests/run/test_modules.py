"""Modules of one's own, with all that real ones bring: frozen, tied and buffered tensors, dropout, norm layers."""

import pytest
import torch

import nettrain
from nettrain.errors import ConfigError

MODULES = """
import torch
from torch import nn

class WithDropout(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.layer = nn.Linear(in_features, out_features)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        return self.layer(self.dropout(x))

class Frozen(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.fixed = nn.Linear(in_features, in_features)
        self.fixed.requires_grad_(False)
        self.layer = nn.Linear(in_features, out_features)

    def forward(self, x):
        return self.layer(self.fixed(x))

class Tied(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.a = nn.Linear(in_features, in_features)
        self.b = nn.Linear(in_features, in_features)
        self.b.weight = self.a.weight
        self.out = nn.Linear(in_features, out_features)
        self.register_buffer("offset", torch.ones(in_features), persistent=False)

    def forward(self, x):
        return self.out(torch.tanh(self.b(torch.tanh(self.a(x))) + self.offset))

def norm(in_features, out_features):
    return nn.Sequential(nn.Linear(in_features, 8), nn.BatchNorm1d(8), nn.Linear(8, out_features))

class Flat(nn.Module):
    def __init__(self, in_features):
        super().__init__()
        self.layer = nn.Linear(in_features, 1)

    def forward(self, x):
        return self.layer(x).squeeze(-1)

def double(in_features, out_features):
    return nn.Linear(in_features, out_features).double()
"""


@pytest.fixture
def module(here, monkeypatch):
    (here / "modules.py").write_text(MODULES)
    monkeypatch.syspath_prepend(here)

    def train(name, *overrides):
        return nettrain.train(["data=iris", f"model._target_=modules.{name}", "epochs=3", "quiet=true", *overrides])

    return train


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("name", ["WithDropout", "Frozen", "Tied", "norm"])
def test_a_module_trains_and_is_read_back(module, name, optimizer):
    run = module(name, f"optimizer={optimizer}")
    assert run.summary["status"] == "completed"
    assert isinstance(run.model, torch.nn.Module)


def test_dropout_of_a_module_acts_in_training(module):
    import modules

    one, two = (
        module("WithDropout", "seed=1", "data.split_seed=0"),
        module("WithDropout", "seed=1", "data.split_seed=0"),
    )
    assert one.metrics.drop(columns="seconds").equals(two.metrics.drop(columns="seconds"))
    plain = torch.nn.Dropout.forward
    modules.nn.Dropout.forward = lambda self, x: x
    try:
        without = module("WithDropout", "seed=1", "data.split_seed=0")
    finally:
        modules.nn.Dropout.forward = plain
    assert not without.metrics["train_loss"].equals(one.metrics["train_loss"])


def test_frozen_parameters_stay_and_are_not_counted(module):
    import modules

    run = module("Frozen", "seed=7")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        initial = modules.Frozen(4, 3)
    assert torch.equal(run.model.fixed.weight, initial.fixed.weight)
    assert not torch.equal(run.model.layer.weight, initial.layer.weight)
    assert run.summary["parameters"] == 4 * 3 + 3


def test_tied_weights_stay_tied(module):
    model = module("Tied").model
    assert model.a.weight is model.b.weight


def test_a_norm_layer_that_cannot_take_the_last_batch_is_refused_before_training(module, here):
    with pytest.raises(ConfigError, match=r"on a batch of 1 rows, the last one.*drop_last=true"):
        module("norm", "bs=15")
    assert not (here / "outputs").exists()
    assert module("norm", "bs=15", "drop_last=true").summary["status"] == "completed"


def test_a_solver_says_that_it_evaluates_a_module_as_after_training(module, capsys):
    module("norm", "optimizer=lbfgs", "quiet=false")
    assert "running statistics of norm layers do nothing" in capsys.readouterr().out


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("data", ["diabetes", "breast_cancer"])
def test_a_module_may_leave_out_the_dimension_of_a_single_output(module, data, optimizer):
    run = module("Flat", f"data={data}", f"optimizer={optimizer}")
    assert run.metrics["train_loss"].iloc[-1] < run.metrics["train_loss"].iloc[0]


def test_a_module_in_double_precision(module):
    assert module("double", "precision=float64").model.weight.dtype == torch.float64
