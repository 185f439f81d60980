"""A run imports what is slow to import only where it needs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = {
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "matplotlib.pyplot",
    "sympy",
    "torch._dynamo",
    "torch.utils.tensorboard",
    "nettrain.ranks.group",
}
PROGRAM = """
import json, sys
from nettrain.app.main import main
sys.argv = ["train.py", "epochs=2", "quiet=true"]
try:
    main()
finally:
    import psutil
    drawing = [child.cmdline() for child in psutil.Process().children()]
    print(json.dumps([sorted(sys.modules), drawing]))
"""


def modules(folder, *overrides):
    """What the default run has imported at its end, and the processes that it has started."""
    program = PROGRAM.replace('"quiet=true"', ", ".join(map(repr, ["quiet=true", *overrides])))
    ended = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    assert list(Path(folder).rglob("summary.json")), ended.stderr
    assert ended.returncode == 0, ended.stderr
    imported, started = json.loads(ended.stdout.splitlines()[-1])
    return set(imported), started


def test_the_default_run_imports_nothing_that_is_slow(tmp_path):
    found, (drawing,) = modules(tmp_path)
    assert {*SLOW, "matplotlib"}.isdisjoint(found)
    assert "nettrain.figures.worker" in drawing
    assert len(list(tmp_path.rglob("*.png"))) == 11


def test_without_figures_matplotlib_is_not_imported(tmp_path):
    found, drawing = modules(tmp_path, "figures=never")
    assert {*SLOW, "matplotlib", "jinja2"}.isdisjoint(found)
    assert not drawing


ENTRY = """
import sys, types
from nettrain.app.main import main
from nettrain.figures import process
process.start = lambda: print("started", "torch" in sys.modules)
sys.modules["nettrain.app.cli"] = cli = types.SimpleNamespace(main=lambda: print("main"))
sys.modules["nettrain.app"].cli = cli
sys.argv[0] = "train.py"
main()
"""


@pytest.mark.parametrize(
    ("arguments", "started"),
    [
        ([], True),
        (["-m", "seed=1,2"], True),
        (["-cn", "other", "data=iris"], True),
        (["figures=never"], False),
        (["data=iris", "-h"], False),
        (["--help"], False),
        (["--hydra-help"], False),
        (["--version"], False),
        (["--cfg=job"], False),
        (["--info", "all"], False),
    ],
)
def test_what_draws_is_started_before_torch_is_imported_where_figures_will_be_drawn(arguments, started):
    ended = subprocess.run([sys.executable, "-c", ENTRY, *arguments], capture_output=True, text=True, check=True)
    assert ended.stdout == "started False\n" * started + "main\n"
