"""What a run or a sweep says on the terminal: what it will do, and what it has reached."""

import shlex
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch

from nettrain.config.recipes import recipe_of
from nettrain.data.encoding import Encoder
from nettrain.data.table import ColumnSummary
from nettrain.data.wording import brief
from nettrain.inputs import total_size
from nettrain.parts.heads.independent import metric_suffixes
from nettrain.parts.models import PolynomialModel, TableModel, TabM
from nettrain.preparation.prepared import PreparedRun
from nettrain.report.layer_table import layer_lines
from nettrain.storage.checkpoint_files import load_checkpoint
from nettrain.terminal import painted
from nettrain.training.run_state import RunState
from nettrain.wording import counted

MOST_TARGETS = 3  # whose metrics are shown one by one
MOST_COLUMNS = 20  # of a table that are listed one by one


def plan(run: PreparedRun, device: torch.device, ranks: int = 1) -> str:
    """What a run will do: data, model, head, optimizer, and the count of its updates; by how many ranks."""
    config, encoder = run.config, run.data.encoder
    rows, inputs = counted(len(run.data.y), "row"), encoder.inputs_text
    target = f"{encoder.target_name} ({encoder.target_text})"
    names = ("name", "_target_", "_partial_")
    chosen = {k: v for k, v in run.container["optimizer"].items() if k not in names and v not in (None, False)}
    options = ", ".join(k if v is True else f"{k} {v}" for k, v in chosen.items())
    per_epoch = f"{run.samples_per_epoch} / {run.batch_size} -> {run.updates_per_epoch} updates per epoch"
    drop = " (a smaller last batch is skipped)" if config.drop_last else ""
    recipe = recipe_of(run.overrides)
    lines = [
        *([("recipe", recipe)] if recipe else []),
        ("data", f"{run.data.table.source}: {rows}, {inputs}, {target}"),
        *zip(["columns", *[""] * MOST_COLUMNS], _columns(run.data.table.overview), strict=False),
        ("splits", _splits(run)),
        ("model", _model(run)),
        *(("", line) for line in _layers(run)),
        ("head", run.head.name),
        ("optimizer", f"{_named(run, 'optimizer')}: {options}" if options else _named(run, "optimizer")),
        *(("groups", line) for line in _groups(run)),
        ("schedule", _named(run, "schedule")),
        ("updates", f"{per_epoch} x {config.epochs} epochs = {run.updates} updates{drop}"),
        ("device", f"{device}, {config.precision}{_ranks(run, ranks)}"),
        *(("note", note) for note in run.notes),
    ]
    return "\n".join(f"{name:10} {text}" for name, text in lines)


def _ranks(run: PreparedRun, ranks: int) -> str:
    """Among how many processes each batch is divided."""
    if ranks == 1:
        return ""
    sharded = "; each has the optimizer's state of its part of the weights" if run.config.sharded else ""
    return f", {ranks} ranks: {-(-run.batch_size // ranks)} of the {run.batch_size} samples of a batch each{sharded}"


def _splits(run: PreparedRun) -> str:
    """How many rows each split has; of several members, those of each."""
    data, config = run.data, run.config
    if not run.members:
        return config.split.described + ", ".join(f"{name} {len(rows)}" for name, rows in data.splits.items())
    sizes = {name: sorted({len(splits[name]) for splits in data.members}) for name in data.splits}
    ranges = [f"{name} {n[0]}" if len(n) == 1 else f"{name} {n[0]} to {n[-1]}" for name, n in sizes.items()]
    return f"{len(data.members)} {'folds' if config.folds else 'members'}, each: {', '.join(ranges)}"


def _columns(overview: Sequence[ColumnSummary]) -> list[str]:
    """What each column of a table was taken for, a line each; how many of each kind, where they are many."""
    if len(overview) > MOST_COLUMNS:
        kinds = Counter(column.kind for column in overview)
        missing = sum(column.missing > 0 for column in overview)
        cells = f"; {missing} of {len(overview)} with missing cells" if missing else ""
        return [", ".join(f"{count} {kind}" for kind, count in kinds.items()) + cells]
    rows = [
        (brief(column.name), column.kind, f"{column.missing} missing" if column.missing else "", brief(column.values))
        for column in overview
    ]
    widths = [max(map(len, texts)) for texts in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _named(run: PreparedRun, group: str) -> str:
    """The name of a part, or of the class that it is made of."""
    part: dict[str, Any] = run.container[group]
    return str(part.get("_target_", part["name"]))


def _groups(run: PreparedRun) -> list[str]:
    """What groups of parameters change, a line for each pattern."""
    lines = []
    for pattern, changes in (run.config.groups or {}).items():
        factors = [f"{key} x {value:g}" for key, value in changes.items() if key != "freeze"]
        lines.append(f"{pattern}: {', '.join([*factors, *(['frozen'] if changes.get('freeze') else [])])}")
    return lines


def _model(run: PreparedRun) -> str:
    model, inputs = run.container["model"], total_size(run.data.inputs)
    members = f"{len(run.members)} members of " if run.members else ""
    parameters = f"{members}{run.parameters // max(1, len(run.members)):,} parameters"
    if isinstance(run.config.model, TableModel):  # a class of somebody's may have such keys, too
        copies = f"{run.config.model.k} x " if isinstance(run.config.model, TabM) else ""
        widths = "-".join(map(str, [inputs, *model["hidden"], run.outputs]))
        return f"{model['name']} {copies}{widths}, {run.config.activation.name}, {parameters}"
    return f"{model.get('_target_', model['name'])}, {inputs} inputs, {run.outputs} outputs, {parameters}"


def _layers(run: PreparedRun) -> list[str]:
    """The layers of a model that has several, in columns."""
    rows = layer_lines(run.model)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
    return lines if len(lines) > 1 else []


def result(row: RunState) -> str:
    """What a run has reached: its metrics, a line each, and where everything lies."""
    summary = row.summary
    diverged = summary["status"] == "diverged"
    why = f" ({row.reason})" if row.reason and not diverged else ""
    epochs, updates = counted(summary["epochs"], "epoch"), counted(summary["updates"], "update")
    spent = f"{epochs}, {updates}, {summary['seconds']:.1f} s"
    best = f"; best epoch {summary['best_epoch']}" if row.best else ""
    status = painted(summary["status"], "green" if summary["status"] == "completed" else "red")
    lines = ["", f"{status}{why} after {spent}{best}"]
    if diverged:
        lines.append(f"because {row.reason}")
    if row.run.config.debug:
        learnt = {None: "", True: "; its batch was learnt", False: "; its batch was not learnt"}
        lines.append(f"a debug run, on {counted(row.run.n_train, 'training row')}{learnt[row.learnt]}")
    if summary["status"] == "interrupted":
        lines.append(f"to continue: nettrain {shlex.quote(f'resume={row.run.folder}')}")
    if summary.get("lr_halvings") or summary.get("skipped_updates"):
        lines.append(_recovery(summary))
    if "temperature" in summary:
        lines.append(_calibration(summary))
    columns = [("train, last", "train_"), ("val, best", "best_val_"), ("test, best", "test_")]
    columns = [(title, prefix) for title, prefix in columns if f"{prefix}loss" in summary]
    if columns:
        columns.append(("baseline", "baseline_"))
    first = columns[0][1] if columns else "none"
    measured = [key.removeprefix(first) for key in summary if key.startswith(first)]
    targets = row.run.data.encoder.targets
    if len(targets) > MOST_TARGETS:
        of_each = {f"{name}_{target}" for name in measured for target in metric_suffixes(targets)}
        measured = [name for name in measured if name not in of_each]
    width = max([18, *(len(name) + 1 for name in measured)])
    if columns:
        lines.append(f"{'':{width}}" + "".join(f"{title:>15}" for title, _ in columns))
    for name in measured:
        cells = (summary.get(prefix + name) for _, prefix in columns)
        lines.append(f"{name:{width}}" + "".join(f"{'' if v is None else f'{v:.4g}':>15}" for v in cells).rstrip())
    if len(targets) > MOST_TARGETS:
        lines.append(f"means over {len(targets)} targets; those of each are in summary.json and in the report")
    if columns:
        lines.append(f"baseline: {constant_prediction(row.run.data.encoder)} of the training rows, whatever x is")
    if summary.get("members"):
        lines.append(_members(summary))
    alone = not (targets or row.run.data.encoder.classes or row.run.members)
    if isinstance(row.run.model, PolynomialModel) and alone:
        lines += _coefficients(row)
    return "\n".join([*lines, f"{'folder':20} {row.run.folder}"])


def _calibration(summary: dict[str, Any]) -> str:
    if summary["temperature"] == 1:
        return "temperature 1: no other lowers the loss of the validation rows"
    losses = f"{summary['best_val_loss']:.4g} to {summary['calibrated_val_loss']:.4g}"
    return f"temperature {summary['temperature']:.4g}: the loss of the validation rows goes from {losses}"


def _members(summary: dict[str, Any]) -> str:
    """What the members of a run have reached, each alone."""
    alone = [name.removeprefix("members_") for name in summary if name.startswith("members_") and "_loss" in name]
    texts = [f"{name} {summary[f'members_{name}']:.4g} ± {summary[f'spread_{name}']:.2g}" for name in alone]
    left_out = f"; {summary['members_left_out']} are left out" if summary.get("members_left_out") else ""
    return f"{counted(summary['members'], 'member')} together; each alone: {', '.join(texts) or 'nothing'}{left_out}"


def constant_prediction(encoder: Encoder) -> str:
    """What the baseline predicts, in words."""
    if encoder.targets:
        return "the more frequent value of each label" if encoder.classes else "the mean of each target"
    return "the most frequent class" if encoder.classes else "the mean"


def _recovery(summary: dict[str, Any]) -> str:
    if "skipped_updates" in summary:
        return f"{summary['skipped_updates']} updates were not finite and were skipped"
    return f"it diverged and was restored to its best weights, {summary['lr_halvings']} times; each time lr was halved"


def _coefficients(row: RunState) -> list[str]:
    """The weights that a polynomial ended with, beside the least-squares ones and the true ones, if known."""
    import numpy as np

    data, true, degree = row.run.data, row.run.container["data"], row.run.config.model.degree
    train = data.splits["train"]
    weights = load_checkpoint(row.run.folder / "checkpoints" / "last.pt")["model"]["weight"]
    names = [f"w{k + 1}" for k in range(degree + 1)]
    least_squares = np.polyfit(data.x[train, 0], data.y[train], degree)
    columns = {"found": weights[0].tolist(), "least squares": least_squares.tolist()}
    if all(name in true for name in names) and not true["standardize"]:
        columns["true"] = [true[name] for name in names]
    lines = [f"{'':20}" + "".join(f"{title:>16}" for title in columns)]
    for k, name in enumerate(names):
        lines.append(f"{name:20}" + "".join(f"{values[k]:>16.6f}" for values in columns.values()))
    return lines
