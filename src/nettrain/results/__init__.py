"""What runs and sweeps have left, read back and compared.

It knows folders and how to predict with a trained model, and draws nothing; it may import config, data, storage and
the objective.
"""
