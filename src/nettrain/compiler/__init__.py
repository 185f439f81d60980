"""A small compiler: what a function of tensors does is recorded once, and written as a C++ function.

`recording` notes the operations as torch computes them, `copies` leaves out and adds copies, `loops` puts elementwise
operations into common loops and `images` loops over a batch's images, `source` writes C++ with the products of
`kernels.h` and `windows.h`, `library` has the machine's compiler build it. It knows nothing of training.
"""
