"""The real data sets that scikit-learn ships, read from its files: importing scikit-learn takes seconds."""

import importlib.util
from pathlib import Path

import numpy as np

from nettrain.data.table import Table

IRIS_FEATURES = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
WINE_FEATURES = [
    "alcohol",
    "malic_acid",
    "ash",
    "alcalinity_of_ash",
    "magnesium",
    "total_phenols",
    "flavanoids",
    "nonflavanoid_phenols",
    "proanthocyanins",
    "color_intensity",
    "hue",
    "od280/od315_of_diluted_wines",
    "proline",
]
BREAST_CANCER_FEATURES = [
    pattern.format(measure)
    for pattern in ("mean {}", "{} error", "worst {}")
    for measure in (
        "radius",
        "texture",
        "perimeter",
        "area",
        "smoothness",
        "compactness",
        "concavity",
        "concave points",
        "symmetry",
        "fractal dimension",
    )
]
DIGITS_FEATURES = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
DIABETES_FEATURES = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]


def bundled_classification(name: str, file: str, features: list[str]) -> Table:
    """The data set whose last column is the class, below a first line `rows,columns,class,class,...`."""
    path = _folder() / file
    with path.open() as lines:
        classes = lines.readline().strip().split(",")[2:]
    return _classification(name, np.loadtxt(path, delimiter=",", skiprows=1), features, classes)


def bundled_digits() -> Table:
    """1797 handwritten digits of 8 x 8 grey values from 0 to 16."""
    data = np.loadtxt(_folder() / "digits.csv.gz", delimiter=",")
    return _classification("digits", data, DIGITS_FEATURES, [str(digit) for digit in range(10)])


def bundled_diabetes() -> Table:
    """442 patients with 10 measurements in their own units; the progression of the illness is the target."""
    data = np.loadtxt(_folder() / "diabetes_data_raw.csv.gz")
    target = np.loadtxt(_folder() / "diabetes_target.csv.gz")
    return Table(_named(data, DIABETES_FEATURES), target, "target", "regression", [], "diabetes")


def _folder() -> Path:
    package = importlib.util.find_spec("sklearn")
    assert package is not None
    assert package.submodule_search_locations is not None
    return Path(package.submodule_search_locations[0], "datasets", "data")


def _classification(name: str, data: np.ndarray, features: list[str], classes: list[str]) -> Table:
    task = "binary" if len(classes) == 2 else "multiclass"
    return Table(_named(data, features), data[:, -1].astype(np.int64), "target", task, classes, name)


def _named(data: np.ndarray, features: list[str]) -> dict[str, np.ndarray]:
    return {feature: data[:, i].copy() for i, feature in enumerate(features)}
