"""What a run says on the terminal: what it will do, and what it has reached."""

from typing import Any

import torch

from nettrain.parts.models import PolynomialModel
from nettrain.preparation.prepared import Setup
from nettrain.report.layer_table import layer_lines
from nettrain.storage.files import load_checkpoint
from nettrain.terminal import painted
from nettrain.training.run_state import Row


def plan(setup: Setup, device: torch.device) -> str:
    """What a run will do: data, model, head, optimizer, and the count of its updates."""
    config, settings, encoder = setup.config, setup.settings, setup.data.encoder
    target = f"{len(encoder.classes)} classes" if encoder.classes else "numbers"
    sizes = ", ".join(f"{name} {len(rows)}" for name, rows in setup.data.splits.items())
    rows, features = len(setup.data.y), len(encoder.feature_names)
    given = {k: v for k, v in config["optimizer"].items() if k != "name" and v not in (None, False)}
    options = ", ".join(k if v is True else f"{k} {v}" for k, v in given.items())
    per_epoch = f"{setup.n_train} / {settings.batch_size(setup.n_train)} -> {setup.updates_per_epoch} updates per epoch"
    drop = " (a smaller last batch is left out)" if settings.drop_last else ""
    lines = [
        ("data", f"{setup.data.table.source}: {rows} rows, {features} features, {encoder.target_name} ({target})"),
        ("splits", sizes),
        ("model", _model(setup)),
        *(("", line) for line in _layers(setup)),
        ("head", setup.head.name),
        ("optimizer", f"{config['optimizer']['name']}: {options}"),
        ("schedule", config["schedule"]["name"]),
        ("updates", f"{per_epoch} x {settings.epochs} epochs = {setup.updates} updates{drop}"),
        ("device", f"{device}, {settings.precision}"),
        *(("note", note) for note in setup.notes),
    ]
    return "\n".join(f"{name:10} {text}" for name, text in lines)


def _model(setup: Setup) -> str:
    model, encoder = setup.config["model"], setup.data.encoder
    parameters = f"{setup.parameters:,} parameters"
    inputs, outputs = len(encoder.feature_names), setup.head.outputs(len(encoder.classes))
    if "hidden" in model:
        widths = "-".join(map(str, [inputs, *model["hidden"], outputs]))
        return f"{model['name']} {widths}, {setup.config['activation']['name']}, {parameters}"
    return f"{model.get('_target_', model['name'])}, {inputs} inputs, {outputs} outputs, {parameters}"


def _layers(setup: Setup) -> list[str]:
    """The layers of a model that has several, in columns."""
    rows = layer_lines(setup.model)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
    return lines if len(lines) > 1 else []


def result(row: Row) -> str:
    """What a run has reached: its metrics, a line each, and where everything lies."""
    summary = row.summary
    diverged = summary["status"] == "diverged"
    why = f" ({row.reason})" if row.reason and not diverged else ""
    spent = f"{summary['epochs']} epochs, {summary['updates']} updates, {summary['seconds']:.1f} s"
    best = f"; best epoch {summary['best_epoch']}" if row.best else ""
    status = painted(summary["status"], "green" if summary["status"] == "completed" else "red")
    lines = ["", f"{status}{why} after {spent}{best}"]
    if diverged:
        lines.append(f"because {row.reason}")
    if summary.get("lr_halvings") or summary.get("skipped_updates"):
        lines.append(_recovery(summary))
    columns = [("train, last", "train_"), ("val, best", "best_val_"), ("test, best", "test_")]
    columns = [(title, prefix) for title, prefix in columns if f"{prefix}loss" in summary]
    if columns:
        lines.append(f"{'':20}" + "".join(f"{title:>16}" for title, _ in columns))
    first = columns[0][1] if columns else "none"
    for name in (key.removeprefix(first) for key in summary if key.startswith(first)):
        lines.append(f"{name:20}" + "".join(f"{summary[prefix + name]:>16.4g}" for _, prefix in columns))
    if isinstance(row.setup.model, PolynomialModel) and not row.setup.data.encoder.classes:
        lines += _coefficients(row)
    return "\n".join([*lines, f"{'folder':20} {row.setup.folder}"])


def _recovery(summary: dict[str, Any]) -> str:
    if "skipped_updates" in summary:
        return f"on the way {summary['skipped_updates']} updates were not finite and left out"
    return f"on the way it diverged and went back to its best weights, {summary['lr_halvings']} times; lr was halved"


def _coefficients(row: Row) -> list[str]:
    """The weights that a polynomial ended with, beside the least-squares ones and the true ones, if known."""
    import numpy as np

    data, true, degree = row.setup.data, row.setup.config["data"], row.setup.config["model"]["degree"]
    train = data.splits["train"]
    weights = load_checkpoint(row.setup.folder / "checkpoints" / "last.pt")["model"]["weight"]
    names = [f"w{k + 1}" for k in range(degree + 1)]
    least_squares = np.polyfit(data.x[train, 0], data.y[train], degree)
    columns = {"found": weights[0].tolist(), "least squares": least_squares.tolist()}
    if all(name in true for name in names) and not true["standardize"]:
        columns["true"] = [true[name] for name in names]
    lines = [f"{'':20}" + "".join(f"{title:>16}" for title in columns)]
    for k, name in enumerate(names):
        lines.append(f"{name:20}" + "".join(f"{values[k]:>16.6f}" for values in columns.values()))
    return lines
