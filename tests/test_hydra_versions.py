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


@pytest.mark.parametrize("words", [["-m"], ["hydra.mode=MULTIRUN"], ["--config-dir", "mine", "experiment=many"]])
def test_whatever_says_that_it_is_a_sweep_makes_it_one(command, tmp_path, monkeypatch, words):
    """Also a config of somebody's, in whatever folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "many.yaml").write_text(
        "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params: {optimizer: 'sgd,adam'}\n"
    )
    ended = command(
        *words, "data=iris", "epochs=1", "figures=never", *(["optimizer=sgd,adam"] if len(words) < 2 else [])
    )
    assert ended.code == 0, ended.err
    (results,) = tmp_path.rglob("results.csv")
    assert len(results.read_text().splitlines()) == 3
