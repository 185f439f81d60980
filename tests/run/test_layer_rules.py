"""A rule of a user's own that works layer by layer: it sees each parameter in its own shape, alone as in a stack."""

import sys
from pathlib import Path

import pytest
import torch

import nettrain
from nettrain.errors import ConfigError
from nettrain.storage.checkpoint_files import load_checkpoint
from nettrain.testing import check_rule

sys.path.append(str(Path(__file__).parent))
from by_hand import assert_same_bits, by_hand

PARTS = '''
from dataclasses import dataclass
from typing import ClassVar

import torch

from nettrain.optimizers.rules import Rule
from nettrain.registry import option


@dataclass
class LARS(Rule):
    """w <- w - lr |w| / (|g| + 1e-9) g, with the norms of each layer's tensor (You et al., 2017)."""

    name: str = "lars"
    trust: float = option(0.1, "trust coefficient", minimum=0)

    by_layer: ClassVar[bool] = True

    def coefficients(self, t, lr):
        return {"step": -lr * self.trust}

    def update(self, state, w, g, c):
        axes = list(range(1, w.dim()))
        norms = [x.pow(2).sum(axes, keepdim=True).sqrt() for x in (w, g)]
        w.add_(g * (norms[0] / (norms[1] + 1e-9)) * c["step"])


@dataclass
class Orthogonal(Rule):
    """Muon's idea: matrices step along the nearest orthogonal matrix, by five steps of a cubic iteration."""

    name: str = "orthogonal"

    by_layer: ClassVar[bool] = True

    def init(self, w):
        return {"mean": torch.zeros_like(w)}

    def update(self, state, w, g, c):
        m = state["mean"].mul_(0.9).add_(g)
        if w.dim() == 3:
            m = m / (m.pow(2).sum((1, 2), keepdim=True).sqrt() + 1e-9)
            for _ in range(5):
                m = 1.5 * m - 0.5 * torch.matmul(torch.matmul(m, m.mT), m)
        w.add_(m * c["step"])
'''


@pytest.fixture
def parts(here, parts_are_forgotten):
    (here / "parts.py").write_text(PARTS)

    def train(*overrides):
        words = ["data=iris", "model.hidden=[6,5]", "precision=float64", "quiet=true", "tensorboard=false", *overrides]
        return nettrain.train(words, config_dir=here)

    return train


def weights(folder):
    return load_checkpoint(folder / "checkpoints" / "last.pt")["model"]


class Reference(torch.optim.Optimizer):
    """The same LARS as torch's optimizers are written."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.05})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                norms = [x.pow(2).sum().sqrt() for x in (p, p.grad)]
                p.add_(p.grad * (norms[0] / (norms[1] + 1e-9)) * (-group["lr"] * 0.1))


def test_it_is_given_each_parameter_in_its_own_shape(parts, here):
    run = parts("optimizer=lars", "optimizer.lr=0.05", "epochs=20", "bs=16")
    same = ("data=iris", "model.hidden=[6,5]", "epochs=20", "bs=16")
    reference = by_hand(here / "hand", *same, make=lambda named: Reference(named.values()))
    for name, tensor in reference.items():
        torch.testing.assert_close(weights(run.folder)[name], tensor, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", ["lars", "orthogonal"])
def test_rows_are_what_the_run_alone_is(parts, here, command, name):
    (here / "parts.py").write_text(PARTS)
    groups = "groups={*.bias:{lr:0.5,weight_decay:0}}"
    common = ["data=iris", "model.hidden=[6,5]", "precision=float64", "epochs=6", f"optimizer={name}", groups]
    common += ["optimizer.weight_decay=0.01", "optimizer.clip_norm=1"]
    ended = command("--config-dir", ".", "-m", *common, "optimizer.lr=0.01,0.05", "hydra.sweep.dir=sweep")
    assert ended.code == 0, ended.err
    for i, lr in enumerate((0.01, 0.05)):
        run = parts(*common, f"optimizer.lr={lr}")
        assert_same_bits(weights(here / "sweep" / str(i)), weights(run.folder))


def test_it_is_compiled_or_refused_with_a_sentence(parts):
    eager = parts("optimizer=lars", "epochs=3", "engine=eager")
    compiled = parts("optimizer=lars", "epochs=3", "engine=compiled")
    for name, tensor in weights(eager.folder).items():
        torch.testing.assert_close(weights(compiled.folder)[name], tensor, rtol=1e-9, atol=1e-12)
    with pytest.raises(ConfigError, match="engine=fused: it makes one pass over all weights"):
        parts("optimizer=lars", "engine=fused")


def test_check_rule_knows_layers(here, parts_are_forgotten):
    space = {}
    exec(PARTS, space)
    check_rule(space["LARS"]())
    check_rule(space["Orthogonal"]())

    class Mixing(space["LARS"]):
        name = ""  # it is no part, also not for the tests after this one

        def update(self, state, w, g, c):
            w.add_((g * g.pow(2).sum()) * c["step"])  # over the rows, too

    with pytest.raises(AssertionError, match="rows of a stack are what each is alone"):
        check_rule(Mixing())
