"""A run imports what is slow to import only where it needs it."""

import json
import subprocess
import sys
from pathlib import Path

SLOW = {
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "matplotlib.pyplot",
    "sympy",
    "torch._dynamo",
    "torch.utils.tensorboard",
}
PROGRAM = """
import json, sys
from pathlib import Path

class Guard:  # what draws is imported when training is over
    def find_spec(self, name, path=None, target=None):
        if name == "matplotlib":
            assert list(Path().rglob("summary.json")), "matplotlib is imported before the run has ended"

sys.meta_path.insert(0, Guard())
from nettrain.app.cli import main
sys.argv = ["train.py", "epochs=2", "quiet=true"]
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)))
"""


def modules(folder, *overrides):
    """What the default run has imported at its end."""
    program = PROGRAM.replace('"quiet=true"', ", ".join(map(repr, ["quiet=true", *overrides])))
    ended = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    assert list(Path(folder).rglob("summary.json")), ended.stderr
    assert ended.returncode == 0, ended.stderr
    return set(json.loads(ended.stdout.splitlines()[-1]))


def test_the_default_run_imports_nothing_that_is_slow(tmp_path):
    found = modules(tmp_path)
    assert "matplotlib" in found
    assert SLOW.isdisjoint(found)


def test_without_figures_matplotlib_is_not_imported(tmp_path):
    assert {*SLOW, "matplotlib", "jinja2"}.isdisjoint(modules(tmp_path, "figures=never"))
