"""One run of the program: its folder, its checks, going on with it, its failure.

It may import reports, results, training and all below, and nothing of sweeps.
"""
