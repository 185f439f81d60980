"""The two forms of the BFGS estimate B of the inverse Hessian: a matrix, and a product from the last pairs."""

from collections.abc import Sequence

from torch import Tensor

Rows = Tensor | Sequence[Tensor]


def bfgs_update(inverse: Tensor, s: Tensor, y: Tensor) -> None:
    """B <- (I - rho s y^T) B (I - rho y s^T) + rho s s^T, rho = 1 / y.s, in place on `inverse` (P, P).

    Nocedal and Wright (2006), equation 6.17, multiplied out: B + rho (s u^T + u s^T) with
    u = (1 + rho y.By) s / 2 - By. Afterwards B y = s.
    """
    rho = 1 / y.dot(s)
    product = inverse @ y
    u = (0.5 * (1 + rho * y.dot(product))) * s - product
    half = (rho * s).unsqueeze(1) * u
    inverse.add_(half + half.T)


def two_loop(q: Tensor, steps: Rows, changes: Rows, rho: Rows, scale: Tensor, newest_first: Sequence[int]) -> Tensor:
    """B q for q (P,), which is overwritten, from the pairs (s_i, y_i) = (steps[i], changes[i]); rho_i = 1 / y_i.s_i.

    Nocedal and Wright (2006), algorithm 7.4, with B_0 = scale I; `newest_first` is the order of the pairs. Nothing is
    read from the device.
    """
    alphas = []
    for i in newest_first:
        alpha = steps[i].dot(q) * rho[i]
        q.addcmul_(changes[i], alpha, value=-1)
        alphas.append(alpha)
    r = q * scale
    for i, alpha in zip(reversed(newest_first), reversed(alphas), strict=True):
        beta = changes[i].dot(r) * rho[i]
        r.addcmul_(steps[i], alpha - beta)
    return r
