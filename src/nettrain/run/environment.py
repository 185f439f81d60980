"""What a run's bits depend on besides its config: versions, device, threads; recorded in `environment.json`."""

import json
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nettrain.run.files import replace_file

_BITS = ("nettrain", "torch", "numpy", "device", "cpu_capability", "threads", "deterministic")  # what can change them


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device, threads, and the git commit of the working directory, None where there is none."""
    return {
        "nettrain": version("nettrain"),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "hydra": version("hydra-core"),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        **_git(os.getcwd()),
    }


def record_environment(folder: Path, present: dict[str, Any]) -> str | None:
    """Write `environment.json`; a warning if the run in the folder began in one that can give other bits.

    The entry `earlier` lists those in which the run has been trained before, as far as they differ.
    """
    path = folder / "environment.json"
    try:
        recorded = json.loads(path.read_text())
        earlier = recorded.pop("earlier")
        changed = [key for key in present if recorded[key] != present[key]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # a new run, or a file that somebody has edited
        _write(path, present, [])
        return None
    _write(path, present, [*earlier, recorded] if changed else earlier)
    different = [f"{key} was {recorded[key]}, is {present[key]}" for key in changed if key in _BITS]
    if not different:
        return None
    changes = "; ".join(different)
    return f"{folder}: the run goes on, but not with the same bits as one that never stopped: {changes}."


def _write(path: Path, present: dict[str, Any], earlier: list[dict[str, Any]]) -> None:
    replace_file(path, (json.dumps({**present, "earlier": earlier}, indent=2) + "\n").encode(), durable=False)


def _cpu() -> str:
    """The processor's name: Linux knows it, elsewhere its architecture stands in."""
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


@cache
def _git(folder: str) -> dict[str, Any]:
    command = ["git", "-C", folder, "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, timeout=2, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return {"git_commit": None, "git_changed": None}
    commit = next((line.split()[2] for line in lines if line.startswith("# branch.oid")), None)
    return {"git_commit": commit, "git_changed": any(not line.startswith("#") for line in lines)}
