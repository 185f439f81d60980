"""How long it takes until something happens: imports, and the first update of `python train.py`."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from benchmark.timing import alternating, seconds_of

_TRAIN = (
    "import sys; sys.argv = ['train.py', 'budget.updates=1', 'quiet=true', 'tensorboard=false', "
    "'hydra.run.dir={folder}/run', 'data={data}']\n"
    "from nettrain.app.main import main\n"
    "main()"
)
CODE = {
    "python -c 'import torch'": "import torch",
    "... and scikit-learn's digits": "import torch; from sklearn.datasets import load_digits; load_digits()",
    "import nettrain": "import nettrain",
    "a run of one update, data=digits": _TRAIN,
}


def startup(seconds: float) -> dict[str, Any]:
    """Seconds from the start of a process to its end."""
    return {name: asdict(spread) for name, spread in alternating({n: _process(n) for n in CODE}, seconds).items()}


def _process(name: str) -> Callable[[], float]:
    def work() -> None:
        with tempfile.TemporaryDirectory() as folder:
            code = CODE[name].replace("{folder}", folder).replace("{data}", "digits")
            subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=folder)

    return seconds_of(work)
