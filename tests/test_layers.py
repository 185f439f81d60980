"""Imports point one way, between rooms and within one: no circle anywhere."""

import ast
import graphlib
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
ROOMS = [  # from the top; a module may import from its own room and from those below it
    ["nettrain", "nettrain.__main__", "hydra_plugins"],
    ["nettrain.play"],
    ["nettrain.api"],
    ["nettrain.app"],
    ["nettrain.app.sweep"],
    ["nettrain.app.jobs"],
    ["nettrain.report", "nettrain.exercises"],
    ["nettrain.results"],
    ["nettrain.training"],
    ["nettrain.training.engines"],
    ["nettrain.training.stack", "nettrain.training.logging"],
    ["nettrain.preparation"],
    ["nettrain.config"],
    ["nettrain.minimization", "nettrain.optim", "nettrain.testing"],
    ["nettrain.objective"],
    ["nettrain.data", "nettrain.parts", "nettrain.optimizers", "nettrain.storage"],
    [
        "nettrain.problem",
        "nettrain.registry",
        "nettrain.random",
        "nettrain.row_streams",
        "nettrain.targets",
        "nettrain.vector",
        "nettrain.samples",
        "nettrain.ranks",
        "nettrain.compiler",
    ],
    ["nettrain.inputs"],
    ["nettrain.figures", "nettrain.profile", "nettrain.terminal", "nettrain.wording"],
    ["nettrain.errors", "nettrain.hydra_versions"],
]
DEPTHS = {room: depth for depth, rooms in enumerate(ROOMS) for room in rooms}
ALONE = ("nettrain.compiler", "nettrain.figures")  # rooms that know nothing else of nettrain
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in SOURCE.rglob("*.py")
}


def room(module: str) -> str:
    """The innermost room that a module lies in."""
    names = [module.rsplit(".", n)[0] for n in range(module.count(".") + 1)]
    found = next((name for name in names if name in DEPTHS and name != "nettrain"), module)
    if found not in DEPTHS:
        pytest.fail(f"{module} lies in no room: name it in {__file__}")
    return found


def imported(module: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= below if below <= MODULES.keys() else {node.module, *below}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name in MODULES and name not in ("nettrain", module)}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_downwards(module):
    own = room(module)
    wrong = [
        name
        for name in imported(module)
        if room(name) != own and (DEPTHS[room(name)] <= DEPTHS[own] or (own in ALONE and name != "nettrain.errors"))
    ]
    assert not wrong


def test_no_module_reaches_itself():
    """Not by an import inside of a function either."""
    list(graphlib.TopologicalSorter({module: imported(module) for module in MODULES}).static_order())


def test_every_room_says_what_it_is_for():
    folders = [name for name, path in MODULES.items() if path.name == "__init__.py"]
    assert not [name for name in folders if not ast.get_docstring(ast.parse(MODULES[name].read_text()))]


def test_the_scan_sees_imports():
    assert "nettrain.training.stack.stack" in imported("nettrain.training.trainer")
    assert room("nettrain.training.stack.stack") == "nettrain.training.stack"
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter({"a": {"b"}, "b": {"a"}}).static_order())
