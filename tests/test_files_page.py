"""docs/files.md names every column and key of the files that runs write."""

import csv
import json
import re
from pathlib import Path

import pytest
import torch

PAGE = (Path(__file__).parents[1] / "docs" / "files.md").read_text()
RUNS = {
    "classes": ["data=iris", "on_divergence=skip_step", "optimizer=sgd", "optimizer.lr=1e38"],
    "two classes": ["data=breast_cancer", "activation=tanh", "model.hidden=[4,4]"],
    "numbers": ["data=quadratic", "model=polynomial", "optimizer=newton", "bs=full", "data.val_fraction=0"],
    "fold": ["data=wine", "split=fold"],
    "members": ["data=wine", "members=3"],
    "search": ["data=iris", "optimizer=genetic", "model.hidden=[3]"],
}


def named(name, section):
    """Whether a section has the name, as it is or with `<layer>` or `<metric>` for a part of it."""
    metric = re.fullmatch(r"((?:best_)?(?:train|val|test)_|baseline_)(\w+)", name)
    forms = {
        name,
        re.sub(r"/.*", "/<layer>", name),
        re.sub(r"^(members|spread)_(val|test)_.*", r"\1_<split>_<metric>", name),
    }
    if metric and metric[2] != "loss":
        assert f"`{metric[2]}`" in PAGE
        forms.add(f"{metric[1]}<metric>")
    return any(f"`{form}`" in section for form in forms)


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)[1]


@pytest.mark.parametrize("kind", RUNS)
def test_every_name_in_a_run_s_files_is_explained(command, tmp_path, kind):
    command(*RUNS[kind], "epochs=1", "figures=never", "quiet=true", "hydra.run.dir=run")
    run = tmp_path / "run"
    names = {
        "metrics.csv": next(csv.reader((run / "metrics.csv").open())),
        "summary.json": list(json.loads((run / "summary.json").read_text())),
        "environment.json": list(json.loads((run / "environment.json").read_text())),
        "checkpoints": [
            name for path in (run / "checkpoints").iterdir() for name in torch.load(path, weights_only=True)
        ],
    }
    for title, some in names.items():
        assert [name for name in some if not named(name, section(title))] == []


def test_every_file_of_a_run_and_a_sweep_is_explained(command, tmp_path):
    command("data=iris", "epochs=1", "profile=true", "hydra.run.dir=run")
    command("-m", "data=iris", "epochs=1", "seed=0,1", "hydra.sweep.dir=sweep")
    for path in [*(tmp_path / "run").rglob("*"), *(tmp_path / "sweep").glob("*")]:
        if path.is_file():
            name = re.sub(r"events\.out\..*", "events.out.tfevents.*", path.name)
            assert name in PAGE or (path.suffix == ".png" and "figures/*.png" in PAGE), path
