"""Files that survive crashes: atomic writes, checkpoints, locks, and what a run's bits depend on.

It knows bytes, folders and containers, and nothing of training; it may import `errors` alone.
"""
