"""The three branches of optimization through the same command line: counters, budgets, and what each can train."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import nettrain
from nettrain.config.schema import parts
from nettrain.errors import ConfigError
from nettrain.optimizers.rules import Rule
from nettrain.storage.checkpoint_files import load_checkpoint

COUNTS = ("updates", "function_evaluations", "gradient_evaluations", "hessian_vector_products")
NAMES = [name for name in parts("optimizer") if name != "torch"]  # that needs a class
SOLVERS = [name for name in NAMES if not issubclass(parts("optimizer")[name], Rule)]
SMALL = ["data=iris", "model.hidden=[4]", "quiet=true"]


def train(*overrides):
    return nettrain.train([*SMALL, *overrides])


@pytest.mark.parametrize("optimizer", NAMES)
def test_the_books_agree_in_the_summary_the_table_and_tensorboard(here, optimizer):
    run = train(f"optimizer={optimizer}", "epochs=4")
    last = run.metrics.iloc[-1]
    assert run.summary["updates"] == last["step"] > 0
    events = EventAccumulator(str(run.folder))
    events.Reload()
    for name in COUNTS[1:]:
        assert run.summary[name] == last[name]
        assert events.Scalars(f"optimizer/{name}")[-1].value == last[name]


def test_what_one_update_costs(here):
    spent = {}
    for optimizer in ("sgd", "newton", "genetic", "hill_climb"):
        one, two = (train(f"optimizer={optimizer}", "bs=full", f"epochs={n}").summary for n in (3, 4))
        spent[optimizer] = [two[name] - one[name] for name in COUNTS[1:]]
    size = 4 * 4 + 4 + 4 * 3 + 3
    assert spent["sgd"] == [1, 1, 0]
    assert spent["newton"][2] == size  # a dense Hessian is a product with every unit vector
    assert spent["genetic"] == [62, 0, 0]  # 64 individuals less 2 elites
    assert spent["hill_climb"] == [16, 0, 0]


@pytest.mark.sample(3)
@pytest.mark.parametrize("optimizer", NAMES)
@pytest.mark.parametrize("budget", ["updates=3", "function_evaluations=20", "seconds=0.02"])
def test_a_budget_ends_any_optimizer(here, optimizer, budget):
    run = train(f"optimizer={optimizer}", "epochs=100000", f"budget.{budget}", "tensorboard=false")
    key, limit = budget.split("=")
    assert run.summary["status"] == "completed"
    assert run.summary["reason"] == f"budget.{budget}"
    assert run.summary[key] >= float(limit)
    if key == "updates":
        assert run.summary["updates"] == 3
    assert run.summary["updates"] == run.metrics["step"].iloc[-1]


@pytest.mark.parametrize("key", ["gradient_evaluations", "hessian_vector_products"])
def test_a_budget_of_derivatives_ends_newton(here, key):
    run = train("optimizer=newton", "optimizer.solver=cg", f"budget.{key}=20")
    assert run.summary["reason"] == f"budget.{key}=20"
    assert run.summary[key] >= 20


@pytest.mark.parametrize("optimizer", SOLVERS)
def test_whole_batches_are_the_default_and_smaller_ones_are_warned_of(here, capsys, optimizer):
    loud = ["data=iris", "model.hidden=[4]", f"optimizer={optimizer}", "epochs=2"]
    nettrain.train(loud)
    assert "105 / 105 -> 1 updates per epoch" in (out := capsys.readouterr().out) or "106 / 106" in out
    assert "note" not in out
    run = nettrain.train([*loud, "bs=32"])
    assert capsys.readouterr().out.count(f"optimizer={optimizer} with bs=32: every update sees another batch") == 1
    assert run.summary["updates"] == 8


NEWTON = ["optimizer=newton", "optimizer.solver=cholesky"]


def test_newton_trains_the_default_network_by_products_and_says_what_a_hessian_would_cost(here, capsys):
    run = nettrain.train(["optimizer=newton", "epochs=5"])
    assert "solver=auto is cg" in (out := capsys.readouterr().out)
    assert "take 8,970 of them, about 60 s on two cores" in out
    assert run.summary["hessian_vector_products"] < 1000
    assert run.summary["train_loss"] < 1


def test_updates_that_take_long_say_so_before_they_start_and_what_is_quick(here, capsys):
    run = nettrain.train(["model.hidden=[16]", *NEWTON, "budget.updates=1"])
    out = " ".join(capsys.readouterr().out.split())
    assert "an update costs about as much as 4,998 evaluations of the loss" in out
    assert "for all 100; optimizer.solver=cg makes one in" in out
    assert out.index("for all 100") < out.index("completed (")
    assert run.summary["updates"] == 1


def test_the_whole_hessian_is_refused_where_it_does_not_fit(here):
    with pytest.raises(ConfigError, match="solver=cg") as refused:
        nettrain.train(["data=digits", "model.hidden=[2000,2000]", *NEWTON, "quiet=true"])
    assert "GiB" in str(refused.value)
    assert not list(here.rglob("summary.json"))


@pytest.mark.parametrize("optimizer", ["lbfgs", "genetic"])
def test_what_only_a_gradient_rule_can_do_is_refused(here, optimizer):
    with pytest.raises(ConfigError, match=r"model\.dropout=0\.5: optimizer="):
        train(f"optimizer={optimizer}", "model.dropout=0.5")
    with pytest.raises(ConfigError, match=r"schedule=cosine: optimizer="):
        train(f"optimizer={optimizer}", "schedule=cosine")


@pytest.mark.parametrize(("optimizer", "accuracy"), [("genetic", 0.9), ("cma_es", 0.9), ("hill_climb", 0.85)])
def test_search_trains_a_network_of_step_units(here, optimizer, accuracy):
    run = nettrain.train(
        ["data=breast_cancer", "model.hidden=[8]", "activation=step", f"optimizer={optimizer}", "quiet=true"]
    )
    assert run.summary["test_accuracy"] >= accuracy


def test_a_gradient_method_cannot_train_a_network_of_step_units(here):
    run = nettrain.train(["data=breast_cancer", "model.hidden=[8]", "activation=step", "epochs=1", "quiet=true"])
    before = nettrain.preparation.prepare.prepare(run._parts, here / "unused").model.state_dict()
    after = load_checkpoint(run.folder / "checkpoints" / "last.pt")["model"]
    assert (before["layers.0.weight"] == after["layers.0.weight"]).all()


@pytest.mark.sample(3)
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "rmsprop", *SOLVERS])
def test_the_exercise_of_the_course_with_every_branch(here, capsys, optimizer):
    nettrain.train(["experiment=quadratic_sgd", f"optimizer={optimizer}", "tensorboard=false"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    for name in ("w1", "w2", "w3"):
        (found, closed_form, true) = next(map(float, row[1:]) for row in rows if row[:1] == [name])
        assert found == pytest.approx(closed_form, abs=0.05)
        assert closed_form == pytest.approx(true, abs=0.1)


@pytest.mark.parametrize("optimizer", SOLVERS)
def test_the_state_of_a_solver_is_in_the_checkpoint(here, optimizer):
    run = train(f"optimizer={optimizer}", "epochs=3")
    assert {"value", "converged"} <= set(load_checkpoint(run.folder / "checkpoints" / "last.pt")["optimizer"])
