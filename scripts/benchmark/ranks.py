"""One large run shared by two ranks, beside one: a step of the large MLP, and the bytes that it moves."""

import argparse
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from benchmark.large import BS, WIDTHS
from benchmark.timing import Spread

from nettrain.objective import Objective
from nettrain.optimizers import rules
from nettrain.optimizers.parameter_groups import Factors
from nettrain.parts.activations import relu
from nettrain.parts.heads import SoftmaxCE
from nettrain.parts.models import DenseNetwork, Entry
from nettrain.ranks.group import Group
from nettrain.training.stack.rule_groups import RuleGroup, group_rules
from nettrain.training.stack.sharded_group import ShardedGroup, padded, room
from nettrain.vector import flatten

RANKS = 2
MANY = 64  # ranks of the estimate
LINK = 12.5e9  # bytes a second of a link of 100 Gbit/s, which the estimate supposes
STAGES = ("gradient", "exchange", "update")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each stage of a step, and bytes, for one rank, for two, and for two with sharded state."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    output = Path(os.environ.get("TMPDIR", "/tmp")) / f"nettrain-ranks-{os.getpid()}.json"
    processes = []
    for rank in range(RANKS):
        numbers = {"RANK": rank, "WORLD_SIZE": RANKS, "LOCAL_RANK": rank, "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
        texts = {"MASTER_ADDR": "127.0.0.1", **{name: str(number) for name, number in numbers.items()}}
        path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-m", "benchmark.ranks", str(options.seconds), str(output)]
        processes.append(subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path, **texts}))
    try:
        codes = [process.wait() for process in processes]
        if any(codes):
            raise RuntimeError("a rank of the benchmark has failed")
        numbers = json.loads(output.read_text())
    finally:
        output.unlink(missing_ok=True)
    return numbers


def page(numbers: dict[str, Any]) -> list[str]:
    """The tables as lines of Markdown."""
    p, of_one = numbers["parameters"], numbers["modes"]["one rank"]["seconds"]["median"]
    least = "2 (R - 1) numbers of 4 bytes for each parameter"
    lines = [
        f"### One run on {RANKS} ranks",
        "",
        f"MLP {'-'.join(map(str, WIDTHS))}, {p:,} parameters, bs={BS}, Adam, float32, a thread for each rank, gloo "
        "over the loopback device: seconds per update, medians of rounds in turn. The least possible bytes are those "
        f"that the interfaces of all ranks have to send for one all-reduce, {least}.",
        "",
        "| | update | gradient | exchange | rule | speed-up per rank | bytes, times the least |",
        "|" + " --- |" * 7,
    ]
    for name, mode in numbers["modes"].items():
        whole, ranks = mode["seconds"]["median"], 1 if name == "one rank" else RANKS
        stages = " | ".join(f"{mode[stage]:.3f}" for stage in STAGES)
        sent = "" if ranks == 1 else f"{mode['bytes'] / numbers['least_bytes']:.3f}"
        lines.append(f"| {name} | {whole:.3f} | {stages} | {of_one / whole / ranks:.2f} | {sent} |")
    paper = numbers["paper"]
    lines += [
        "",
        f"On paper, {MANY} ranks with the same batch, {BS // MANY} samples each: the gradient of so many samples was "
        f"measured, {paper['gradient']:.3f} s; the exchange moves {paper['bytes'] / 1e6:.0f} MB over the link of each "
        f"rank, {paper['exchange']:.3f} s at {LINK / 1e9:.1f} GB/s, a link of 100 Gbit/s, which is supposed and not "
        f"measured; the rule on a part of 1/{MANY} takes {paper['update']:.4f} s. An update then takes "
        f"{paper['seconds']:.3f} s, {paper['times']:.1f} times as fast as one rank, and the term that dominates is the "
        f"{paper['dominates']}. With {BS} samples on each rank ({BS * MANY:,} in a batch) it would take "
        f"{paper['weak']:.3f} s, a speed-up per rank of {paper['weak_per_rank']:.2f}.",
    ]
    return lines


def worker(seconds: float, output: Path) -> None:
    """One of the ranks: all modes in turn, as often as the seconds allow."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    group, model = Group(), DenseNetwork(WIDTHS[1:], relu, Entry(WIDTHS[0]))
    w = flatten(model)
    parameters, padding = len(w), room(len(w), group)
    w = torch.nn.functional.pad(w, (0, padding))[:parameters]
    objective = Objective(model, SoftmaxCE(), padding=padding)
    x, y = torch.randn(BS, WIDTHS[0]), torch.randint(WIDTHS[-1], (BS,))
    (whole,) = group_rules([rules.Adam()], [0], w, objective.layout, [Factors()] * len(objective.layout.names))
    assert isinstance(whole, RuleGroup)
    sharded = ShardedGroup.of(whole, w, group)
    c, part = whole.rule.all_coefficients(5.0, 1e-3), group.part(BS)

    def step(samples: slice, exchange: Callable[[torch.Tensor], object], rule: RuleGroup) -> dict[str, float]:
        times = [time.perf_counter()]
        _, g = objective.gradient(w, x[samples], y[samples], whole=BS)
        times.append(time.perf_counter())
        exchange(g)
        times.append(time.perf_counter())
        rule.step(w, g, c)
        times.append(time.perf_counter())
        return {name: b - a for name, (a, b) in zip(STAGES, itertools.pairwise(times), strict=True)}

    modes: dict[str, Callable[[], dict[str, float]]] = {
        "one rank": lambda: step(slice(BS), lambda g: None, whole) if group.leads else {},
        "two ranks": lambda: step(part, group.sum_, whole),
        "two ranks, sharded": lambda: step(part, lambda g: group.sum_of_part_(padded(g, group)), sharded),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in modes}
    began, rounds = time.perf_counter(), 0
    while group.first(rounds < 6 or time.perf_counter() - began < seconds):
        for name, mode in modes.items():
            group.all(None)  # all begin together
            before = _sent()
            measured = mode()
            group.all(None)
            if rounds:  # the first one warms up
                found[name].append({**measured, "bytes": float(_sent() - before)})
        rounds += 1
    if group.leads:
        output.write_text(json.dumps(_numbers(found, parameters, lambda n: step(slice(n), lambda g: None, whole))))
    group.first(None)  # the others wait


def _numbers(
    found: dict[str, list[dict[str, float]]], parameters: int, one: Callable[[int], dict[str, float]]
) -> dict[str, Any]:
    least = 2 * (RANKS - 1) * 4 * parameters
    modes: dict[str, Any] = {}
    for name, rounds in found.items():
        medians = {key: Spread.of([of_round[key] for of_round in rounds]).median for key in (*STAGES, "bytes")}
        spread = Spread.of([sum(of_round[stage] for stage in STAGES) for of_round in rounds])
        modes[name] = {"seconds": asdict(spread), **medians}
    gradient = Spread.of([one(BS // MANY)["gradient"] for _ in range(7)]).median
    moved = 2 * (MANY - 1) / MANY * 4 * parameters
    terms = {"gradient": gradient, "exchange": moved / LINK, "update": modes["one rank"]["update"] / MANY}
    seconds, alone = sum(terms.values()), modes["one rank"]["seconds"]["median"]
    weak = seconds - gradient + modes["one rank"]["gradient"]
    return {
        "parameters": parameters,
        "least_bytes": least,
        "modes": modes,
        "paper": {
            **terms,
            "bytes": moved,
            "seconds": seconds,
            "times": alone / seconds,
            "dominates": max(terms, key=lambda name: terms[name]),
            "weak": weak,
            "weak_per_rank": alone / weak,
        },
    }


def _sent() -> int:
    """Bytes that have gone over the loopback device so far."""
    with open("/proc/net/dev") as lines:
        return next(int(line.split()[1]) for line in lines if line.strip().startswith("lo:"))


if __name__ == "__main__":
    worker(float(sys.argv[1]), Path(sys.argv[2]))
