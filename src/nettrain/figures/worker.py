"""The process that draws: it reads requests and answers with files, until whoever has started it ends.

`python -m nettrain.figures.worker` reads from its standard input and answers on its standard output. Two numbers on the
command line are pipes for a second process, which is forked as soon as matplotlib is imported.
"""

import gc
import os
import pickle
import sys
from contextlib import suppress
from typing import BinaryIO

import numpy as np
from matplotlib.figure import Figure

from nettrain import figures
from nettrain.figures import style
from nettrain.figures.grids import Grid


def main() -> None:
    """Serve until the requests end."""
    gc.set_threshold(100_000, 50, 100)  # a figure has many objects, and hardly a cycle
    answers = os.dup(1)
    os.dup2(2, 1)  # what anything may print is no answer
    _warm_up()
    gc.freeze()
    second = [int(number) for number in sys.argv[1:]]
    pid = os.fork() if second else None
    if pid == 0:
        os.close(0)
        os.close(answers)  # so that whoever reads from it sees the end of the first process
        requests, answers = second
    else:
        requests = 0
        for number in second:
            os.close(number)
    if second:
        figures.png(_lines())  # which makes the memory that the two share each one's own
    with suppress(OSError):  # whoever has started it was killed
        serve(requests, answers)
    if pid:
        os.waitpid(pid, 0)
    os._exit(0)  # there is nothing to tidy up, which would take its time


def _warm_up() -> None:
    """Import what figures need, find the fonts, and fill matplotlib's caches, while there is nothing else to do."""
    figures.png(_lines())
    grid = Grid(np.arange(3.0), np.arange(3.0))
    figures.png(figures.loss_surface(grid, np.arange(1.0, 10), [[1, 1], [2, 2]], ("x", "y")))
    style.prepare(8)


def _lines() -> Figure:
    return figures.lines([1, 2], {"a": [1, 2], "b": [2, 1]}, "x", "y", marked=(1, "c"))


def serve(requests: int, answers: int) -> None:
    """Read requests, `(name, arguments, formats)` of a function of `figures`, from one pipe, and answer to another.

    An answer is the files by their formats; None where a figure could not be drawn: whoever wants it will draw it
    himself, and see why.
    """
    with open(requests, "rb") as reading, open(answers, "wb") as writing:
        while (request := _read(reading)) is not None:
            function, arguments, formats = request
            files: dict[str, bytes] | None
            try:
                figure = getattr(figures, function)(*arguments)
                files = {format: figures.content(function, figure, format) for format in formats}
            except Exception:
                files = None
            pickle.dump(files, writing)
            writing.flush()


def _read(reading: BinaryIO) -> tuple[str, tuple, tuple] | None:
    try:
        request: tuple[str, tuple, tuple] = pickle.load(reading)
    except (EOFError, pickle.UnpicklingError):  # the end, or a request that its sender was killed over
        return None
    return request


if __name__ == "__main__":
    main()
