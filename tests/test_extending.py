"""Everything in docs/extending.md runs as it stands, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.M | re.S)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the files that the page shows."""
    folder = tmp_path_factory.mktemp("extending")
    for _, block in BLOCKS:
        if match := re.match(r"# file: (\S+?)(, continued)?\n", block):
            path = folder / match[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(block + "\n")
    return folder


@pytest.mark.parametrize("command", [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()])
def test_a_command_of_the_page(place, command):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=place, env=environment, shell=True, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
