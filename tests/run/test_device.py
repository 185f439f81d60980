"""Training on an accelerator, simulated: the same bits as on the CPU, and no transfer that a step waits for."""

import pytest
import simgpu
import torch
from test_rows import CPU, RULES, setups

from nettrain import samples
from nettrain.errors import ConfigError
from nettrain.preparation.checks import check_device
from nettrain.storage.checkpoint_files import load_checkpoint
from nettrain.training.device import choose_device
from nettrain.training.signals import Signals
from nettrain.training.trainer import Trainer

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="torch takes one accelerator; test_gpu.py has that one"
)


def on_device(setups):
    with simgpu.SimMode():
        return Trainer(setups, simgpu.setup()).run()


def timeless(row):
    return {name: value for name, value in row.summary.items() if name != "seconds"}


@pytest.mark.parametrize("optimizer", RULES)
def test_a_run_on_the_device_gives_the_bits_of_the_cpu(here, optimizer):
    rows = [f"optimizer={optimizer} optimizer.weight_decay=0.01 optimizer.clip_norm=1"]
    (device,) = on_device(setups(here / "device", "data=wine", "epochs=3", rows=rows))
    (host,) = Trainer(setups(here / "host", "data=wine", "epochs=3", rows=rows), CPU).run()
    assert timeless(device) == timeless(host)
    a, b = (load_checkpoint(row.run.folder / "checkpoints" / "last.pt") for row in (device, host))
    for kind in ("model", "optimizer"):
        assert all(torch.equal(a[kind][name], b[kind][name]) for name in b[kind])


@pytest.mark.parametrize("data", ["iris", "breast_cancer", "diabetes"])
@pytest.mark.parametrize("dropout", [0, 0.3])
def test_every_head_and_dropout_on_the_device(here, data, dropout):
    common = [f"data={data}", "epochs=2", f"model.dropout={dropout}"]
    (device,) = on_device(setups(here / "device", *common, rows=["seed=1"]))
    (host,) = Trainer(setups(here / "host", *common, rows=["seed=1"]), CPU).run()
    assert timeless(device) == timeless(host)


@pytest.mark.sample(5)
@pytest.mark.parametrize("optimizer", RULES)
@pytest.mark.parametrize("rows", [["seed=1"], ["seed=1", "seed=2 optimizer.lr=0.003"]], ids=["run", "stack"])
def test_no_step_waits_for_the_device(here, optimizer, rows):
    """Four times the steps of an epoch: not one transfer more."""
    seen = []
    for bs in (32, 8):
        common = ["data=breast_cancer", f"optimizer={optimizer}", f"bs={bs}", "model.dropout=0.1"]
        made = setups(here / str(bs), *common, "optimizer.clip_norm=1", rows=rows)
        with simgpu.SimMode(), Signals() as signals:
            trainer = Trainer(made, simgpu.setup())
            trainer.choose_engine(signals)
            rates = trainer.learning_rates()
            simgpu.transfers.clear()
            trainer.train_epoch(rates, signals)
        seen.append(dict(simgpu.transfers))
    assert seen[0] == seen[1]
    assert {kind for kind, _ in seen[0]} <= {"copy to device"}


def test_a_tensor_on_the_wrong_device_raises():
    with simgpu.SimMode():
        a = torch.ones(3).to(simgpu.setup())
        with pytest.raises(simgpu.MixedDevices):
            a + torch.ones(3)


def test_a_planted_read_back_is_seen():
    with simgpu.SimMode():
        a = torch.ones(3).to(simgpu.setup())
        simgpu.transfers.clear()
        a.sum().item()
    assert [kind for kind, _ in simgpu.transfers] == ["scalar read back"]


@pytest.mark.parametrize(
    ("name", "devices", "sentence"),
    [
        ("cuda:1", 1, "device=cuda:1: torch finds cuda:0 alone on this machine"),
        ("cuda:7", 4, "device=cuda:7: torch finds cuda:0 to cuda:3 on this machine"),
        ("cuda:0", 0, "device=cuda:0: torch finds no CUDA device on this machine"),
        ("cuda:-1", 4, "device=cuda:-1: device must be one of"),
        ("cuda:", 4, "device=cuda:: device must be one of"),
        ("mps:1", 4, "device=mps:1: device must be one of"),
        ("mps", 4, "device=mps: torch finds no Apple GPU"),
    ],
)
def test_a_device_that_is_not_there_is_refused_with_those_that_are(name, devices, sentence, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    with pytest.raises(ConfigError, match=sentence):
        choose_device(name)


def test_a_device_by_its_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert choose_device("cuda:3") == torch.device("cuda", 3)
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    "words",
    [
        "data=wine model.dropout=0.2 class_weight=balanced calibrate=auto",
        "data=breast_cancer model=resmlp model.dropout=0.1 on_divergence=skip_step",
        "data=diabetes watch.histograms_every=1",
        "data=digits_images model=cnn debug.samples=40",
    ],
)
@pytest.mark.parametrize("rows", [[""], ["seed=1", "seed=2 optimizer.lr=0.01"]], ids=["alone", "stack"])
def test_a_device_without_float64_trains_as_the_cpu_does(here, words, rows):
    samples.WITHOUT_DOUBLES.add(simgpu.NAME)
    try:
        common = [*words.split(), "precision=float32", "engine=eager", "epochs=2"]
        device = on_device(setups(here / "device", *common, rows=rows))
        host = Trainer(setups(here / "host", *common, rows=rows), CPU).run()
        assert [timeless(row) for row in device] == [timeless(row) for row in host]
    finally:
        samples.WITHOUT_DOUBLES.discard(simgpu.NAME)


def test_float64_is_refused_on_a_device_that_has_none(here):
    (run,) = setups(here, "data=iris", rows=[""])
    with pytest.raises(ConfigError, match="precision=float64: device=mps has no such numbers"):
        check_device(run.config, torch.device("mps"))
