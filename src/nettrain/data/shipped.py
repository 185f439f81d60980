"""The data sets that come with nettrain: real ones, which lie in the package, and made-up points."""

from dataclasses import dataclass

import numpy as np

from nettrain.data import toys
from nettrain.data.bundled import bundled
from nettrain.data.dataset import Dataset
from nettrain.data.table import Table
from nettrain.errors import ConfigError
from nettrain.registry import option


@dataclass
class Bundled(Dataset):
    """A data set that lies in the package."""

    def load(self) -> Table:
        return bundled(self.name)


@dataclass
class Digits(Bundled):
    """1797 handwritten digits, 8 x 8 grey values, 10 classes (scikit-learn)."""

    name: str = "digits"


@dataclass
class Iris(Bundled):
    """150 iris flowers, 4 measures, 3 species (scikit-learn)."""

    name: str = "iris"


@dataclass
class Wine(Bundled):
    """178 Italian wines, 13 chemical measures, 3 growers (scikit-learn)."""

    name: str = "wine"


@dataclass
class BreastCancer(Bundled):
    """569 tumours, 30 measures, malignant or benign (scikit-learn)."""

    name: str = "breast_cancer"


@dataclass
class Diabetes(Bundled):
    """442 diabetes patients, 10 measures, progression after a year (regression, scikit-learn)."""

    name: str = "diabetes"


@dataclass
class Linnerud(Bundled):
    """20 men of a fitness club, 3 exercises; their weight, waist and pulse (several targets, scikit-learn)."""

    name: str = "linnerud"

    def load(self) -> Table:
        return bundled(self.name, 3)


@dataclass
class Quadratic(Dataset):
    """Noisy points of the parabola y = w1 x^2 + w2 x + w3, with x uniform in [-1, 1]."""

    name: str = "quadratic"
    w1: float = option(2.0, "factor of x^2")
    w2: float = option(-3.0, "factor of x")
    w3: float = option(1.0, "constant term")
    noise: float = option(0.1, "standard deviation of the noise added to y", minimum=0)
    samples: int = option(128, "number of points", minimum=4)
    data_seed: int = option(0, "seed of the points", "chance", per_row=True, minimum=0)
    val_fraction: float = option(0.25, "share of the rows for validation", minimum=0, below=1)
    test_fraction: float = option(0.25, "share of the rows for the test", minimum=0, below=1)
    standardize: bool = option(
        False, "scale each feature to mean 0 and standard deviation 1, computed on the training rows"
    )

    def load(self) -> Table:
        x, y = toys.curve(lambda x: self.w1 * x**2 + self.w2 * x + self.w3, self.samples, self.noise, self.data_seed)
        return Table({"x": x}, y, "y", "regression", [], self.name)


@dataclass
class Line(Dataset):
    """Noisy points of the straight line y = w1 x + w2, with x uniform in [low, high].

    The further that is from 0, the narrower is the valley of the squared error: far from 0 slope and intercept can
    make up for each other.
    """

    name: str = "line"
    w1: float = option(2.0, "slope")
    w2: float = option(-1.0, "intercept")
    low: float = option(0.0, "least x")
    high: float = option(2.0, "greatest x")
    noise: float = option(0.1, "standard deviation of the noise added to y", minimum=0)
    samples: int = option(128, "number of points", minimum=4)
    data_seed: int = option(0, "seed of the points", "chance", per_row=True, minimum=0)
    val_fraction: float = option(0.25, "share of the rows for validation", minimum=0, below=1)
    test_fraction: float = option(0.25, "share of the rows for the test", minimum=0, below=1)
    standardize: bool = option(
        False, "scale each feature to mean 0 and standard deviation 1, computed on the training rows"
    )

    def load(self) -> Table:
        if not self.low < self.high:
            raise ConfigError(f"data.low={self.low}: it must be less than data.high={self.high}.")

        def line(x: np.ndarray) -> np.ndarray:
            return self.w1 * x + self.w2

        x, y = toys.curve(line, self.samples, self.noise, self.data_seed, self.low, self.high)
        return Table({"x": x}, y, "y", "regression", [], self.name)


@dataclass
class Sine(Dataset):
    """Noisy points of y = sin(2 pi x), with x uniform in [-1, 1]: two periods."""

    name: str = "sine"
    noise: float = option(0.2, "standard deviation of the noise added to y", minimum=0)
    samples: int = option(128, "number of points", minimum=4)
    data_seed: int = option(0, "seed of the points", "chance", per_row=True, minimum=0)
    val_fraction: float = option(0.25, "share of the rows for validation", minimum=0, below=1)
    test_fraction: float = option(0.25, "share of the rows for the test", minimum=0, below=1)

    def load(self) -> Table:
        x, y = toys.curve(lambda x: np.sin(2 * np.pi * x), self.samples, self.noise, self.data_seed)
        return Table({"x": x}, y, "y", "regression", [], self.name)


@dataclass
class Moons(Dataset):
    """Two interleaved half circles in the plane, two classes."""

    name: str = "moons"
    samples: int = option(500, "number of points", minimum=4)
    noise: float = option(0.2, "standard deviation of the noise added to each coordinate", minimum=0)
    data_seed: int = option(0, "seed of the points", "chance", per_row=True, minimum=0)

    def load(self) -> Table:
        points, classes = toys.moons(self.samples, self.noise, self.data_seed)
        return _plane(points, classes, ["upper", "lower"], self.name)


@dataclass
class Spirals(Dataset):
    """Two spirals around each other in the plane, two classes."""

    name: str = "spirals"
    samples: int = option(500, "number of points", minimum=4)
    noise: float = option(0.2, "standard deviation of the noise added to each coordinate", minimum=0)
    data_seed: int = option(0, "seed of the points", "chance", per_row=True, minimum=0)

    def load(self) -> Table:
        points, classes = toys.spirals(self.samples, self.noise, self.data_seed)
        return _plane(points, classes, ["first", "second"], self.name)


def _plane(points: np.ndarray, classes: np.ndarray, names: list[str], source: str) -> Table:
    return Table({"x1": points[:, 0], "x2": points[:, 1]}, classes, "class", "binary", names, source)
