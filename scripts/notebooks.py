"""Make the notebooks of the course of its pages, in English and Spanish: `make notebooks`.

A page's commands become cells that run them and show their figures, the checks of its exercises cells to be filled in;
everything else stays text. Notebooks are kept without outputs.
"""

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
COURSES = {"en": ROOT / "docs" / "course", "es": ROOT / "docs" / "es" / "course"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```\n?", re.M | re.S)
LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)(?=[#)])")
PICTURE = re.compile(r"^!\[(.*?)\]\(\S+\)$", re.M | re.S)
CHECK = re.compile(r"`(nettrain-check [^`]+)`")
EXERCISE_ENDS = re.compile(r"^(?=\*\*\d+\. |#|.*\]\(README\.md\)$)", re.M)
WORDS = {
    "en": {
        "install": "nettrain is not on PyPI: it is installed from a copy of its repository. Where this notebook is in\n"
        "# none, as on Colab, upload one, or a wheel that `make wheel` has built there, and write its path here.",
        "missing": "nettrain is not installed, and this notebook is in no copy of its repository:"
        " write the path of one, or of a wheel, into SOURCE.",
        "failed": "the command above has failed",
        "answer": "Your answer in the place of the capital letters, and without the # in front of the !:",
        "file": "The file that the commands below read:",
    },
    "es": {
        "install": "nettrain no está en PyPI: se instala desde una copia de su repositorio. Donde este notebook no\n"
        "# está en ninguna, como en Colab, hay que subir una, o un wheel de `make wheel`, y escribir aquí su ruta.",
        "missing": "nettrain no está instalado, y este notebook no está en ninguna copia de su repositorio:"
        " hay que escribir en SOURCE la ruta de una, o de un wheel.",
        "failed": "el comando de arriba ha fallado",
        "answer": "La respuesta en lugar de las mayúsculas, y sin el # delante del !:",
        "file": "El archivo que leen los comandos de abajo:",
    },
}
START = """\
# {install}
SOURCE = None

import os
import shutil
import sys
from pathlib import Path

from IPython.display import Image, display

start = globals().get("start", Path.cwd())  # where the notebook was opened
places = [start / SOURCE] if SOURCE else [path for path in (start, *start.parents) if (path / "train.py").is_file()]
os.environ["PATH"] = f"{{Path(sys.executable).parent}}{{os.pathsep}}{{os.environ['PATH']}}"
if shutil.which("nettrain") is None:
    if not places:
        raise RuntimeError(
            "{missing}"
        )
    %pip install --quiet {{places[0]}}

work = (places[0] if places and places[0].is_dir() else start) / "outputs" / "course" / "{page}"
work.mkdir(parents=True, exist_ok=True)
os.chdir(work)


def show(*names):
    if _exit_code:
        raise RuntimeError("{failed}")
    runs = [*Path("outputs").glob("*-*/*"), *Path("outputs/multirun").glob("*/*")]
    last = max(runs, key=lambda folder: folder.parts[-2:])  # date, time
    for figure in names or sorted(path.stem for path in last.glob("figures/*.png")):
        display(Image(last / "figures" / f"{{figure}}.png"))
"""


def pages(language: str) -> list[Path]:
    return [path for path in sorted(COURSES[language].glob("*.md")) if path.stem != "README"]


def place(page: Path) -> Path:
    return page.parent / "notebooks" / f"{page.stem}.ipynb"


def notebook(page: Path, language: str) -> str:
    """The notebook of a page, as the text of its file."""
    cells = [_cell(f"{page.stem}-{number}", kind, text) for number, (kind, text) in enumerate(_cells(page, language))]
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    found = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _cell(identity: str, kind: str, text: str) -> dict:
    cell = {"cell_type": kind, "id": identity, "metadata": {}, "source": text.splitlines(keepends=True)}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def _cells(page: Path, language: str) -> Iterator[tuple[str, str]]:
    """The kind and the text of each cell."""
    words = WORDS[language]
    heading, _, rest = page.read_text().partition("\n\n")
    yield "markdown", heading
    yield "code", START.format(page=page.stem, **words).rstrip()
    yield from _files(rest, words)
    number = 0
    for part in EXERCISE_ENDS.split(rest):
        end = 0
        for fence in FENCE.finditer(part):
            if fence[1] == "sh":
                yield from _text(page, part[end : fence.start()])
                for line in fence[2].splitlines():
                    number += 1
                    names = re.findall(rf"\]\(\S*/{number}_(\S+)\.png\)", rest)
                    yield from _command(line, names, exercise=bool(CHECK.search(part)))
                end = fence.end()
        yield from _text(page, part[end:])
        for check in CHECK.findall(part):
            yield "code", f"# {words['answer']}\n# !{check}"


def _text(page: Path, text: str) -> Iterator[tuple[str, str]]:
    """Pictures are those of the commands, so that their captions alone are left."""
    text = PICTURE.sub(r"*\1*", text)
    text = re.sub(r"^```math\n(.*?)^```$", r"$$\n\1$$", text, flags=re.M | re.S)
    text = LINK.sub(lambda link: _moved(page, link[1]), text).strip()
    if text:
        yield "markdown", text


def _moved(page: Path, target: str) -> str:
    """A link of a page as that of its notebook; to another page of the course as one to its notebook."""
    path = Path(os.path.normpath(page.parent / target))
    of_course = path.parent == page.parent and path.suffix == ".md" and path.stem != "README"
    return os.path.relpath(place(path) if of_course else path, place(page).parent)


def _files(text: str, words: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Cells that write the files which commands read, so that a notebook needs no copy of the repository."""
    for folder in dict.fromkeys(word for line in _lines(text) for word in line if word.startswith("docs/")):
        for path in sorted((ROOT / folder).glob("*.py")):
            yield "markdown", words["file"]
            yield "code", f"Path({path.parent.name!r}).mkdir(exist_ok=True)"
            yield "code", f"%%writefile {path.parent.name}/{path.name}\n{path.read_text().rstrip()}"


def _lines(text: str) -> list[list[str]]:
    """The words of each command of a page."""
    blocks = [block for language, block in FENCE.findall(text) if language == "sh"]
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def _command(line: str, names: list[str], exercise: bool) -> Iterator[tuple[str, str]]:
    """A cell that runs a command, and one that shows the figures of these names, in an exercise all that there are."""
    words = [Path(word).name if word.startswith("docs/") else word for word in shlex.split(line)]
    if words[:2] != ["python", "train.py"]:
        yield "code", f"# !{line}"
        return
    command = shlex.join(["nettrain", *words[2:]])
    yield (
        "code",
        "!" + command.replace("{", "{{").replace("}", "}}").replace("$", "$$"),
    )  # `!` has a use of its own for both
    if names or exercise:
        yield "code", f"show({', '.join(map(json.dumps, names))})"


def main() -> None:
    for language in COURSES:
        for page in pages(language):
            place(page).parent.mkdir(exist_ok=True)
            place(page).write_text(notebook(page, language))


if __name__ == "__main__":
    main()
