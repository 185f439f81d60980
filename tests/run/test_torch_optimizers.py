"""Optimizers and schedulers of torch's, and of one's own: the bits of a loop by hand, in a run, a stack and resumed."""

import csv
import re
import sys
from pathlib import Path

import pytest
import torch

import nettrain
from nettrain.errors import CheckpointError, ConfigError
from nettrain.storage.checkpoint_files import load_checkpoint

sys.path.append(str(Path(__file__).parent))
from by_hand import assert_same_bits, by_hand, last, prepared, trained, trained_together

MINE = '''
import random

import torch


class Averaged(torch.optim.Optimizer):
    """SGD on z, whose mean x is what is evaluated: a small schedule-free optimizer (Defazio et al., 2024)."""

    def __init__(self, params, lr=0.1, beta=0.9):
        super().__init__(params, {"lr": lr, "beta": beta, "k": 0, "training": False})

    @torch.no_grad()
    def _exchange(self, training):
        for group in self.param_groups:
            if group["training"] != training:
                for p in group["params"]:
                    if "z" in self.state[p]:
                        p.lerp_(self.state[p]["z"], 1 - group["beta"] if training else 1 - 1 / group["beta"])
                group["training"] = training

    def train(self):
        self._exchange(True)

    def eval(self):
        self._exchange(False)

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            if not group["training"]:
                raise RuntimeError("not in train mode")
            group["k"] += 1
            share = 1 / group["k"]
            for p in group["params"]:
                z = self.state[p].setdefault("z", p.clone())
                p.lerp_(z, share).add_(p.grad, alpha=group["lr"] * (group["beta"] * (1 - share) - 1))
                z.sub_(p.grad, alpha=group["lr"])


class Noisy(torch.optim.SGD):
    """Langevin dynamics: it draws noise."""

    @torch.no_grad()
    def step(self, closure=None):
        super().step()
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(torch.randn_like(p), alpha=0.01 * group["lr"])


class Sharp(torch.optim.SGD):
    """Sharpness-aware: the gradient at a worse point near by, for which it needs the closure that it does not name."""

    def step(self, closure=None):
        loss = closure()
        places = [(p, p.detach().clone()) for group in self.param_groups for p in group["params"]]
        with torch.no_grad():
            norm = torch.stack([p.grad.norm() for p, _ in places]).norm()
            for p, _ in places:
                p.add_(p.grad * (0.05 / norm))
        self.zero_grad()
        closure()
        with torch.no_grad():
            for p, before in places:
                p.copy_(before)
        super().step()
        return loss


class Replacing(torch.optim.SGD):
    """It gives parameters new tensors instead of changing them."""

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.data = p.data - group["lr"] * p.grad


class Forgetful(torch.optim.SGD):
    n = 0

    def step(self, closure=None):
        self.n += 1
        for group in self.param_groups:
            for p in group["params"]:
                p.data.sub_(p.grad, alpha=group["lr"] / self.n)


class Unsavable(torch.optim.SGD):
    def step(self, closure=None):
        super().step()
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["seen"] = {1, 2}


class Failing(torch.optim.SGD):
    def step(self, closure=None):
        raise RuntimeError("out of ideas")


def nothing(params):
    return params


def half(epoch):
    return 0.5**epoch
'''


@pytest.fixture
def mine(here, monkeypatch):
    """A module with optimizers of a user's own."""
    (here / "mine_optim.py").write_text(MINE)
    monkeypatch.syspath_prepend(here)
    monkeypatch.delitem(sys.modules, "mine_optim", raising=False)
    import mine_optim

    return mine_optim


RUN = ("data=iris", "model.hidden=[6,5]", "bs=16", "epochs=10")
KINDS = {
    "NAdam": {"lr": 0.01, "momentum_decay": 0.01},
    "Adadelta": {"lr": 1.0, "rho": 0.8},
    "Adafactor": {"lr": 0.05},
    "RAdam": {"lr": 0.01, "weight_decay": 0.1},
    "Rprop": {"lr": 0.01},
    "ASGD": {"lr": 0.1},
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    "LBFGS": {"lr": 0.5, "max_iter": 4, "line_search_fn": "strong_wolfe"},
}


def words(name, settings, where="torch.optim"):
    return [
        f"optimizer._target_={where}.{name}",
        *(f"+optimizer.{k}={v}" for k, v in settings.items() if k != "lr"),
        f"optimizer.lr={settings['lr']}",
    ]


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", KINDS)
def test_a_run_has_the_bits_of_a_loop_by_hand(here, name):
    def make(named):
        return getattr(torch.optim, name)(named.values(), **KINDS[name])

    ours = trained(here / "ours", *RUN, *words(name, KINDS[name]))
    assert_same_bits(ours, by_hand(here / "hand", *RUN, make=make))


def test_without_a_learning_rate_it_is_the_optimizer_s_own(here):
    ours = trained(here / "ours", *RUN, "optimizer._target_=torch.optim.Adamax")
    assert_same_bits(ours, by_hand(here / "hand", *RUN, make=lambda named: torch.optim.Adamax(named.values())))


@pytest.mark.parametrize("name", ["Averaged", "Noisy", "Replacing"])
def test_one_s_own_optimizer_is_a_row_as_it_is_alone(here, mine, name):
    rows = ["seed=1", "seed=2 optimizer.lr=0.02 epochs=4", "seed=3 optimizer.lr=0.05"]
    common = [*RUN, f"optimizer._target_=mine_optim.{name}"]
    together = trained_together(here / "together", *common, rows=rows)
    for i, (row, model) in enumerate(zip(rows, together, strict=True)):
        assert_same_bits(model, trained(here / f"alone{i}", *common, *row.split()))


def test_rows_may_have_different_optimizers(here):
    rows = [" ".join(words(name, KINDS[name])) for name in ("NAdam", "Adafactor", "Rprop")]
    together = trained_together(here / "together", *RUN, rows=rows)
    for i, (row, model) in enumerate(zip(rows, together, strict=True)):
        assert_same_bits(model, trained(here / f"alone{i}", *RUN, *row.split()))


def test_a_sweep_stacks_them(command, tmp_path):
    asked = ["data=iris", "epochs=2", "model.hidden=[4]", "optimizer._target_=torch.optim.NAdam,torch.optim.RAdam"]
    ended = command("-m", *asked, "optimizer.lr=0.1,0.01", "hydra.sweep.dir=sweep")
    assert ended.code == 0, ended.err
    assert "stack" in ended.out
    assert len(nettrain.Sweep(tmp_path / "sweep").results) == 4


def test_a_closure_is_evaluated_as_often_as_it_is_called(here, mine):
    run = nettrain.train(
        ["data=iris", "bs=full", "epochs=6", "quiet=true", "optimizer._target_=torch.optim.LBFGS"], here / "a"
    )
    assert run.summary["updates"] == 6
    assert run.summary["function_evaluations"] == run.summary["gradient_evaluations"] > 20
    run = nettrain.train(
        ["data=iris", "epochs=6", "quiet=true", "optimizer._target_=mine_optim.Sharp", "optimizer.lr=0.1"], here / "b"
    )
    assert run.summary["gradient_evaluations"] == 2 * run.summary["updates"]


def test_the_weights_of_evaluation_are_measured_and_kept(here, mine):
    def make(named):
        made = mine.Averaged(named.values(), lr=0.05)
        made.train()
        return made

    asked = [*RUN[:-1], "epochs=1", "optimizer._target_=mine_optim.Averaged", "optimizer.lr=0.05"]
    trained(here / "ours", *asked)
    optimizers = []
    after = by_hand(here / "hand", *asked, make=lambda named: optimizers.append((made := make(named), named)) or made)
    made, named = optimizers[0]
    made.eval()
    evaluated = {name: parameter.detach() for name, parameter in named.items()}
    best = load_checkpoint(here / "ours" / "checkpoints" / "best.pt")["model"]
    assert_same_bits(best, evaluated)
    assert after is not None


@pytest.mark.sample(5)
@pytest.mark.parametrize("name", ["NAdam", "Adafactor", "LBFGS", "mine.Averaged", "mine.Noisy", "mine.Sharp"])
@pytest.mark.parametrize("stop", ["epochs=4", "budget.updates=23"])
def test_a_resumed_run_has_the_bits_of_one_in_one_go(here, mine, name, stop):
    line_search = ["+optimizer.line_search_fn=strong_wolfe"] if name == "LBFGS" else []
    target = name.replace("mine.", "mine_optim.") if "." in name else f"torch.optim.{name}"
    common = [
        *RUN,
        "precision=float64",
        "quiet=true",
        "tensorboard=false",
        f"optimizer._target_={target}",
        "optimizer.lr=0.05",
    ]
    common += line_search
    nettrain.train(common, here / "whole")
    nettrain.train([*common, stop], here / "parts")
    rest = "budget.updates=null" if "budget" in stop else "epochs=10"
    nettrain.train([f"resume={here / 'parts'}", rest, "trust=true"])
    assert_same_bits(last(here / "parts"), last(here / "whole"))


def test_rows_are_resumed_exactly(command, tmp_path):
    asked = ["data=iris", "precision=float64", "model.hidden=[4]", "optimizer._target_=torch.optim.NAdam"]
    asked += ["optimizer.lr=0.1,0.01", "-m"]
    assert command(*asked, "epochs=6", "hydra.sweep.dir=whole").code == 0
    assert command(*asked, "epochs=6", "budget.updates=9", "hydra.sweep.dir=parts").code == 0
    resumed = [f"resume={tmp_path / 'parts' / i}" for i in "01"]
    for one in resumed:
        assert command(one, "budget.updates=null").code == 0
    for i in "01":
        assert_same_bits(last(tmp_path / "parts" / i), last(tmp_path / "whole" / i))


SCHEDULERS = {
    "CosineAnnealingLR": {"T_max": 10},
    "MultiStepLR": {"milestones": [2, 5], "gamma": 0.3},
    "CyclicLR": {"base_lr": 0.001, "max_lr": 0.1, "step_size_up": 3, "cycle_momentum": False},
    "CosineAnnealingWarmRestarts": {"T_0": 3},
    "OneCycleLR": {"max_lr": 0.1, "total_steps": 10, "cycle_momentum": False},
}


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("optimizer", ["sgd", "torch"])
def test_a_scheduler_gives_the_bits_of_a_loop_by_hand(here, name, optimizer):
    settings = SCHEDULERS[name]
    chosen = ["optimizer._target_=torch.optim.SGD"] if optimizer == "torch" else ["optimizer=sgd"]
    asked = [f"schedule._target_=torch.optim.lr_scheduler.{name}", *(f"+schedule.{k}={v}" for k, v in settings.items())]
    ours = trained(here / "ours", *RUN, *chosen, "optimizer.lr=0.05", *asked)
    hand = by_hand(
        here / "hand",
        *RUN,
        make=lambda named: torch.optim.SGD(named.values(), lr=0.05),
        scheduler=lambda o: getattr(torch.optim.lr_scheduler, name)(o, **settings),
    )
    assert_same_bits(ours, hand)


def rates(folder):
    with (folder / "metrics.csv").open() as file:
        return [float(row["lr"]) for row in csv.DictReader(file)]


def test_a_scheduler_can_step_at_each_update(here):
    asked = [
        "schedule._target_=torch.optim.lr_scheduler.ExponentialLR",
        "+schedule.gamma=0.9",
        "schedule.interval=step",
    ]
    trained(here / "run", *RUN, "optimizer=sgd", "optimizer.lr=0.5", *asked)
    per_epoch = 7  # 106 / 16
    assert rates(here / "run") == pytest.approx([0.5 * 0.9 ** (per_epoch * e - 1) for e in range(1, 11)], rel=1e-12)


def test_schedulers_inside_of_a_scheduler_and_functions(here, mine):
    of_torch = "_target_:torch.optim.lr_scheduler"
    inside = f"[{{{of_torch}.ConstantLR,factor:0.1}},{{{of_torch}.ExponentialLR,gamma:0.5}}]"
    asked = [
        "schedule._target_=torch.optim.lr_scheduler.SequentialLR",
        f"+schedule.schedulers={inside}",
        "+schedule.milestones=[2]",
    ]
    trained(here / "one", "data=iris", "epochs=5", "optimizer.lr=0.5", *asked)
    assert rates(here / "one") == pytest.approx([0.05, 0.05, 0.5, 0.25, 0.125], rel=1e-12)
    asked = [
        "schedule._target_=torch.optim.lr_scheduler.LambdaLR",
        "+schedule.lr_lambda={_target_:hydra.utils.get_method,path:mine_optim.half}",
    ]
    trained(here / "two", "data=iris", "epochs=3", "optimizer.lr=0.5", *asked)
    assert rates(here / "two") == [0.5, 0.25, 0.125]


@pytest.mark.parametrize("monitor", ["null", "val_accuracy"])
def test_a_plateau_is_told_what_is_monitored_also_after_a_resume(here, monitor):
    asked = [*RUN[:-1], "quiet=true", "precision=float64", f"monitor={monitor}", "optimizer.lr=0.1"]
    asked += [
        "schedule._target_=torch.optim.lr_scheduler.ReduceLROnPlateau",
        "+schedule.patience=1",
        "+schedule.factor=0.3",
    ]
    whole = nettrain.train([*asked, "epochs=30"], here / "whole")
    nettrain.train([*asked, "epochs=13"], here / "parts")
    resumed = nettrain.train([f"resume={here / 'parts'}", "epochs=30"])
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    mode = "min" if monitor == "null" else "max"
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode, patience=1, factor=0.3)
    expected = []
    for value in whole.metrics["val_loss" if monitor == "null" else monitor]:
        expected.append(optimizer.param_groups[0]["lr"])
        scheduler.step(value)
    assert whole.metrics["lr"].tolist() == expected
    assert len(set(expected)) > 2
    assert resumed.metrics["lr"].tolist() == expected


def test_rows_have_schedulers_of_their_own(here):
    common = [*RUN, "optimizer=sgd", "schedule._target_=torch.optim.lr_scheduler.ExponentialLR"]
    rows = ["+schedule.gamma=0.9", "+schedule.gamma=0.5 optimizer.lr=0.5"]
    together = trained_together(here / "together", *common, rows=rows)
    for i, (row, model) in enumerate(zip(rows, together, strict=True)):
        assert_same_bits(model, trained(here / f"alone{i}", *common, *row.split()))


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            ["optimizer._target_=torch.optim.Adam", "optimizer.lr=0.1", "+optimizer.betas=[2,0.9]"],
            "ValueError: Invalid beta",
        ),
        (
            ["optimizer._target_=torch.optim.Adam", "+optimizer.speed=2"],
            "optimizer.speed: torch.optim.Adam has no such argument; it takes lr, betas",
        ),
        (["optimizer._target_=torch.optim.Adamm"], "Adamm: torch.optim has no 'Adamm'; did you mean Adam"),
        (["optimizer._target_=torch.optim.Muon"], "Muon only supports 2D parameters"),
        (
            ["optimizer._target_=torch.optim.SparseAdam"],
            "its step fails: RuntimeError: SparseAdam does not support dense",
        ),
        (["optimizer._target_=mine_optim.nothing"], "it is a list, and no torch.optim.Optimizer"),
        (["optimizer._target_=mine_optim.Failing"], "its step fails: RuntimeError: out of ideas"),
        (["optimizer._target_=mine_optim.Unsavable"], "is a set, which a checkpoint cannot hold"),
        (["optimizer._target_=mine_optim.Forgetful"], "its state_dict does not hold all that it remembers"),
        (
            ["optimizer._target_=torch.optim.NAdam", "engine=compiled"],
            "engine=compiled: torch.optim.NAdam is code of its",
        ),
        (
            ["optimizer._target_=torch.optim.NAdam", "on_divergence=skip_step"],
            "on_divergence=skip_step: .* cannot take",
        ),
        (["optimizer=torch"], "optimizer._target_: a value is required"),
        (
            ["schedule._target_=torch.optim.lr_scheduler.CosineAnnealingLR"],
            "it needs T_max; set schedule.T_max=<value>",
        ),
        (
            ["schedule._target_=torch.optim.lr_scheduler.OneCycleLR", "+schedule.max_lr=1", "+schedule.total_steps=9"],
            "must support momentum or beta1 .* schedule.cycle_momentum=false",
        ),
        (
            [
                "schedule._target_=torch.optim.lr_scheduler.OneCycleLR",
                "+schedule.max_lr=1",
                "+schedule.total_steps=9",
                "+schedule.cycle_momentum=false",
            ],
            "Tried to step 10 times.* The run makes [0-9]+ updates in [0-9]+ epochs, .* schedule.total_steps=[0-9]+",
        ),
        (
            ["schedule._target_=torch.optim.lr_scheduler.LambdaLR", "+schedule.lr_lambda=3"],
            "cannot be built: TypeError",
        ),
        (
            ["schedule._target_=torch.optim.lr_scheduler.ReduceLROnPlateau", "schedule.interval=step"],
            "looks at what is monitored",
        ),
        (["schedule._target_=mine_optim.nothing"], "it is a _Rate, and no scheduler"),
        (
            ["schedule._target_=torch.optim.lr_scheduler.StepLR", "+schedule.step_size=2", "optimizer=bfgs"],
            "optimizer=bfgs finds its own",
        ),
    ],
)
def test_a_mistake_is_said_in_one_sentence(here, mine, asked, sentence):
    with pytest.raises(ConfigError, match=sentence) as caught:
        prepared(here / "run", "data=iris", *asked)
    assert "\n" not in str(caught.value)


def test_a_damaged_state_is_refused(here):
    common = [*RUN[:-1], "quiet=true", "optimizer._target_=torch.optim.NAdam"]
    path = here / "run" / "checkpoints" / "last.pt"
    nettrain.train([*common, "epochs=2"], here / "run")
    checkpoint = torch.load(path, weights_only=True)
    good = checkpoint["optimizer"]["state_dict"]["state"][0]["exp_avg"]
    for bad in (torch.zeros(1), good.double(), "text", {"a": 1}):
        checkpoint["optimizer"]["state_dict"]["state"][0]["exp_avg"] = bad
        torch.save(checkpoint, path)
        with pytest.raises(CheckpointError, match="damaged"):
            nettrain.train([f"resume={here / 'run'}", "epochs=4"])


def test_code_of_somebody_else_s_needs_trust_and_torch_s_does_not(here, mine):
    common = ["data=iris", "epochs=1", "quiet=true"]
    nettrain.train(
        [*common, "optimizer._target_=torch.optim.NAdam", "schedule._target_=torch.optim.lr_scheduler.LinearLR"],
        here / "torchs",
    )
    nettrain.train([*common, "optimizer._target_=mine_optim.Replacing", "optimizer.lr=0.1"], here / "mine")
    assert nettrain.train([f"resume={here / 'torchs'}", "epochs=2"]).summary["epochs"] == 2
    assert nettrain.Run(here / "mine").model is not None  # the optimizer is not needed for that
    with pytest.raises(
        ConfigError, match=re.escape("its optimizer is mine_optim.Replacing, code that belongs neither")
    ):
        nettrain.train([f"resume={here / 'mine'}", "epochs=2"])
    assert nettrain.train([f"resume={here / 'mine'}", "epochs=2", "trust=true"]).summary["epochs"] == 2


def test_a_diverged_row_goes_back_with_an_optimizer_that_begins_anew(here):
    common = [*RUN[:-1], "epochs=3", "quiet=true", "on_divergence=restore_and_halve_lr", "precision=float64"]
    run = nettrain.train(
        [*common, "optimizer._target_=torch.optim.SGD", "optimizer.lr=1e200", "optimizer.clip_norm=1e300"], here / "a"
    )
    assert run.summary["lr_halvings"] > 0


def test_a_sweep_over_classes_keeps_those_alone_that_need_a_closure(command, tmp_path):
    classes = "optimizer._target_=torch.optim.LBFGS,torch.optim.NAdam"
    asked = ["data=iris", "epochs=1", "bs=full", "model.hidden=[4]", "figures=never", "tensorboard=false"]
    ended = command("-m", *asked, classes, "optimizer.lr=0.1,0.01", "hydra.sweep.dir=sweep")
    assert ended.code == 0, ended.err
    assert "4 runs -> 1 stack of 2, 2 alone" in ended.out
    assert "2 alone: torch.optim.LBFGS evaluates the loss as it goes along, and trains alone" in ended.out
    assert ended.out.count("torch.optim.NAdam: it makes each run's updates one by one") == 1


def test_a_glob_over_optimizers_leaves_out_the_one_that_needs_a_class(command, tmp_path):
    asked = ["data=iris", "epochs=0", "figures=never", "tensorboard=false", "quiet=true", "schedule=glob(*)"]
    assert command("-m", *asked, "hydra.sweep.dir=sweep").code == 0
    assert "torch" not in set(nettrain.Sweep(tmp_path / "sweep").results["schedule"])


def test_torch_s_random_numbers_are_left_alone(here, mine):
    common = ["data=iris", "epochs=1", "quiet=true", "optimizer.lr=0.1"]
    for name in ("mine_optim.Noisy", "torch.optim.NAdam"):
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        nettrain.train([*common, f"optimizer._target_={name}"], here / name)
        assert torch.equal(torch.rand(3), expected)


def test_a_parameter_that_is_given_a_new_tensor_is_still_the_run_s(here, mine):
    ours = trained(here / "ours", *RUN, "optimizer._target_=mine_optim.Replacing", "optimizer.lr=0.1")
    hand = by_hand(here / "hand", *RUN, make=lambda named: torch.optim.SGD(named.values(), lr=0.1))
    for name, tensor in hand.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-9, atol=1e-12)
