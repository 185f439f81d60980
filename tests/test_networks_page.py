"""What docs/networks.md shows runs as it stands, and reaches what the page says."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "networks.md").read_text()
LINES = [line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S) for line in block.splitlines()]
ALONE = [line for line in LINES if " -m " not in line]
(SWEEP,) = (line for line in LINES if " -m " in line)


def words(line):
    python, program, *arguments = shlex.split(line)
    assert (python, program) == ("python", "train.py")
    return arguments


@pytest.mark.parametrize("line", ALONE)
def test_a_command_of_the_page(command, line):
    own = [] if "--help" in line else ["figures=never", "quiet=true"]
    ended = command(*words(line), *own)
    assert ended.code == 0, ended.err


@pytest.mark.slow
def test_the_seeds_of_a_lenet_reach_what_the_page_says(command, tmp_path):
    *arguments, _ = words(SWEEP)
    assert command(*arguments, "hydra.sweep.dir=sweep", "figures=never", "quiet=true").code == 0
    accuracy = pd.read_csv(tmp_path / "sweep" / "results.csv")["test_accuracy"]
    assert len(accuracy) == 64
    mean, deviation, low, high = map(float, re.search(r"([\d.]+) ± ([\d.]+), from ([\d.]+) to ([\d.]+)", PAGE).groups())
    assert accuracy.mean() == pytest.approx(
        mean, abs=0.002
    )  # other processors round otherwise, and runs go their own ways
    assert accuracy.std() == pytest.approx(deviation, abs=0.002)
    assert accuracy.min() == pytest.approx(low, abs=0.012)
    assert accuracy.max() == pytest.approx(high, abs=0.012)
