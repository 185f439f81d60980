"""Nettrain's optimizers as `torch.optim.Optimizer` classes."""

from nettrain.optim.gradient import SGD, Adagrad, Adam, AdamW, RMSprop
from nettrain.optim.lbfgs import LBFGS

__all__ = ["LBFGS", "SGD", "Adagrad", "Adam", "AdamW", "RMSprop"]
