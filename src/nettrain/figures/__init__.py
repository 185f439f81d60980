"""Figures: pure functions from arrays to a `matplotlib.figure.Figure`, all in one style.

They know nothing of runs, files or torch. Importing this package imports matplotlib: do it late.
"""

from nettrain.figures.classification import calibration, confusion, precision_recall, roc
from nettrain.figures.curves import curves, histograms, layers, lines, quantity
from nettrain.figures.functions import decision_boundary, fitted_curve
from nettrain.figures.regression import predicted_against_true, residuals
from nettrain.figures.style import COLORS, new, png
from nettrain.figures.surface import Plane, loss_surface, planes, random_plane
from nettrain.figures.sweeps import bands, heat_map, parallel_coordinates, performance_profile, time_to_target

__all__ = [
    "COLORS",
    "Plane",
    "bands",
    "calibration",
    "confusion",
    "curves",
    "decision_boundary",
    "fitted_curve",
    "heat_map",
    "histograms",
    "layers",
    "lines",
    "loss_surface",
    "new",
    "parallel_coordinates",
    "performance_profile",
    "planes",
    "png",
    "precision_recall",
    "predicted_against_true",
    "quantity",
    "random_plane",
    "residuals",
    "roc",
    "time_to_target",
]
