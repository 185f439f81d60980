"""K runs trained as the rows of one matrix equal the same runs trained alone."""

import tempfile
import time
from pathlib import Path

import pytest
import torch
from beside import CPU, assert_equal, assert_equal_to_alone, setups
from hypothesis import given, settings
from hypothesis import strategies as st

from nettrain.app.sweep.stacks import Cache
from nettrain.config.schema import parts
from nettrain.optimizers.rules import Rule
from nettrain.preparation.rows import data_bytes, row_bytes, rows_that_fit
from nettrain.storage.checkpoint_files import load_checkpoint
from nettrain.training.stack.compatibility import shared_shapes
from nettrain.training.stack.rates import noises
from nettrain.training.stack.stack import Stack
from nettrain.training.trainer import Trainer

RULES = [name for name, part in parts("optimizer").items() if issubclass(part, Rule)]


@pytest.mark.sample(2)
@pytest.mark.parametrize("optimizer", RULES)
def test_every_rule_with_hyperparameters_of_each_row_s_own(here, optimizer):
    extra = {
        "momentum": "optimizer.momentum=0.5",
        "rmsprop": "optimizer.momentum=0.5",
        "adagrad": "optimizer.lr_decay=0.1",
    }
    rows = ["seed=1", "seed=2 optimizer.lr=0.003", f"seed=3 optimizer.weight_decay=0.1 {extra.get(optimizer, '')}"]
    assert_equal_to_alone(here, "data=iris", f"optimizer={optimizer}", "epochs=8", rows=rows)


def test_chaotic_training_has_the_bits_of_the_run_alone(here):
    """At these rates the last bit of a weight decides about its first one some hundred updates later."""
    common = ["data=breast_cancer", "model.hidden=[32,32]", "bs=8", "drop_last=true", "epochs=6"]
    rows = [f"optimizer={name} optimizer.lr=0.1 seed={seed}" for name in ("adam", "rmsprop") for seed in range(3)]
    for row in assert_equal_to_alone(here, *common, rows=rows):
        alone = load_checkpoint(here / "alone" / row.run.folder.name / "checkpoints" / "last.pt")
        together = load_checkpoint(row.run.folder / "checkpoints" / "last.pt")
        assert all(torch.equal(alone["model"][name], tensor) for name, tensor in together["model"].items())


HEADS = [
    *("data=breast_cancer", "data=wine", "data=diabetes"),
    *(f"data=diabetes head={name}" for name in ("normal", "poisson", "huber", "quantile")),
    *("data=iris head=ordinal", "data=breast_cancer head=sigmoid_bce head.label_smoothing=0.1 head.focal=1"),
]


@pytest.mark.sample(2)
@pytest.mark.parametrize("head", HEADS)
def test_every_head_with_splits_of_each_row_s_own(here, head):
    assert_equal_to_alone(here, *head.split(), "epochs=5", rows=["seed=1", "seed=2"])


def test_dropout_has_a_stream_and_a_rate_of_each_row_s_own(here):
    rows = ["seed=1 model.dropout=0.1", "seed=1 model.dropout=0.5", "seed=4 model.dropout=0"]
    assert_equal_to_alone(here, "data=wine", "epochs=5", rows=rows)


def test_the_noise_of_a_row_depends_on_its_seed_and_on_nothing_else(here):
    common = ["data=wine", "model.dropout=0.2", "data.split_seed=0"]
    stack = Stack(setups(here, *common, rows=["seed=1", "seed=2", "seed=1"]), CPU)
    keys = torch.stack([noise.key for noise in noises(stack, 0)]).flatten(1)
    assert torch.equal(keys[:, 0], keys[:, 2])
    assert (keys[:, 0] != keys[:, 1]).all()
    assert len(set(keys[:, 0].tolist())) == len(keys)


def test_schedules_epochs_and_early_stopping_are_each_row_s_own(here):
    rows = [
        "schedule=cosine epochs=3",
        "schedule=plateau schedule.patience=1 epochs=12",
        "schedule=one_cycle schedule.warmup=1 epochs=12",
        "epochs=40 early_stopping.patience=2",
    ]
    together = assert_equal_to_alone(here, "data=wine", "optimizer.lr=0.03", rows=rows)
    assert [row.summary["epochs"] for row in together][:3] == [3, 12, 12]
    assert together[3].summary["epochs"] < 40


def test_the_seconds_of_rows_add_up_to_those_of_their_stack(here):
    began = time.monotonic()
    runs = setups(here, "data=iris", "optimizer=adam", rows=["epochs=100", "epochs=150", "epochs=400"])
    rows = Trainer(runs, CPU, stacked=True).run()
    first, second, third = (row.summary["seconds"] for row in rows)
    assert 0 < first < second < third
    ends = [float(row.last["seconds"]) for row in rows]  # of the whole stack
    assert ends[0] / 3 < first < ends[1] / 3
    assert ends[1] / 3 < second < ends[2] / 2
    assert 0.8 * ends[2] < first + second + third < time.monotonic() - began


def test_a_row_that_diverges_leaves_the_others_as_they_are(here):
    rows = ["seed=1", "seed=2 optimizer.lr=1e200", "seed=3"]
    together = assert_equal_to_alone(here, "data=iris", "optimizer=sgd", "epochs=6", rows=[rows[0], rows[2]])
    poisoned = Trainer(setups(here / "poisoned", "data=iris", "optimizer=sgd", "epochs=6", rows=rows), CPU).run()
    assert [row.status for row in poisoned] == ["completed", "diverged", "completed"]
    assert_equal(poisoned[0], together[0])
    assert_equal(poisoned[2], together[1])


def test_the_polynomial_and_a_clipped_gradient(here):
    rows = ["seed=1 optimizer.clip_norm=0.5", "seed=2 optimizer.clip_norm=5"]
    assert_equal_to_alone(here, "data=quadratic", "model=polynomial", "bs=7", "epochs=5", rows=rows)


def test_every_rule_in_one_stack_with_switches_of_each_row_s_own(here):
    rows = [f"optimizer={name} seed={seed}" for seed in (1, 2) for name in RULES]
    rows += ["optimizer=momentum optimizer.nesterov=true", "optimizer=adam optimizer.amsgrad=true"]
    rows += ["optimizer=rmsprop optimizer.momentum=0.5", "optimizer=adam optimizer.eps=0 optimizer.clip_norm=1"]
    rows += ["optimizer=adagrad optimizer.lr=1e200 epochs=9", "optimizer=sgd epochs=3"]
    together = assert_equal_to_alone(here, "data=iris", "epochs=6", rows=rows)
    assert {row.status for row in together} == {"completed", "diverged"}


def test_rows_with_the_same_seed_share_their_samples(here):
    same = setups(here / "same", "data=iris", rows=["optimizer.lr=0.1", "optimizer.lr=0.01"])
    same[1].data = same[0].data
    stack = Stack(same, CPU)
    x, y = next(stack.batches.of_epoch(0))
    assert x.shape == (32, 4)
    assert y.shape == (32,)
    other = setups(here / "other", "data=iris", "seed=5", rows=["optimizer.lr=0.1"])[0]
    three = Stack([*same, other], CPU)
    assert three.batches.splits["train"][0].shape == (2 * other.n_train, 4)
    x, y = next(three.batches.of_epoch(0))
    torch.testing.assert_close(x[0], x[1])
    assert not torch.equal(x[0], x[2])
    three.select([2])
    assert three.batches.splits["train"][0].shape == (other.n_train, 4)
    torch.testing.assert_close(next(three.batches.of_epoch(0))[0], x[2])


class Foreign(torch.nn.Module):
    """Norm layer, frozen weights that differ by seed, a tied weight and a buffer: whatever a row has to keep apart."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.first = torch.nn.Linear(in_features, 6, bias=False)  # before a norm its gradient is rounding alone
        self.norm = torch.nn.BatchNorm1d(6)
        self.frozen = torch.nn.Linear(6, 6)
        self.frozen.requires_grad_(False)
        self.tied = torch.nn.Linear(6, 6)
        self.tied.weight = self.frozen.weight
        self.last = torch.nn.Linear(6, out_features)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen += len(x)
        return self.last(torch.tanh(self.tied(self.frozen(torch.relu(self.norm(self.first(x)))))))


def test_a_foreign_module_with_norm_layers_frozen_weights_and_buffers(here):
    foreign = ["model=module", f"model._target_={Foreign.__module__}.Foreign"]
    rows = ["seed=1", "seed=2 optimizer=sgd", "seed=2 epochs=3", "seed=3 early_stopping.patience=1 optimizer.lr=0.3"]
    assert_equal_to_alone(here, "data=wine", "epochs=6", *foreign, rows=rows)


OWN = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 99),
        "optimizer": st.sampled_from(RULES),
        "optimizer.lr": st.floats(1e-4, 0.05),
        "optimizer.weight_decay": st.sampled_from([0.0, 0.01]),
        "optimizer.clip_norm": st.sampled_from(["null", 0.5]),
        "schedule": st.sampled_from([name for name in parts("schedule") if name != "torch"]),
        "schedule.warmup": st.sampled_from([0, 1]),
        "model.dropout": st.sampled_from([0.0, 0.3]),
        "epochs": st.integers(0, 6),
        "early_stopping.patience": st.sampled_from(["null", 1]),
    }
)
COMMON = st.fixed_dictionaries(
    {
        "data": st.sampled_from(["iris", "breast_cancer", "diabetes"]),
        "model.hidden": st.sampled_from(["[]", "[5]", "[6,4]"]),
        "activation": st.sampled_from(list(parts("activation"))),
        "bs": st.sampled_from([16, 50, "full"]),
        "drop_last": st.booleans(),
    }
    # Standardised targets in one batch: the last bias has no gradient but rounding, which Adam makes a step of its own.
).filter(lambda common: (common["data"], common["bs"]) != ("diabetes", "full"))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(COMMON, st.lists(OWN, min_size=2, max_size=4))
def test_rows_of_any_configs_equal_the_same_runs_alone(common, rows):
    texts = [" ".join(f"{key}={value}" for key, value in row.items()) for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        assert_equal_to_alone(Path(folder), *(f"{key}={value}" for key, value in common.items()), rows=texts)


def test_a_row_saves_nothing_of_the_others(here):
    rows = [f"seed={seed} optimizer.lr=0.01" for seed in range(8)]
    together = Trainer(setups(here / "together", "data=iris", "epochs=1", rows=rows), CPU).run()
    (alone,) = Trainer(setups(here / "alone", "data=iris", "epochs=1", rows=rows[:1]), CPU).run()
    sizes = [(row.run.folder / "checkpoints" / "last.pt").stat().st_size for row in (*together, alone)]
    assert max(sizes) < 1.1 * sizes[-1]


FOLDS = [
    "data=wine",
    "data=diabetes drop_last=true",
    "data=iris class_weight=balanced split.column=petal_width",
    "data=iris bs=full",
    "data=iris early_stopping.patience=2 optimizer.lr=0.05 epochs=12",
]


@pytest.mark.sample(3)
@pytest.mark.parametrize("engine", ["eager", "compiled"])
@pytest.mark.parametrize("common", FOLDS)
def test_folds_of_unequal_sizes_are_rows_of_one_stack(here, common, engine):
    """To the last bit with a compiled engine, whatever the number of validation rows."""
    words = [word.replace("petal_width", "'petal width (cm)'") for word in common.split()]
    common = ["epochs=4", *words, "split=fold", f"engine={engine}"]
    common += ["precision=float32"] if engine == "compiled" else []
    rows = [f"split.fold={fold} seed={seed}" for fold in range(5) for seed in (1, 2)]
    runs = setups(here / "together", *common, "data.split_seed=0", rows=rows)
    assert len({len(run.data.splits["val"]) for run in runs}) > 1 or "diabetes" in common
    assert len({shared_shapes(run) for run in runs}) == 1
    together = Trainer(runs, CPU).run()
    alone = [Trainer([run], CPU).run()[0] for run in setups(here / "alone", *common, "data.split_seed=0", rows=rows)]
    for one, other in zip(together, alone, strict=True):
        if engine == "eager":
            assert_equal(one, other)
            continue
        assert {**one.summary, "seconds": 0} == {**other.summary, "seconds": 0}
        weights = [load_checkpoint(row.run.folder / "checkpoints" / "last.pt")["model"] for row in (one, other)]
        assert all(torch.equal(weights[0][name], tensor) for name, tensor in weights[1].items())


def test_rows_of_the_same_fold_share_its_data(here):
    rows = [f"split.fold={fold} optimizer.lr={lr}" for fold in range(3) for lr in (0.1, 0.2)]
    runs = setups(here, "data=iris", "split=fold", "split.folds=3", rows=rows)
    cache = Cache()
    for run in runs:
        run.data = cache.load(run.config.data, run.config.seed, run.config.split)
    stack = Stack(runs, CPU)
    n = [len(run.data.splits["train"]) for run in runs[::2]]
    assert stack.batches.splits["train"][0].shape == (sum(n), 4)
    for row in (0, 3, 5):
        x, _ = next(stack.batches.parts("train", min(n)))
        expected = runs[row].data.x[runs[row].data.splits["train"]][: min(n)]
        torch.testing.assert_close(x[row], torch.as_tensor(expected))
    stack.select([2, 5])
    assert stack.batches.splits["train"][0].shape == (n[1] + n[2], 4)
    x, _ = next(stack.batches.parts("val", 10))
    torch.testing.assert_close(x[1], torch.as_tensor(runs[5].data.x[runs[5].data.splits["val"]][:10]))


def test_the_memory_of_a_stack_counts_shared_data_once(here):
    (run,) = setups(here, "data=iris", rows=["seed=1"])
    own, shared = row_bytes(run), data_bytes(run)
    assert rows_that_fit(run, 10 * own + 5 * shared, 5) == 10
    assert rows_that_fit(run, 3 * (own + shared), 5) == 3


def test_a_solver_sees_all_training_rows_of_its_fold(here):
    runs = setups(here, "data=wine", "split=fold", rows=[f"split.fold={f} optimizer=lbfgs bs=full" for f in range(5)])
    assert {run.batch_size for run in runs} == {len(run.data.splits["train"]) for run in runs} == {120, 121}
