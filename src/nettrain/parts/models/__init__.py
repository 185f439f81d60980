"""Models: each is a config (a dataclass) that builds an ordinary `torch.nn.Module`.

Nettrain's own modules are `RowModule`s: their forward passes are pure functions of the parameters (`functional`), which
compute one run, or K runs by the same batched products.
"""

from nettrain.parts.models.base import NO_EMBEDDING, Activation, Model, RowModule, can_be_compiled
from nettrain.parts.models.convolutional import CNN
from nettrain.parts.models.dense import MLP, DenseNetwork, Linear, Polynomial, PolynomialModel
from nettrain.parts.models.entry import Entry, TableModel
from nettrain.parts.models.module import Module
from nettrain.parts.models.recurrent import GRU, LSTM
from nettrain.parts.models.residual import ResMLP
from nettrain.parts.models.tabm import TabM
from nettrain.parts.models.transformer import Transformer

__all__ = [
    "CNN",
    "GRU",
    "LSTM",
    "MLP",
    "NO_EMBEDDING",
    "Activation",
    "DenseNetwork",
    "Entry",
    "Linear",
    "Model",
    "Module",
    "Polynomial",
    "PolynomialModel",
    "ResMLP",
    "RowModule",
    "TabM",
    "TableModel",
    "Transformer",
    "can_be_compiled",
]
