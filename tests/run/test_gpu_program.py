"""The program for a GPU, on a processor: a thread for each block computes what the eager engine computes."""

import ctypes
from pathlib import Path

import numpy as np
import pytest
import torch
from beside import CPU, setups
from test_engines import DATA, RULES
from test_rows import HEADS

from nettrain.compiler.gpu import GPU
from nettrain.compiler.library import library
from nettrain.config.schema import parts
from nettrain.storage.checkpoint_files import load_checkpoint
from nettrain.training.engines import compiled
from nettrain.training.engines.gpu_program import program_text
from nettrain.training.engines.program import program_functions
from nettrain.training.trainer import Trainer

EMULATION = (Path(__file__).parent / "gpu_emulation.h").read_text()


class Emulated:
    """A GpuProgram whose blocks run one after another, in this process."""

    limit = 2**18

    def __init__(self, stack, group, noisy, threads, abandon):
        functions = program_functions(stack, group, noisy, GPU, optional=("g",))
        self.text = program_text(functions, self.limit, threads=1, lanes=1)
        self.built = library(EMULATION + self.text.text, abandon, print)

    def calls(self, name, rows, *arguments):
        yield lambda: self._launch(name, rows, arguments)

    def _launch(self, name, rows, arguments):
        spilled = torch.empty(max(1, rows * self.text.memory[name].spilled), dtype=torch.uint8)
        passed = [_argument(value) for value in (*arguments, spilled)]
        for row in range(rows):
            self.built.block(row)
            getattr(self.built, name)(*passed)


def _argument(value):
    if isinstance(value, torch.Tensor):
        return ctypes.c_void_p(value.data_ptr())
    return None if value is None else ctypes.c_int64(value)


@pytest.fixture(autouse=True)
def gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(compiled, "ProcessorProgram", Emulated)


def assert_equal_to_eager(here, *common, rows, tolerance=1e-12):
    ended = {}
    for engine in ("eager", "compiled"):
        ended[engine] = Trainer(setups(here / engine, f"engine={engine}", *common, rows=rows), CPU).run()
    for one, other in zip(ended["compiled"], ended["eager"], strict=True):
        for name in ("val_loss", "gradient_norm", "update_to_weight"):
            assert one.last[name] == pytest.approx(other.last[name], rel=1000 * tolerance)
        for checkpoint in ("last.pt", "best.pt"):
            a, b = (load_checkpoint(row.run.folder / "checkpoints" / checkpoint) for row in (one, other))
            for kind in ("model", "optimizer"):
                for name, tensor in b.get(kind, {}).items():
                    torch.testing.assert_close(a[kind][name], tensor, rtol=0, atol=tolerance)


@pytest.mark.sample(4)
@pytest.mark.parametrize("i", range(9))
def test_every_rule_head_and_activation(here, i):
    activation, head = list(parts("activation"))[i], list(DATA)[i % 3]
    common = [f"data={DATA[head]}", f"activation={activation}", f"optimizer={RULES[i % len(RULES)]}", f"head={head}"]
    common += ["model.hidden=[6,5]", "bs=32", "epochs=5", "optimizer.weight_decay=0.01"]
    common += ["optimizer.clip_norm=1"] if i % 2 else ["model.dropout=0.2"]
    assert_equal_to_eager(here, *common, rows=["seed=1", "seed=2"])


@pytest.mark.sample(3)
@pytest.mark.parametrize("head", HEADS[3:])
def test_heads_with_other_likelihoods(here, head):
    assert_equal_to_eager(here, *head.split(), "model.hidden=[6]", "epochs=3", rows=["seed=1"])


def test_wide_layers_rows_of_their_own_and_a_vector_of_samples_weights(here):
    """Columns with an even stride are read from different places on, and every row has samples of its own."""
    rows = ["seed=1 optimizer.lr=0.01", "seed=2 model.dropout=0.3", "optimizer=sgd seed=3"]
    assert_equal_to_eager(
        here, "data=digits", "model.hidden=[40,33]", "bs=50", "epochs=1", "class_weight=balanced", rows=rows
    )


def test_four_numbers_at_a_time_in_float32(here):
    common = ["data=digits", "precision=float32", "model.hidden=[24,20]", "bs=48", "epochs=1"]
    assert_equal_to_eager(here, *common, rows=["seed=1", "seed=2"], tolerance=2e-6)


def test_a_convolutional_network(here):
    common = ["data=digits_images", "model=cnn", "model.channels=[3,4]", "model.hidden=[5]", "bs=60", "epochs=1"]
    assert_equal_to_eager(here, *common, rows=["seed=1", "seed=2"])


def test_a_recurrent_network(here):
    x = np.random.default_rng(0).normal(size=(60, 3, 4))
    np.savez("x.npz", x=x, y=x[:, 0, 0] > x[:, 2, 1])
    common = ["data=npz", "data.path=x.npz", "model=gru", "model.bidirectional=true", "model.hidden=5", "bs=16"]
    assert_equal_to_eager(here, *common, "epochs=2", rows=["seed=1", "seed=2"])


def test_what_does_not_fit_into_a_block_s_memory_lies_in_that_of_the_device(here, monkeypatch):
    monkeypatch.setattr(Emulated, "limit", 9000)
    assert_equal_to_eager(here, "data=wine", "model.hidden=[30,20]", "bs=16", "epochs=3", rows=["seed=1", "seed=2"])


def test_a_batch_that_does_not_fit_is_said(here, monkeypatch):
    monkeypatch.setattr(Emulated, "limit", 1000)
    with pytest.raises(Exception, match="a batch does not fit into a block's memory"):
        assert_equal_to_eager(here, "data=wine", "bs=100", "epochs=1", rows=["seed=1"])
