"""TabM: by hand, one perceptron after another; the gradient of the mean of their losses; rows, engines, types."""

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import nettrain
from nettrain.objective import Objective
from nettrain.parts import activations
from nettrain.parts.heads import IdentityMSE, SoftmaxCE
from nettrain.parts.models import Entry
from nettrain.parts.models.tabm import SharedEnsemble, TabM
from nettrain.parts.periodic import Periodic
from nettrain.random import Noise
from nettrain.vector import Layout, flatten

K = 3
DRAW = torch.Generator().manual_seed(5)
X = torch.randn(7, 4, dtype=torch.float64, generator=DRAW)
CLASSES = torch.tensor([0, 1, 2, 2, 1, 0, 0])


def built(outputs: int = 3, **keys) -> SharedEnsemble:
    torch.manual_seed(0)
    model = TabM(k=K, hidden=[5, 6], **keys).build(4, outputs, activations.tanh).double()
    with torch.no_grad():
        for parameter in model.parameters():  # so that no adapter is 1 and no bias 0
            parameter.add_(0.3 * torch.randn(parameter.shape, dtype=torch.float64, generator=DRAW))
    return model


def by_hand(p: dict[str, Tensor], i: int, x: Tensor) -> Tensor:
    """The logits of the i-th perceptron: s_i * (W (r_i * x)) + b_i, and a last layer of its own."""
    for layer in ("layers.0", "layers.1"):
        W, r, s, b = (p[f"{layer}.{name}"] for name in ("weight", "before", "after", "bias"))
        x = torch.tanh(s[i] * ((r[i] * x) @ W.T) + b[i])
    return x @ p["last.weight"][i].T + p["last.bias"][i]


def test_its_logits_are_the_mean_of_those_of_perceptrons_with_adapters():
    model = built()
    each = [by_hand(dict(model.named_parameters()), i, X) for i in range(K)]
    assert torch.allclose(model(X), sum(each) / K)
    assert not torch.allclose(each[0], each[1], atol=0.1)


def test_at_first_they_differ_by_signs_and_their_last_layer_alone():
    torch.manual_seed(1)
    model = TabM(k=8, hidden=[5, 6]).build(4, 2, activations.relu)
    first, second = model.layers
    assert set(first.before.flatten().tolist()) == {-1.0, 1.0}
    for ones in (first.after, second.before, second.after):
        assert (ones == 1).all()
    assert (first.bias == 0).all()
    assert len(set(model.last["weight"][:, 0, 0].tolist())) == 8


@pytest.mark.parametrize(
    ("head", "y"), [(SoftmaxCE(), CLASSES), (IdentityMSE(), X[:, 0] ** 2)], ids=["classes", "numbers"]
)
def test_the_gradient_is_that_of_the_mean_of_their_losses(head, y):
    model = built(3 if y is CLASSES else 1)
    weights = torch.linspace(0.5, 1.5, len(y), dtype=torch.float64)
    loss = F.cross_entropy if y is CLASSES else lambda z, y, reduction: (z[:, 0] - y) ** 2
    p = dict(model.named_parameters())
    losses = [loss(by_hand(p, i, X), y, reduction="none") for i in range(K)]
    expected = torch.autograd.grad((sum(losses) / K * weights).mean(), list(p.values()))
    z, g = Objective(model, head).gradient(flatten(model).clone(), X, y, None, weights)
    assert torch.allclose(g, torch.cat([e.flatten() for e in expected]))
    assert torch.allclose(z, model(X))


@pytest.mark.filterwarnings("ignore:In CPU autocast")
def test_by_autograd_it_is_the_same_gradient():
    model = built()
    w = flatten(model).clone()
    z, g = Objective(model, SoftmaxCE()).gradient(w, X, CLASSES)
    by_autograd = Objective(model, SoftmaxCE(), autocast=torch.float64)
    other, h = by_autograd.gradient(w, X, CLASSES)
    assert torch.allclose(g, h)
    assert torch.allclose(z, other)


@pytest.mark.parametrize("shared", [True, False])
def test_rows_are_single_runs(shared):
    model = built()
    w = flatten(model) + 0.3 * torch.randn(2, Layout.of(model).size, dtype=torch.float64, generator=DRAW)
    x = X if shared else torch.stack([X, X.flip(0)])
    keys, rate = torch.tensor([11, 12]), torch.tensor([0.3, 0.6])
    noise = Noise(keys.view(2, 1, 1), rate.double().view(2, 1, 1))
    z, g = (part.clone() for part in Objective(model, SoftmaxCE()).gradient(w, x, CLASSES, noise))
    for k in range(2):
        alone = Noise(keys[k].view(1, 1), rate[k].double().view(1, 1))
        row = x if shared else x[k]
        z_alone, g_alone = Objective(model, SoftmaxCE()).gradient(w[k].clone(), row, CLASSES, alone)
        assert torch.allclose(z[k], z_alone)
        assert torch.allclose(g[k], g_alone)


def test_categories_are_embedded_and_numbers_have_waves_before_the_first_layer():
    """Torch's embeddings and the waves by hand; the rest is the network of what they give."""
    torch.manual_seed(0)
    entry = Entry(4, vocabularies=(5,), periodic=Periodic(3, 2, 0.5))
    model = SharedEnsemble(TabM(k=K, hidden=[5, 6]), 2, activations.tanh, entry).double()
    x = torch.cat([X[:, :3], torch.tensor([0.0, 4, 2, 1, 3, 3, 0], dtype=torch.float64)[:, None]], 1)
    p = dict(model.named_parameters())
    waves = torch.cos(2 * torch.pi * x[:, :3, None] * p["periodic.frequency"] + p["periodic.phase"])
    of_numbers = [(waves * p["periodic.weight"][j]).sum(-1) + p["periodic.bias"][j] for j in range(3)]
    entered = torch.cat([x[:, :3], F.embedding(x[:, 3].long(), p["embeddings.0.weight"]), *of_numbers], 1)
    assert torch.allclose(model(x), sum(by_hand(p, i, entered) for i in range(K)) / K)


def test_a_table_with_embedded_categories_compiles_and_predicts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    city = rng.integers(30, size=200)
    pd.DataFrame({"a": rng.normal(size=200), "city": city.astype(str), "y": city % 2}).to_csv("t.csv", index=False)
    words = ["data=csv", "data.path=t.csv", "data.target=y", "data.categorical=[city]", "data.embed_above=10"]
    words += ["model.periodic=4", "data.numbers=standard", "model.k=3", "epochs=3", "quiet=true"]
    runs = [nettrain.train([*words, f"engine={engine}"], folder=engine) for engine in ("eager", "compiled")]
    assert runs[0].config.model.name == "tabm"
    eager, compiled = (run.predict("t.csv")["probability_1"].to_numpy(float) for run in runs)
    np.testing.assert_allclose(compiled, eager, atol=1e-4)
    assert np.ptp(eager) > 0


WORDS = [
    "data=wine",
    "model=tabm",
    "model.k=3",
    "model.hidden=[6]",
    "epochs=3",
    "bs=16",
    "quiet=true",
    "model.dropout=0.1",
]


def test_a_run_of_it_compiles_stacks_and_predicts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    eager = nettrain.train([*WORDS, "engine=eager"])
    compiled = nettrain.train([*WORDS, "engine=compiled"])
    assert compiled.summary["val_loss"] == pytest.approx(eager.summary["val_loss"], rel=1e-4)
    rows = nettrain.sweep([*WORDS, "seed=0,1", "engine=eager"])
    assert rows.runs[0].summary["val_loss"] == pytest.approx(eager.summary["val_loss"], rel=1e-4)
    members = nettrain.train([*WORDS, "members=2"])
    assert members.summary["members"] == 2
    again = nettrain.Run(eager.folder)
    z = again.model(torch.as_tensor(again.data.x[:5], dtype=torch.float32))
    assert torch.equal(z, eager.model(torch.as_tensor(eager.data.x[:5], dtype=torch.float32)))


@pytest.mark.parametrize("optimizer", ["lbfgs", "newton", "genetic"])
def test_solvers_which_compare_values_of_one_loss_are_refused(optimizer, command):
    ended = command(*WORDS[:-1], f"optimizer={optimizer}")
    assert (ended.code, ended.err) == (
        2,
        f"nettrain: optimizer={optimizer}: it compares values of one loss, and each of the 3 predictions of model=tabm "
        "is trained by its own; use a gradient optimizer, such as optimizer=adam.\n",
    )
