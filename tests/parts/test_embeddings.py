"""Learnt embeddings of categories: torch.nn.Embedding, autograd, stacks, programs, from tables to predictions."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.func import functional_call

import nettrain
from nettrain.compiler.library import compiler
from nettrain.data import Encoder, load, sources
from nettrain.data.encoded_ids import Embedded
from nettrain.errors import ConfigError
from nettrain.parts.models import DenseNetwork, Entry

QUIET = {"quiet": True, "figures": "never"}
IDS = (5, 9)


class Reference(nn.Module):
    def __init__(self, network: DenseNetwork) -> None:
        super().__init__()
        self.embeddings, self.layers = network.embeddings, network.layers

    def forward(self, x):
        ids = x[:, -2:].long()
        x = torch.cat([x[:, :-2], *(layer(ids[:, i]) for i, layer in enumerate(self.embeddings))], dim=1)
        return self.layers[1](torch.tanh(self.layers[0](x)))


def samples(rows=None, n=40):
    draw = torch.Generator().manual_seed(1)
    shape = (n,) if rows is None else (rows, n)
    ids = [torch.randint(0, most, (*shape, 1), generator=draw).double() for most in IDS]
    return torch.cat([torch.randn(*shape, 3, generator=draw, dtype=torch.float64), *ids], dim=-1)


def test_outputs_and_gradients_are_those_of_torch_for_one_run_and_for_rows():
    torch.manual_seed(0)
    network = DenseNetwork([7, 2], torch.tanh, Entry(5, vocabularies=IDS)).double()
    reference, names = Reference(network), [name for name, _ in network.named_parameters()]
    assert {f"embeddings.{i}.weight" for i in range(2)} <= set(names)
    rows = [{k: p.detach() + 0.1 * torch.randn_like(p) for k, p in network.named_parameters()} for _ in range(3)]
    stacked = {name: torch.stack([row[name] for row in rows]) for name in names}
    for x in (samples(), samples(rows=3)):
        gradients = {name: torch.full_like(p, 7.0) for name, p in stacked.items()}
        z = network.backpropagate(stacked, x, None, lambda z: torch.cos(z), gradients)
        assert torch.equal(z, network.logits(stacked, x))
        for k, row in enumerate(rows):
            own = x if x.dim() == 2 else x[k]
            leaves = {name: p.clone().requires_grad_() for name, p in row.items()}
            expected = functional_call(reference, leaves, (own,))
            torch.testing.assert_close(z[k], expected)
            torch.sin(expected).sum().backward()
            alone = {name: torch.full_like(p, 7.0) for name, p in row.items() if name != "embeddings.1.weight"}
            network.backpropagate(row, own, None, lambda z: torch.cos(z), alone)
            for name, leaf in leaves.items():
                torch.testing.assert_close(gradients[name][k], leaf.grad)
                if name in alone:  # the other is frozen
                    torch.testing.assert_close(alone[name], leaf.grad)


def city_table(n=1500, cities=300) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    effect, city = draw.normal(0, 3, cities), draw.integers(0, cities, n)
    x = draw.normal(size=n)
    return pd.DataFrame({"x": x, "city": [f"c{i}" for i in city], "y": effect[city] + x + draw.normal(0, 0.3, n)})


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


TABLE = {"data.target": "y", "data.embed_above": 50, "epochs": 30, "optimizer.lr": 0.01, **QUIET}


def test_categories_are_learnt_predicted_and_unseen_ones_have_their_place(here):
    table = city_table()
    run = nettrain.train(TABLE, data=table)
    assert run.encoder.feature_names == ["x", "city"]
    assert run.summary["test_r2"] > 0.7
    constant = run.predict(pd.DataFrame({"x": [0.0, 0.0], "city": ["new", "newer"]}))["prediction"]
    assert constant[0] == constant[1]
    again = nettrain.Run(run.folder)
    np.testing.assert_array_equal(again.predict(table)["prediction"], run.predict(table)["prediction"])
    assert again.encoder == run.encoder


def test_rows_of_a_stack_with_splits_of_their_own_are_the_runs_alone(here, capsys):
    config = {**TABLE, "epochs": 2, "precision": "float64", "quiet": False}
    sweep = nettrain.sweep({**config, "seed": "1,2,3"}, data=city_table(300, 80))
    assert "3 runs -> 1 stack of 3" in capsys.readouterr().out
    for seed, row in zip((1, 2, 3), sweep.runs, strict=True):
        alone = nettrain.train({**config, "seed": seed}, data=city_table(300, 80))
        assert row.summary["val_loss"] == pytest.approx(alone.summary["val_loss"], rel=1e-9)
        shapes = [r.model.embeddings[0].weight.shape for r in (row, sweep.runs[0])]
        assert shapes[0] == shapes[1]


@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler")
def test_a_compiled_run_has_the_losses_of_an_eager_one(here):
    config = {**TABLE, "epochs": 2, "precision": "float64", "model.dropout": 0.1}
    eager, compiled = (nettrain.train({**config, "engine": e}, data=city_table(300, 80)) for e in ("eager", "compiled"))
    for name in ("train_loss", "val_loss", "test_loss"):
        assert compiled.summary[name] == pytest.approx(eager.summary[name], rel=1e-9)
    sweep = nettrain.sweep({**config, "engine": "compiled", "seed": "0,1"}, data=city_table(300, 80))
    assert sweep.runs[0].summary["val_loss"] == compiled.summary["val_loss"]


def test_categories_of_one_row_and_all_but_the_most_frequent_thousand_share_a_place():
    texts = np.array(
        [f"c{i:04}" for i in range(1200) for _ in range(2 + (i < 30))] + ["once", None, None], dtype=object
    )
    frame = pd.DataFrame({"text": texts, "y": np.arange(len(texts)) % 7})
    source = sources.Frame(target="y", embed_above=1, val_fraction=0, test_fraction=0, task="regression")
    table = source.read(frame)
    (column,) = Encoder.fit(table, np.arange(len(texts)), True).columns
    assert isinstance(column, Embedded)
    ids = column.features(np.array(["c0000", "c0998", "c0999", "once", "new", None], dtype=object))[:, 0]
    assert ids.tolist() == [0, 998, 999, 1000, 1000, 1000]
    assert column.vocabulary == 1001
    few = Embedded.of("text", Counter({"a": 1, "b": 2, None: 1}), 4)
    assert (few.categories, few.rare, few.vocabulary) == (["b"], ["a", None], 5)
    assert few.features(np.array(["a", "b", "new", None], dtype=object))[:, 0].tolist() == [4, 0, 4, 4]


def test_columns_that_were_left_out_are_embedded_where_texts_come_twice_and_a_kind_is_asked_for(here):
    table = city_table(4000, 1500)
    table["name"] = [f"n{i}" for i in range(len(table))]
    plain = sources.Frame(target="y")
    assert list(plain.read(table).columns) == ["x"]
    kept = sources.Frame(target="y", embed_above=50).read(table)
    assert list(kept.columns) == ["x", "city"]
    assert any("'name' has 4000 different texts in 4000 rows: left out" in note for note in kept.notes)
    asked = sources.Frame(target="y", columns={"city": "embedding"}).read(table)
    assert (list(asked.columns), asked.kinds) == (["x", "city"], {"city": "embedding"})
    hot = sources.Frame(target="y", embed_above=50, columns={"city": "category"}).read(table)
    assert "city" not in hot.kinds


def test_a_table_on_disk_has_the_ids_of_one_in_memory(tmp_path):
    table = city_table(900, 100)
    table["first"] = table["city"].str[:2]
    table[["city", "x", "y", "first"]].to_parquet(tmp_path / "t.parquet")
    streamed = load(sources.Csv(path=str(tmp_path / "t.parquet"), target="y", embed_above=50, stream=True), seed=1)
    memory = sources.Csv(path=str(tmp_path / "t.parquet"), target="y", embed_above=50).load()
    expected = Encoder.fit(memory, streamed.splits["train"], True)
    assert streamed.encoder.feature_names == expected.feature_names
    assert streamed.encoder.feature_names[-1] == "city"
    np.testing.assert_allclose(streamed.x[:], expected.features(memory), rtol=1e-9, atol=1e-9)
    ours, theirs = streamed.encoder.columns[-1], expected.columns[-1]
    assert (ours.categories, ours.rare) == (theirs.categories, theirs.rare)


@pytest.mark.parametrize("model", ["linear", "module"])
def test_a_model_without_embeddings_says_so(model, here):
    words = {"model": model} if model == "linear" else {"model._target_": "torch.nn.LazyLinear"}
    use = "use model=mlp, or 0/1 features with data.embed_above=null and data.columns.<name>=category."
    with pytest.raises(ConfigError, match=f"model={model}: x holds categories to be embedded, .*; {use}"):
        nettrain.train({**TABLE, **words}, data=city_table(300, 80))
