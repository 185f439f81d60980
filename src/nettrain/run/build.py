"""The process that compiles a step: it reads what to build from its standard input, pickled by `compile_step`."""

import pickle
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn


class Loop(nn.Module):
    """The traced step, once for every batch."""

    def __init__(self, step: Callable[..., list[Tensor]], state: int) -> None:
        super().__init__()
        self.step, self.state = step, state

    def forward(self, *tensors: Tensor) -> list[Tensor]:
        from torch._higher_order_ops import scan

        def body(state: list[Tensor], inputs: list[Tensor]) -> tuple[list[Tensor], Tensor]:
            *new, z = self.step(*state, *inputs)
            return [tensor.clone() for tensor in new], z.clone()  # scan refuses what may share memory

        state, z = scan(body, list(tensors[: self.state]), list(tensors[self.state :]))
        return [*state, z]


def build(step: Callable[..., list[Tensor]], example: list[Tensor], state: int, path: Path) -> None:
    """Compile a loop of the step into a package at `path`.

    The first `state` of the example's tensors are what the step takes and gives; the others, (S, ...), hold what it
    takes for S updates; S is free.
    """
    from torch._inductor import aoti_compile_and_package
    from torch.export import Dim, export
    from torch.func import functionalize
    from torch.fx.experimental.proxy_tensor import make_fx

    first = [*example[:state], *(tensor[0] for tensor in example[state:])]
    traced = make_fx(functionalize(step, remove="mutations"), tracing_mode="fake")(*first)
    free = Dim("updates", min=1)
    shapes = (None,) * state + ({0: free},) * (len(example) - state)
    program = export(Loop(traced, state), tuple(example), dynamic_shapes=(shapes,))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        built = aoti_compile_and_package(program, package_path=f"{folder}/built.pt2")
        Path(built).replace(path)


def main() -> None:
    step, example, state, path, threads = pickle.load(sys.stdin.buffer)
    torch.set_num_threads(threads)
    tensors = [torch.zeros(shape, dtype=dtype, device=device) for shape, dtype, device in example]
    try:
        with torch.no_grad():
            build(step, tensors, state, path)
    except Exception as error:  # whatever it is: the other process says it in its sentence
        lines = [line for line in str(error).splitlines() if line.strip()] or [""]
        sys.exit(f"{type(error).__name__}: {lines[0]}")


if __name__ == "__main__":
    main()
