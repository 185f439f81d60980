"""Runs as rows of a stack, and the same runs alone."""

from functools import lru_cache

import pytest
import torch
from hydra.types import RunMode

from nettrain.config.build import to_config
from nettrain.config.compose import Composer, composing_sweeps
from nettrain.config.overrides import with_module
from nettrain.config.schema import GROUPS, Config, config_folder, parts, register
from nettrain.hydra_versions import Loader
from nettrain.preparation.prepare import prepare
from nettrain.storage.checkpoint_files import load_checkpoint
from nettrain.training.device import choose_device
from nettrain.training.run_state import RunState
from nettrain.training.trainer import Trainer

CPU = torch.device("cpu")


@lru_cache(maxsize=1)
def _composer(_known: tuple[type, ...]) -> Composer:
    """With it Hydra composes once what differs in plain values alone; tests/app/test_composition.py compares the two.

    A test that brings parts of its own gets another one.
    """
    loader = Loader(config_folder(), around=composing_sweeps)
    return Composer(loader, loader.load_configuration("train", [], RunMode.MULTIRUN))


def configured(*overrides: str) -> Config:
    register()
    composer = _composer(tuple(part for group in GROUPS for part in parts(group).values()))
    return to_config(composer.compose(with_module(list(overrides))).task.copy())


def setups(folder, *common, rows):
    made = []
    for i, own in enumerate(rows):
        config = configured("quiet=true", "tensorboard=false", "precision=float64", *common, *own.split())
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
