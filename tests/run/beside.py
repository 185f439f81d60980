"""Runs as rows of a stack, and the same runs alone."""

import pytest
import torch

from nettrain.config.build import to_config
from nettrain.config.overrides import with_module
from nettrain.config.schema import config_folder, register
from nettrain.preparation.prepare import prepare
from nettrain.storage.checkpoint_files import load_checkpoint
from nettrain.training.device import choose_device
from nettrain.training.run_state import RunState
from nettrain.training.trainer import Trainer

CPU = torch.device("cpu")


def setups(folder, *common, rows):
    from hydra import compose, initialize_config_dir

    register()
    made = []
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        for i, own in enumerate(rows):
            overrides = with_module(["quiet=true", "tensorboard=false", "precision=float64", *common, *own.split()])
            config = to_config(compose("train", overrides))
            made.append(prepare(config, folder / str(i), choose_device(config.device)))
            made[-1].folder.mkdir(parents=True)
    return made


def assert_equal_to_alone(here, *common, rows):
    together = Trainer(setups(here / "together", *common, rows=rows), CPU).run()
    alone = [Trainer([setup], CPU).run()[0] for setup in setups(here / "alone", *common, rows=rows)]
    for one, other in zip(together, alone, strict=True):
        assert_equal(one, other)
    return together


def assert_equal(one: RunState, other: RunState):
    assert one.summary.keys() == other.summary.keys()
    for name, value in other.summary.items():
        if isinstance(value, float) and name != "seconds":
            assert one.summary[name] == pytest.approx(value, rel=1e-10, abs=1e-13, nan_ok=True), name
        elif name != "seconds":
            assert one.summary[name] == value, name
    assert one.last.keys() == other.last.keys()
    for name, value in other.last.items():  # what is watched of each layer, too
        if name != "seconds":
            assert one.last[name] == pytest.approx(value, rel=1e-9, abs=1e-13, nan_ok=True), name
    assert bool(one.best) == bool(other.best)
    for checkpoint in ["last.pt", "best.pt"] if one.best else ["last.pt"]:
        a, b = (load_checkpoint(row.run.folder / "checkpoints" / checkpoint) for row in (one, other))
        assert a.keys() == b.keys()
        assert a.get("skipped") == b.get("skipped")
        for name, value in b["model"].items():
            torch.testing.assert_close(a["model"][name], value, rtol=1e-10, atol=1e-13, equal_nan=True)
