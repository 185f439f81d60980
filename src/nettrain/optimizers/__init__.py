"""How weights are updated: gradient rules, curvature methods and search.

They know vectors, gradients and problems, and no network; they may import `problem`, `random` and `registry`.
"""
