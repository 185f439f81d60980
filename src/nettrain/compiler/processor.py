"""Functions for a processor: one thread computes a loop after the other, with its vectors."""

from pathlib import Path

from nettrain.compiler.matrices import MATRICES
from nettrain.compiler.target import Target
from nettrain.compiler.writing import nest

KERNELS = "\n".join((Path(__file__).parent / name).read_text() for name in ("kernels.h", "windows.h"))
PROCESSOR = Target(KERNELS, "static void", "* __restrict", "static const", nest, MATRICES)
