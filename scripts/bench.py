"""Microseconds per training step of nettrain and of ordinary PyTorch loops, on the same work, alternating.

`make bench` prints the table and writes it to docs/bench.md. The work: an MLP 64-64-64-10 with ReLU on the 1257
training rows of digits, bs=8, Adam, float32, one thread; an epoch with shuffling, but no validation and no logging.
"""

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from nettrain.app.config import config_folder, register, to_config
from nettrain.app.prepare import prepare
from nettrain.run.signals import Signals
from nettrain.run.trainer import Trainer

BS = 8


def model() -> nn.Module:
    widths = [nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)]
    return nn.Sequential(*widths)


def dataloader_epoch(x: Tensor, y: Tensor) -> Callable[[], None]:
    """The loop of most tutorials: a DataLoader and torch.optim.Adam."""
    net, loader = model(), DataLoader(TensorDataset(x, y), BS, shuffle=True)
    return lambda: loop(net, torch.optim.Adam(net.parameters()), loader)


def in_memory_epoch(x: Tensor, y: Tensor) -> Callable[[], None]:
    """The fastest plain loop: batches are slices of a permuted copy, and Adam is fused."""
    net = model()
    optimizer = torch.optim.Adam(net.parameters(), fused=True)

    def epoch() -> None:
        order = torch.randperm(len(y))
        loop(net, optimizer, zip(x[order].split(BS), y[order].split(BS), strict=True))

    return epoch


def loop(net: nn.Module, optimizer: torch.optim.Optimizer, batches: object) -> None:
    for x, y in batches:  # type: ignore[attr-defined]
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()


def nettrain_epoch(folder: Path) -> tuple[Callable[[], None], Tensor, Tensor]:
    """The pass over the training split that every nettrain run makes; and its data."""
    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        composed = compose("train", [f"bs={BS}", "tensorboard=false"])
    trainer = Trainer([prepare(to_config(composed), folder)], torch.device("cpu"))

    def epoch() -> None:
        trainer.train_epoch(trainer.stack.learning_rates(trainer.epoch), Signals())
        trainer.epoch += 1

    return epoch, *trainer.stack.samples.splits["train"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="epochs of each loop that are timed")
    parser.add_argument("--output", type=Path, default=Path("docs/bench.md"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        ours, x, y = nettrain_epoch(Path(folder))
        loops = {
            "PyTorch, DataLoader, Adam": dataloader_epoch(x, y),
            "PyTorch, batches in memory, fused Adam": in_memory_epoch(x, y),
            "nettrain": ours,
        }
        times: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(options.rounds + 2):
            for name, epoch in loops.items():
                start = time.perf_counter()
                epoch()
                times[name].append((time.perf_counter() - start) / -(-len(y) // BS) * 1e6)
    medians = {name: statistics.median(all_[2:]) for name, all_ in times.items()}  # the first two rounds warm up
    lines = [
        f"MLP 64-64-64-10, digits, bs={BS}, Adam, float32, one thread, torch {torch.__version__}, "
        f"{platform.machine()}; median of {options.rounds} epochs, alternating, and the quartiles.",
        "",
        "| loop | microseconds per step | quartiles | nettrain is faster by |",
        "| --- | --- | --- | --- |",
    ]
    for name, median in medians.items():
        low, _, high = statistics.quantiles(times[name][2:], n=4)
        lines.append(f"| {name} | {median:.0f} | {low:.0f} to {high:.0f} | {median / medians['nettrain']:.2f} x |")
    table = "\n".join(lines) + "\n"
    print(table)
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(table)


if __name__ == "__main__":
    main()
