"""Groups of parameters by name patterns: factors of learning rate and weight decay, and freezing, exact everywhere."""

import sys
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_iris

import nettrain
from nettrain.errors import ConfigError
from nettrain.storage.checkpoint_files import load_checkpoint

sys.path.append(str(Path(__file__).parent))
from by_hand import assert_same_bits, by_hand, prepared, trained, trained_together

GROUPS = "groups={*.bias:{weight_decay:0},layers.0.*:{lr:0.1}}"
RUN = ("data=iris", "model.hidden=[6,5]", "bs=8", "epochs=18", GROUPS)  # 250 updates

RULES = {
    "sgd": (torch.optim.SGD, {"lr": 0.05, "weight_decay": 0.03}),
    "momentum": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.03}),
    "adam": (torch.optim.Adam, {"lr": 0.01, "weight_decay": 0.03}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.3}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.01, "weight_decay": 0.03, "momentum": 0.5}),
    "adagrad": (torch.optim.Adagrad, {"lr": 0.05, "weight_decay": 0.03, "lr_decay": 0.01}),
}


def of_torch(kind, settings):
    """The same groups as torch has them."""

    def make(named):
        lr, decay = settings["lr"], settings["weight_decay"]
        groups = [
            {
                "params": [parameter],
                "lr": lr * 0.1 if name.startswith("layers.0.") else lr,
                "weight_decay": decay * 0 if name.endswith(".bias") else decay,
            }
            for name, parameter in named.items()
        ]
        return kind(groups, **settings)

    return make


def words(name):
    return [f"optimizer={name}", *(f"optimizer.{key}={value}" for key, value in RULES[name][1].items())]


@pytest.mark.parametrize("name", RULES)
def test_factors_are_those_of_torch_s_parameter_groups(here, name):
    ours = trained(here / "ours", *RUN, *words(name))
    assert_same_bits(ours, by_hand(here / "hand", *RUN, *words(name), make=of_torch(*RULES[name])))


def test_the_same_with_an_optimizer_of_torch_s(here):
    settings = RULES["adamw"][1]
    asked = ["optimizer._target_=torch.optim.AdamW", *(f"+optimizer.{k}={v}" for k, v in settings.items() if k != "lr")]
    ours = trained(here / "ours", *RUN, *asked, f"optimizer.lr={settings['lr']}")
    assert_same_bits(ours, by_hand(here / "hand", *RUN, *words("adamw"), make=of_torch(*RULES["adamw"])))


@pytest.mark.parametrize("optimizer", ["optimizer=adamw", "optimizer._target_=torch.optim.AdamW"])
def test_one_factor_for_all_parameters(here, optimizer):
    common = ("data=iris", "model.hidden=[4]", "epochs=2", optimizer)
    for_all = trained(here / "all", *common, "optimizer.lr=0.1", "groups={*:{lr:0.25}}")
    assert_same_bits(for_all, trained(here / "plain", *common, "optimizer.lr=0.025"))


def test_patterns_that_match_one_parameter_multiply(here):
    common = ("data=iris", "model.hidden=[4]", "epochs=2", "optimizer=sgd")
    several = trained(here / "several", *common, "groups={layers.*:{lr:0.5},*.bias:{lr:0.25}}")
    one = trained(here / "one", *common, "groups={*.weight:{lr:0.5},*.bias:{lr:0.125}}")
    assert_same_bits(several, one)


@pytest.mark.parametrize("name", ["momentum", "adamw"])
def test_rows_of_a_stack_have_the_bits_of_the_run_alone(here, name):
    rows = ["seed=1", "seed=2 optimizer.lr=0.02", "seed=3 epochs=5 optimizer.weight_decay=0.01"]
    groups = "groups={*.bias:{weight_decay:0},layers.0.*:{lr:0.1},layers.1.weight:{freeze:true}}"
    common = [*RUN[:-1], groups, *words(name)]
    together = trained_together(here / "together", *common, rows=rows)
    for i, (row, model) in enumerate(zip(rows, together, strict=True)):
        assert_same_bits(model, trained(here / f"alone{i}", *common, *row.split()))


@pytest.mark.parametrize("name", ["momentum", "adamw"])
def test_a_compiled_program_computes_the_same(here, name):
    groups = "groups={*.bias:{weight_decay:0},layers.0.*:{lr:0.1},layers.1.weight:{freeze:true}}"
    common = ["data=iris", "model.hidden=[6,5]", "bs=8", "epochs=4", groups, *words(name)]
    rows = ["seed=1", "seed=2 epochs=2"]
    eager = trained_together(here / "eager", *common, "engine=eager", rows=rows)
    compiled = trained_together(here / "compiled", *common, "engine=compiled", rows=rows)
    alone = trained(here / "alone", *common, "engine=compiled", "seed=2", "epochs=2")
    assert_same_bits(compiled[1], alone)
    for one, other in zip(eager, compiled, strict=True):
        for parameter, tensor in one.items():
            torch.testing.assert_close(other[parameter], tensor, rtol=1e-9, atol=1e-12)


def test_a_compiled_run_measures_frozen_layers_as_they_are(here):
    common = ["data=iris", "model.hidden=[6]", "epochs=3", "optimizer.lr=0.05", "groups={layers.0.*:{freeze:true}}"]
    runs = [
        nettrain.train([*common, f"engine={engine}", "precision=float64", "quiet=true"], here / engine)
        for engine in ("eager", "compiled")
    ]
    one, other = (run.metrics.drop(columns="seconds") for run in runs)
    assert list(one) == list(other)
    assert (one - other).abs().max().max() < 1e-8


MODULES = """
from torch import nn

def net(in_features, out_features):
    return nn.Sequential(nn.Linear(in_features, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, out_features))
"""
FROZEN = {"mlp": ("layers.0.*", "layers.0."), "module": ("0.weight", "0.weight")}
OPTIMIZERS = ["adamw", "momentum", "newton", "bfgs", "lbfgs", "hill_climb", "cma_es", "torch"]


@pytest.mark.sample(3)
@pytest.mark.parametrize("model", FROZEN)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_bits_of_a_frozen_parameter_never_change(here, monkeypatch, model, optimizer):
    (here / "frozen_nets.py").write_text(MODULES)
    monkeypatch.syspath_prepend(here)
    pattern, start = FROZEN[model]
    chosen = ["model._target_=frozen_nets.net"] if model == "module" else ["model.hidden=[5]"]
    how = (
        ["optimizer._target_=torch.optim.AdamW", "+optimizer.weight_decay=0.5"]
        if optimizer == "torch"
        else [f"optimizer={optimizer}"]
    )
    how += ["optimizer.weight_decay=0.5"] if optimizer in ("adamw", "momentum") else []
    asked = ["data=iris", *chosen, "bs=full", "epochs=4", f"groups={{{pattern}:{{freeze:true}}}}", *how]
    initial = {k: t.clone() for k, t in prepared(here / "initial", *asked).model.state_dict().items()}
    model_after = trained(here / "run", *asked)
    fixed = [name for name in initial if name.startswith(start)]
    assert fixed
    for name in fixed:
        assert torch.equal(model_after[name].view(torch.int64), initial[name].view(torch.int64))
    assert any(not torch.equal(model_after[name], initial[name]) for name in initial if name.endswith("weight"))


def test_a_run_with_frozen_layers_is_read_back_and_resumed(here):
    common = ["data=iris", "model.hidden=[5]", "quiet=true", "precision=float64", "groups={layers.0.*:{freeze:true}}"]
    run = nettrain.train([*common, "epochs=4"], here / "whole")
    nettrain.train([*common, "epochs=2"], here / "half")
    resumed = nettrain.train([f"resume={here / 'half'}", "epochs=4"])
    for one, other in zip(run.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)
    saved = load_checkpoint(here / "whole" / "checkpoints" / "best.pt")["model"]
    assert torch.equal(run.model.state_dict()["layers.0.weight"], saved["layers.0.weight"])
    assert run.summary["parameters"] == 5 * 3 + 3
    iris = load_iris(as_frame=True)
    table = iris.data.assign(target=iris.target_names[iris.target])
    logits = run.model(torch.as_tensor(run.data.x))
    right = (logits.argmax(-1) == torch.as_tensor(run.data.y)).double().mean()
    assert run.evaluate(table)["accuracy"] == pytest.approx(float(right))
    assert torch.allclose(run.logits(run.data.x), logits)


def test_the_config_of_a_run_with_groups_can_be_run_again(command, tmp_path):
    patterns = "{*.bias:{weight_decay:0},layers.\\[01\\].*:{lr:0.1}}"
    asked = [
        "data=iris",
        "epochs=1",
        f"groups={patterns}",
        "class_weight={setosa:2}",
        f"hydra.run.dir={tmp_path / 'one'}",
        "figures=never",
    ]
    assert command(*asked).code == 0
    again = command(
        "--config-dir", str(tmp_path / "one" / ".hydra"), "--config-name", "config", f"hydra.run.dir={tmp_path / 'two'}"
    )
    assert again.code == 0, again.err
    assert_same_bits(
        *(load_checkpoint(tmp_path / name / "checkpoints" / "last.pt")["model"] for name in ("one", "two"))
    )


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (["groups={layer.0.*:{lr:0.1}}"], r"groups.layer.0.\*: no parameter has such a name; there are layers\.0\."),
        (
            ["groups={*.bias:{rate:0.1}}"],
            r"groups.\*.bias.rate: there is no such key; choose from lr, weight_decay, fr",
        ),
        (["groups={*.bias:{lr:-1}}"], "it is a factor, and must be a number of at least 0"),
        (["groups={*.bias:{freeze:3}}"], "it must be true or false"),
        (["groups={*.bias:0}"], "it must say what it changes"),
        (["groups=[a]"], "it must map patterns of parameter names"),
        (["groups={*:{freeze:true}}"], "groups: \\* freezes all parameters of the model"),
        (["groups={*.bias:{lr:0.5}}", "optimizer=bfgs"], "optimizer=bfgs has neither a learning rate nor a weight"),
        (["groups={*.bias:{lr:0.5}}", "engine=fused"], "engine=fused: it makes one pass over all weights"),
        (["groups={*.bias:{weight_decay:0}}", "optimizer._target_=torch.optim.LBFGS"], "LBFGS has no weight_decay"),
        (["groups={*.bias:{lr:0.5}}", "optimizer._target_=torch.optim.LBFGS"], "doesn't support per-parameter options"),
    ],
)
def test_a_mistake_in_groups_is_said_in_one_sentence(here, asked, sentence):
    with pytest.raises(ConfigError, match=sentence):
        prepared(here / "run", "data=iris", *asked)
