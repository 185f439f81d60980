"""Periodic embeddings of numbers: against the formula under autograd, in stacks and compiled."""

import math

import numpy as np
import pytest
import torch

import nettrain
from nettrain.compiler.library import compiler
from nettrain.parts.models import DenseNetwork, Entry
from nettrain.parts.periodic import Periodic

QUIET = {"quiet": True, "figures": "never"}


def reference(p, x, ids):
    """PBLD as its paper writes it, number by number."""
    parts = [x[:, :3], p["embeddings.0.weight"][ids]]
    waves = [
        torch.cos(2 * math.pi * x[:, i : i + 1] * p["periodic.frequency"][i] + p["periodic.phase"][i]) for i in range(3)
    ]
    parts += [
        (waves[i] @ p["periodic.weight"][j, i] + p["periodic.bias"][j, i])[:, None] for j in range(3) for i in range(3)
    ]
    hidden = torch.tanh(torch.cat(parts, 1) @ p["layers.0.weight"].T + p["layers.0.bias"])
    return hidden @ p["layers.1.weight"].T + p["layers.1.bias"]


def test_outputs_and_gradients_are_those_of_the_formula_for_one_run_and_for_rows():
    torch.manual_seed(0)
    network = DenseNetwork([6, 2], torch.tanh, Entry(4, vocabularies=(5,), periodic=Periodic(3, 4, 0.5))).double()
    rows = [{k: p.detach() + 0.1 * torch.randn_like(p) for k, p in network.named_parameters()} for _ in range(3)]
    stacked = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    for shape in ((20,), (3, 20)):
        ids = torch.randint(0, 5, shape)
        x = torch.cat([torch.randn(*shape, 3, dtype=torch.float64), ids.unsqueeze(-1)], -1)
        gradients = {name: torch.full_like(p, 7.0) for name, p in stacked.items()}
        z = network.backpropagate(stacked, x, None, lambda z: torch.cos(z), gradients)
        torch.testing.assert_close(z, network.logits(stacked, x))
        for k, row in enumerate(rows):
            own, own_ids = (x, ids) if len(shape) == 1 else (x[k], ids[k])
            leaves = {name: p.clone().requires_grad_() for name, p in row.items()}
            expected = reference(leaves, own, own_ids)
            torch.testing.assert_close(z[k], expected)
            torch.sin(expected).sum().backward()
            alone = {name: torch.full_like(p, 7.0) for name, p in row.items() if name != "periodic.phase"}
            network.backpropagate(row, own, None, lambda z: torch.cos(z), alone)
            for name, leaf in leaves.items():
                torch.testing.assert_close(gradients[name][k], leaf.grad)
                if name in alone:  # the other is frozen
                    torch.testing.assert_close(alone[name], leaf.grad)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


CONFIG = {"data": "diabetes", "model.periodic": 6, "epochs": 2, "precision": "float64", "model.dropout": 0.1, **QUIET}


def test_rows_of_a_stack_are_the_runs_alone_and_weights_are_saved(here):
    sweep = nettrain.sweep({**CONFIG, "seed": "1,2"})
    for seed, row in zip((1, 2), sweep.runs, strict=True):
        alone = nettrain.train({**CONFIG, "seed": seed})
        assert row.summary["val_loss"] == pytest.approx(alone.summary["val_loss"], rel=1e-9)
        again = nettrain.Run(alone.folder)
        assert again.model.periodic.weight.shape == (3, 10, 6)
        frequencies = again.model.periodic.frequency.detach().numpy()
        assert 0.05 < np.std(frequencies) < 0.2


@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler")
def test_a_compiled_run_has_the_losses_of_an_eager_one(here):
    eager, compiled = (nettrain.train({**CONFIG, "engine": engine}) for engine in ("eager", "compiled"))
    for name in ("train_loss", "val_loss", "test_loss"):
        assert compiled.summary[name] == pytest.approx(eager.summary[name], rel=1e-9)
