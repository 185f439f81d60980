"""What a run's bits depend on besides its config: versions, device, threads; recorded in `environment.json`."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nettrain.errors import CheckpointError
from nettrain.storage.atomic import replace_file
from nettrain.storage.git_state import git_state
from nettrain.storage.reading import read_json

# What can change the bits.
_BITS = ("nettrain", "torch", "numpy", "device", "cpu_capability", "threads", "deterministic", "stack")


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device, threads, and the git commit of the working directory, None where there is none."""
    return {
        **versions(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        **git_state(os.getcwd()),
    }


def versions() -> dict[str, str]:
    """Those of what a run's result depends on."""
    return {
        "nettrain": version("nettrain"),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "hydra": version("hydra-core"),
    }


def recorded_environment(folder: Path) -> dict[str, Any]:
    """The `environment.json` of a run; empty for a new run, and for a file that somebody has edited."""
    try:
        recorded = read_json(folder / "environment.json")
    except CheckpointError:
        return {}
    return recorded if isinstance(recorded, dict) and isinstance(recorded.get("earlier"), list) else {}


def stack_of(folder: Path) -> str | None:
    """The name of the stack of which a run that was begun was a row; None for a new run, and one that trains alone."""
    stack = recorded_environment(folder).get("stack")
    return stack if isinstance(stack, str) else None


def record_environment(folder: Path, present: dict[str, Any], resumed: bool) -> str | None:
    """Write `environment.json`; a warning if a run that goes on began in one that can give other bits.

    The entry `earlier` lists those in which the run has been trained before, as far as they differ.
    """
    recorded = recorded_environment(folder) if resumed else {}
    earlier = recorded.pop("earlier", [])
    changed = [key for key in present if key in recorded and recorded[key] != present[key]]
    entries = {**present, "earlier": [*earlier, recorded] if changed else earlier}
    replace_file(folder / "environment.json", (json.dumps(entries, indent=2) + "\n").encode(), durable=False)
    different = [f"{key} was {recorded[key]}, is {present[key]}" for key in changed if key in _BITS]
    if not different:
        return None
    changes = "; ".join(different)
    return f"{folder}: resumed in a different environment: results may differ slightly: {changes}."


def _cpu() -> str:
    """The processor's name: Linux knows it, elsewhere its architecture stands in."""
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
