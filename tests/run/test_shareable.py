"""What several ranks cannot share is refused before training, by name."""

import pytest
import torch
from beside import setups

from nettrain.config.own_parts import load_parts
from nettrain.errors import ConfigError
from nettrain.preparation.shareable import require_shareable
from nettrain.row_streams import part_streams

OWN = """
import torch
from torch import nn
from nettrain.optimizers.rules import SGD
from dataclasses import dataclass

class Centred(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.layer = nn.Linear(in_features, out_features)

    def forward(self, x):
        return self.layer(x - x.mean(0))

class Counting(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.layer = nn.Linear(in_features, out_features)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.seen += len(x)
        return self.layer(x)

def noisy(in_features, out_features):
    return nn.Sequential(nn.Dropout(0.5), nn.Linear(in_features, out_features))

def rrelu(in_features, out_features):  # it draws for negative numbers alone
    return nn.Sequential(nn.Linear(in_features, 8), nn.RReLU(), nn.Linear(8, out_features))

def normed(in_features, out_features):
    return nn.Sequential(nn.BatchNorm1d(in_features), nn.Linear(in_features, out_features))
"""
LAYERS = """
from dataclasses import dataclass
from typing import ClassVar
from nettrain.optimizers.rules import SGD

@dataclass
class Layerwise(SGD):
    name: str = "layerwise"
    by_layer: ClassVar[bool] = True
"""
REFUSED = {
    "optimizer=lbfgs": "optimizer=lbfgs: it evaluates the loss at points .* which 2 ranks cannot share",
    "optimizer=genetic": "optimizer=genetic: ",
    "members=3": "members=3: members train together as a stack",
    "engine=compiled": "engine=compiled: it makes many updates at once",
    "sharded=true optimizer=torch optimizer._target_=torch.optim.Adam": "sharded=true: torch.optim.Adam sees whole",
    "model=resmlp model.norm=batch": "model=resmlp: the batch norm .* needs the mean .* use model.norm=layer",
    "model=module model._target_=own_parts.normed": "own_parts.normed: the batch norm 0 needs",
    "model=module model._target_=own_parts.Centred": "own_parts.Centred: in training it computes other values",
    "model=module model._target_=own_parts.rrelu": "own_parts.rrelu: in training it computes other values",
    "model=module model._target_=own_parts.Counting": "own_parts.Counting: in training it changes its buffers",
}


@pytest.fixture
def own(here, monkeypatch):
    (here / "own_parts.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(here))


@pytest.mark.parametrize("words", REFUSED)
def test_what_ranks_cannot_share_is_refused_by_name(words, here, own):
    (run,) = setups(here / "run", "data=iris", "bs=20", rows=[words])
    with pytest.raises(ConfigError, match=REFUSED[words]):
        require_shareable(run, 2)


def test_a_rule_that_knows_layers_can_be_shared_but_not_sharded(here, parts_are_forgotten, monkeypatch):
    (here / "rules.py").write_text(LAYERS)
    load_parts([str(here / "rules.py")])
    common = ["data=iris", "optimizer=layerwise"]
    whole, sharded = setups(here / "run", *common, rows=["", "sharded=true"])
    require_shareable(whole, 2)
    with pytest.raises(ConfigError, match="sharded=true: optimizer=layerwise works layer by layer"):
        require_shareable(sharded, 2)


@pytest.mark.parametrize("words", ["model=module model._target_=own_parts.noisy", "model.dropout=0.5", "bs=1"])
def test_noise_of_a_module_s_own_can_be_shared(words, here, own):
    (run,) = setups(here / "run", "data=iris", "bs=20", rows=[words])
    require_shareable(run, 2)


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: torch.nn.functional.dropout(x, 0.4),
        lambda x: torch.nn.functional.dropout(x.transpose(1, 2), 0.4),
        lambda x: x + torch.randn_like(x),
        lambda x: x * torch.rand(len(x), 1, 1),
        lambda x: x + torch.empty_like(x).normal_(),
    ],
    ids=["dropout", "transposed", "like", "shape", "in place"],
)
def test_a_part_of_a_batch_has_the_noise_that_it_has_in_the_whole_one(draw):
    x, samples = torch.randn(11, 3, 5), torch.tensor([2, 3, 7, 10])
    torch.manual_seed(5)
    whole, after = draw(x), torch.rand(1)
    torch.manual_seed(5)
    with part_streams(samples, 11):
        part = draw(x[samples])
    assert torch.equal(part, whole[samples])
    assert torch.equal(torch.rand(1), after)
