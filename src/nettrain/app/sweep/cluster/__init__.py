"""The stacks of a sweep, trained by Ray or SLURM, or by other processes of this machine: a stack goes to a worker, its
outcome comes back.

It may import what is beside it in `app.sweep`, but the launcher and the search, and all below.
"""
