"""The tensors of K runs as rows: weights, rules with their state, batches, rates, the best weights.

It knows what can be a row of what; it may import preparation, the objective and optimizers.
"""
