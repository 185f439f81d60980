"""Functions for a processor: one thread computes a loop after the other, with its vectors."""

from pathlib import Path

from nettrain.compiler.matrices import MATRICES
from nettrain.compiler.target import Target
from nettrain.compiler.writing import nest

KERNELS = (Path(__file__).parent / "kernels.h").read_text()
PROCESSOR = Target(KERNELS, "static void", "* __restrict", "static const", nest, MATRICES)
