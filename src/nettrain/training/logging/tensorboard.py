"""TensorBoard event files, written without a thread or an open file: one event an epoch with all its scalars.

Tags are `<what>/train` and `<what>/val` for losses and metrics, `<what>/<layer>` for the numbers of layers,
`throughput/...`, `callbacks/<what>` for what callbacks record, and `optimizer/<what>` for the rest, alike for every
run; the layout for the CUSTOM SCALARS tab draws training and validation, and all layers, in one chart each.
"""

import os
import re
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.struct_pb2 import Value
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_STRING
from tensorboard.plugins.custom_scalar.layout_pb2 import Category, Chart, Layout, MultilineChartContent
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from nettrain.storage.atomic import append
from nettrain.training.logging.scalar_records import records, scalar_records

DIGITS = 15  # more than seconds have, in the name of a file
OF_OPTIMIZER = (
    *("lr", "gradient_norm", "update_to_weight", "skipped_updates"),
    *("function_evaluations", "gradient_evaluations", "hessian_vector_products"),
)
LAYERED = ("gradient_norm", "update_to_weight", "dead", "saturated")  # what is measured of every layer


class EventFile:
    """The event file of one run. Records are kept in memory until `flush`, which leaves the file closed."""

    def __init__(self, folder: Path) -> None:
        # Files are read in the order of their names, also when the clock has been set back.
        names = [path.name.split(".")[3] for path in folder.glob("events.out.tfevents.*")]
        earlier = [int(name) for name in names if name.isdecimal() and len(name) < DIGITS]
        seconds = max([int(time.time()), *(second + 1 for second in earlier)])
        self.path = folder / f"events.out.tfevents.{seconds}.{socket.gethostname()}.{os.getpid()}"
        self.pending = bytearray()
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def flush(self) -> None:
        """Append the records to the file."""
        if self.pending:
            append(self.path, bytes(self.pending))
            self.pending.clear()

    def restart(self, step: int) -> None:
        """Make TensorBoard forget what earlier files of the run say of this step and later ones."""
        self._write(Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START)))

    def scalars(self, tags: Sequence[str], times: np.ndarray, steps: np.ndarray, values: np.ndarray) -> None:
        """Scalars (n, tags) after the updates `steps` (n,), recorded at `times` (n,); NaN makes no point."""
        self.pending += scalar_records(tags, times, steps, values)

    def text(self, tag: str, markdown: str) -> None:
        """A page for the TEXT tab."""
        self._write_bytes(f"{tag}/text_summary", "text", markdown.encode())

    def layout(self, tags: Iterable[str]) -> None:
        """The charts of the CUSTOM SCALARS tab for these scalars: those alike but for what follows the slash in one."""
        lines: dict[str, list[str]] = {}
        for tag in tags:
            lines.setdefault(tag.partition("/")[0], []).append(tag)
        several = {name: names for name, names in lines.items() if len(names) > 1 and name != "optimizer"}
        categories = [
            Category(
                title=title,
                chart=[_chart(name, names) for name, names in several.items() if (name in LAYERED) == inner],
            )
            for title, inner in (("training and validation", False), ("layers", True))
        ]
        self._write_bytes("custom_scalars__config__", "custom_scalars", Layout(category=categories).SerializeToString())

    def graph(self, graph: bytes) -> None:
        """The model for the GRAPHS tab, as `model_graph` gives it."""
        self._write(Event(wall_time=time.time(), graph_def=graph))

    def image(self, step: int, tag: str, png: bytes, wall_time: float | None = None) -> None:
        """A PNG file for the IMAGES tab; its size and its colours stand in its header."""
        width, height, colors = struct.unpack(">IIxB", png[16:26])
        channels = 4 if colors == 6 else 3
        image = Summary.Image(width=width, height=height, colorspace=channels, encoded_image_string=png)
        summary = Summary(value=[Summary.Value(tag=tag, image=image)])
        self._write(Event(wall_time=wall_time or time.time(), step=step, summary=summary))

    def histograms(self, step: int, values: dict[str, np.ndarray]) -> None:
        """The distribution of each array over 30 bins, for the HISTOGRAMS and DISTRIBUTIONS tabs."""
        finite = {tag: array[np.isfinite(array)].astype(float) for tag, array in values.items()}
        histograms = [Summary.Value(tag=tag, histo=_histogram(array)) for tag, array in finite.items() if array.size]
        self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=histograms)))

    def hparams_start(self, hparams: dict[str, Any]) -> None:
        """The run's row in the HPARAMS tab: flat keys, values bool, number or text.

        No experiment record is written: TensorBoard then takes the union of all runs' columns, while with one
        per run it shows the columns of the first.
        """
        info = SessionStartInfo(start_time_secs=time.time())
        for key, value in hparams.items():
            info.hparams[key].CopyFrom(_value(value))
        self._write_hparams("_hparams_/session_start_info", HParamsPluginData(session_start_info=info))

    def hparams_end(self, status: str) -> None:
        """How the run ended, for the HPARAMS tab."""
        info = SessionEndInfo(
            status=Status.STATUS_SUCCESS if status == "completed" else Status.STATUS_FAILURE, end_time_secs=time.time()
        )
        self._write_hparams("_hparams_/session_end_info", HParamsPluginData(session_end_info=info))

    def _write_hparams(self, tag: str, data: HParamsPluginData) -> None:
        plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=data.SerializeToString())
        # the tab ignores the tensor, but its loader expects one
        tensor = TensorProto(dtype=DT_FLOAT, float_val=[0.0], tensor_shape=TensorShapeProto())
        self._write_value(Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin), tensor=tensor))

    def _write_bytes(self, tag: str, plugin: str, content: bytes) -> None:
        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin))
        tensor = TensorProto(dtype=DT_STRING, string_val=[content], tensor_shape=TensorShapeProto())
        self._write_value(Summary.Value(tag=tag, metadata=metadata, tensor=tensor))

    def _write_value(self, value: Summary.Value) -> None:
        self._write(Event(wall_time=time.time(), summary=Summary(value=[value])))

    def _write(self, event: Event) -> None:
        self.pending += records(np.frombuffer(event.SerializeToString(), np.uint8)[None])


@cache
def tag(name: str) -> str:
    """The tag of a column of metrics.csv: `val_loss` -> `loss/val`, `lr` -> `optimizer/lr`; those of layers stay."""
    if "/" in name:
        return name
    split, _, metric = name.partition("_")
    if split in ("train", "val", "test"):
        return f"{metric}/{split}"
    return f"{'optimizer' if name in OF_OPTIMIZER else 'callbacks'}/{name}"


def _chart(name: str, tags: list[str]) -> Chart:
    return Chart(title=name, multiline=MultilineChartContent(tag=[f"^{re.escape(tag)}$" for tag in tags]))


def _histogram(values: np.ndarray) -> HistogramProto:
    counts, edges = np.histogram(values, bins=30)
    return HistogramProto(
        min=values.min(),
        max=values.max(),
        num=values.size,
        sum=values.sum(),
        sum_squares=np.square(values).sum(),
        bucket_limit=edges[1:],
        bucket=counts,
    )


def _value(value: Any) -> Value:
    if isinstance(value, bool):
        return Value(bool_value=value)
    if isinstance(value, int | float):
        return Value(number_value=value)
    return Value(string_value=str(value))
