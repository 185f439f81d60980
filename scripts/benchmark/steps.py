"""Seconds per step of every loop, for some network sizes and batch sizes, and for some numbers of samples."""

from dataclasses import asdict
from typing import Any

from benchmark.loops import LOOPS, Work, work
from benchmark.timing import alternating

HIDDEN = [[64, 64], [256, 256], [1024, 1024]]
BATCH_SIZES = [1, 8, 64, 512]
SAMPLES = 1257  # of digits' training split; fewer where they would make more than 128 steps
MANY_SAMPLES = [1_000, 10_000, 100_000]


def grid(seconds: float) -> list[dict[str, Any]]:
    """A cell for every size and batch size; `seconds` are spent on each."""
    return [
        cell(work(hidden, bs, min(SAMPLES, 128 * bs)), list(LOOPS), seconds) for hidden in HIDDEN for bs in BATCH_SIZES
    ]


def samples(seconds: float) -> list[dict[str, Any]]:
    """How the cost of a step depends on the number of samples, at bs=64."""
    names = ["PyTorch, in memory, fused", "nettrain, eager", "nettrain, compiled"]
    return [cell(work([64, 64], 64, n), names, seconds) for n in MANY_SAMPLES]


def cell(w: Work, names: list[str], seconds: float) -> dict[str, Any]:
    """The spreads of some loops on one work; loops whose library is missing are left out."""
    measures = {}
    for name in names:
        try:
            measures[name] = LOOPS[name](w)
        except ImportError as error:
            print(f"{name}: left out, {error}")
    spreads = alternating(measures, seconds)
    return {
        "hidden": w.hidden,
        "parameters": w.run.parameters,
        "bs": w.bs,
        "samples": len(w.y),
        "seconds": {name: asdict(spread) for name, spread in spreads.items()},
    }
