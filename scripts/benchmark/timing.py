"""Alternating timing: what is compared is measured in turns, so that a change of the machine's load meets all alike."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

PAUSE = 0.05  # seconds before each turn: the threads of the one before spin for a while until they sleep
STEADY = 0.02  # seconds into a turn from which on a measurement counts: the processor, too, has slept


@dataclass
class Spread:
    """The median of some measurements, and their quartiles."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
        return cls(statistics.median(values), low, high, len(values))


def alternating(
    measures: Mapping[str, Callable[[], float]], seconds: float, least: int = 5, most: int = 30, warm: bool = True
) -> dict[str, Spread]:
    """Let every function measure in turn, `least` to `most` times as far as `seconds` last.

    With `warm`, a first round, in which caches are filled and programs compiled, does not count.
    """
    values: dict[str, list[float]] = {name: [] for name in measures}
    for measure in measures.values() if warm else ():
        measure()
    gc.collect()
    gc.disable()  # a collection would meet one of them alone
    start = time.perf_counter()
    try:
        for round_ in range(most):
            if round_ >= least and time.perf_counter() - start > seconds:
                break
            for name, measure in measures.items():
                time.sleep(PAUSE)
                begun = time.perf_counter()
                value = measure()
                while time.perf_counter() - begun < STEADY:
                    value = measure()
                values[name].append(value)
    finally:
        gc.enable()
    return {name: Spread.of(all_) for name, all_ in values.items()}


def seconds_of(work: Callable[[], object], times: int = 1) -> Callable[[], float]:
    """A measurement: the seconds of one call of `work`, divided by `times`."""

    def measure() -> float:
        start = time.perf_counter()
        work()
        return (time.perf_counter() - start) / times

    return measure
