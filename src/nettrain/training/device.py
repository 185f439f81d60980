"""Where to compute, with how many threads, and whether with deterministic algorithms alone."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch

from nettrain.config.settings import Settings
from nettrain.errors import ConfigError
from nettrain.random import seeded

SMALL = 2**22  # multiplications of one forward pass below which handing parts to other threads costs more than it gains


def choose_device(name: str) -> torch.device:
    """The device called `auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:<number>` or `mps`.

    Raises `ConfigError` if there is none.
    """
    if name in ("auto", "cpu"):
        return torch.device("cuda" if name == "auto" and torch.cuda.is_available() else "cpu")
    if name == "mps":
        if not torch.backends.mps.is_available():
            raise ConfigError("device=mps: torch finds no Apple GPU on this machine; use device=cpu or device=auto.")
        return torch.device("mps")
    kind, _, number = name.partition(":")
    if kind != "cuda" or (":" in name and not number.isdecimal()):
        raise ConfigError(
            f"device={name}: device must be one of auto, cpu, cuda, mps, or a CUDA device by its number, such as "
            "cuda:1."
        )
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        raise ConfigError(f"device={name}: torch finds no CUDA device on this machine; use device=cpu or device=auto.")
    if number and int(number) >= count:
        there = "cuda:0 alone" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise ConfigError(f"device={name}: torch finds {there} on this machine; use one of them, or device=auto.")
    return torch.device(name)


@contextlib.contextmanager
def on_device(device: torch.device) -> Iterator[None]:
    """Within it kernels of nettrain's own, and graphs, are those of this device."""
    with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def threads_for(multiplications: int) -> Iterator[int]:
    """Within it torch computes on one thread if the forward pass of a batch is small; otherwise as it is set.

    It gives the number of threads that are set.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1 if multiplications < SMALL else before)
    try:
        yield before
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def deterministic(asked: bool) -> Iterator[None]:
    """Within it, if it is asked for, torch refuses algorithms that can give other bits in another run.

    cuBLAS reads its part of it from the environment, when it is first used in a process.
    """
    if not asked:
        yield
        return
    before, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn)
        if workspace is None:
            del os.environ["CUBLAS_WORKSPACE_CONFIG"]


@contextlib.contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Within it a GPU multiplies float32 numbers as such, or with factors of 10 bits for `tf32`, whatever is set."""
    backends: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


@contextlib.contextmanager
def as_configured(settings: Settings, device: torch.device, multiplications: int) -> Iterator[int]:
    """Within it torch computes as a run with these settings asks for, whose batch takes so many multiplications.

    It gives the number of threads that are set. A foreign module draws its noise from torch's own generator, which the
    caller may need as it is.
    """
    exact = deterministic(settings.deterministic), products_in(settings.precision)
    with threads_for(multiplications) as threads, exact[0], exact[1], seeded(settings.seed), on_device(device):
        yield threads


@contextlib.contextmanager
def usual_torch() -> Iterator[None]:
    """Within it torch makes 32-bit numbers on the CPU, and can find gradients, whatever the caller has set for himself.

    Bits would depend on it: a weight that is drawn in float64 is another one.
    """
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    torch.set_default_dtype(torch.float32)
    if device.type != "cpu":
        torch.set_default_device(None)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)
        if device.type != "cpu":
            torch.set_default_device(device)
