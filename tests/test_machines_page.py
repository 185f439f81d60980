"""The commands of docs/machines.md that one machine can run do, SLURM's by commands that stand for it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("submitit")

sys.path.append(str(Path(__file__).parent / "app"))
import fake_slurm
from sharing import free_port

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "machines.md").read_text()
LINES = [line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S) for line in block.splitlines()]
NOT_HERE = "hydra.launcher.address="  # of a cluster that tests/app/test_ray.py makes
PROGRAMS = {"python": [sys.executable], "torchrun": [sys.executable, "-m", "torch.distributed.run"]}


@pytest.mark.parametrize("line", [line for line in LINES if NOT_HERE not in line])
def test_a_command_of_the_page(tmp_path, line):
    for name in ("train.py", "src", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PET_MASTER_PORT": str(free_port())}
    environment |= fake_slurm.install(tmp_path / "slurm")
    program, *words = shlex.split(line)
    ended = subprocess.run(
        [*PROGRAMS[program], *words, "epochs=1", "figures=never"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ended.returncode == 0, ended.stderr
    runs = 200 if "-m" in words[:2] and "seed=range(100)" in words else 1
    assert len(list(tmp_path.glob("outputs/**/summary.json"))) == runs
