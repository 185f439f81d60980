"""How updates are computed, behind one protocol: eager, fused, compiled, by a solver.

It knows the stack and the compiler; it may import nothing else of training.
"""
