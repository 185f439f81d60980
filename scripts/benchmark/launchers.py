"""What a sweep costs beside its training: by each engine that trains stacks elsewhere, and in the first process."""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RUNS = 256
STACKS = (1, 2, 8)
FEW = 1000  # runs of one update, beside many of which the cost of a further one is found
TARGET, NODES, CORES = 100_000, 50, 32  # runs and machines of the estimate
COMMON = ["data=iris", "figures=never", "tensorboard=false", "quiet=true"]
PROGRAM = """
import json, resource, sys, time
began = time.monotonic()
from nettrain.app.main import main
sys.argv = ["train.py", "-m", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
finally:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps([time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
"""


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of 256 runs by each engine and number of stacks, and what one run more costs the process that sends it.

    That is found by `options.runs`.
    """
    epochs = [*COMMON, f"seed=range({RUNS})", "epochs=100"]
    engines = [name for name, module in [("local", "submitit"), ("ray", "ray")] if importlib.util.find_spec(module)]
    here, _, _ = _sweep(*epochs)
    stacks = []
    for engine in engines:
        for count in STACKS:
            whole, own, _ = _sweep(*epochs, f"hydra.launcher.cluster={engine}", f"hydra.launcher.workers={count}")
            stacks.append({"engine": engine, "stacks": count, "seconds": whole, "processor_seconds": own})
    launches = []
    for runs in (FEW, options.runs):
        one_update = [*COMMON, f"seed=range({runs})", "epochs=1", "bs=full"]
        whole, own, memory = _sweep(*one_update, "hydra.launcher.cluster=local", "hydra.launcher.workers=1")
        launches.append({"runs": runs, "seconds": whole, "processor_seconds": own, "megabytes": memory})
    few, many = launches
    more = many["runs"] - few["runs"]
    return {
        "here": here,
        "stacks": stacks,
        "launches": launches,
        "milliseconds_per_run": 1000 * (many["processor_seconds"] - few["processor_seconds"]) / more,
        "kilobytes_per_run": 1024 * (many["megabytes"] - few["megabytes"]) / more,
    }


def _sweep(*words: str) -> list[float]:
    """The seconds of a sweep, those that its first process has computed, and the most memory of that in MB."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", PROGRAM, *words, f"hydra.sweep.dir={folder}/sweep"]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        assert (Path(folder) / "sweep" / "results.csv").is_file(), ended.stderr
    numbers: list[float] = json.loads(ended.stdout.splitlines()[-1])
    return numbers


def page(numbers: dict[str, Any]) -> list[str]:
    """The tables as lines of Markdown."""
    here = numbers["here"]
    lines = [
        f"{RUNS} runs of 100 epochs on iris, the whole command; in its own process they take {here:.1f} s. A worker is "
        "a new process that imports torch; a Ray is started for each sweep here.",
        "",
        "| engine | stacks | seconds | more than here | a stack |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for row in numbers["stacks"]:
        more = row["seconds"] - here
        share = more / row["seconds"]
        lines.append(
            f"| {row['engine']} | {row['stacks']} | {row['seconds']:.1f} | {more:.1f} s ({share:.0%}) | "
            f"{more / row['stacks']:.1f} s |"
        )
    cost, memory = numbers["milliseconds_per_run"], numbers["kilobytes_per_run"]
    few, many = numbers["launches"]
    fixed = few["processor_seconds"] - cost * few["runs"] / 1000
    driver = fixed + TARGET * cost / 1000
    gigabytes = many["megabytes"] / 1024 + TARGET * memory / 2**20
    workers = NODES * CORES
    lines += [
        "",
        "The process that sends stacks composes and checks each run, sends it, and reads its results. From "
        f"{few['runs']} to {many['runs']} runs of one update, one more costs it {cost:.2f} ms of processor time and "
        f"{memory:.0f} kB.",
        "",
        f"So {TARGET:,} runs cost it {driver:.0f} s and {gigabytes:.1f} GB. On {NODES} nodes with {CORES} processors "
        f"each of {workers:,} workers trains {TARGET / workers:.0f} runs: where these take longer than {driver:.0f} s, "
        "training dominates, else the process that sends.",
    ]
    return lines
