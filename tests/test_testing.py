"""The checks for parts of one's own: nettrain's parts pass them, and each promise that is broken is named."""

from dataclasses import dataclass

import pytest
import torch

import nettrain
from nettrain.config.schema import parts
from nettrain.optimizers.rules import SGD, Adam, Rule
from nettrain.parts.activations import ACTIVATIONS
from nettrain.parts.heads import IdentityMSE, SigmoidBCE, SoftmaxCE
from nettrain.parts.schedules import Constant, Schedule
from nettrain.testing import check_activation, check_callback, check_head, check_rule, check_schedule


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations(name):
    check_activation(ACTIVATIONS[name])


@pytest.mark.parametrize("rule", [part for part in parts("optimizer").values() if issubclass(part, Rule)])
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"clip_norm": 0.5}], ids=str)
def test_rules(rule, options):
    check_rule(rule(**options))


@pytest.mark.parametrize("schedule", parts("schedule").values())
@pytest.mark.parametrize("warmup", [0, 2.5])
def test_schedules(schedule, warmup):
    chosen = {"_target_": "torch.optim.lr_scheduler.LinearLR"} if schedule.name == "torch" else {}
    check_schedule(schedule(warmup=warmup, **chosen))


@pytest.mark.parametrize(("head", "classes"), [(SigmoidBCE(), 2), (SoftmaxCE(), 5), (IdentityMSE(), 0)], ids=str)
def test_heads(head, classes):
    check_head(head, classes)


def wrong_slope(x):
    return x**2


wrong_slope.backward = lambda d, x, y: d * x


@pytest.mark.parametrize(
    ("function", "promise"),
    [
        (lambda x: x.sum(-1), "has the shape"),
        (lambda x: x - x.mean(), "on each number by itself"),
        (lambda x: torch.where(x > 0, x * (1 if x.dtype == torch.float64 else 2), x), "the same in float32"),
        (wrong_slope, "is the derivative"),
    ],
)
def test_activations_that_keep_no_promise(function, promise):
    with pytest.raises(AssertionError, match=promise):
        check_activation(function)


class Broken(Rule):
    def update(self, state, w, g, c):
        w.add_(g * c["step"])


class Mixing(Broken):
    def update(self, state, w, g, c):
        w.sub_(0.1 * g.mean())


class Normed(Broken):
    def update(self, state, w, g, c):
        w.add_(g.cumsum(-1) * c["step"])


class Drawing(Broken):
    def update(self, state, w, g, c):
        w.add_(torch.randn_like(w) * c["step"])


class Remembering(Broken):
    def update(self, state, w, g, c):
        state["before"] = g
        w.add_(g * c["step"])


class Exploding(Broken):
    def update(self, state, w, g, c):
        w.mul_(1e300)


class Shapeless(Broken):
    def init(self, w):
        return {"t": torch.zeros(())}


@pytest.mark.parametrize(
    ("rule", "promise"),
    [
        (Mixing, "rows of a stack"),
        (Normed, "on each number by itself"),
        (Drawing, "the same start"),
        (Remembering, "makes no new state"),
        (Exploding, "stay finite"),
        (Shapeless, "a tensor of w's shape"),
    ],
)
def test_rules_that_keep_no_promise(rule, promise):
    with pytest.raises(AssertionError, match=promise):
        check_rule(rule(name="broken"))


class Negative(Schedule):
    def factor(self, t, per_epoch, updates):
        return -1.0


class OfOthers(Schedule):
    def factor(self, t, per_epoch, updates):
        return 1 / (1 + t - t.min())


@pytest.mark.parametrize(("schedule", "promise"), [(Negative, "0 or more"), (OfOthers, "not depend on the others")])
def test_schedules_that_keep_no_promise(schedule, promise):
    with pytest.raises(AssertionError, match=promise):
        check_schedule(schedule())


@dataclass
class WrongGradient(IdentityMSE):
    name: str = ""

    def loss_gradient(self, z, y):
        return z - y.unsqueeze(-1)


@dataclass
class WrongSum(IdentityMSE):
    name: str = ""

    def loss(self, z, y, reduction="none"):
        return super().loss(z, y, reduction) * (2 if reduction == "sum" else 1)


@dataclass
class OfOtherSamples(IdentityMSE):
    name: str = ""

    def loss(self, z, y, reduction="none"):
        return super().loss(z - z.mean(-2, keepdim=True), y, reduction)


@dataclass
class Noisy(IdentityMSE):
    name: str = ""

    def loss(self, z, y, reduction="none"):
        return super().loss(z + torch.randn_like(z), y, reduction)


@dataclass
class OnlyDouble(IdentityMSE):
    name: str = ""

    def loss(self, z, y, reduction="none"):
        return super().loss(z.double(), y.double(), reduction)


@dataclass
class InPlace(IdentityMSE):
    name: str = ""

    def loss_gradient(self, z, y):
        return 2 * z.sub_(y.unsqueeze(-1))


@dataclass
class OverRows(IdentityMSE):
    name: str = ""

    def metrics(self, z, y, *_):
        error = (z.squeeze(-1) - y).square().mean(-1)
        return {"mse": error.mean().expand(error.shape)}


@dataclass
class Scores(SoftmaxCE):
    name: str = ""

    def mean(self, z):
        return torch.sigmoid(z)


@pytest.mark.parametrize(
    ("head", "promise"),
    [
        (WrongGradient, "derivative of the loss"),
        (WrongSum, "is the sum"),
        (OfOtherSamples, "does not depend on the others"),
        (Noisy, "the same outputs give the same loss"),
        (OnlyDouble, "has the type of the outputs"),
        (InPlace, "changes the outputs in place"),
        (OverRows, "the metric mse of a row is what it is alone"),
    ],
)
def test_heads_that_keep_no_promise(head, promise):
    with pytest.raises(AssertionError, match=promise):
        check_head(head())


def test_probabilities_that_do_not_add_up():
    with pytest.raises(AssertionError, match="probabilities add up to 1"):
        check_head(Scores(), 3)


def test_the_checks_take_sound_parts():
    check_rule(SGD())
    check_rule(Adam(lr=0.1))
    check_schedule(Constant())


class Counting(nettrain.Callback):
    """Records how many epochs it has seen, and ends the run after the fifth."""

    def __init__(self):
        self.seen = 0

    def epoch(self, run):
        self.seen += 1
        run.record("seen", self.seen)
        return "five" if self.seen == 5 else None

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = state["seen"]


class Forgetful(Counting):
    def load_state_dict(self, state):
        pass


class Chancy(Counting):
    def epoch(self, run):
        run.record("noise", torch.rand(()).item())


class Answering(Counting):
    def epoch(self, run):
        return True


class Silent(nettrain.Callback):
    pass


def test_callbacks():
    check_callback(Counting())


@pytest.mark.parametrize(
    ("callback", "promise"),
    [
        (Forgetful, "takes back what state_dict gives"),
        (Chancy, "the same twice"),
        (Answering, "epoch returns None, or a text"),
        (Silent, "overrides no hook"),
    ],
)
def test_callbacks_that_keep_no_promise(callback, promise):
    with pytest.raises(AssertionError, match=promise):
        check_callback(callback())
