"""Train and compare neural networks from config files, in PyTorch, on CPU or CUDA.

`train` does what the command line does and returns a `Run`, `sweep` what it does with `-m` and returns a `Sweep`; `Run`
and `Sweep` read what these have left; `minimize` applies any optimizer to a function of a vector; `optim` holds the
gradient rules as `torch.optim.Optimizer` classes.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nettrain import optim
    from nettrain.api import Run, Sweep, sweep, train
    from nettrain.minimization import minimize
    from nettrain.parts.callbacks import Callback, Logger

__all__ = ["Callback", "Logger", "Run", "Sweep", "minimize", "optim", "sweep", "train"]

_HOMES = {
    "train": "nettrain.api",
    "sweep": "nettrain.api",
    "Run": "nettrain.api",
    "Sweep": "nettrain.api",
    "minimize": "nettrain.minimization",
    "Callback": "nettrain.parts.callbacks",
    "Logger": "nettrain.parts.callbacks",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: `import nettrain` itself costs nothing."""
    if name == "optim":
        return import_module("nettrain.optim")
    if name == "__version__":
        return import_module("importlib.metadata").version("nettrain")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'nettrain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*(name for name in globals() if name.startswith("__")), *__all__, "__version__"])
