"""From a checked config to a run that is ready to train.

It knows what a person can get wrong before training; it may import config, data, parts, optimizers and storage.
"""
