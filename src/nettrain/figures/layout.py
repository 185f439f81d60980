"""Room for what stands around the axes: measured once, where matplotlib's own layouts draw the text several times."""

from matplotlib.figure import Figure
from matplotlib.layout_engine import LayoutEngine
from matplotlib.transforms import Bbox

PAD = 0.04  # inches around everything


class Margins(LayoutEngine):
    """Makes one pair of axes, with or without a colour bar, as large as their labels and a legend below let them be."""

    _adjust_compatible = True
    _colorbar_gridspec = True

    def execute(self, fig: Figure) -> None:
        """Measure what stands around the axes, and set the margins.

        Raises `ValueError` if nothing is left of the axes: matplotlib then draws them where they are.
        """
        inner = Bbox.union([axes.bbox for axes in fig.axes])
        boxes = [axes.get_tightbbox(for_layout_only=True, bbox_extra_artists=axes.texts) for axes in fig.axes]
        outer = Bbox.union([box for box in boxes if box])
        legends = max((legend.get_window_extent().y1 for legend in fig.legends), default=0.0)
        width, height = fig.get_size_inches() * fig.dpi
        pad = PAD * fig.dpi
        fig.subplots_adjust(
            left=(inner.x0 - outer.x0 + pad) / width,
            right=1 - (outer.x1 - inner.x1 + pad) / width,
            bottom=(inner.y0 - outer.y0 + legends + pad) / height,
            top=1 - (outer.y1 - inner.y1 + pad) / height,
        )
