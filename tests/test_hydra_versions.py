"""What is not public in Hydra and OmegaConf is known in one place, and to the plugins."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
KNOWING = {"nettrain/hydra_versions.py", "hydra_plugins/nettrain.py"}
PRIVATE = re.compile(r"\b(hydra|omegaconf)\.(\w+\.)*_\w+")


def private_imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return [name for name in names if PRIVATE.match(name)]


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.name)
def test_private_names_of_hydra_are_known_in_one_place(path):
    if path.relative_to(SOURCE).as_posix() not in KNOWING:
        assert private_imports(path) == []
        assert re.findall(r"\._(get_node|metadata|set_parent|content)\b|\"_content\"", path.read_text()) == []


def test_the_places_that_know_private_names_have_some():
    assert all(private_imports(SOURCE / path) for path in KNOWING)
