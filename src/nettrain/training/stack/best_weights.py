"""The weights of each run's best epoch so far."""

from torch import Tensor

from nettrain.training.stack.rows import Tensors, copies, take, where


class BestWeights:
    """w (..., P) and the buffers of a foreign module as they were after each row's best epoch."""

    def __init__(self, w: Tensor, buffers: Tensors) -> None:
        self.w, self.buffers = w.clone(), copies(buffers)

    def keep(self, better: Tensor | None, w: Tensor, buffers: Tensors) -> None:
        """Remember the present weights and buffers of the rows that are better, a mask (...); None: of all rows."""
        if better is None:
            self.w.copy_(w)
            self.buffers = copies(buffers)
        else:
            self.w = where(better, w, self.w)
            self.buffers = {name: where(better, tensor, self.buffers[name]) for name, tensor in buffers.items()}

    def select(self, rows: list[int]) -> None:
        """Go on with these rows alone."""
        self.w = take(self.w, rows)
        self.buffers = {name: take(tensor, rows) for name, tensor in self.buffers.items()}
