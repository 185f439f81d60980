"""Large vectors and large networks: update rules at 10 million parameters, and a step of an MLP with 25 million."""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from benchmark.timing import alternating, seconds_of
from torch import nn

import nettrain.optim as ours
from nettrain.objective import Objective
from nettrain.optimizers import rules
from nettrain.parts.activations import relu
from nettrain.parts.heads import SoftmaxCE
from nettrain.parts.models import DenseNetwork, Entry
from nettrain.training.engines.fused import Fused
from nettrain.vector import flatten

PARAMETERS = 10_000_000
WIDTHS = [1024, 4096, 4096, 1000]
BS = 512
RULES: dict[str, tuple[rules.Rule, type, dict[str, Any]]] = {
    "AdamW": (rules.AdamW(), torch.optim.AdamW, {"fused": True}),
    "Adam": (rules.Adam(), torch.optim.Adam, {"fused": True}),
    "RMSprop": (rules.RMSprop(), torch.optim.RMSprop, {"foreach": True}),
    "Adagrad": (rules.Adagrad(), torch.optim.Adagrad, {"fused": True}),
    "momentum": (rules.Momentum(), torch.optim.SGD, {"fused": True, "momentum": 0.9, "lr": 1e-2}),
    "SGD": (rules.SGD(), torch.optim.SGD, {"fused": True, "lr": 1e-2}),
}


def update_rules(seconds: float) -> list[dict[str, Any]]:
    """An update of one flat vector, by our rule, also as a compiled program, and by torch.optim's fastest variant."""
    found = []
    for name, (rule, cls, arguments) in RULES.items():
        theirs = nn.Parameter(torch.randn(PARAMETERS))
        theirs.grad = torch.randn(PARAMETERS)
        w, g = theirs.detach().clone(), theirs.grad.clone()
        state, c = rule.init(w), rule.all_coefficients(5.0, rule.lr)
        fused = Fused(rule, list(c), w.dtype, torch.get_num_threads(), lambda: False)
        optimizer = cls([theirs], **arguments)
        measures: dict[str, Callable[[], float]] = {
            "torch.optim": seconds_of(optimizer.step),
            "nettrain, eager": seconds_of(partial(rule.step, state, w, g, c)),
            "nettrain, fused": seconds_of(partial(fused.step, state, w, g, c)),
        }
        found.append(_cell(name, measures, seconds))
    return found


def drop_in(seconds: float) -> list[dict[str, Any]]:
    """A step of the optimizer classes on a module with 200 small parameter tensors."""
    found = []
    for name in ("Adam", "AdamW", "SGD", "RMSprop", "Adagrad"):
        measures = {}
        for label, module in {"torch.optim": torch.optim, "nettrain": ours}.items():
            net = nn.Sequential(*(nn.Linear(64, 64) for _ in range(100)))
            for p in net.parameters():
                p.grad = torch.randn_like(p)
            arguments = {"foreach": True} if label == "torch.optim" else {}
            measures[label] = seconds_of(getattr(module, name)(net.parameters(), lr=1e-3, **arguments).step)
        found.append(_cell(name, measures, seconds))
    return found


def network(seconds: float) -> list[dict[str, Any]]:
    """A step of the large MLP, and the peak memory of a process that makes some."""
    measures = {name: seconds_of(maker()) for name, maker in STEPS.items()}
    cell = _cell("MLP " + "-".join(map(str, WIDTHS)) + f", bs={BS}", measures, seconds)
    cell["peak_bytes"] = {name: _peak(name) for name in STEPS}
    return [cell]


def plain_step() -> Callable[[], object]:
    """The plain loop's step, with fused Adam."""
    layers = [layer for a, b in itertools.pairwise(WIDTHS) for layer in (nn.Linear(a, b), nn.ReLU())]
    net, (x, y) = nn.Sequential(*layers[:-1]), _batch()
    optimizer = torch.optim.Adam(net.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()

    return step


def our_step(engine: str) -> Callable[[], object]:
    """nettrain's step by `engine`, eager or fused."""
    model, (x, y), rule = DenseNetwork(WIDTHS[1:], relu, Entry(WIDTHS[0])), _batch(), rules.Adam()
    objective, w = Objective(model, SoftmaxCE()), flatten(model)
    for parameter in model.parameters():
        parameter.data = parameter.data.new_empty(0)  # w holds the weights
    state, c = rule.init(w), rule.all_coefficients(5.0, rule.lr)
    fused = Fused(rule, list(c), w.dtype, torch.get_num_threads(), lambda: False)
    update = fused.step if engine == "fused" else rule.step
    return lambda: update(state, w, objective.gradient(w, x, y)[1], c)


STEPS: dict[str, Callable[[], Callable[[], object]]] = {
    "PyTorch, in memory, fused": plain_step,
    "nettrain, eager": partial(our_step, "eager"),
    "nettrain, fused": partial(our_step, "fused"),
}


def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(BS, WIDTHS[0]), torch.randint(WIDTHS[-1], (BS,))


def _peak(name: str) -> int:
    """The largest resident size in bytes of a process that makes three steps."""
    code = (
        "import json, resource, sys; sys.path[:0] = json.loads(sys.argv[1])\n"
        "import torch; from benchmark.large import STEPS\n"
        "torch.set_num_threads(int(sys.argv[3])); step = STEPS[sys.argv[2]]()\n"
        "[step() for _ in range(3)]; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
    )
    arguments = [sys.executable, "-c", code, json.dumps(sys.path), name, str(torch.get_num_threads())]
    return int(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)


def _cell(name: str, measures: dict[str, Callable[[], float]], seconds: float) -> dict[str, Any]:
    return {"name": name, "seconds": {k: asdict(s) for k, s in alternating(measures, seconds).items()}}
