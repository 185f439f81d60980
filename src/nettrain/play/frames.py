"""What the page draws, as plain containers of numbers and texts: pictures are bytes in base64, row by row."""

import base64
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nettrain.play.lane import Lane
from nettrain.play.session import Session
from nettrain.play.surface import Surface
from nettrain.play.views import inputs_of
from nettrain.training.stack.rows import to_host

FIELD, AMONG, UNIT, SMALL = 56, 36, 24, 24  # points along an input: of one picture, or several, of a unit, of a seed
MOST_WEIGHTS = 4000  # that are sent to be drawn as links

Json = dict[str, Any]


class Frames:
    """The frames of a session: views of it that are made once, and what they show at present."""

    def __init__(self, session: Session) -> None:
        self.session = session
        many = session.setting.seeds > 1
        self.size = size = SMALL if many else AMONG if len(session.lanes) > 2 else FIELD
        self.views = [lane.view(session.box, size) for lane in session.lanes]
        self.small = [lane.view(session.box, UNIT) for lane in session.lanes]
        self.surface = None if many else Surface.of(session.lanes)

    def problem(self) -> Json:
        """What stays as it is: samples, axes, what each lane is."""
        session, run = self.session, self.session.lanes[0].runs[0]
        data, encoder = run.data, run.data.encoder
        columns = inputs_of(data)
        split_of = np.full(len(data.y), -1)
        for number, name in enumerate(("train", "val", "test")):
            split_of[data.splits[name]] = number
        rows = np.flatnonzero(split_of >= 0)
        x = np.stack([column.filled(data.table.columns[column.name][rows]) for column in columns], axis=1)
        y = data.y[rows] if encoder.classes else np.asarray(encoder.in_units(data.y[rows]), float)
        place = {row: i for i, row in enumerate(rows.tolist())}
        return {
            "inputs": [column.name for column in columns],
            "target": encoder.target_name,
            "classes": encoder.classes,
            "box": {"inputs": session.box.inputs, "target": session.box.target},
            "x": _numbers(x),
            "y": _numbers(y),
            "split": split_of[rows].tolist(),
            "train": [place[row] for row in data.splits["train"].tolist()],
            "seeds": session.setting.seeds,
            "size": self.size,
            "unit_size": UNIT,
            "lanes": [self._lane(lane, text) for lane, text in zip(session.lanes, session.commands, strict=True)],
            "surface": self.surface is not None,
        }

    def _lane(self, lane: Lane, command: str) -> Json:
        run = lane.runs[0]
        return {
            "command": command,
            "columns": lane.names,
            "epochs": run.config.epochs,
            "updates_per_epoch": run.updates_per_epoch,
            "batch_size": run.batch_size,
            "parameters": run.parameters,
            "head": run.head.name,
            "features": run.data.encoder.feature_names,
            "notes": run.notes,
        }

    def frame(self, focus: int = 0, known: Sequence[int] = ()) -> Json:
        """The present state; of each lane the epochs that are not known yet; hidden units of the lane in `focus`."""
        lanes = self.session.lanes
        focus = min(max(focus, 0), len(lanes) - 1)
        shown = [self._state(i, lane, known[i] if i < len(known) else 0, i == focus) for i, lane in enumerate(lanes)]
        surface = self.surface.shown(lanes, lanes[focus]) if self.surface else None
        return {"running": self.session.running, "lanes": shown, "surface": surface, "focus": focus}

    def _state(self, i: int, lane: Lane, known: int, in_focus: bool) -> Json:
        trainer = lane.trainer
        first = trainer.states[0]
        state: Json = {
            "epoch": trainer.epoch,
            "batch": trainer.begun.batches,
            "step": trainer.counters.updates,
            "running": lane.running,
            "status": [s.status for s in trainer.states] if len(lane.seeds) > 1 else first.status,
            "reason": first.reason,
            "engine": trainer.engine_name,
            "counts": trainer.counters.spent,
            "history": _plain(lane.history[known:]),
            "picture": self._picture(i, lane),
        }
        if len(lane.seeds) == 1:
            state["layers"] = _plain(_layers(first.last))
        if in_focus and len(lane.seeds) == 1:
            losses, order = trainer.batches()
            state |= {"batches": _numbers(losses), "order": order.tolist()}
            state |= {"units": self._units(i, lane), "weights": _weights(lane)}
        if len(lane.seeds) > 1:
            column = lane.names[1]
            state["seed_losses"] = _plain([s.last.get(column, math.nan) for s in trainer.states])
        return state

    def _picture(self, i: int, lane: Lane) -> Json:
        """The function of each run on the grid of the session's box, (K, n): bytes from 0 to 255."""
        view, one_input = self.views[i], len(self.session.box.inputs) == 1
        values = view.outputs(lane.weights)
        if one_input:
            low, high = self.session.box.target
            if view.classes:
                values = values[..., 1:] if view.classes == 2 else values
            return {"curves": _plain([[_rounded(run[:, c]) for c in range(run.shape[1])] for run in values])}
        if not view.classes:
            low, high = self.session.box.target
            return {"value": _bytes((values[..., 0] - low) / (high - low))}
        if view.classes == 2:
            return {"value": _bytes(values[..., 1])}
        second, first = np.moveaxis(np.sort(values, -1)[..., -2:], -1, 0)
        chosen = np.nan_to_num(values).argmax(-1)
        return {"class": _base64(chosen), "value": _bytes(first), "margin": _bytes(first - second)}

    def _units(self, i: int, lane: Lane) -> list[Json]:
        """What the inputs, and the hidden units of each layer, are on a smaller grid: bytes, 128 for 0."""
        view = self.small[i]
        layers = [view.inputs(), *view.hidden(lane.weights)]
        shown = []
        for values in layers:
            finite = np.abs(values[np.isfinite(values)])
            scale = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
            pictures = [_bytes(0.5 + 127 / 255 * values[:, unit] / scale) for unit in range(values.shape[1])]
            shown.append({"pictures": pictures, "scale": scale if math.isfinite(scale) else None})
        return shown


def _layers(numbers: dict[str, float]) -> dict[str, dict[str, float]]:
    """The numbers of each layer, by what they are: gradient norms, ratios of update to weight, shares of units."""
    found: dict[str, dict[str, float]] = {}
    for name, value in numbers.items():
        what, slash, layer = name.partition("/")
        if slash:
            found.setdefault(what, {})[layer] = value
    return found


def _weights(lane: Lane) -> list[Any] | None:
    """The matrices of the layers, for the links between units; nothing of a model that has none, or too many."""
    run = lane.runs[0]
    if run.parameters > MOST_WEIGHTS:
        return None
    views = lane.trainer.stack.objective.layout.views(lane.weights[0])
    matrices = [to_host(view) for name, view in views.items() if name.startswith("layers.") and view.dim() == 2]
    return [_plain([_rounded(row.numpy()) for row in matrix.double()]) for matrix in matrices]


def _rounded(values: np.ndarray) -> list[float]:
    """Four digits are more than a screen shows."""
    with np.errstate(all="ignore"):
        return [float(f"{value:.4g}") for value in values.tolist()]


def _numbers(values: np.ndarray) -> Any:
    return _plain(np.asarray(values, float).tolist())


def _plain(values: Any) -> Any:
    """Numbers that are not finite as null, which JSON has."""
    if isinstance(values, float):
        return values if math.isfinite(values) else None
    if isinstance(values, dict):
        return {key: _plain(value) for key, value in values.items()}
    return [_plain(value) for value in values] if isinstance(values, list) else values


def _bytes(shares: np.ndarray) -> str:
    """Numbers from 0 to 1 as bytes; what is no number as 0."""
    return _base64(np.clip(np.nan_to_num(shares, nan=0.0, posinf=1.0, neginf=0.0), 0, 1) * 255 + 0.5)


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values.astype(np.uint8)).tobytes()).decode()
