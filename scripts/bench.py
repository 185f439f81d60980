"""How fast nettrain is, beside other loops on the same work; `make bench` takes about a quarter of an hour.

It prints tables, and writes them to docs/bench.md, with a plot docs/bench.png and all numbers in docs/bench.json.
Peers that are not installed are left out: `pip install -e ".[bench]"` installs them. Programs are compiled into a
cache of the benchmark's own, before anything is timed.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PARTS = ("startup", "busy", "update_rules", "drop_in", "network", "networks", "single", "samples", "grid")


def measure(part: str, threads: int, seconds: float) -> Any:
    """One part's numbers, measured in this process."""
    import torch
    from benchmark import busy, large, networks, single, startup, steps

    torch.set_num_threads(threads)
    functions = [
        startup.startup,
        busy.busy,
        large.update_rules,
        large.drop_in,
        large.network,
        networks.networks,
        single.single,
        steps.samples,
        steps.grid,
    ]
    return dict(zip(PARTS, functions, strict=True))[part](seconds)


def in_process(part: str, threads: int, seconds: float) -> Any:
    """One part's numbers, measured in a process with so many threads in every library."""
    number = str(threads)
    variables = dict.fromkeys(["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"], number)
    single = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" if threads == 1 else ""
    environment = {**os.environ, **variables, "XLA_FLAGS": single, "JAX_PLATFORMS": "cpu"}
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [sys.executable, __file__, "--part", part, "--threads", number, "--seconds", str(seconds)]
        subprocess.run([*command, "--output", file.name], check=True, env=environment)
        return json.loads(Path(file.name).read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each comparison, at least five rounds")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--part", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--output", type=Path, default=Path("docs"), help="the folder of the results")
    options = parser.parse_args()
    if options.output.suffix == ".json":  # called by in_process
        numbers = measure(options.part[0], options.threads[0], options.seconds)
        options.output.write_text(json.dumps(numbers))
        return
    import torch
    from benchmark import pages

    results: dict[str, Any] = {
        "torch": torch.__version__,
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "threads": {},
    }
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        for threads in options.threads:
            once = threads == options.threads[0]
            parts = [part for part in options.part if once or part not in ("startup", "busy", "samples")]
            results["threads"][threads] = {part: in_process(part, threads, options.seconds) for part in parts}
    options.output.mkdir(exist_ok=True)
    results = json.loads(json.dumps(results))
    (options.output / "bench.json").write_text(json.dumps(results, indent=1) + "\n")
    page = pages.page(results)
    print(page)
    (options.output / "bench.md").write_text(page)
    if "grid" in options.part:
        pages.plot(results, options.output / "bench.png")


if __name__ == "__main__":
    main()
