"""The loop: epochs, budgets, checkpoints, divergence, early ends; for one run, or for K as rows of a stack.

It knows prepared runs, and nothing of Hydra or the command line; it may import its rooms stack, engines and logging.
"""
