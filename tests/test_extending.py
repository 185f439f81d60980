"""Everything in docs/extending.md runs as it stands, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "extending.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.M | re.S)


COMMANDS = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]


def written(folder):
    """The folder, with the files that the page shows."""
    for _, block in BLOCKS:
        if match := re.match(r"# file: (\S+?)(, continued)?\n", block):
            path = folder / match[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(block + "\n")
    return folder


def run(command, folder, programs, **environment):
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **environment}
    ended = subprocess.run(command, cwd=folder, env=environment, shell=True, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return written(tmp_path_factory.mktemp("extending"))


@pytest.mark.sample(4)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page(place, command):
    run(command, place, Path(sys.executable).parent)


@pytest.mark.slow
def test_the_page_from_an_installed_wheel_in_an_empty_folder(tmp_path):
    python, site = sys.executable, tmp_path / "site"
    build = [python, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    install = [python, "-m", "pip", "install", "--no-index", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    place = written(tmp_path / "empty")
    at = run(f"{python} -c 'import nettrain; print(nettrain.__file__)'", place, site / "bin", PYTHONPATH=str(site))
    assert Path(at.strip()).is_relative_to(site)
    programs = f"{site / 'bin'}{os.pathsep}{Path(python).parent}"
    for command in COMMANDS:
        run(command, place, programs, PYTHONPATH=str(site))
