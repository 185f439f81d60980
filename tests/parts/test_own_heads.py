"""A head that names nothing but its distribution: what follows from it, and how it trains."""

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import Binomial, Distribution, Gamma, Laplace, Normal, constraints

from nettrain.parts.heads import Head, IdentityMSE, SigmoidBCE, SoftmaxCE

K, N = 3, 40


@dataclass
class LaplaceHead(Head):  # without a name: it is no part that others would find
    tasks: ClassVar[tuple[str, ...]] = ("regression",)

    def distribution(self, z: Tensor) -> Distribution:
        return Laplace(z[..., 0], 2.0)


@dataclass
class GammaHead(LaplaceHead):
    def outputs(self, classes: int) -> int:
        return 2

    def distribution(self, z: Tensor) -> Distribution:
        return Gamma(z[..., 0].exp(), z[..., 1].exp())


@dataclass
class BinomialHead(LaplaceHead):
    tasks: ClassVar[tuple[str, ...]] = ("multiclass",)

    def outputs(self, classes: int) -> int:
        return 1

    def distribution(self, z: Tensor) -> Distribution:
        return Binomial(3, logits=z[..., 0])


def logits(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_loss_prediction_and_interval_follow_from_the_distribution_of_a_number() -> None:
    z, y = logits(K, N, 1), logits(K, N, 2)[..., 1]
    head, scipys = LaplaceHead(), scipy.stats.laplace(z[..., 0].numpy(), 2.0)
    np.testing.assert_allclose(head.loss(z, y), -scipys.logpdf(y.numpy()), rtol=1e-12)
    np.testing.assert_allclose(head.loss(z, y, reduction="sum"), -scipys.logpdf(y.numpy()).sum(), rtol=1e-12)
    np.testing.assert_allclose(head.predict(z), scipys.mean(), rtol=1e-12)
    np.testing.assert_allclose(head.interval(z, 0.8), np.stack(scipys.interval(0.8), -1), rtol=1e-12)
    expected = ((scipys.mean() - y.numpy()) ** 2).mean(-1)
    np.testing.assert_allclose(head.metrics(z, y)["mse"], expected, rtol=1e-12)
    assert head.standardizes


def test_quantiles_without_a_formula_are_estimated_always_alike() -> None:
    z, head = logits(N, 2), GammaHead()
    scipys = scipy.stats.gamma(z[:, 0].exp().numpy(), scale=(-z[:, 1]).exp().numpy())
    torch.manual_seed(1)
    before = torch.rand(1)
    torch.manual_seed(1)
    lower, upper = head.interval(z, 0.9).unbind(-1)
    assert torch.equal(torch.rand(1), before)  # the generator is as it was
    np.testing.assert_allclose(scipys.cdf(lower.numpy()), 0.05, atol=0.02)
    np.testing.assert_allclose(scipys.cdf(upper.numpy()), 0.95, atol=0.02)
    assert torch.equal(head.interval(z, 0.9)[:, 0], lower)
    assert not head.standardizes  # it takes positive numbers alone


def test_the_classes_of_a_family_are_the_values_that_it_can_have() -> None:
    z, y = logits(K, N, 1), torch.randint(4, (K, N), generator=torch.Generator().manual_seed(1))
    head, scipys = BinomialHead(), scipy.stats.binom(3, torch.sigmoid(z).numpy())
    p = scipys.pmf(np.arange(4))
    np.testing.assert_allclose(head.mean(z), p, rtol=1e-12)
    np.testing.assert_allclose(head.loss(z, y), -np.log(np.take_along_axis(p, y.numpy()[..., None], -1)[..., 0]))
    np.testing.assert_array_equal(head.predict(z), p.argmax(-1))
    np.testing.assert_allclose(head.metrics(z, y)["accuracy"], (p.argmax(-1) == y.numpy()).mean(-1))


@pytest.mark.parametrize("head", [LaplaceHead(), GammaHead(), BinomialHead()], ids=lambda head: type(head).__name__)
def test_the_derivative_is_that_of_finite_differences_and_rows_do_not_mix(head: Head) -> None:
    z, y = logits(K, N, head.outputs(0)), torch.ones(K, N, dtype=torch.int64 if head.for_classes else torch.float64)
    with torch.no_grad():
        gradient = head.loss_gradient(z, y)
        step, difference = 1e-6, torch.zeros_like(z)
        for k in range(z.shape[-1]):
            e = torch.zeros(z.shape[-1], dtype=z.dtype)
            e[k] = step
            difference[..., k] = (head.loss(z + e, y) - head.loss(z - e, y)) / (2 * step)
    torch.testing.assert_close(gradient, difference, rtol=1e-6, atol=1e-8)
    for k in range(K):
        assert torch.equal(head.loss_gradient(z[k], y[k]), gradient[k])
    assert not gradient.requires_grad
    gradient.div_(N)  # whoever asked for it may change it


@pytest.mark.parametrize(
    ("head", "scale"), [(SigmoidBCE(), 1), (SoftmaxCE(), 1), (IdentityMSE(), 2)], ids=lambda v: getattr(v, "name", "")
)
def test_closed_forms_are_what_follows_from_the_distribution(head: Head, scale: int) -> None:
    z = logits(K, N, head.outputs({"softmax_ce": 4, "sigmoid_bce": 2, "identity_mse": 0}[head.name]))
    y = torch.randint(2, (K, N), generator=torch.Generator().manual_seed(1))
    y = y if head.for_classes else y.double()
    constant = 0 if head.for_classes else math.log(2 * math.pi)
    torch.testing.assert_close(head.loss(z, y), scale * Head.loss(head, z, y) - constant)
    torch.testing.assert_close(head.loss_gradient(z, y), Head.loss_gradient(head, z, y))  # of the closed loss
    torch.testing.assert_close(head.mean(z), Head.mean(head, z))
    torch.testing.assert_close(head.predict(z), Head.predict(head, z))


def test_logits_that_are_not_finite_are_no_error_of_torch_and_checks_are_as_they_were() -> None:
    z = torch.full((N, 1), torch.nan)
    assert LaplaceHead().loss(z, torch.zeros(N)).isnan().all()
    with pytest.raises(ValueError, match="Normal"):
        Normal(torch.nan, 1.0)
    assert LaplaceHead().support is constraints.real


PROGRAM = """
import json, sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from torch.distributions import Laplace, LogNormal
import nettrain
from nettrain.app import cli
from nettrain.parts.heads import Head
from nettrain.registry import option

@dataclass
class LaplaceHead(Head):
    name: str = "laplace"
    tasks: ClassVar = ("regression",)
    scale: float = option(1.0, "its scale", above=0)

    def distribution(self, z):
        return Laplace(z[..., 0], self.scale)

@dataclass
class LogNormalHead(Head):
    name: str = "log_normal"
    tasks: ClassVar = ("regression",)

    def outputs(self, classes):
        return 2

    def distribution(self, z):
        return LogNormal(z[..., 0], z[..., 1].exp())

@dataclass
class Wrong(LaplaceHead):
    name: str = "wrong"

    def distribution(self, z):
        return Laplace(z, 1.0)

def train(*overrides):
    sys.argv = ["train.py", "figures=never", "precision=float64", "quiet=true", *overrides]
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)

codes = {}
for head in ("laplace", "log_normal"):
    of = [f"head={head}", "data=diabetes", "epochs=3", "model.hidden=[8]"]
    for engine in ("eager", "compiled"):
        codes[head, engine] = train(*of, "seed=1", f"engine={engine}", f"hydra.run.dir={head}/{engine}")
        codes[head, engine, "stack"] = train(
            "-m", *of, "seed=0,1", f"engine={engine}", f"hydra.sweep.dir={head}/{engine}_stack")
    codes[head, "first"] = train(*of, "seed=1", "engine=eager", "epochs=2", f"hydra.run.dir={head}/resumed")
    codes[head, "resumed"] = train(f"resume={head}/resumed", "epochs=3")
codes["wrong"] = train("head=wrong", "data=diabetes")
codes["negative"] = train("head=log_normal", "data=sine")
Path("new.csv").write_text(",".join(nettrain.Run("laplace/eager").data.table.columns) + "\\n" + ",".join("0" * 10))
predicted = nettrain.Run("laplace/eager").predict("new.csv", interval=0.5).iloc[0].to_dict()
Path("result.json").write_text(json.dumps({"codes": {str(k): v for k, v in codes.items()}, "predicted": predicted}))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, str]:
    """A folder in which a program of somebody's own has trained its heads: what it returned and printed."""
    folder = tmp_path_factory.mktemp("own")
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert (folder / "result.json").is_file(), ended.stderr
    return folder, json.loads((folder / "result.json").read_text()), ended.stderr


def numbers(folder: Path) -> dict[str, float]:
    summary = json.loads((folder / "summary.json").read_text())
    return {k: v for k, v in summary.items() if isinstance(v, float) and k != "seconds"}


@pytest.mark.sample(2)
@pytest.mark.parametrize("head", ["laplace", "log_normal"])
def test_it_trains_alone_in_stacks_compiled_and_resumed(trained: tuple[Path, dict, str], head: str) -> None:
    folder, result, errors = trained
    assert not any(code for key, code in result["codes"].items() if head in key), errors
    alone = numbers(folder / head / "eager")
    for other in ("resumed", "eager_stack/1", "compiled", "compiled_stack/1"):
        assert numbers(folder / head / other) == pytest.approx(alone, rel=1e-9), other
    checkpoint = torch.load(folder / head / "compiled" / "checkpoints" / "last.pt", weights_only=True)
    assert checkpoint["engine"] == "compiled"
    assert json.loads(checkpoint["encoder"])["target_mean"] == 0 if head == "log_normal" else True


def test_its_mistakes_are_one_sentence_each(trained: tuple[Path, dict, str]) -> None:
    _, result, errors = trained
    assert (result["codes"]["wrong"], result["codes"]["negative"]) == (2, 3)
    assert errors.splitlines()[:2] == [
        "nettrain: head=wrong: for logits of shape (2, 3, 1) its distribution has the shape (2, 3, 1) instead of "
        "(2, 3).",
        "nettrain: sine, row 2, column 'y': found -0.1944024094; head=log_normal takes numbers greater than 0.",
    ]


def test_its_intervals_are_in_the_units_of_the_target(trained: tuple[Path, dict, str]) -> None:
    folder, result, _ = trained
    encoder = json.loads(torch.load(folder / "laplace/eager/checkpoints/best.pt", weights_only=True)["encoder"])
    predicted, lower, upper = (result["predicted"][name] for name in ("prediction", "lower", "upper"))
    half = math.log(2) * encoder["target_scale"]  # of Laplace(., 1) half lies within log 2 of the mean
    assert (predicted - lower, upper - predicted) == (pytest.approx(half), pytest.approx(half))
