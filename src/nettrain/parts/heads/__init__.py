"""Output heads: a head is the family of distributions of Y given X.

`base` says what a head is; `classes` has those for labels, `numbers` and `quantiles` those for numbers, `loss` the one
that any loss function makes, `independent` what makes of each of them one for several targets.
"""

from nettrain.parts.heads.base import Auto, Head
from nettrain.parts.heads.classes import Ordinal, SigmoidBCE, SoftmaxCE
from nettrain.parts.heads.independent import Independent
from nettrain.parts.heads.loss import Loss
from nettrain.parts.heads.numbers import Huber, IdentityMSE, Normal, Poisson
from nettrain.parts.heads.quantiles import Quantile

__all__ = [
    "Auto",
    "Head",
    "Huber",
    "IdentityMSE",
    "Independent",
    "Loss",
    "Normal",
    "Ordinal",
    "Poisson",
    "Quantile",
    "SigmoidBCE",
    "SoftmaxCE",
]
