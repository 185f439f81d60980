"""Where to compute."""

import torch

from nettrain.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """The device called `auto` (CUDA where there is one), `cpu` or `cuda`; `ConfigError` if there is none."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError(
            "device=cuda: this machine has no CUDA device that torch can use; use device=cpu or device=auto."
        )
    return torch.device("cuda" if available and name != "cpu" else "cpu")
