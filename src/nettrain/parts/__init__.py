"""What a network is made of: activations, heads, metrics, models, learning-rate schedules; and what accompanies
its training: callbacks and loggers.

They know tensors and take plain arguments; they may import `random`, `registry` and `errors`.
"""
