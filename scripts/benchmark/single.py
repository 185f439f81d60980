"""Single networks whose arithmetic takes the time: a small residual network on 3x32x32 images, and a transformer.

Each measurement is the seconds of an update with Adam, in float32; the peers are made of the same torch layers.
"""

import copy
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark.networks import Measure, nettrain, prepared
from benchmark.timing import alternating, seconds_of
from torch import Tensor, nn

from nettrain.preparation.prepared import PreparedRun

SAMPLES = 128
RESIDUAL = ["model=cnn", "model.channels=[16,32,64]", "model.blocks=1", "model.norm=batch", "model.hidden=[]"]


def _arrays(shape: tuple[int, ...], kind: type) -> Path:
    """Noise of a shape, with ten classes."""
    rng, path = np.random.default_rng(0), Path(tempfile.mkdtemp()) / "noise.npz"
    np.savez(path, x=rng.normal(size=(2 * SAMPLES, *shape)).astype(kind), y=rng.integers(0, 10, 2 * SAMPLES))
    return path


WORKS: dict[str, Callable[[], PreparedRun]] = {
    "residual network, 3x32x32": lambda: prepared(
        "data=npz", f"data.path={_arrays((3, 32, 32), np.float32)}", *RESIDUAL, "model.flatten=false"
    ),
    "transformer, 64 steps of 32": lambda: prepared(
        "data=npz", f"data.path={_arrays((64, 32), np.float32)}", "model=transformer", "model.layers=2"
    ),
}


class Residual(nn.Module):
    """The layers of a residual network of nettrain's, called one after the other."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = copy.deepcopy(model)

    def forward(self, x: Tensor) -> Tensor:
        def normed(part: Any, x: Tensor) -> Tensor:
            return part.norm(part.conv(x))

        for stem in self.model.stem:
            x = torch.relu(normed(stem, x))
        for block in (block for stage in self.model.stages for block in stage):
            inside = normed(block.conv2, torch.relu(normed(block.conv1, x)))
            x = torch.relu(inside + (normed(block.shortcut, x) if hasattr(block, "shortcut") else x))
        return self.model.linear(x.mean((-2, -1)))


class Encoder(nn.Module):
    """The same of a transformer; its layers are torch's."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = copy.deepcopy(model)

    def forward(self, x: Tensor) -> Tensor:
        x = self.model.embedding(x) + self.model.positions
        for layer in self.model.layers:
            x = layer(x)
        return self.model.linear(self.model.norm(x).mean(1))


def plain(run: PreparedRun, last: bool, compiled: bool) -> Measure:
    """A plain loop, also with channels last, and by torch.compile."""
    net = (Residual if run.config.model.name == "cnn" else Encoder)(run.model).train()
    rows = run.data.splits["train"]
    x, y = torch.as_tensor(np.asarray(run.data.x)[rows]), torch.as_tensor(run.data.y[rows])
    if last and x.dim() == 4:
        net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    call, bs = torch.compile(net) if compiled else net, run.config.bs
    assert sum(p.numel() for p in net.parameters()) == run.parameters

    def epoch() -> None:
        order = torch.randperm(len(y))
        for chosen in order.split(bs):
            optimizer.zero_grad()
            nn.functional.cross_entropy(call(x[chosen]), y[chosen]).backward()
            optimizer.step()

    return seconds_of(epoch, run.updates_per_epoch)


def single(seconds: float) -> list[dict[str, Any]]:
    """A cell for every network."""
    cells = []
    for name, maker in WORKS.items():
        run = maker()
        makers = {
            "nettrain": partial(nettrain, run),
            "nettrain, inductor": partial(nettrain, replace(run, config=replace(run.config, engine="inductor"))),
            "PyTorch, in memory, fused": partial(plain, run, False, False),
            "PyTorch, channels last": partial(plain, run, True, False),
            "PyTorch, channels last, torch.compile": partial(plain, run, True, True),
        }
        spreads = alternating({key: make() for key, make in makers.items()}, seconds)
        cells.append({"name": name, "seconds": {key: asdict(spread) for key, spread in spreads.items()}})
    return cells
