"""NaN and inf: noticed, explained, and met as `on_divergence` says; each row of a stack on its own."""

import itertools
import math
import re

import numpy as np
import pandas
import pytest
import torch
from test_resume import interrupted
from test_rows import CPU, assert_equal, setups

import nettrain
from nettrain.config.schema import parts
from nettrain.objective import Objective
from nettrain.optimizers import rules
from nettrain.registry import options
from nettrain.storage.checkpoint_files import load_checkpoint
from nettrain.training.trainer import Trainer

DIVERGES = ["data=diabetes", "optimizer=sgd", "optimizer.lr=3", "epochs=8", "quiet=true", "tensorboard=false"]
PER_EPOCH = 10  # updates, 310 / 32


def reference(setup, update):
    """The losses and largest outputs of the same run in plain PyTorch, in the epoch of `update`."""
    batches, layer = Trainer([setup], CPU).stack.batches.of_epoch, torch.nn.Linear(10, 1)
    for parameter, own in zip(layer.parameters(), setup.model.parameters(), strict=True):
        parameter.data.copy_(own)
    optimizer = torch.optim.SGD(layer.parameters(), lr=setup.lr)
    sizes = []
    for t in range(update):
        if t % PER_EPOCH == 0:
            sizes, epoch = [], list(batches(t // PER_EPOCH))
        x, y = epoch[t % PER_EPOCH]
        z = layer(x).squeeze(-1)
        optimizer.zero_grad()
        loss = ((z - y) ** 2).mean()
        loss.backward()
        sizes.append([float(loss), float(z.abs().max())])
        optimizer.step()
    return sizes


def test_the_first_update_whose_loss_is_not_finite_is_named_with_the_sizes_until_then(here, command):
    overrides = [*DIVERGES, "model=linear"]
    run = nettrain.train(overrides)
    assert run.summary["status"] == "diverged"
    found = re.fullmatch(
        r"the loss of update (\d+) is not finite; until then the largest output was (\S+); an optimizer.lr below 3, "
        r"optimizer.clip_norm=1, or on_divergence=restore_and_halve_lr may help",
        run.summary["reason"],
    )
    rows = ["model=linear precision=float32 optimizer=sgd optimizer.lr=3"]
    sizes = reference(setups(here / "reference", "data=diabetes", rows=rows)[0], int(found[1]))
    assert [math.isfinite(loss) for loss, _ in sizes] == [True] * (len(sizes) - 1) + [False]
    assert float(found[2]) == pytest.approx(max(z for _, z in sizes[:-1]), rel=0.01)
    ended = command(*overrides, "quiet=false")
    assert ended.code == 4
    assert f"because {run.summary['reason']}\n" in ended.out


def test_the_best_checkpoint_and_that_before_the_divergence_stay(here, monkeypatch):
    gradient, calls = Objective.gradient, []

    def poisoned(objective, w, x, y, *rest):
        calls.append(1)
        z, g = gradient(objective, w, x, y, *rest)
        return z, g * torch.nan if len(calls) == 6 else g

    monkeypatch.setattr(Objective, "gradient", poisoned)
    run = nettrain.train(["data=iris", "epochs=4", "quiet=true", "checkpoint.every_steps=1"])
    assert run.summary["status"] == "diverged"
    assert "the loss of update 7 is not finite" in run.summary["reason"]
    previous, last, best = (
        load_checkpoint(run.folder / "checkpoints" / f"{name}.pt") for name in ("previous", "last", "best")
    )
    finite = [all(t.isfinite().all() for t in c["model"].values()) for c in (previous, last, best)]
    assert finite == [True, False, True]
    assert (previous["updates"], best["epoch"]) == (5, 1)
    assert run.summary["test_accuracy"] > 0


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "adagrad", "rmsprop"])
def test_a_step_with_a_gradient_that_is_not_finite_is_left_out(here, monkeypatch, optimizer):
    """As if that batch had never been: weights and state are those before it."""
    gradient, seen = Objective.gradient, []

    def poisoned(objective, w, x, y, *rest):
        z, g = gradient(objective, w, x, y, *rest)
        seen.append(w.clone())
        if len(seen) in (3, 6):
            g[7] = torch.nan if len(seen) == 3 else torch.inf
        return z, g

    monkeypatch.setattr(Objective, "gradient", poisoned)
    overrides = ["data=iris", f"optimizer={optimizer}", "epochs=3", "quiet=true", "tensorboard=false"]
    run = nettrain.train([*overrides, "on_divergence=skip_step"])
    still = [torch.equal(a, b) for a, b in itertools.pairwise(seen)]
    assert still == [t in (3, 6) for t in range(1, len(seen))]
    last = load_checkpoint(run.folder / "checkpoints" / "last.pt")
    assert all(tensor.isfinite().all() for tensor in [*last["model"].values(), *last["optimizer"].values()])
    assert run.summary["status"] == "completed"
    assert run.summary["skipped_updates"] == 2
    assert run.metrics["skipped_updates"].tolist() == [1, 2, 2]
    seen.clear()
    assert nettrain.train(overrides).summary["status"] == "diverged"


def test_going_back_halves_the_learning_rate_until_it_suffices(here):
    run = nettrain.train([*DIVERGES, "epochs=30", "on_divergence=restore_and_halve_lr"])
    assert run.summary["status"] == "completed"
    halvings = run.summary["lr_halvings"]
    assert 1 < halvings < 10
    assert run.metrics["lr"].iloc[-1] == 3 / 2**halvings
    bad = ~np.isfinite(run.metrics["train_loss"])
    assert bad.sum() == halvings
    assert run.metrics["lr"].tolist() == [3 / 2 ** bad[:k].sum() for k in range(30)]
    assert run.summary["test_r2"] > 0


def test_going_back_ends_after_ten_times(here, monkeypatch):
    monkeypatch.setattr(rules.SGD, "update", lambda rule, state, w, g, c: w.fill_(torch.nan))
    run = nettrain.train([*DIVERGES, "epochs=30", "on_divergence=restore_and_halve_lr"])
    assert (run.summary["status"], run.summary["lr_halvings"], run.summary["epochs"]) == ("diverged", 10, 11)
    assert "optimizer.lr was halved 10 times" in run.summary["reason"]


@pytest.mark.parametrize("policy", ["skip_step", "restore_and_halve_lr"])
def test_a_run_that_recovers_goes_on_with_the_same_bits(here, monkeypatch, policy):
    gradient = Objective.gradient

    def poisoned(objective, w, x, y, *rest):
        z, g = gradient(objective, w, x, y, *rest)
        return z, g * torch.nan if (x[:, 2] > 2.8).any() else g  # one batch of each epoch, or a few

    monkeypatch.setattr(Objective, "gradient", poisoned)
    overrides = [*DIVERGES, "optimizer.lr=0.01", "epochs=7", "model.dropout=0.1", f"on_divergence={policy}"]
    whole = nettrain.train(overrides)
    assert max(whole.summary.get("lr_halvings", 0), whole.summary.get("skipped_updates", 0)) > 5
    for cut in (14, 30, 51):
        interrupted(monkeypatch, here / f"cut{cut}", cut, overrides)
        again = nettrain.train([f"resume={here / f'cut{cut}'}"])
        pandas.testing.assert_frame_equal(
            whole.metrics.drop(columns="seconds"), again.metrics.drop(columns="seconds"), check_exact=True
        )
        a, b = (load_checkpoint(r.folder / "checkpoints" / "last.pt") for r in (whole, again))
        assert all(torch.equal(a["model"][name], b["model"][name]) for name in a["model"])


def test_each_row_of_a_stack_diverges_and_recovers_on_its_own(here):
    rows = [
        "optimizer=sgd optimizer.lr=0.01",
        "optimizer=sgd optimizer.lr=1e30",
        "optimizer=sgd optimizer.lr=1e30 on_divergence=restore_and_halve_lr",
        "optimizer=adam on_divergence=skip_step",
        "optimizer=momentum optimizer.lr=1e30 on_divergence=skip_step",
    ]
    common = "data=diabetes", "epochs=3", "model.dropout=0.1"
    together = Trainer(setups(here / "together", *common, rows=rows), CPU).run()
    for row, setup in zip(together, setups(here / "alone", *common, rows=rows), strict=True):
        (alone,) = Trainer([setup], CPU).run()
        assert row.status == alone.status
        if not row.lr_halvings:
            assert_equal(row, alone)
        assert (row.lr_halvings, row.reason) == (alone.lr_halvings, alone.reason)
    assert [row.status for row in together] == ["completed", "diverged", "completed", "completed", "diverged"]
    assert together[2].lr_halvings == 3


def test_a_row_s_reason_is_that_of_the_run_alone(here):
    """Here the rows diverge at different updates, and the one that skips them has other gradients later."""
    rows = [f"on_divergence={policy}" for policy in ("restore_and_halve_lr", "skip_step", "stop")]
    common = "data=sine", "optimizer=adagrad", "optimizer.lr=1e200", "model.hidden=[]", "epochs=3"
    together = Trainer(setups(here / "together", *common, rows=rows), CPU).run()
    alone = [Trainer([setup], CPU).run()[0] for setup in setups(here / "alone", *common, rows=rows)]
    assert [row.reason for row in together] == [row.reason for row in alone]
    assert sum("until then the largest output was" in (row.reason or "") for row in alone) == 1


def test_what_is_finite_costs_no_time_in_the_loop_and_changes_no_bits(here):
    """Skipping and going back compute the same as stopping while nothing diverges."""
    overrides = ["data=iris", "epochs=4", "quiet=true", "tensorboard=false", "model.dropout=0.2"]
    runs = [nettrain.train([*overrides, f"on_divergence={p}"]) for p in ("stop", "skip_step", "restore_and_halve_lr")]
    models = [load_checkpoint(run.folder / "checkpoints" / "last.pt")["model"] for run in runs]
    for other in models[1:]:
        assert all(torch.equal(models[0][name], other[name]) for name in other)


def test_a_solver_s_run_that_diverges_says_so_too(here, command):
    (here / "t.csv").write_text("x,y\n" + "".join(f"{(-1) ** i * 1e30},{i}.5\n" for i in range(40)))
    table = "data=csv", "recipe=plain", "data.path=t.csv", "data.target=y", "data.standardize=false"
    ended = command(*table, "optimizer=hill_climb", "epochs=2")
    assert ended.code == 4
    assert "because the loss of update 1 is not finite; another optimizer or seed may help\n" in ended.out
    ended = command(*table, "optimizer=newton", "on_divergence=skip_step")
    assert (ended.code, ended.err.partition(":")[2]) == (
        2,
        " on_divergence=skip_step: optimizer=newton has neither a learning rate to halve nor a gradient step to skip; "
        "use on_divergence=stop.\n",
    )


@pytest.mark.parametrize("policy", ["stop", "restore_and_halve_lr"])
def test_a_compiled_run_diverges_where_the_eager_one_does(here, monkeypatch, policy):
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    common = [*DIVERGES, "epochs=30", "precision=float64", f"on_divergence={policy}"]
    eager, compiled = (nettrain.train([*common, f"engine={engine}"]) for engine in ("eager", "compiled"))
    assert load_checkpoint(compiled.folder / "checkpoints" / "last.pt")["engine"] == "compiled"
    for key in ("status", "reason", "epochs", "updates", "best_epoch"):
        assert compiled.summary[key] == eager.summary[key], key
    if policy == "stop":
        assert "is not finite; until then the largest output was" in compiled.summary["reason"]
    else:
        assert compiled.summary["lr_halvings"] == eager.summary["lr_halvings"] > 1
        assert compiled.metrics["lr"].tolist() == eager.metrics["lr"].tolist()
        assert compiled.summary["test_loss"] == pytest.approx(eager.summary["test_loss"], rel=1e-6)


LARGEST = {
    "optimizer": 3e38,
    "schedule": 1e300,
}  # a rule's numbers are float32, a schedule's factor is computed in float64


def extremes(group):
    """The largest value that each number of each part of a group may have, as overrides."""
    for name, part in parts(group).items():
        for key, field in options(part).items():
            of_rule = (group == "schedule" and name != "torch") or issubclass(part, rules.Rule)
            if of_rule and isinstance(field.default, float | None) and not {"below", "maximum"} & field.metadata.keys():
                yield f"{group}={name} {group}.{key}={LARGEST[group]:g}"


@pytest.mark.sample(3)
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("row", [*extremes("optimizer"), *extremes("schedule")])
def test_numbers_at_the_end_of_their_range_end_a_run_in_order(here, row):
    run = nettrain.train(["data=iris", "model=linear", "epochs=4", "quiet=true", "tensorboard=false", *row.split()])
    assert run.summary["status"] in ("completed", "diverged")
    if row.endswith(".lr=3e+38"):
        assert run.summary["status"] == "diverged"


def test_a_quiet_run_says_why_it_diverged(command):
    ended = command(*DIVERGES, "hydra.run.dir=run")
    assert ended.code == 4
    assert re.match(r"nettrain: \S*run: the run has diverged: the loss of update \d+ is not finite; ", ended.err)
    assert ended.err.endswith("may help.\n")
    assert len(ended.err.splitlines()) == 1
