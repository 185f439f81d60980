"""A simulated accelerator: tensors on the device `simgpu` compute on the CPU, but as on a GPU they do not mix with
host tensors, and every synchronisation and every copy between host and device is counted with its source line."""

import traceback
from collections import Counter

import torch
from torch.utils import _pytree as pytree
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode

from nettrain.samples import WITHOUT_DOUBLES

NAME = "simgpu"
aten = torch.ops.aten
transfers: Counter[tuple[str, str]] = Counter()  # (kind, source line) -> times

_SYNCS = {
    aten._local_scalar_dense.default: "scalar read back",
    aten.nonzero.default: "dynamic shape",
    aten.masked_select.default: "dynamic shape",
    aten._unique2.default: "dynamic shape",
    aten.equal.default: "comparison read back",
}
_INDEXING = (aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default)


class MixedDevices(RuntimeError):
    """An operation on tensors of both devices, which a real GPU refuses, too."""


class SimTensor(torch.Tensor):
    """A tensor that claims to be on the device and holds its values in a CPU tensor."""

    values: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, values):
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            layout=values.layout,
            device=torch.device(NAME, 0),
        )
        tensor.values = values
        return tensor

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _dispatch(function, args, kwargs or {})

    def __repr__(self):
        return f"SimTensor({self.values})"


class SimMode(TorchDispatchMode):
    """Within it, tensors can be made on the device."""

    def __enter__(self):
        self._previous = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)  # so that torch.tensor(..., device=...) is dispatched as well
        return super().__enter__()

    def __exit__(self, *error):
        torch._C._set_only_lift_cpu_tensors(self._previous)
        return super().__exit__(*error)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _dispatch(function, args, kwargs or {})


def setup() -> torch.device:
    """Register the device with torch, once in a process."""
    if not hasattr(torch, NAME):
        backend_registration._setup_privateuseone_for_python_backend(NAME)
    return torch.device(NAME, 0)


def _count(kind: str) -> None:
    for frame in reversed(traceback.extract_stack()):
        if "/torch/" not in frame.filename and "simgpu.py" not in frame.filename:
            transfers[kind, f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.line}"] += 1
            return


def _dispatch(function, args, kwargs):
    flat = pytree.tree_leaves((args, kwargs))
    on_device = [x for x in flat if isinstance(x, SimTensor)]
    on_host = [x for x in flat if isinstance(x, torch.Tensor) and not isinstance(x, SimTensor)]
    to_device = _check(function, args, kwargs, on_device, on_host)
    if function in _SYNCS and on_device:
        _count(_SYNCS[function])
    host_args, host_kwargs = pytree.tree_map(_unwrap, (args, kwargs))
    out = function(*host_args, **host_kwargs)
    if function._schema.is_mutable and function._schema.name.endswith("_") and isinstance(args[0], torch.Tensor):
        return args[0]
    known = {id(x.values): x for x in on_device}
    return pytree.tree_map(lambda x: _wrap(x, known, to_device), out)


def _check(function, args, kwargs, on_device, on_host) -> bool:
    """Whether the result is on the device; counts copies, and raises where devices are mixed."""
    device = kwargs.get("device")
    if function is aten._to_copy.default:
        to_device = bool(on_device) if device is None else torch.device(device).type == NAME
        if on_device and not to_device:
            _count("copy to host")
        if on_host and to_device:
            _count("copy to device")
        return to_device
    if function is aten.copy_.default:
        to_device = isinstance(args[0], SimTensor)
        if to_device != isinstance(args[1], SimTensor):
            _count("copy to device" if to_device else "copy to host")
        return to_device
    if function is aten._local_scalar_dense.default:
        return False
    if device is not None:
        return torch.device(device).type == NAME
    if on_device and on_host:
        if function in _INDEXING and isinstance(args[0], SimTensor):
            _count("indices copied to device")
        elif any(x.dim() for x in on_host):
            raise MixedDevices(f"{function}: a host tensor meets one on {NAME}")
    return bool(on_device)


def _unwrap(x):
    if isinstance(x, SimTensor):
        return x.values
    return torch.device("cpu") if isinstance(x, torch.device) and x.type == NAME else x


def _wrap(x, known, to_device):
    if not isinstance(x, torch.Tensor) or isinstance(x, SimTensor):
        return x
    if id(x) in known:  # written to by `out=`
        return known[id(x)]
    if to_device and x.dtype == torch.float64 and NAME in WITHOUT_DOUBLES:
        raise TypeError(f"{NAME} has no float64")  # as MPS has none
    return SimTensor(x) if to_device else x
