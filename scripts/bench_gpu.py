"""How fast runs and stacks of runs train on a GPU, beside other ways; `make bench-gpu` takes some minutes.

Updates of digits' MLP 64-64-64-10 (bs=8), of a LeNet on 28x28 images (bs=64), and of a large MLP: of one run and of
many. All that is installed is measured in turns, in one process. Results go to
docs/bench-gpu.json.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from benchmark import gpu
from benchmark.timing import alternating


def measured(measures: dict, seconds: float) -> dict:
    """The spreads of what is installed and does not fail."""
    made = {}
    for name, maker in measures.items():
        begun = time.perf_counter()
        try:
            made[name] = maker()
            made[name]()
            print(f"{name}: ready after {time.perf_counter() - begun:.1f} s", flush=True)
        except (ImportError, RuntimeError) as error:
            print(f"{name}: left out, {str(error).splitlines()[0]}", flush=True)
            made.pop(name, None)
    return alternating(made, seconds, least=3, most=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="for each table")
    parser.add_argument("--only", nargs="*", choices=list(gpu.TABLES), default=list(gpu.TABLES))
    parser.add_argument("--output", type=Path, default=Path("docs"))
    options = parser.parse_args()
    results: dict[str, Any] = {"device": f"{torch.cuda.get_device_name()}, torch {torch.__version__}"}
    for name in options.only:
        spreads = measured(gpu.TABLES[name](), options.seconds)
        results[name] = {key: vars(spread) for key, spread in spreads.items()}
        for key, spread in spreads.items():
            low, high = 1e6 * spread.low, 1e6 * spread.high
            print(f"{name} | {key} | {1e6 * spread.median:.4g} us | {low:.4g} to {high:.4g}", flush=True)
        (options.output / "bench-gpu.json").write_text(json.dumps(results, indent=1))
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
