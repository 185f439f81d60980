"""What a run says on the terminal: what it will do, and what it has reached."""

import torch

from nettrain.parts.models import PolynomialModel
from nettrain.run.files import load_checkpoint
from nettrain.run.row import Row
from nettrain.run.setup import Setup

_SPLITS = ("train", "val", "test")


def plan(setup: Setup, device: torch.device) -> str:
    """What a run will do: data, model, head, optimizer, and the count of its updates."""
    config, data, settings = setup.config, setup.data, setup.settings
    encoder = data.encoder
    target = f"{len(encoder.classes)} classes" if encoder.classes else "numbers"
    sizes = ", ".join(f"{name} {len(data.splits[name])}" for name in _SPLITS)
    parameters = sum(p.numel() for p in setup.model.parameters())
    widths = "-".join(
        map(
            str,
            [len(encoder.feature_names), *config["model"].get("hidden", []), setup.head.outputs(len(encoder.classes))],
        )
    )
    activation = f", {config['activation']['name']}" if config["model"].get("hidden") else ""
    options = ", ".join(f"{k} {v}" for k, v in config["optimizer"].items() if k != "name" and v not in (None, False))
    drop = " (the last, smaller batch is left out)" if settings.drop_last else ""
    lines = [
        (
            "data",
            f"{data.table.source}: {len(data.y)} rows, {len(encoder.feature_names)} features, "
            f"target {encoder.target_name} ({target}); {sizes}",
        ),
        ("model", f"{config['model']['name']} {widths}{activation}, {parameters:,} parameters"),
        ("head", setup.head.name),
        ("optimizer", f"{config['optimizer']['name']}: {options}; schedule {config['schedule']['name']}"),
        (
            "updates",
            f"{setup.n_train} / {settings.batch_size(setup.n_train)} -> {setup.updates_per_epoch} updates per epoch "
            f"x {settings.epochs} epochs = {setup.updates} updates{drop}",
        ),
        ("device", f"{device}, {settings.precision}"),
        *(("note", note) for note in setup.notes),
    ]
    return "\n".join(f"{name:10} {text}" for name, text in lines)


def result(row: Row) -> str:
    """What a run has reached: the metrics of every split, and where everything lies."""
    summary = row.summary
    best = {"train": "train_", "val": "best_val_", "test": "test_"}
    names = [key.removeprefix("train_") for key in summary if key.startswith("train_")]
    why = f" ({row.reason})" if row.reason else ""
    head = f"{summary['status']}{why} after {summary['epochs']} epochs, {summary['updates']} updates, {summary['seconds']:.1f} s"
    lines = ["", head + (f"; best epoch {summary['best_epoch']}" if row.best else "")]
    if names:
        lines.append(f"{'':12}" + "".join(f"{name:>18}" for name in names))
    labels = {"train": "train, last", "val": "val, best", "test": "test, best"}
    for split, prefix in best.items():
        if f"{prefix}loss" in summary:
            lines.append(f"{labels[split]:12}" + "".join(f"{summary[prefix + name]:>18.4g}" for name in names))
    if isinstance(row.setup.model, PolynomialModel):
        lines += _coefficients(row)
    return "\n".join([*lines, f"folder       {row.setup.folder}"])


def _coefficients(row: Row) -> list[str]:
    """The weights that a polynomial ended with, beside the least-squares ones and, where they are known, the true ones."""
    import numpy as np

    data, degree = row.setup.data, row.setup.config["model"]["degree"]
    rows, true = data.splits["train"], row.setup.config["data"]
    columns = {
        "found": load_checkpoint(row.setup.folder / "checkpoints" / "last.pt")["model"]["weight"][0].tolist(),
        "least squares": np.polyfit(data.x[rows, 0], data.y[rows], degree).tolist(),
    }
    names = [f"w{k + 1}" for k in range(degree + 1)]
    if all(name in true for name in names):
        columns["true"] = [true[name] for name in names]
    lines = [f"{'':12}" + "".join(f"{name:>16}" for name in columns)]
    for k, name in enumerate(names):
        lines.append(f"{name:12}" + "".join(f"{values[k]:>16.6f}" for values in columns.values()))
    return lines
