"""head=loss: a plain loss as a head, from the command line, from a file and from Python."""

import functools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import nettrain
from nettrain.errors import ConfigError
from nettrain.parts.heads import Huber, Loss, SigmoidBCE, SoftmaxCE
from nettrain.testing import check_head

QUIET = {"quiet": True, "figures": "never", "tensorboard": False}
EXACT = {"precision": "float64", "epochs": 3, "model.hidden": [8], **QUIET}


def pinball(z, y, tau=0.9):
    return torch.maximum(tau * (y - z), (tau - 1) * (y - z))


def numbers(run):
    return run.metrics.drop(columns="seconds").to_numpy(dtype=float)


@pytest.mark.parametrize(("head", "classes"), [
    (Loss(_target_="torch.nn.HuberLoss"), 0),
    (Loss(_target_="torch.nn.functional.smooth_l1_loss"), 0),
    (Loss.of(pinball), 0),
    (Loss.of(nn.PoissonNLLLoss()), 0),
    (Loss(_target_="torch.nn.CrossEntropyLoss"), 3),
    (Loss(_target_="torch.nn.MultiMarginLoss"), 4),
    (Loss(_target_="torch.nn.BCEWithLogitsLoss"), 2),
    (Loss.of(nn.MSELoss()), 2),
], ids=str)  # fmt: skip
def test_losses_keep_the_promises_of_heads(head, classes):
    check_head(head.for_target(classes), classes)


def test_classes_follow_from_the_losses_that_they_would_have():
    z = torch.randn(6, 3, dtype=torch.float64)
    head = Loss.of(nn.CrossEntropyLoss()).for_target(3)
    torch.testing.assert_close(head.mean(z), SoftmaxCE().mean(z))
    head = Loss.of(nn.BCEWithLogitsLoss()).for_target(2)
    assert head.outputs(2) == 1
    torch.testing.assert_close(head.mean(z[:, :1]), SigmoidBCE().mean(z[:, :1]))
    squares = Loss.of(nn.MSELoss()).for_target(2)
    assert squares.predict(torch.tensor([[0.4], [0.6], [-3.0], [5.0]])).tolist() == [0, 1, 0, 1]


def test_a_target_is_standardised_where_only_residuals_count():
    expected = {"HuberLoss": True, "L1Loss": True, "PoissonNLLLoss": False}
    found = {name: Loss(_target_=f"torch.nn.{name}").for_target(0).standardizes for name in expected}
    assert found == expected


def test_it_trains_as_the_head_of_that_loss_does_alone_and_in_a_stack(here):
    expected = nettrain.train({"data": "diabetes", "head": "huber", "head.delta": 0.5, "seed": 1, **EXACT})
    head = {"name": "loss", "_target_": "torch.nn.HuberLoss", "delta": 0.5}
    for run in (
        nettrain.train({"data": "diabetes", "head": head, "seed": 1, **EXACT}),
        nettrain.train({"data": "diabetes", "seed": 1, **EXACT}, head=nn.HuberLoss(delta=0.5)),
        nettrain.train({"data": "diabetes", "seed": 1, **EXACT}, head=Huber(delta=0.5)),
        nettrain.sweep({"data": "diabetes", "seed": "0,1", **EXACT}, head=nn.HuberLoss(delta=0.5)).runs[1],
        nettrain.train({"data": "diabetes", "seed": 1, "engine": "compiled", **EXACT}, head=nn.HuberLoss(delta=0.5)),
    ):
        np.testing.assert_allclose(numbers(run), numbers(expected), rtol=1e-9, err_msg=str(run))
    again = nettrain.Run(run.folder)  # a class of torch.nn needs no trust
    assert (again.config.head._target_, again.config.head.delta) == ("torch.nn.modules.loss.HuberLoss", 0.5)
    assert again.data.digest == run.data.digest
    with pytest.raises(ConfigError, match=r"interval=0\.9: head=loss fits no spread"):
        again.predict(diabetes(), interval=0.9)


def test_weights_count_as_with_a_head_of_nettrain_s(here):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=90), "w": rng.integers(0, 4, 90)})
    table["y"] = 2 * table["x"] + rng.normal(size=90)
    config = {"data.target": "y", "data.weight": "w", **EXACT}
    expected = nettrain.train(config, data=table, head=Huber())
    np.testing.assert_allclose(numbers(nettrain.train(config, data=table, head=nn.HuberLoss())), numbers(expected))


def test_a_loss_of_one_s_own(here):
    low, high = (
        nettrain.train({"data": "diabetes", **EXACT, "epochs": 40}, head=functools.partial(pinball, tau=tau))
        for tau in (0.1, 0.9)
    )
    assert low.config.head.tau == 0.1
    shares = []
    for run in (low, high):
        rows = run.data.splits["train"]
        z = run.logits(run.data.x[rows])
        shares.append(float((torch.as_tensor(run.data.y[rows]) < z.squeeze(-1)).double().mean()))
    assert shares == pytest.approx([0.1, 0.9], abs=0.08)
    with pytest.raises(ConfigError, match=r"its head is \S*pinball, code that belongs neither to nettrain"):
        nettrain.Run(low.folder).head  # noqa: B018
    run = nettrain.train({"data": "diabetes", **EXACT}, head=lambda z, y: (z - y).abs() ** 1.5)
    assert run.config.head._target_ is None
    assert run.predict(diabetes()).shape == (442, 1)
    with pytest.raises(ConfigError, match="a loss that was handed over in Python is not kept"):
        nettrain.Run(run.folder, trust=True).predict(diabetes())


def diabetes():
    from sklearn.datasets import load_diabetes

    return load_diabetes(as_frame=True, scaled=False).data


def test_a_file_names_a_loss(command, tmp_path):
    Path("mine/head").mkdir(parents=True)
    Path("losses.py").write_text("def cubic(z, y, scale=1.0):\n    return scale * (z - y).abs() ** 3\n")
    Path("mine/head/cubic.yaml").write_text("_target_: losses.cubic\nscale: 0.5\n")
    words = ["data=diabetes", "epochs=1", "quiet=true", "hydra.run.dir=run"]
    ended = command("--config-dir", "mine", "head=cubic", *words)
    assert ended.code == 0, ended.err
    config = nettrain.Run("run", trust=True).config.head
    assert (config.name, config._target_, config.scale) == ("loss", "losses.cubic", 0.5)


MISTAKES = [
    (nn.HuberLoss, "head: found the class HuberLoss instead of an instance; it must be a head, such as"),
    ("huber", "head: found a value of type str; it must be a head"),
    (nn.HuberLoss(reduction="sum"), "head: the loss has reduction='sum'; nettrain averages"),
    (lambda z, y: (z - y).square().mean(), r"for 4 samples it gives \(\), and must give a loss for each, \(4,\)"),
    (lambda z, y: (z - y).square() / len(y), "what it gives for a sample depends on the others of the batch"),
    (lambda z, y: (z.detach() - y).square(), "its result has no derivative by the outputs"),
    (lambda z: z, "it cannot be computed of numbers: outputs"),
    (nn.CrossEntropyLoss(), "it is a loss of classes, and the target holds numbers; use one of numbers, such as"),
    (nn.BCEWithLogitsLoss(), "for a target of 3 it has no minimum"),
    (type("Learnt", (nn.Module,), {"__init__": lambda self: (nn.Module.__init__(self), setattr(
        self, "p", nn.Parameter(torch.ones(1))))[0]})(), "the loss has parameters of its own"),
]  # fmt: skip


@pytest.mark.parametrize(("head", "sentence"), MISTAKES, ids=[sentence for _, sentence in MISTAKES])
def test_what_is_no_loss_gets_a_sentence(here, head, sentence):
    with pytest.raises(ConfigError, match=sentence):
        nettrain.train({"data": "diabetes", **QUIET}, head=head)
    assert not any(here.iterdir())


OVERRIDES = [
    (
        "data=iris head._target_=torch.nn.HuberLoss",
        "HuberLoss: it is a loss of numbers, and the target holds 3 classes",
    ),
    ("data=diabetes head._target_=torch.nn.HuberLos", "HuberLos: torch.nn has no 'HuberLos'; did you mean HuberLoss"),
    (
        "data=diabetes head._target_=torch.nn.HuberLoss head.delt=1",
        "head.delt: .* has no such argument; it takes .*; did you mean delta",
    ),
    ("data=diabetes head._target_=torch.nn.HuberLoss head.reduction=sum", "head.reduction=sum: nettrain averages"),
    ("data=diabetes head=loss", "head._target_: a value is required, such as torch.nn.HuberLoss"),
    (
        "data=breast_cancer head._target_=torch.nn.BCELoss",
        "of two classes: .*all elements of input should be",
    ),
]


@pytest.mark.parametrize(("words", "sentence"), OVERRIDES)
def test_mistakes_in_a_config(here, words, sentence):
    with pytest.raises(ConfigError, match=sentence):
        nettrain.train(f"{words} quiet=true")
    assert not any(here.iterdir())


def test_a_head_of_a_program_s_own(here):
    program = """
import dataclasses, typing
import nettrain, torch
from nettrain.parts.heads import Head

@dataclasses.dataclass
class LaplaceHere(Head):
    name: str = "laplace_here"
    tasks: typing.ClassVar = ("regression",)
    scale: float = 1.0

    def distribution(self, z):
        return torch.distributions.Laplace(z.squeeze(-1), self.scale)

quick = {"data": "diabetes", "epochs": 1, "quiet": True, "figures": "never"}
for head in (LaplaceHere, LaplaceHere(scale=2.0)):
    print(nettrain.train(quick, head=head).config.head)
print(*nettrain.sweep({**quick, "seed": "0,1"}, head=LaplaceHere).results["status"])
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.stdout.splitlines() == [
        "{'name': 'laplace_here', 'scale': 1.0}",
        "{'name': 'laplace_here', 'scale': 2.0}",
        "completed completed",
    ], ended.stderr
