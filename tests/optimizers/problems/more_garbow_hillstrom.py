"""More, Garbow and Hillstrom, "Testing unconstrained optimization software", ACM TOMS 7 (1981), 17-41.

Each function is the sum of the squares of its residuals; the number in brackets is theirs. The values at the start and
at the minima are those of the paper, or follow from the residuals (a value at the start that a start of 0 or 1 gives);
minima to more digits than the paper has are those of SciPy's BFGS and trust-exact, which agree to all of them.
"""

import torch
from torch import Tensor

from problems.function import TestFunction


def _numbers(first: int, last: int, like: Tensor) -> Tensor:
    """first, ..., last."""
    return torch.arange(first, last + 1).to(like)


def _squares(*residuals: Tensor) -> Tensor:
    return sum((r.square().sum() for r in residuals), torch.zeros(()).to(residuals[0]))


def rosenbrock(w: Tensor) -> Tensor:
    """[1]."""
    return _squares(10 * (w[1] - w[0] ** 2), 1 - w[0])


def freudenstein_roth(w: Tensor) -> Tensor:
    """[2]."""
    a, b = w
    return _squares(-13 + a + ((5 - b) * b - 2) * b, -29 + a + ((b + 1) * b - 14) * b)


def powell_badly_scaled(w: Tensor) -> Tensor:
    """[3]: the minimum is at (1.1e-5, 9.1), in a curved valley."""
    a, b = w
    return _squares(1e4 * a * b - 1, (-a).exp() + (-b).exp() - 1.0001)


def brown_badly_scaled(w: Tensor) -> Tensor:
    """[4]: the minimum is at (1e6, 2e-6)."""
    a, b = w
    return _squares(a - 1e6, b - 2e-6, a * b - 2)


def beale(w: Tensor) -> Tensor:
    """[5]."""
    a, b = w
    return _squares(*(y - a * (1 - b**i) for i, y in ((1, 1.5), (2, 2.25), (3, 2.625))))


def jennrich_sampson(w: Tensor) -> Tensor:
    """[6], m = 10."""
    i = _numbers(1, 10, w)
    return _squares(2 + 2 * i - ((i * w[0]).exp() + (i * w[1]).exp()))


def helical_valley(w: Tensor) -> Tensor:
    """[7]."""
    a, b, c = w
    theta = torch.atan2(b, a) / (2 * torch.pi)
    theta = torch.where((a < 0) & (b < 0), theta + 1, theta)
    return _squares(10 * (c - 10 * theta), 10 * ((a * a + b * b).sqrt() - 1), c)


BARD_Y = [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39]


def bard(w: Tensor) -> Tensor:
    """[8]."""
    u = _numbers(1, 15, w)
    v = 16 - u
    return _squares(torch.tensor(BARD_Y).to(w) - (w[0] + u / (v * w[1] + torch.minimum(u, v) * w[2])))


GAUSSIAN_Y = [0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521, 0.3989]


def gaussian(w: Tensor) -> Tensor:
    """[9]."""
    t, y = (8 - _numbers(1, 15, w)) / 2, torch.tensor(GAUSSIAN_Y + GAUSSIAN_Y[-2::-1], dtype=torch.float64).to(w)
    return _squares(w[0] * (-w[1] * (t - w[2]) ** 2 / 2).exp() - y)


def gulf(w: Tensor) -> Tensor:
    """[11], m = 99."""
    t = _numbers(1, 99, w) / 100
    y = 25 + (-50 * t.log()) ** (2 / 3)
    return _squares((-((y - w[1]).abs() ** w[2]) / w[0]).exp() - t)


def box_3d(w: Tensor) -> Tensor:
    """[12], m = 10."""
    t = _numbers(1, 10, w) / 10
    return _squares((-t * w[0]).exp() - (-t * w[1]).exp() - w[2] * ((-t).exp() - (-10 * t).exp()))


def powell_singular(w: Tensor) -> Tensor:
    """[13] and, for 4, 8, ... parameters, [22]: the Hessian at the minimum is singular."""
    a, b, c, d = w.view(-1, 4).T
    return _squares(a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2)


def wood(w: Tensor) -> Tensor:
    """[14]."""
    a, b, c, d = w
    steep = _squares(10 * (b - a**2), 90**0.5 * (d - c**2))
    return steep + _squares(1 - a, 1 - c, 10**0.5 * (b + d - 2), (b - d) / 10**0.5)


KOWALIK_X = [4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625]
KOWALIK_Y = [0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246]


def kowalik_osborne(w: Tensor) -> Tensor:
    """[15]: NIST's MGH09."""
    x, y = (torch.tensor(values, dtype=torch.float64).to(w) for values in (KOWALIK_X, KOWALIK_Y))
    return _squares(y - w[0] * (x**2 + w[1] * x) / (x**2 + w[2] * x + w[3]))


def brown_dennis(w: Tensor) -> Tensor:
    """[16]."""
    t = _numbers(1, 20, w) / 5
    return _squares((w[0] + t * w[1] - t.exp()) ** 2 + (w[2] + w[3] * t.sin() - t.cos()) ** 2)


def biggs_exp6(w: Tensor) -> Tensor:
    """[18], m = 13."""
    t = _numbers(1, 13, w) / 10
    y = (-t).exp() - 5 * (-10 * t).exp() + 3 * (-4 * t).exp()
    return _squares(w[2] * (-t * w[0]).exp() - w[3] * (-t * w[1]).exp() + w[5] * (-t * w[4]).exp() - y)


# fmt: off
OSBORNE_Y = [
    1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608, 0.655, 0.616, 0.606,
    0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661, 0.612, 0.558, 0.533, 0.495, 0.500, 0.423,
    0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428, 0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668,
    0.645, 0.632, 0.591, 0.559, 0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098,
    0.054,
]
# fmt: on


def osborne_2(w: Tensor) -> Tensor:
    """[19]."""
    t, y = _numbers(0, 64, w) / 10, torch.tensor(OSBORNE_Y, dtype=torch.float64).to(w)
    peaks = w[1:4, None] * (-((t - w[8:, None]) ** 2) * w[5:8, None]).exp()
    return _squares(y - (w[0] * (-t * w[4]).exp() + peaks.sum(0)))


def watson(w: Tensor) -> Tensor:
    """[20]."""
    t, j = _numbers(1, 29, w) / 29, _numbers(1, len(w) - 1, w)
    powers = torch.stack([t**k for k in range(len(w))], 1)
    return _squares(powers[:, :-1] @ (j * w[1:]) - (powers @ w) ** 2 - 1, w[0], w[1] - w[0] ** 2 - 1)


def extended_rosenbrock(w: Tensor) -> Tensor:
    """[21]."""
    odd, even = w[0::2], w[1::2]
    return _squares(10 * (even - odd**2), 1 - odd)


def penalty_1(w: Tensor) -> Tensor:
    """[23]."""
    return _squares(1e-5**0.5 * (w - 1), w.square().sum() - 0.25)


def penalty_2(w: Tensor) -> Tensor:
    """[24]."""
    n, e = len(w), (w / 10).exp()
    i = _numbers(2, n, w)
    y = (i / 10).exp() + ((i - 1) / 10).exp()
    whole = (_numbers(1, n, w).flip(0) * w.square()).sum() - 1
    a = 1e-5**0.5
    return _squares(w[0] - 0.2, a * (e[1:] + e[:-1] - y), a * (e[1:] - torch.tensor(-0.1).to(w).exp()), whole)


def variably_dimensioned(w: Tensor) -> Tensor:
    """[25]."""
    total = (_numbers(1, len(w), w) * (w - 1)).sum()
    return _squares(w - 1, total, total**2)


def trigonometric(w: Tensor) -> Tensor:
    """[26]."""
    n = len(w)
    return _squares(n - w.cos().sum() + _numbers(1, n, w) * (1 - w.cos()) - w.sin())


def brown_almost_linear(w: Tensor) -> Tensor:
    """[27]."""
    return _squares(w[:-1] + w.sum() - (len(w) + 1), w.prod() - 1)


def discrete_boundary_value(w: Tensor) -> Tensor:
    """[28]."""
    h, t, end = 1 / (len(w) + 1), _numbers(1, len(w), w) / (len(w) + 1), w.new_zeros(1)
    left, right = torch.cat([end, w[:-1]]), torch.cat([w[1:], end])
    return _squares(2 * w - left - right + h**2 * (w + t + 1) ** 3 / 2)


def discrete_integral_equation(w: Tensor) -> Tensor:
    """[29]."""
    h, t = 1 / (len(w) + 1), _numbers(1, len(w), w) / (len(w) + 1)
    cubes = (w + t + 1) ** 3
    below, above = (t * cubes).cumsum(0), ((1 - t) * cubes).flip(0).cumsum(0).flip(0) - (1 - t) * cubes
    return _squares(w + h * ((1 - t) * below + t * above) / 2)


def broyden_tridiagonal(w: Tensor) -> Tensor:
    """[30]."""
    end = w.new_zeros(1)
    return _squares((3 - 2 * w) * w - torch.cat([end, w[:-1]]) - 2 * torch.cat([w[1:], end]) + 1)


def broyden_banded(w: Tensor) -> Tensor:
    """[31]."""
    i = _numbers(1, len(w), w)
    distance = i - i[:, None]
    near = ((distance >= -5) & (distance <= 1) & (distance != 0)).to(w)
    return _squares(w * (2 + 5 * w**2) + 1 - near @ (w * (1 + w)))


def chebyquad(w: Tensor) -> Tensor:
    """[35]."""
    x, n = 2 * w - 1, len(w)
    polynomials = [torch.ones_like(x), x]
    for _ in range(n - 1):
        polynomials.append(2 * x * polynomials[-1] - polynomials[-2])
    i = _numbers(1, n, w)
    return _squares(torch.stack(polynomials[1:]).mean(1) + (i % 2 == 0) / (i**2 - 1).clamp(min=1))


def _between(n: int) -> list[float]:
    """1/(n + 1), ..., n/(n + 1)."""
    return [j / (n + 1) for j in range(1, n + 1)]


_STRETCHED = [t * (t - 1) for t in _between(10)]

MGH = [
    TestFunction("rosenbrock", rosenbrock, [-1.2, 1], [0], 24.2),
    TestFunction("freudenstein_roth", freudenstein_roth, [0.5, -2], [0, 48.98425367924], 400.5),
    TestFunction("powell_badly_scaled", powell_badly_scaled, [0, 1], [0], 1.1352619),
    TestFunction("brown_badly_scaled", brown_badly_scaled, [1, 1], [0], 999998000003),
    TestFunction("beale", beale, [1, 1], [0], 14.203125),
    TestFunction("jennrich_sampson", jennrich_sampson, [0.3, 0.4], [124.362182356], 4171.306),
    TestFunction("helical_valley", helical_valley, [-1, 0, 0], [0], 2500),
    TestFunction("bard", bard, [1, 1, 1], [8.214876967381e-3, 17.4286], 41.6817),
    TestFunction("gaussian", gaussian, [0.4, 1, 0], [1.12793277e-8], 3.888107e-6),
    TestFunction("gulf", gulf, [5, 2.5, 0.15], [0, 0.038], 12.1107),
    TestFunction("box_3d", box_3d, [0, 10, 20], [0], 1031.1538106),
    TestFunction("powell_singular", powell_singular, [3, -1, 0, 1], [0], 215),
    TestFunction("wood", wood, [-3, -1, -3, -1], [0], 19192),
    TestFunction("kowalik_osborne", kowalik_osborne, [0.25, 0.39, 0.415, 0.39], [3.0750560385e-4], 5.3131723e-3),
    TestFunction("brown_dennis", brown_dennis, [25, 5, -5, -1], [85822.2016], 7926693.336997),
    TestFunction("biggs_exp6", biggs_exp6, [1, 2, 1, 1, 1, 1], [0, 5.655649925e-3], 0.77907),
    TestFunction(
        "osborne_2", osborne_2, [1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5], [0.0401377363, 1.7898136], 2.093420
    ),
    TestFunction("watson_6", watson, [0] * 6, [2.287670054e-3], 30),
    TestFunction("watson_9", watson, [0] * 9, [1.399760138e-6], 30),
    TestFunction("extended_rosenbrock", extended_rosenbrock, [-1.2, 1.0] * 10, [0], 242),
    TestFunction("extended_powell", powell_singular, [3, -1, 0, 1] * 5, [0], 1075),
    TestFunction("penalty_1", penalty_1, [1, 2, 3, 4], [2.249977501e-5], 885.06264),
    TestFunction("penalty_2", penalty_2, [0.5] * 4, [9.376293160e-6], 2.34001),
    TestFunction("penalty_2_10", penalty_2, [0.5] * 10, [2.936605375e-4], 162.65278),
    TestFunction("variably_dimensioned", variably_dimensioned, [1 - j / 10 for j in range(1, 11)], [0], 2198551.1625),
    TestFunction("trigonometric", trigonometric, [0.1] * 10, [0, 2.795056121879e-5], 7.0757594e-3),
    TestFunction("brown_almost_linear", brown_almost_linear, [0.5] * 10, [0, 1], 273.24805),
    TestFunction("discrete_boundary_value", discrete_boundary_value, _STRETCHED, [0]),
    TestFunction("discrete_integral_equation", discrete_integral_equation, _STRETCHED, [0]),
    TestFunction("broyden_tridiagonal", broyden_tridiagonal, [-1] * 10, [0], 21),
    TestFunction("broyden_banded", broyden_banded, [-1] * 10, [0]),
    TestFunction("chebyquad_8", chebyquad, _between(8), [3.516873725e-3]),
    TestFunction("chebyquad_10", chebyquad, _between(10), [4.772713696375e-3, 6.503954800882e-3]),
]
