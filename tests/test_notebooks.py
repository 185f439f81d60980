"""The notebooks of the course are made of its pages, and run."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
import notebooks

PAGES = [(page, language) for language in notebooks.COURSES for page in notebooks.pages(language)]
NAMES = [f"{page.stem}-{language}" for page, language in PAGES]


@pytest.mark.parametrize(("page", "language"), PAGES, ids=NAMES)
def test_a_notebook_is_that_of_its_page(page, language):
    file = notebooks.place(page)
    assert file.read_text() == notebooks.notebook(page, language), "`make notebooks` makes it anew"
    nbformat.validate(nbformat.read(file, as_version=4))


def test_every_notebook_has_a_page():
    found = {path for course in notebooks.COURSES.values() for path in course.glob("notebooks/*")}
    assert found == {notebooks.place(page) for page, _ in PAGES}


@pytest.mark.parametrize(("page", "language"), PAGES, ids=NAMES)
def test_links_of_a_notebook_lead_somewhere(page, language):
    file = notebooks.place(page)
    cells = nbformat.read(file, as_version=4).cells
    for cell in cells:
        for target in notebooks.LINK.findall(cell.source if cell.cell_type == "markdown" else ""):
            assert (file.parent / target).is_file(), target


@pytest.mark.slow
@pytest.mark.parametrize("page", notebooks.pages("en"), ids=lambda page: page.stem)
def test_a_notebook_runs_and_shows_figures(page, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    read = nbformat.read(notebooks.place(page), as_version=4)
    NotebookClient(read, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    codes = [cell for cell in read.cells if cell.cell_type == "code"]
    commands = [cell for cell in codes if re.match("!nettrain ", cell.source)]
    for cell in commands:
        assert "folder" in "".join(output.get("text", "") for output in cell.outputs), cell.source
    shown = [cell for cell in codes if cell.source.startswith("show(")]
    assert shown
    for cell in shown:
        images = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        assert images
        assert len(images) == cell.source.count('"') // 2 or cell.source == "show()", cell.source


@pytest.mark.parametrize(("page", "language"), PAGES, ids=NAMES)
def test_a_shell_takes_the_commands_of_a_page(page, language):
    for block_language, block in notebooks.FENCE.findall(page.read_text()):
        if block_language == "sh":
            assert subprocess.run(["bash", "-n"], input=block.encode()).returncode == 0
