"""Figures: pure functions from arrays to a `matplotlib.figure.Figure`, all in one style.

They know nothing of runs, files or torch. matplotlib is imported when the first of the names below is used. `grids`,
`planes` and `words`, with which a caller prepares arrays, and `process`, which has figures drawn by another process, do
without it.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "COLORS": "style",
    "bands": "sweeps",
    "batches": "lessons",
    "by_layer": "lessons",
    "calibration": "classification",
    "clouds": "lessons",
    "color_bar": "style",
    "confusion": "classification",
    "content": "files",
    "curves": "training",
    "decision_boundary": "functions",
    "fits": "lessons",
    "fitted_curve": "functions",
    "heat_map": "sweeps",
    "histograms": "training",
    "layers": "training",
    "lines": "training",
    "loss_surface": "surface",
    "network": "lessons",
    "new": "style",
    "outcomes": "lessons",
    "overlaid": "lessons",
    "parallel_coordinates": "sweeps",
    "paths": "lessons",
    "performance_profile": "sweeps",
    "png": "style",
    "precision_recall": "classification",
    "predicted_against_true": "regression",
    "residuals": "regression",
    "response": "sweeps",
    "roc": "classification",
    "spread": "lessons",
    "time_to_target": "sweeps",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"nettrain.figures.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'nettrain.figures' has no attribute {name!r}")
