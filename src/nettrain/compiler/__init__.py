"""A small compiler: what a function of tensors does is recorded once, and written as a C++ function.

`recording` notes the operations as torch computes them, `loops` puts elementwise ones into common loops, `source`
writes C++ with the matrix products of `kernels.h` and `windows.h`, `library` has the machine's compiler build it. It knows nothing of
training.
"""
