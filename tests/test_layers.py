"""Imports point one way: app -> run -> objective -> parts and data -> vector."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
LAYERS = [  # from the top; a module may import from its own layer and from those below
    ["nettrain.app", "hydra_plugins"],
    ["nettrain.run"],
    ["nettrain.minimization", "nettrain.optim"],
    ["nettrain.objective"],
    ["nettrain.data"],
    ["nettrain.parts", "nettrain.problem"],
    ["nettrain.vector", "nettrain.errors", "nettrain.figures", "nettrain.compiler"],
]
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in SOURCE.rglob("*.py")
}


def layer(module: str) -> int:
    for depth, prefixes in enumerate(LAYERS):
        if any(module == prefix or module.startswith(prefix + ".") for prefix in prefixes):
            return depth
    pytest.fail(f"{module} belongs to no layer: name it in {__file__}")


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name in MODULES and name != "nettrain"}


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"nettrain"}))
def test_imports_point_downwards(module):
    upwards = [name for name in imported(MODULES[module]) if layer(name) < layer(module)]
    assert not upwards


def test_the_scan_sees_imports():
    assert "nettrain.training.stack.stack" in imported(MODULES["nettrain.training.trainer"])
