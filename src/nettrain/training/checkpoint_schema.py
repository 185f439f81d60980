"""What a last.pt has to be made of before a run goes on from it: names, types, shapes and ranges.

A checkpoint may have come from somebody else, and tensors of wrong shapes would be broadcast, negative positions
counted from the end, and programs that were compiled read what is beside their memory.
"""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from nettrain.errors import CheckpointError
from nettrain.parts.joined_metrics import MEANS
from nettrain.preparation.prepared import PreparedRun
from nettrain.storage.checkpoint_files import require_alike
from nettrain.storage.reading import shown

STATUSES = ("completed", "interrupted", "diverged", "failed")  # how a run has ended
LARGEST = 2**53  # of what is counted
ENGINES = ("eager", "graph", "fused", "inductor", "compiled")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < LARGEST


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) and _is_number(n) for name, n in value.items())


def _is_memory(value: Any) -> bool:
    """What a schedule remembers: numbers, and lists of them."""
    lists = isinstance(value, dict) and all(isinstance(name, str) for name in value)
    return lists and all(all(map(_is_number, n)) if isinstance(n, list) else _is_number(n) for n in value.values())


def _is_epoch(value: Any) -> bool:
    """The numbers of an epoch; empty before the first one."""
    return _is_numbers(value) and (not value or all(_is_whole(value.get(name)) for name in ("epoch", "step")))


def _is_whole(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value) and 0 <= value < LARGEST and value == int(value)


def _is_tensors(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(k, str) and isinstance(t, Tensor) for k, t in value.items())


def _is_trajectory(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and isinstance(value.get("epochs"), list)
        and all(map(_is_count, value["epochs"]))
        and isinstance(value.get("w"), Tensor)
    )


def _is_of_callbacks(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("states"), dict)
        and all(isinstance(key, str) and isinstance(state, dict) for key, state in value["states"].items())
        and _is_numbers(value.get("recorded"))
        and (value.get("stopped") is None or isinstance(value["stopped"], str))
    )


_KINDS: dict[str, Callable[[Any], bool]] = {
    "model": _is_tensors,
    "buffers": _is_tensors,
    "best_model": _is_tensors,
    "best_buffers": _is_tensors,
    "optimizer": lambda value: isinstance(value, dict) and all(isinstance(name, str) for name in value),
    "data": lambda value: value is None or isinstance(value, str),
    "config": lambda value: isinstance(value, dict),
    "epoch": _is_count,
    "batch": _is_count,
    "updates": _is_count,
    "function_evaluations": _is_count,
    "gradient_evaluations": _is_count,
    "hessian_vector_products": _is_count,
    "skipped": _is_count,
    "halvings": lambda value: _is_count(value) and value < 64,
    "seconds": lambda value: _is_number(value) and 0 <= value < LARGEST,
    "schedule": _is_memory,
    "engine": lambda value: value in ENGINES,
    "last": _is_epoch,
    "best": _is_epoch,
    "progress": lambda value: _is_numbers(value) and _is_whole(value.get("epoch")) and "loss" in value,
    "initial": _is_number,
    "outputs": lambda value: value is None or isinstance(value, Tensor) or _is_of_joined(value),
    "status": lambda value: value in ("running", *STATUSES),
    "pruned": lambda value: value is None or isinstance(value, str),
    "callbacks": _is_of_callbacks,
    "path": _is_trajectory,
}


USABLE = ("model", "buffers", "data", "config")  # what a prediction needs, beside the encoder


def require_checkpoint(checkpoint: dict[str, Any], path: Path, names: Iterable[str] = tuple(_KINDS)) -> None:
    """Raise `CheckpointError` unless the entries of these names, by default all of a last.pt, are there and fit."""
    for name in names:
        if name not in checkpoint and name == "callbacks":  # of a run that was saved before there were any
            continue
        if name not in checkpoint:
            raise CheckpointError(f"{path}: not a checkpoint of nettrain: it has no {name}.")
        if not _KINDS[name](checkpoint[name]):
            raise CheckpointError(f"{path}: damaged: {name} is {_described(checkpoint[name])}.")


_OF_WHOLE = (  # entries of a last.pt of a run of several members that all of them share
    *("data", "config", "epoch", "batch", "updates", "function_evaluations", "gradient_evaluations"),
    *("hessian_vector_products", "seconds", "engine"),
)


def member_states(checkpoint: dict[str, Any]) -> list[dict[str, Any]]:
    """A last.pt of a run of several members as one of each member."""
    shared = {name: checkpoint[name] for name in _OF_WHOLE if name in checkpoint}
    return [{**state, **shared} for state in checkpoint["members"]]


def require_ensemble(checkpoint: dict[str, Any], run: PreparedRun, path: Path) -> None:
    """Raise `CheckpointError` unless a last.pt can be one of this run of several members."""
    require_checkpoint(checkpoint, path, (*_OF_WHOLE, "last", "status", "callbacks"))
    states = checkpoint.get("members")
    if not isinstance(states, list) or not all(isinstance(state, dict) for state in states):
        raise CheckpointError(f"{path}: not a checkpoint of a run of several members.")
    if len(states) != len(run.members):
        raise CheckpointError(f"{path}: it is of {len(states)} members, and the run has {len(run.members)}.")
    position = [checkpoint["epoch"], checkpoint["batch"]]
    if not any(state.get("at") == position for state in states) or not all("at" in state for state in states):
        raise CheckpointError(f"{path}: damaged: none of its members stands where the run does.")
    for state, member in zip(member_states(checkpoint), run.members, strict=True):
        require_checkpoint(state, path, [name for name in _KINDS if name != "callbacks"])
        if state["at"] != position and not _has_ended(state, position):
            raise CheckpointError(f"{path}: damaged: at is {_described(state['at'])}.")
        if not (state.get("reason") is None or isinstance(state["reason"], str)):
            raise CheckpointError(f"{path}: damaged: reason is {_described(state['reason'])}.")
        at_end = {} if state["at"] == position else {"batch": 0, "outputs": None}
        require_of_run({**state, **at_end}, member, path)


def _has_ended(state: dict[str, Any], position: list[int]) -> bool:
    """Whether a member may have left the others before they came to this position."""
    at = state["at"]
    return (
        isinstance(at, list)
        and len(at) == 2
        and all(map(_is_count, at))
        and at < position
        and state["status"] != "running"
    )


def require_of_run(checkpoint: dict[str, Any], run: PreparedRun, path: Path) -> None:
    """Raise `CheckpointError` unless a last.pt, as `require_checkpoint` lets it pass, can be one of this run."""
    shapes = {name: tensor.shape for name, tensor in run.model.state_dict().items()}
    for name in ("model", "best_model"):
        if {key: tensor.shape for key, tensor in checkpoint[name].items()} != shapes:
            raise CheckpointError(f"{path}: the checkpoint belongs to a different model than {run.config.model.name}.")
    require_alike(checkpoint["model"], run.model.state_dict(), path, "model")
    require_alike(checkpoint["best_model"], run.model.state_dict(), path, "best_model")
    monitored = run.monitor.column
    batch, outputs, points = checkpoint["batch"], checkpoint["outputs"], checkpoint["path"]
    checks = {
        "schedule": checkpoint["schedule"].keys() == run.config.schedule.state().keys(),
        "last": not checkpoint["last"] or monitored in checkpoint["last"],
        "best": not checkpoint["best"] or monitored in checkpoint["best"],
        "batch": batch < run.updates_per_epoch,
        "outputs": (outputs is not None) == (batch > 0) and (outputs is None or _fit(outputs, batch, run)),
        "path": points is None or (points["w"].shape == (len(points["epochs"]), run.parameters)),
    }
    for name, fits in checks.items():
        if not fits:
            raise CheckpointError(f"{path}: damaged: {name} is not one of this run ({_described(checkpoint[name])}).")


def _fit(outputs: Any, batch: int, run: PreparedRun) -> bool:
    """Whether outputs can be those of so many batches of an epoch: all, or the sums and the last ones."""
    if isinstance(outputs, Tensor):
        return outputs.shape == (batch * run.batch_size, run.outputs) and outputs.dtype == run.config.dtype
    z, sums = outputs["z"], outputs["sums"]
    waiting = 0 if z is None else len(z)
    measured = batch * run.batch_size - waiting
    if not run.data.streamed or measured < 0 or waiting % run.batch_size:
        return False
    if z is not None and not (z.shape[1:] == (run.outputs,) and z.dtype == run.config.dtype):
        return False
    classes, names = len(run.data.encoder.classes), {"finite", "largest"}
    if measured:
        names |= {"weight", *(name for name in MEANS if name in run.metric_names)}
        names |= {"confusion"} if classes else {"mean", "squares", "residual"}
    shapes = {name: (classes, classes) if name == "confusion" else () for name in names}
    if {name: tuple(tensor.shape) for name, tensor in sums.items() if not name.startswith("held.")} != shapes:
        return False
    ranked = {name.removeprefix("held."): tensor.shape for name, tensor in sums.items() if name not in names}
    kinds = [(kind, f"{kind} weights") for kind in ("negative", "positive")]
    if not ranked:
        return not (measured and "auroc" in run.metric_names)
    if ranked.keys() not in ({kind for kind, _ in kinds}, {name for pair in kinds for name in pair}):
        return False
    numbers = [ranked[kind].numel() for kind, _ in kinds if ranked.get(f"{kind} weights", ranked[kind]) == ranked[kind]]
    return len(numbers) == 2 and sum(numbers) == measured and all(len(shape) == 1 for shape in ranked.values())


def _is_of_joined(value: Any) -> bool:
    if not (isinstance(value, dict) and value.keys() == {"sums", "z"} and _is_tensors(value["sums"])):
        return False
    return value["z"] is None or (isinstance(value["z"], Tensor) and value["z"].dim() == 2)


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}" if isinstance(value, dict | list | tuple) else shown(value)
