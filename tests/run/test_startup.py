"""A run imports what is slow to import only where it needs it."""

import json
import subprocess
import sys
from pathlib import Path

SLOW = {"pandas", "pyarrow", "scipy", "sklearn", "matplotlib", "sympy", "torch._dynamo", "torch.utils.tensorboard"}
PROGRAM = """
import json, sys
from nettrain.app.cli import main
sys.argv = ["train.py", "epochs=2", "quiet=true"]
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)))
"""


def test_the_default_run_imports_nothing_that_is_slow(tmp_path):
    ended = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True)
    assert list(Path(tmp_path).rglob("summary.json")), ended.stderr
    assert SLOW.isdisjoint(json.loads(ended.stdout.splitlines()[-1]))
