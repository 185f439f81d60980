"""Short names for the runs of a sweep, which say what they are: `adam_lr0.01_s3`."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from nettrain.results.comparison import union

MOST_LETTERS = 100


def run_names(runs: Sequence[Mapping[str, str]]) -> list[str]:
    """A name for each run, given what it was asked for: its values of the keys in which the runs differ.

    A value stands behind the last part of its key, without one behind the seed's `s`, and alone where it is the name of
    a part. Runs that would have the same name have their place among the runs behind it.
    """
    keys = [key for key in union([dict(run) for run in runs]) if len({run.get(key) for run in runs}) > 1]
    last = Counter(key.rpartition(".")[2] for key in keys)
    names = ["_".join(_part(key, run[key], last) for key in keys if key in run)[:MOST_LETTERS] for run in runs]
    count = Counter(names)
    return [f"{name}_{i}".lstrip("_") if not name or count[name] > 1 else name for i, name in enumerate(names)]


def _part(key: str, value: str, last: Mapping[str, int]) -> str:
    short = key.rpartition(".")[2]
    word = "-".join(re.findall(r"-?[\w.+]+(?:-[\w.]+)*", value))
    if key == "seed":
        return f"s{word}"
    if "." not in key and re.match(r"[A-Za-z]", word):
        return word
    return f"{short if last[short] == 1 else key}{word}"
