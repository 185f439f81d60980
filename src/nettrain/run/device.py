"""Where to compute, and with how many threads."""

import contextlib
from collections.abc import Iterator

import torch

from nettrain.errors import ConfigError

SMALL = 2**22  # multiplications of one forward pass below which handing parts to other threads costs more than it gains


def choose_device(name: str) -> torch.device:
    """The device called `auto` (CUDA where there is one), `cpu` or `cuda`; `ConfigError` if there is none."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError(
            "device=cuda: this machine has no CUDA device that torch can use; use device=cpu or device=auto."
        )
    return torch.device("cuda" if available and name != "cpu" else "cpu")


@contextlib.contextmanager
def threads_for(multiplications: int) -> Iterator[None]:
    """Within it torch computes on one thread if the forward pass of a batch is small; otherwise as it is set."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if multiplications < SMALL else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
