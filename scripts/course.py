"""Draw the pictures of docs/course, each from what its page's own commands leave behind: `make course`.

`python scripts/course.py momentum parabola` draws those of two pages alone.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import course_pictures

from nettrain import Run

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "course"


def commands(page: str) -> list[list[str]]:
    """The arguments of each `python train.py` in a page's blocks of commands."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (PAGES / f"{page}.md").read_text(), re.M | re.S)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
    found = [words[2:] for words in lines if words[:2] == ["python", "train.py"]]
    return [[str(ROOT / word) if word.startswith("docs/") else word for word in words] for words in found]


def into(arguments: list[str], folder: Path) -> list[str]:
    """The arguments of the same run or sweep, which then writes into this folder."""
    return [*arguments, f"hydra.{'sweep' if '-m' in arguments else 'run'}.dir={folder}"]


def results(folder: Path) -> list[Run]:
    """The runs that one command has left in its folder, in their order."""
    if (folder / "summary.json").exists():
        return [Run(folder)]
    return [Run(path.parent) for path in sorted(folder.glob("*/summary.json"), key=lambda path: int(path.parent.name))]


def train(page: str, folder: Path) -> list[list[Run]]:
    """Run a page's commands; the runs of each."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # the order of sums, and so the picture, is then the same
    found = []
    for number, arguments in enumerate(commands(page)):
        command = [sys.executable, "train.py", *into(arguments, folder / str(number))]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        found.append(results(folder / str(number)))
    return found


def main() -> None:
    for page in sys.argv[1:] or [path.stem for path in sorted(PAGES.glob("*.md")) if path.stem != "README"]:
        with tempfile.TemporaryDirectory() as folder:
            picture = getattr(course_pictures, page)(*train(page, Path(folder)))
            (PAGES / f"{page}.png").write_bytes(course_pictures.png(picture))


if __name__ == "__main__":
    main()
