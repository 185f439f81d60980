"""The harness that kills runs, in its short form: scripts/kill_harness.py."""

import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[2] / "scripts" / "kill_harness.py"


def harness(*arguments):
    return subprocess.run([sys.executable, HARNESS, *arguments], capture_output=True, text=True)


@pytest.mark.slow
def test_killed_runs_end_like_those_left_alone():
    ended = harness("--kills", "8", "--real-every", "0", "--only", "plateau", "lbfgs", "genetic", "halving")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "ended with other bits, or with a damaged file | 0 |" in ended.stdout


@pytest.mark.slow
def test_killed_runs_of_every_kind_end_like_those_left_alone():
    ended = harness("--kills", "40")
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.slow
def test_what_is_not_restored_is_noticed():
    ended = harness("--kills", "0", "--mutations")
    assert ended.returncode == 0, ended.stdout + ended.stderr
