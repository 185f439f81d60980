"""Tensors with a row for each run of a stack, and without one for a run alone: joined, chosen, taken apart."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from nettrain.samples import with_doubles

Tensors = dict[str, Tensor]


def join(tensors: Sequence[Tensor], stacked: bool) -> Tensor:
    """The runs' tensors as rows of one; one run's alone without a leading dimension."""
    return torch.stack(list(tensors)) if stacked else tensors[0]


def take(tensor: Tensor, rows: Sequence[int]) -> Tensor:
    """These rows alone."""
    return tensor.index_select(0, torch.tensor(rows).to(tensor.device))


def where(mask: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """The rows of `new` where the mask, (K,) or 0-d for one run, is true, and those of `old` elsewhere."""
    return torch.where(mask.view(mask.shape + (1,) * (new.dim() - mask.dim())), new, old)


def copies(tensors: Tensors) -> Tensors:
    """The same in memory of its own."""
    return {name: tensor.clone() for name, tensor in tensors.items()}


def each(tensor: Tensor, stacked: bool) -> Iterator[Tensor]:
    """A tensor's rows, on the host, each in memory of its own: a saved view takes all the rows with it."""
    host = to_host(tensor)
    yield from (row.clone() for row in host) if stacked else [host]


def each_of(tensors: Tensors, runs: int, stacked: bool) -> list[Tensors]:
    """The rows of tensors by name: a dictionary for every run, on the host."""
    rows: list[Tensors] = [{} for _ in range(runs)]
    for name, tensor in tensors.items():
        for row, part in zip(rows, each(tensor, stacked), strict=True):
            row[name] = part
    return rows


def to_device(values: np.ndarray | Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """The values on the device, for which the host does not wait."""
    tensor = torch.as_tensor(values, dtype=dtype)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_host(tensor: Tensor) -> Tensor:
    """A copy on the host, detached; this and `fetch` are where the host waits for the device."""
    return tensor.detach().cpu().clone()


def fetch(values: Tensors) -> list[dict[str, float]]:
    """Scalars (...) of all rows in one transfer: a dictionary of numbers for each row."""
    kinds: dict[torch.dtype, list[str]] = {}
    values = {name: with_doubles(value) for name, value in values.items()}
    for name, value in values.items():
        kinds.setdefault(value.dtype, []).append(name)
    columns = [torch.stack([values[name] for name in names], dim=-1).double() for names in kinds.values()]
    table = torch.cat(columns, dim=-1).cpu()
    order = [name for names in kinds.values() for name in names]
    rows = [dict(zip(order, row, strict=True)) for row in (table.tolist() if table.dim() == 2 else [table.tolist()])]
    return [{name: row[name] for name in values} for row in rows]
