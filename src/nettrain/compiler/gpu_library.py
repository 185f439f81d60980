"""CUDA C++ built by the compiler that comes with torch (NVRTC), and its kernels, launched in torch's stream."""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.cuda import _utils as libraries  # finds NVRTC and the driver, whose names depend on torch's version of CUDA

from nettrain.compiler.library import BuildError

_LARGEST_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
_OPTIONS = ["--std=c++17", "--prec-div=false", "--prec-sqrt=false"]


class GpuLibrary:
    """The kernels of a program that was built for a device."""

    def __init__(self, binary: bytes) -> None:
        self.driver = libraries._get_gpu_runtime_library()
        self.module = ctypes.c_void_p()
        self.functions: dict[str, ctypes.c_void_p] = {}
        self._check(self.driver.cuModuleLoadData(ctypes.byref(self.module), binary))

    def launch(
        self, name: str, blocks: int, threads: int, shared: int, arguments: Sequence[Tensor | int | None]
    ) -> None:
        """Start a kernel with so many blocks and bytes of shared memory for each; integers are 64 bits wide."""
        if name not in self.functions:
            function = ctypes.c_void_p()
            self._check(self.driver.cuModuleGetFunction(ctypes.byref(function), self.module, name.encode()))
            self._check(self.driver.cuFuncSetAttribute(function, _LARGEST_SHARED, shared))
            self.functions[name] = function
        values = [_value(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        sizes = (blocks, 1, 1, threads, 1, 1, shared)
        self._check(self.driver.cuLaunchKernel(self.functions[name], *sizes, stream, pointers, None))

    def _check(self, code: int) -> None:
        if code:
            text = ctypes.c_char_p()
            self.driver.cuGetErrorString(code, ctypes.byref(text))
            raise BuildError(f"CUDA: {(text.value or b'unknown error').decode()}")


def gpu_library(text: str, device: torch.device) -> GpuLibrary:
    """The CUDA C++ program for a device. Raises `BuildError` if it cannot be built."""
    capability = torch.cuda.get_device_capability(device)
    torch.cuda.current_stream(device)  # which makes the device's context the present one
    return GpuLibrary(build(text, capability))


def build(text: str, capability: tuple[int, int]) -> bytes:
    """The program for devices of this compute capability. Raises `BuildError` with the compiler's words."""
    try:
        compiler = libraries._get_gpu_rtc_library()
    except OSError as error:
        raise BuildError("there is no NVRTC, which comes with torch for CUDA") from error
    program = ctypes.c_void_p()
    compiler.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"program.cu", 0, None, None)
    options = [option.encode() for option in (f"--gpu-architecture=sm_{capability[0]}{capability[1]}", *_OPTIONS)]
    if compiler.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options)):
        lines = _text(compiler.nvrtcGetProgramLogSize, compiler.nvrtcGetProgramLog, program).decode().splitlines()
        raise BuildError(next((line for line in lines if "error" in line), "NVRTC failed"))
    binary = _text(compiler.nvrtcGetCUBINSize, compiler.nvrtcGetCUBIN, program)
    compiler.nvrtcDestroyProgram(ctypes.byref(program))
    return binary


def _text(size: Any, content: Any, program: ctypes.c_void_p) -> bytes:
    bytes_ = ctypes.c_size_t()
    size(program, ctypes.byref(bytes_))
    buffer = ctypes.create_string_buffer(bytes_.value)
    content(program, buffer)
    return buffer.raw


def _value(argument: Tensor | int | None) -> Any:
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    return ctypes.c_void_p() if argument is None else ctypes.c_int64(argument)
