"""Nettrain's optimizers as `torch.optim.Optimizer` classes."""

from nettrain.optim.gradient import SGD, Adagrad, Adam, AdamW, RMSprop

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "RMSprop"]
