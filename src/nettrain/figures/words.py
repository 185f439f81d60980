"""What the columns of a run's metrics are called in figures, and the formats of these."""

IMAGES = ("png", "svg", "pdf")


def quantity(name: str) -> str:
    """The words for a column of metrics.csv."""
    words = {"lr": "learning rate", "auroc": "area under the ROC curve", "r2": "R²", "f1": "F1", "loss": "loss"}
    words |= {"mse": "mean squared error", "mae": "mean absolute error"}
    return words.get(name, name.replace("_", " "))
