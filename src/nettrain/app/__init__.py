"""The program: the command line, `--help`, and the tools for finished runs.

It knows Hydra and the exit codes; it may import everything but `api`.
"""
