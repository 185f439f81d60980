"""On a real GPU: what is computed there is what the CPU computes, by every engine, and no step waits for it."""

import pytest
import torch
from beside import CPU, setups
from test_engines import DATA, RULES, assert_same
from test_rows import HEADS

import nettrain
from nettrain.config.schema import parts
from nettrain.storage.checkpoint_files import load_checkpoint
from nettrain.training.signals import Signals
from nettrain.training.trainer import Trainer

pytestmark = pytest.mark.cuda
GPU = torch.device("cuda")
ENGINES = ["eager", "graph", "compiled"]


def states(rows):
    return [load_checkpoint(row.run.folder / "checkpoints" / "last.pt") for row in rows]


def assert_equal_to_cpu(here, engine, *common, rows, tolerance=1e-10):
    common = [*common, "quiet=true"]
    cpu = Trainer(setups(here / "cpu", "engine=eager", *common, rows=rows), CPU).run()
    gpu = Trainer(setups(here / "gpu", f"engine={engine}", "device=cuda", *common, rows=rows), GPU)
    on_gpu = gpu.run()
    assert gpu.engine_name == engine
    for one, other in zip(on_gpu, cpu, strict=True):
        for name in ("train_loss", "val_loss", "gradient_norm"):
            assert one.last[name] == pytest.approx(other.last[name], rel=max(tolerance, 1e-8))
    for a, b in zip(states(on_gpu), states(cpu), strict=True):
        for name in b["model"]:
            torch.testing.assert_close(a["model"][name], b["model"][name], rtol=0, atol=tolerance)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("i", range(9))
def test_every_rule_head_and_activation(here, engine, i):
    activation, head = list(parts("activation"))[i], list(DATA)[i % 3]
    common = [f"data={DATA[head]}", f"activation={activation}", f"optimizer={RULES[i % len(RULES)]}", f"head={head}"]
    common += ["model.hidden=[6,5]", "bs=32", "epochs=5", "optimizer.weight_decay=0.01"]
    common += ["optimizer.clip_norm=1"] if i % 2 else ["model.dropout=0.2"]
    assert_equal_to_cpu(here, engine, *common, rows=["seed=1", "seed=2"])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("head", HEADS[3:])
def test_heads_with_other_likelihoods(here, engine, head):
    assert_equal_to_cpu(here, engine, *head.split(), "model.hidden=[6]", "epochs=3", rows=["seed=1"])


@pytest.mark.parametrize("engine", ENGINES)
def test_rows_of_their_own_in_a_wide_network(here, engine):
    rows = ["seed=1 optimizer.lr=0.01", "seed=2 model.dropout=0.3", "optimizer=sgd seed=3"]
    common = ["data=digits", "model.hidden=[64,33]", "bs=50", "epochs=2", "class_weight=balanced"]
    assert_equal_to_cpu(here, engine, *common, rows=rows)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("rows", [["seed=1"], ["seed=1", "seed=2"]], ids=["run", "stack"])
def test_float32(here, engine, rows):
    common = ["data=digits", "precision=float32", "bs=32", "epochs=3"]
    assert_equal_to_cpu(here, engine, *common, rows=rows, tolerance=2e-4)


@pytest.mark.parametrize("engine", ENGINES[:2])
@pytest.mark.parametrize(
    "model", ["cnn data=digits_images", "cnn model.norm=batch data=digits_images", "gru data=digits_rows"]
)
def test_networks_beyond_the_mlp(here, engine, model):
    common = [f"model={model.split()[0]}", *model.split()[1:], "epochs=2", "bs=64"]
    assert_equal_to_cpu(here, engine, *common, rows=["seed=1", "seed=2"], tolerance=1e-8)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("rows", [["seed=1"], ["seed=1", "seed=2 optimizer.lr=0.003"]], ids=["run", "stack"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_no_step_waits_for_the_device(here, engine, rows, precision):
    common = ["data=breast_cancer", "bs=32", "device=cuda", f"precision={precision}", f"engine={engine}"]
    trainer = Trainer(setups(here, *common, "model.dropout=0.1", rows=rows), GPU)
    with Signals() as signals:
        trainer.choose_engine(signals)
        trainer.train_epoch(trainer.learning_rates(), signals)
        trainer.epoch += 1
        torch.cuda.set_sync_debug_mode("error")
        try:
            trainer.train_epoch(trainer.learning_rates(), signals)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupted_run_goes_on_with_the_same_bits(here, engine):
    common = ["data=wine", "bs=8", "device=cuda", f"engine={engine}", "quiet=true", "model.dropout=0.1"]
    whole = nettrain.train([*common, "epochs=6"])
    stopped = nettrain.train([*common, "epochs=6", "budget.updates=37"])
    resumed = nettrain.train([f"resume={stopped.folder}", "budget.updates=null"])
    one, other = (load_checkpoint(run.folder / "checkpoints" / "last.pt")["model"] for run in (resumed, whole))
    assert_same(one, other)


@pytest.mark.parametrize(("first", "second"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_run_goes_on_on_the_other_device(here, first, second):
    common = ["data=wine", "bs=8", "precision=float64", "quiet=true", "epochs=6"]
    whole = nettrain.train([*common, "device=cpu"])
    stopped = nettrain.train([*common, f"device={first}", "budget.updates=37"])
    resumed = nettrain.train([f"resume={stopped.folder}", "budget.updates=null", f"device={second}"])
    one, other = (load_checkpoint(run.folder / "checkpoints" / "last.pt")["model"] for run in (resumed, whole))
    for name in other:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=1e-10)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("tf32", 1e-2), ("bf16", 5e-2)])
def test_the_error_of_each_precision(here, precision, tolerance):
    """The loss after an epoch, relative to that in float64."""
    common = ["data=digits", "model.hidden=[256]", "bs=64", "epochs=1", "quiet=true", "device=cuda"]
    exact = nettrain.train([*common, "precision=float64"]).summary["val_loss"]
    assert nettrain.train([*common, f"precision={precision}"]).summary["val_loss"] == pytest.approx(
        exact, rel=tolerance
    )


def test_auto_compiles_a_stack_of_small_networks_and_replays_others(here):
    small = Trainer(
        setups(here / "small", "data=wine", "device=cuda", "precision=float32", "epochs=1000000", rows=[""]), GPU
    )
    large = ["model.hidden=[512,512]", "data=digits", "device=cuda", "precision=float32", "epochs=1000000"]
    others = Trainer(setups(here / "large", *large, rows=[""]), GPU)
    with Signals() as signals:
        for trainer in (small, others):
            trainer.choose_engine(signals)
    assert [small.engine_name, others.engine_name] == ["compiled", "graph"]
