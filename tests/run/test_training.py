"""A run from its config to its folder: counts, files, reproducibility, early stopping, what the best weights give."""

import json
import math

import numpy as np
import pandas
import pytest
import torch
from sklearn.datasets import load_iris

import nettrain
from nettrain.config.schema import parts
from nettrain.errors import CheckpointError
from nettrain.optimizers.rules import Rule
from nettrain.storage.checkpoint_files import load_checkpoint

QUIET = ["quiet=true", "tensorboard=false"]


def train(*overrides):
    return nettrain.train([*QUIET, *overrides])


def test_64_samples_in_batches_of_8_make_8_updates_an_epoch_and_80_in_all(here, capsys):
    run = nettrain.train(["data=quadratic", "data.val_fraction=0.25", "data.test_fraction=0.25", "bs=8", "epochs=10"])
    assert "64 / 8 -> 8 updates per epoch x 10 epochs = 80 updates" in capsys.readouterr().out
    counts = ("updates_per_epoch", "updates", "function_evaluations", "gradient_evaluations", "epochs")
    assert [run.summary[name] for name in counts] == [8, 80, 80, 80, 10]
    assert run.metrics["step"].tolist() == [8 * epoch for epoch in range(1, 11)]


@pytest.mark.parametrize(
    ("bs", "drop_last", "updates"), [(32, False, 40), (32, True, 39), (1257, False, 1), (5000, False, 1)]
)
def test_a_last_smaller_batch_is_used_unless_asked(here, bs, drop_last, updates):
    run = train(f"bs={bs}", f"drop_last={drop_last}", "epochs=1")
    assert run.summary["updates"] == updates


def test_bs_full_is_gradient_descent_on_the_whole_training_split(here):
    run = train(
        "data=iris", "model=linear", "optimizer=sgd", "optimizer.lr=0.1", "bs=full", "epochs=3", "precision=float64"
    )
    again = nettrain.preparation.prepare.prepare(run._parts, here / "unused")
    x, y = again.data.x[again.data.splits["train"]], again.data.y[again.data.splits["train"]]
    module = again.model.double()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(torch.as_tensor(x)), torch.as_tensor(y))
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    assert run.metrics["train_loss"].to_numpy() == pytest.approx(losses, rel=1e-12)
    last = load_checkpoint(run.folder / "checkpoints" / "last.pt")["model"]
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(last[name], parameter.detach(), rtol=1e-12, atol=1e-15)


def test_the_same_loop_as_an_ordinary_one_in_torch_with_adam_in_batches(here):
    """An own loop with torch.optim.Adam, over the documented order of batches, gives the same weights."""
    from nettrain.random import permutation

    run = train("data=breast_cancer", "bs=16", "epochs=3", "precision=float64", "seed=3", "optimizer.weight_decay=0.01")
    again = nettrain.preparation.prepare.prepare(run._parts, here / "unused")
    rows = again.data.splits["train"]
    x, y = torch.as_tensor(again.data.x[rows]), torch.as_tensor(again.data.y[rows])
    module = again.model.double()
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, weight_decay=0.01)
    for epoch in range(3):
        for batch in permutation(3, epoch, len(rows)).split(16):
            optimizer.zero_grad()
            z = module(x[batch]).squeeze(-1)
            torch.nn.functional.binary_cross_entropy_with_logits(z, y[batch].double()).backward()
            optimizer.step()
    last = load_checkpoint(run.folder / "checkpoints" / "last.pt")["model"]
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(last[name], parameter.detach(), rtol=1e-9, atol=1e-12)


def test_the_folder_holds_what_other_tools_rely_on(here):
    run = nettrain.train(["epochs=3", "quiet=true"])
    files = {str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file()}
    events = {name for name in files if name.startswith("events.out.tfevents.")}
    assert len(events) == 1
    assert files - events == {
        ".hydra/config.yaml",
        ".hydra/hydra.yaml",
        ".hydra/overrides.yaml",
        "checkpoints/best.pt",
        "checkpoints/last.pt",
        "environment.json",
        "metrics.csv",
        "summary.json",
    }
    columns = (run.folder / "metrics.csv").read_text().splitlines()[0].split(",")
    assert columns[:6] == ["epoch", "step", "seconds", "train_loss", "val_loss", "lr"]
    summary = json.loads((run.folder / "summary.json").read_text())
    assert summary["status"] == "completed"
    last, best = run.metrics.iloc[-1], run.metrics.loc[run.metrics["val_loss"].idxmin()]
    for metric in ("loss", "accuracy", "balanced_accuracy", "f1"):
        assert summary[f"train_{metric}"] == last[f"train_{metric}"]
        assert summary[f"val_{metric}"] == last[f"val_{metric}"]
        assert summary[f"best_val_{metric}"] == best[f"val_{metric}"]
        assert summary[f"test_{metric}"] >= 0
    assert summary["best_epoch"] == best["epoch"]
    assert summary["parameters"] == 64 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10


def test_the_same_config_gives_the_same_bits_and_another_seed_does_not(here):
    a, b, c = (train("model.dropout=0.2", "epochs=4", seed) for seed in ("seed=1", "seed=1", "seed=2"))
    timeless = [run.metrics.drop(columns="seconds") for run in (a, b, c)]
    assert timeless[0].equals(timeless[1])
    assert not timeless[0].equals(timeless[2])
    states = [load_checkpoint(run.folder / "checkpoints" / "last.pt")["model"] for run in (a, b)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_run_repeats_from_its_own_config(here):
    run = train("data=wine", "optimizer=momentum", "optimizer.nesterov=true", "schedule=cosine", "epochs=5")
    again = nettrain.train(run.config)
    assert again.metrics.drop(columns="seconds").equals(run.metrics.drop(columns="seconds"))


def test_early_stopping_ends_after_patience_epochs_without_a_better_loss(here):
    run = train("data=wine", "optimizer.lr=0.03", "epochs=200", "early_stopping.patience=5")
    losses = run.metrics["val_loss"]
    assert run.summary["epochs"] == len(losses) < 200
    assert run.summary["best_epoch"] == losses.idxmin() + 1 == len(losses) - 5


def test_the_test_split_is_measured_with_the_best_weights_not_the_last(here):
    run = train("data=wine", "optimizer.lr=0.3", "epochs=30")
    assert run.summary["best_epoch"] < 30
    setup = nettrain.preparation.prepare.prepare(run._parts, here / "unused")
    rows = setup.data.splits["test"]
    x, y = torch.as_tensor(setup.data.x[rows]).float(), torch.as_tensor(setup.data.y[rows])
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(run.model(x), y).item()
    assert run.summary["test_loss"] == pytest.approx(loss, rel=1e-6)


def test_best_is_saved_as_an_ordinary_state_dict(here):
    run = train("data=iris", "epochs=2")
    checkpoint = torch.load(run.folder / "checkpoints" / "best.pt", weights_only=True)
    plain = torch.nn.ModuleDict(
        {"layers": torch.nn.ModuleList([torch.nn.Linear(4, 64), torch.nn.Linear(64, 64), torch.nn.Linear(64, 3)])}
    )
    plain.load_state_dict(checkpoint["model"])


def test_no_epochs_leave_the_initial_weights(here):
    run = train("data=iris", "epochs=0")
    setup = nettrain.preparation.prepare.prepare(run._parts, here / "unused")
    last = load_checkpoint(run.folder / "checkpoints" / "last.pt")["model"]
    assert all(torch.equal(value, last[name]) for name, value in setup.model.state_dict().items())
    assert (run.summary["status"], run.summary["updates"]) == ("completed", 0)
    assert "test_accuracy" in run.summary
    assert len(run.metrics) == 0


def test_a_diverging_run_ends_with_its_status_and_exit_code_4(command, tmp_path):
    ended = command("optimizer=sgd", "optimizer.lr=1e20", "hydra.run.dir=a", "epochs=30")
    assert ended.code == 4
    run = nettrain.Run(tmp_path / "a")
    summary = run.summary
    assert summary["status"] == "diverged"
    assert summary["train_accuracy"] is None
    with pytest.raises(CheckpointError, match="diverged in its first epoch"):
        run.model  # noqa: B018
    assert summary["epochs"] == 1
    json.loads((tmp_path / "a" / "summary.json").read_text(), parse_constant=lambda text: pytest.fail(text))


def test_splits_that_are_not_asked_for_are_left_out(here):
    run = train("data=iris", "data.val_fraction=0", "data.test_fraction=0", "epochs=3", "early_stopping.patience=2")
    assert not any(name.startswith(("val_", "test_")) for name in [*run.metrics.columns, *run.summary])
    assert run.summary["best_epoch"] == run.metrics["train_loss"].idxmin() + 1
    assert run.summary["best_train_loss"] == run.metrics["train_loss"].min()
    iris = load_iris(as_frame=True)
    table = iris.data.assign(target=iris.target_names[iris.target])
    assert run.evaluate(table)["loss"] == pytest.approx(run.summary["best_train_loss"], rel=1e-5)


def test_regression_is_measured_in_the_units_of_the_target(here):
    from sklearn.datasets import load_diabetes

    run = train("data=diabetes", "epochs=30", "data.test_fraction=0.3")
    assert run.summary["test_mse"] < load_diabetes().target.var()
    assert run.summary["test_r2"] > 0.3
    assert math.isclose(run.summary["test_mse"], run.summary["test_loss"] * run.encoder.target_scale**2, rel_tol=1e-5)


def test_the_parabola_is_found(here):
    run = train(
        "data=quadratic",
        "model=polynomial",
        "optimizer=sgd",
        "optimizer.lr=0.1",
        "bs=8",
        "epochs=200",
        "precision=float64",
    )
    setup = nettrain.preparation.prepare.prepare(run._parts, here / "unused")
    rows = setup.data.splits["train"]
    closed_form = np.polyfit(setup.data.x[rows, 0], setup.data.y[rows], 2)
    last = load_checkpoint(run.folder / "checkpoints" / "last.pt")["model"]["weight"][0]
    assert last.numpy() == pytest.approx(closed_form, abs=0.05)


@pytest.mark.sample(3)
@pytest.mark.parametrize("optimizer", [name for name in parts("optimizer") if name != "torch"])
def test_every_optimizer_lowers_the_loss(here, optimizer):
    budget = ["bs=8", "epochs=15"] if issubclass(parts("optimizer")[optimizer], Rule) else ["epochs=60"]
    run = train("data=breast_cancer", f"optimizer={optimizer}", "model.hidden=[4]", *budget)
    assert run.metrics["train_loss"].iloc[-1] < 0.5 * math.log(2)  # of a network that knows nothing


@pytest.mark.parametrize("schedule", [name for name in parts("schedule") if name != "torch"])
def test_every_schedule_is_recorded_as_it_is_used(here, schedule):
    run = train("data=iris", f"schedule={schedule}", "schedule.warmup=2", "epochs=12", "optimizer.lr=0.01")
    lr = run.metrics["lr"]
    assert lr.iloc[0] < 0.01
    assert lr.max() <= 0.01
    assert (schedule in ("constant", "plateau")) == (lr.iloc[-1] == 0.01)


@pytest.mark.parametrize("activation", parts("activation"))
def test_every_activation_trains(here, activation):
    run = train("data=moons", f"activation={activation}", "epochs=20", "bs=16")
    assert run.summary["test_accuracy"] > 0.75


@pytest.mark.parametrize("model", ["gru", "lstm", "linear", "transformer", "_target_"])
def test_a_model_that_does_not_use_the_activation_says_so(here, capsys, model):
    words = {"_target_": "model._target_=torch.nn.Linear", "linear": "model=linear"}
    nettrain.train(words.get(model, f"data=digits_rows model={model}") + " activation=silu epochs=0 tensorboard=false")
    named = "model._target_=torch.nn.Linear" if model == "_target_" else f"model={model}"
    assert (f"activation=silu: {named} does not use it" in capsys.readouterr().out) == (model != "transformer")


def test_a_model_of_the_usual_activation_says_nothing_of_it(here, capsys):
    nettrain.train("data=digits_rows model=gru epochs=0 tensorboard=false")
    assert "activation" not in capsys.readouterr().out


def test_a_step_network_says_that_gradients_train_only_its_last_layer(here, capsys):
    run = nettrain.train(["activation=step", "epochs=2", "tensorboard=false"])
    assert "trains nothing but the last layer" in capsys.readouterr().out
    setup = nettrain.preparation.prepare.prepare(run._parts, here / "unused")
    last = load_checkpoint(run.folder / "checkpoints" / "last.pt")["model"]
    changed = {name for name, value in setup.model.state_dict().items() if not torch.equal(value, last[name])}
    assert changed == {"layers.2.weight", "layers.2.bias"}


def test_metrics_are_a_pandas_table(here):
    assert isinstance(train("data=iris", "epochs=2").metrics, pandas.DataFrame)


def test_weights_that_are_no_longer_finite_after_the_last_update_are_noticed(here):
    run = train("data=diabetes", "model=linear", "bs=full", "optimizer=sgd", "optimizer.lr=1e38", "epochs=2")
    assert run.summary["status"] == "diverged"
    assert "test_loss" not in run.summary or math.isfinite(run.summary["test_loss"])


def test_an_epoch_whose_validation_loss_is_not_finite_is_never_the_best(here, monkeypatch):
    from nettrain.training import epoch

    evaluate, calls = epoch.evaluate, []

    def first_is_nan(stack, engine, split, w):
        numbers = evaluate(stack, engine, split, w)
        if split == "val" and not calls:
            calls.append(split)
            numbers["val_loss"] = numbers["val_loss"] * math.nan
        return numbers

    monkeypatch.setattr(epoch, "evaluate", first_is_nan)
    assert train("data=iris", "epochs=5").summary["best_epoch"] == 5


def test_min_delta_decides_when_to_stop_but_not_which_weights_are_best(here):
    run = train("data=wine", "epochs=20", "early_stopping.min_delta=5", "early_stopping.patience=6")
    assert run.summary["epochs"] == 7
    assert run.summary["best_epoch"] == run.metrics["val_loss"].idxmin() + 1 > 1


def test_a_budget_within_an_epoch_leaves_a_run_that_goes_on_exactly(here):
    whole = train("data=iris", "epochs=3")
    cut = train("data=iris", "epochs=3", "budget.updates=6")
    assert cut.summary["updates"] == cut.metrics["step"].iloc[-1] == 6
    nettrain.train([f"resume={cut.folder}", "budget.updates=null"])
    a, b = (load_checkpoint(run.folder / "checkpoints" / "last.pt") for run in (whole, cut))
    assert all(torch.equal(a["model"][name], b["model"][name]) for name in a["model"])
    assert nettrain.Run(cut.folder).metrics["step"].tolist() == whole.metrics["step"].tolist()


def test_large_targets_with_a_small_spread_are_measured_in_their_own_units(here):
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    table = pandas.DataFrame({"x": x, "y": 1e8 + 3 * x + rng.normal(size=400)})
    table.to_csv(here / "t.csv", index=False)
    run = train("data=csv", "recipe=plain", "data.path=t.csv", "data.target=y", "model=linear", "optimizer.lr=0.05")
    assert run.summary["test_mse"] == pytest.approx(1, rel=0.5)
    assert run.predict(table)["prediction"].nunique() > 390


def test_the_caller_s_random_numbers_are_left_alone(here):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train("data=iris", "epochs=1", "model._target_=torch.nn.Linear")
    assert torch.equal(torch.rand(3), expected)


def test_accumulation_makes_the_updates_of_whole_batches(here):
    common = ["data=iris", "bs=32", "epochs=4", "precision=float64", "model.dropout=0.2"]
    whole, parts_ = train(*common), train(*common, "accumulate=4")
    assert parts_.summary["updates"] == whole.summary["updates"]
    a, b = (load_checkpoint(run.folder / "checkpoints" / "last.pt")["model"] for run in (whole, parts_))
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-9, atol=1e-12)


def test_bf16_trains_as_well_and_its_checkpoints_are_float32(here):
    runs = [train("data=digits", "epochs=5", f"precision={precision}") for precision in ("float32", "bf16")]
    accuracies = [run.summary["val_accuracy"] for run in runs]
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.03)
    assert runs[0].summary["train_loss"] != runs[1].summary["train_loss"]
    checkpoint = load_checkpoint(runs[1].folder / "checkpoints" / "last.pt")
    tensors = [*checkpoint["model"].values(), *checkpoint["optimizer"].values()]
    assert {tensor.dtype for tensor in tensors} == {torch.float32}
