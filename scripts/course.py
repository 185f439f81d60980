"""Take the pictures and tables of docs/course from what its pages' own commands leave behind: `make course`.

`python scripts/course.py momentum parabola` does it for two pages alone. A page names a picture by the number of its
command and its name in that command's report: `momentum/1_paths.png`.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import course_tables

from nettrain import Run

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "course"
EXERCISES = "## Exercises\n"
_TABLE = re.compile(r"(?:^\|.*\n)+", re.M)


def order() -> list[str]:
    """The pages in the order of the contents."""
    return re.findall(r"^\d+\. \[.*?\]\((\w+)\.md\)", (PAGES / "README.md").read_text(), re.M)


def parts(page: str) -> tuple[str, str]:
    """A page's text: before its exercises, and from them on."""
    before, heading, exercises = (PAGES / f"{page}.md").read_text().partition(EXERCISES)
    return before, heading + exercises


def commands(text: str) -> list[list[str]]:
    """The arguments of each `python train.py` in the blocks of commands of a text."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
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


def pictures(page: str) -> list[tuple[int, str]]:
    """The pictures that a page shows: the number of a command, from 1 on, and the figure's name."""
    found = re.findall(rf"\]\({page}/(\d+)_(\S+)\.png\)", (PAGES / f"{page}.md").read_text())
    return [(int(number), name) for number, name in found]


def tables(page: str) -> list[list[list[str]]]:
    """The rows of cells of each table under "What to see", without its header."""
    text = parts(page)[0].partition("## What to see\n")[2]
    return [[_cells(line) for line in table.splitlines()[2:]] for table in _TABLE.findall(text)]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")] if line.count("|") else []


def filled(page: str, found: list[course_tables.Table]) -> str:
    """The page with these cells at the ends of the rows of its tables."""
    text = (PAGES / f"{page}.md").read_text()
    begin = text.index("## What to see\n")
    before, shown = text[:begin], text[begin:]
    remaining = iter(found)

    def rewritten(match: re.Match[str]) -> str:
        lines = match[0].splitlines()
        rows = []
        for line, cells in zip(lines[2:], next(remaining), strict=True):
            own = [cell.strip() for cell in line[1 : line.rindex("|")].split("|")]
            rows.append("| " + " | ".join([*own[: len(own) - len(cells)], *cells]) + " |")
        return "\n".join([*lines[:2], *(re.sub(r"  +", " ", row) for row in rows)]) + "\n"

    return before + _TABLE.sub(rewritten, shown, count=len(found))


def train(page: str, folder: Path) -> list[list[Run]]:
    """Run a page's commands; the runs of each."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # the order of sums, and so the picture, is then the same
    found = []
    for number, arguments in enumerate(commands(parts(page)[0]), 1):
        command = [sys.executable, "train.py", *into(arguments, folder / str(number))]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        found.append(results(folder / str(number)))
    return found


def main() -> None:
    for page in sys.argv[1:] or order():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            runs = train(page, folder)
            (PAGES / f"{page}.md").write_text(filled(page, getattr(course_tables, page)(*runs)))
            for old in (PAGES / page).glob("*.png"):
                old.unlink()
            (PAGES / page).mkdir(exist_ok=True)
            for number, name in pictures(page):
                shutil.copy(folder / str(number) / "figures" / f"{name}.png", PAGES / page / f"{number}_{name}.png")


if __name__ == "__main__":
    main()
