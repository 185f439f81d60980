"""The bank of test problems: functions of a vector w (P,) with starts and minima that others published.

MGH: More, Garbow and Hillstrom, "Testing unconstrained optimization software", ACM TOMS 7 (1981), 17-41; the number
in brackets is theirs. NIST: Statistical Reference Datasets, nonlinear regression,
https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml, certified to 11 digits; level of difficulty in brackets.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TestFunction:
    """A function with its standard start and the values of its local minima, the global one first."""

    __test__ = False

    name: str
    fun: Callable[[Tensor], Tensor]
    start: list[float]
    value_at_start: float
    minima: list[float]


def rosenbrock(w: Tensor) -> Tensor:
    """[1]."""
    return 100 * (w[1] - w[0] ** 2) ** 2 + (1 - w[0]) ** 2


def freudenstein_roth(w: Tensor) -> Tensor:
    """[2]."""
    a, b = w
    return (-13 + a + ((5 - b) * b - 2) * b) ** 2 + (-29 + a + ((b + 1) * b - 14) * b) ** 2


def beale(w: Tensor) -> Tensor:
    """[5]."""
    a, b = w
    return sum((y - a * (1 - b**i)) ** 2 for i, y in ((1, 1.5), (2, 2.25), (3, 2.625)))


def helical_valley(w: Tensor) -> Tensor:
    """[7]."""
    a, b, c = w
    theta = torch.atan2(b, a) / (2 * torch.pi)
    theta = torch.where((a < 0) & (b < 0), theta + 1, theta)
    return (10 * (c - 10 * theta)) ** 2 + (10 * ((a * a + b * b).sqrt() - 1)) ** 2 + c**2


def powell_singular(w: Tensor) -> Tensor:
    """[13]: the Hessian at the minimum is singular."""
    a, b, c, d = w
    return (a + 10 * b) ** 2 + 5 * (c - d) ** 2 + (b - 2 * c) ** 4 + 10 * (a - d) ** 4


def wood(w: Tensor) -> Tensor:
    """[14]."""
    a, b, c, d = w
    return (
        100 * (b - a**2) ** 2
        + (1 - a) ** 2
        + 90 * (d - c**2) ** 2
        + (1 - c) ** 2
        + 10 * (b + d - 2) ** 2
        + 0.1 * (b - d) ** 2
    )


MGH09_X = [4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625]
MGH09_Y = [0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246]


def mgh09(b: Tensor, x: Tensor) -> Tensor:
    return b[0] * (x**2 + b[1] * x) / (x**2 + b[2] * x + b[3])


def kowalik_osborne(w: Tensor) -> Tensor:
    """[15]: NIST's MGH09."""
    x, y = (torch.tensor(values, dtype=torch.float64).to(w) for values in (MGH09_X, MGH09_Y))
    return (y - mgh09(w, x)).square().sum()


def brown_dennis(w: Tensor) -> Tensor:
    """[16]."""
    t = torch.arange(1, 21).to(w) / 5
    return (((w[0] + t * w[1] - t.exp()) ** 2 + (w[2] + w[3] * t.sin() - t.cos()) ** 2) ** 2).sum()


def box_3d(w: Tensor) -> Tensor:
    """[12], m = 10."""
    t = torch.arange(1, 11).to(w) / 10
    return ((-t * w[0]).exp() - (-t * w[1]).exp() - w[2] * ((-t).exp() - (-10 * t).exp())).square().sum()


def extended_rosenbrock(w: Tensor) -> Tensor:
    """[21]."""
    odd, even = w[0::2], w[1::2]
    return (100 * (even - odd**2) ** 2 + (1 - odd) ** 2).sum()


def trigonometric(w: Tensor) -> Tensor:
    """[26]."""
    n = len(w)
    i = torch.arange(1, n + 1).to(w)
    return (n - w.cos().sum() + i * (1 - w.cos()) - w.sin()).square().sum()


MGH = [
    TestFunction("rosenbrock", rosenbrock, [-1.2, 1], 24.2, [0]),
    TestFunction("freudenstein_roth", freudenstein_roth, [0.5, -2], 400.5, [0, 48.98425367924]),
    TestFunction("beale", beale, [1, 1], 14.203125, [0]),
    TestFunction("helical_valley", helical_valley, [-1, 0, 0], 2500, [0]),
    TestFunction("box_3d", box_3d, [0, 10, 20], 1031.1538106, [0]),
    TestFunction("powell_singular", powell_singular, [3, -1, 0, 1], 215, [0]),
    TestFunction("wood", wood, [-3, -1, -3, -1], 19192, [0]),
    TestFunction("kowalik_osborne", kowalik_osborne, [0.25, 0.39, 0.415, 0.39], 5.3131723e-3, [3.0750560385e-4]),
    TestFunction("brown_dennis", brown_dennis, [25, 5, -5, -1], 7926693.336997, [85822.2016]),
    TestFunction("extended_rosenbrock", extended_rosenbrock, [-1.2, 1.0] * 10, 242, [0]),
    TestFunction("trigonometric", trigonometric, [0.1] * 10, 7.0757594e-3, [0, 2.79506e-5]),
]


@dataclass(frozen=True)
class Regression:
    """Nonlinear least squares with certified parameters and residual sum of squares, from two official starts."""

    name: str
    model: Callable[[Tensor, Tensor], Tensor]
    x: list[float]
    y: list[float]
    starts: tuple[list[float], list[float]]
    certified: list[float]
    rss: float

    def fun(self, b: Tensor) -> Tensor:
        """The residual sum of squares."""
        x, y = torch.tensor(self.x, dtype=torch.float64), torch.tensor(self.y, dtype=torch.float64)
        return (y - self.model(b, x)).square().sum()


MISRA_X = [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0]
MISRA_Y = [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78]
DANWOOD_X, DANWOOD_Y = [1.309, 1.471, 1.490, 1.565, 1.611, 1.680], [2.138, 3.421, 3.597, 4.340, 4.882, 5.660]
RAT42_X, RAT42_Y = [9, 14, 21, 28, 42, 57, 63, 70, 79], [8.93, 10.8, 18.59, 22.33, 39.35, 56.11, 61.73, 64.62, 67.08]
RAT43_X = [float(i) for i in range(1, 16)]
RAT43_Y = [
    16.08,
    33.83,
    65.80,
    97.20,
    191.55,
    326.20,
    386.87,
    520.53,
    590.03,
    651.92,
    724.93,
    699.56,
    689.96,
    637.56,
    717.41,
]

NIST = [
    Regression(
        "misra1a",
        lambda b, x: b[0] * (1 - (-b[1] * x).exp()),
        MISRA_X,
        MISRA_Y,
        ([500, 1e-4], [250, 5e-4]),
        [2.3894212918e02, 5.5015643181e-04],
        1.2455138894e-01,
    ),
    Regression(
        "misra1b",
        lambda b, x: b[0] * (1 - (1 + b[1] * x / 2) ** -2),
        MISRA_X,
        MISRA_Y,
        ([500, 1e-4], [300, 2e-4]),
        [3.3799746163e02, 3.9039091287e-04],
        7.5464681533e-02,
    ),
    Regression(
        "misra1c",
        lambda b, x: b[0] * (1 - (1 + 2 * b[1] * x) ** -0.5),
        MISRA_X,
        MISRA_Y,
        ([500, 1e-4], [600, 2e-4]),
        [6.3642725809e02, 2.0813627256e-04],
        4.0966836971e-02,
    ),
    Regression(
        "misra1d",
        lambda b, x: b[0] * b[1] * x / (1 + b[1] * x),
        MISRA_X,
        MISRA_Y,
        ([500, 1e-4], [450, 3e-4]),
        [4.3736970754e02, 3.0227324449e-04],
        5.6419295283e-02,
    ),
    Regression(
        "danwood",
        lambda b, x: b[0] * x ** b[1],
        DANWOOD_X,
        DANWOOD_Y,
        ([1, 5], [0.7, 4]),
        [7.6886226176e-01, 3.8604055871e00],
        4.3173084083e-03,
    ),
    Regression(
        "rat42",
        lambda b, x: b[0] / (1 + (b[1] - b[2] * x).exp()),
        RAT42_X,
        RAT42_Y,
        ([100, 1, 0.1], [75, 2.5, 0.07]),
        [7.2462237576e01, 2.6180768402e00, 6.7359200066e-02],
        8.0565229338e00,
    ),
    Regression(
        "rat43",
        lambda b, x: b[0] / (1 + (b[1] - b[2] * x).exp()) ** (1 / b[3]),
        RAT43_X,
        RAT43_Y,
        ([100, 10, 1, 1], [700, 5, 0.75, 1.3]),
        [6.9964151270e02, 5.2771253025e00, 7.5962938329e-01, 1.2792483859e00],
        8.7864049080e03,
    ),
    Regression(
        "mgh09",
        mgh09,
        MGH09_X,
        MGH09_Y,
        ([25, 39, 41.5, 39], [0.25, 0.39, 0.415, 0.39]),
        [1.9280693458e-01, 1.9128232873e-01, 1.2305650693e-01, 1.3606233068e-01],
        3.0750560385e-04,
    ),
    Regression(
        "mgh10",
        lambda b, x: b[0] * (b[1] / (x + b[2])).exp(),
        [50 + 5.0 * i for i in range(16)],
        [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872],
        ([2, 400000, 25000], [0.02, 4000, 250]),
        [5.6096364710e-03, 6.1813463463e03, 3.4522363462e02],
        8.7945855171e01,
    ),
    Regression(
        "boxbod",
        lambda b, x: b[0] * (1 - (-b[1] * x).exp()),
        [1, 2, 3, 5, 7, 10],
        [109, 149, 149, 191, 213, 224],
        ([1, 1], [100, 0.75]),
        [2.1380940889e02, 5.4723748542e-01],
        1.1680088766e03,
    ),
]
