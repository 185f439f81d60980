"""Tensors of x that stay on the device as they were loaded: bytes and ids, of which batches are made."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nettrain.inputs import Input
from nettrain.samples import as_tensor, scaling


class Resident:
    """A tensor of x, (samples, *shape), one copy for all splits and for all rows whose data share it.

    `arrays` and `inputs` are those of each different data of the runs, which differ in their splits, and so in mean and
    scale.
    """

    def __init__(self, arrays: Sequence[np.ndarray], inputs: Sequence[Input], device: torch.device, dtype: torch.dtype):
        distinct = list({id(array): array for array in arrays}.values())
        starts = dict(zip(map(id, distinct), np.cumsum([0, *map(len, distinct)]), strict=False))
        self.starts = [int(starts[id(array)]) for array in arrays]
        self.values = torch.cat([as_tensor(array) for array in distinct]) if len(distinct) > 1 else as_tensor(arrays[0])
        self.values = self.values.to(device)
        self.dtype, self.is_ids = dtype, inputs[0].kind == "ids"
        if not self.is_ids:
            scalings = zip(*(scaling(input, dtype) for input in inputs), strict=True)
            self.mean, self.scale = (torch.stack(list(values)).to(device) for values in scalings)

    def samples(self, data: int, rows: np.ndarray) -> Tensor:
        """Which samples are these rows of data number `data`."""
        return torch.as_tensor(rows + self.starts[data])

    def batch(self, samples: Tensor, copies: Tensor) -> Tensor:
        """The samples (..., n) as a model takes them, (..., n, *shape); `copies`, (...), are the numbers of their data.

        Bytes are scaled to floats, ids become int64.
        """
        x = self.values.index_select(0, samples.flatten()).unflatten(0, samples.shape)
        if self.is_ids:
            return x.long()
        mean, scale = (values[copies].unsqueeze(samples.dim() - 1) for values in (self.mean, self.scale))
        return x.to(self.dtype).sub_(mean).div_(scale)

    def select(self, data: Tensor) -> None:
        """Go on with the means and scales of these data alone."""
        if not self.is_ids:
            self.mean, self.scale = self.mean[data], self.scale[data]
