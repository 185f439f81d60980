"""A figure that can be drawn, as data: here, for whoever wants to change it, or as a PNG file by another process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nettrain import figures
from nettrain.figures import process

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Arguments = tuple[Any, ...]


@dataclass
class Picture:
    """A figure that can be drawn: its `name`, which is also its file's, and what is to be seen in it.

    `function` is the name of one of `figures`. Its `arguments` may be a function that computes them, which takes time
    that only a figure that is drawn is worth.
    """

    name: str
    caption: str
    function: str
    arguments: Arguments | Callable[[], Arguments]
    measured: bool = False  # of predictions or weights, which no curve in TensorBoard shows

    def draw(self) -> "Figure":
        """The figure."""
        return getattr(figures, self.function)(*self._arguments())

    def begin(self) -> Callable[[], bytes]:
        """Have it drawn elsewhere; what is returned waits for the PNG file."""
        return process.begin(self.function, self._arguments())

    def begin_files(self, formats: Sequence[str] = ()) -> Callable[[], dict[str, bytes]]:
        """As `begin`: the PNG file, the chart for a page, and files of other formats, by their formats."""
        return process.begin_files(self.function, self._arguments(), tuple(dict.fromkeys(["png", "chart", *formats])))

    def _arguments(self) -> Arguments:
        return self.arguments() if callable(self.arguments) else self.arguments
