"""Scalars as records of a TensorBoard event file, those of many epochs at once.

The protobuf library and a checksum for each epoch would cost more than the epoch's update of a small network; here
events that differ in their numbers alone are made as one array of bytes, a row each.
"""

import itertools
import struct
from collections.abc import Sequence
from functools import cache

import numpy as np

from nettrain.training.logging.crc32c import masked_crc32c


def records(data: np.ndarray) -> bytes:
    """Serialised events of one length, (n, length) bytes, as records: length, its checksum, the event, its checksum."""
    length = np.frombuffer(struct.pack("<Q", data.shape[1]), np.uint8)[None]
    head = np.concatenate([length, _checksums(length)], axis=1)
    return np.concatenate([np.repeat(head, len(data), axis=0), data, _checksums(data)], axis=1).tobytes()


def scalar_records(tags: Sequence[str], times: np.ndarray, steps: np.ndarray, values: np.ndarray) -> bytes:
    """Records of n events with these scalars: wall times (n,), steps (n,), values (n, tags); NaN makes no point."""
    there = ~np.isnan(values)
    kinds = [(row.tobytes(), len(_varint(int(step)))) for row, step in zip(there, steps, strict=True)]
    blocks, start = [], 0
    for _, alike in itertools.groupby(kinds):
        end = start + len(list(alike))
        present = there[start]
        names = tuple(itertools.compress(tags, present))
        blocks.append(records(_events(names, times[start:end], steps[start:end], values[start:end, present])))
        start = end
    return b"".join(blocks)


def _events(tags: tuple[str, ...], times: np.ndarray, steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Serialised events with all these scalars, (n, length); the steps have one length.

    Event: wall_time = 1, step = 2, summary = 5. Summary: value = 1. Value: tag = 1, simple_value = 2.
    """
    summary, holes = _summary(tags)
    number = [_varint(int(step)) for step in steps]
    head = b"\x09" + bytes(8) + b"\x10" + number[0]
    whole = head + b"\x2a" + _varint(len(summary)) + summary
    data = np.repeat(np.frombuffer(whole, np.uint8)[None], len(steps), axis=0)
    data[:, 1:9] = times.astype("<f8")[:, None].view(np.uint8)
    data[:, 10 : len(head)] = np.frombuffer(b"".join(number), np.uint8).reshape(len(steps), -1)
    with np.errstate(over="ignore"):  # what is too large for TensorBoard is infinite
        data[:, len(whole) - len(summary) + holes] = np.ascontiguousarray(values, "<f4").view(np.uint8)
    return data


@cache
def _summary(tags: tuple[str, ...]) -> tuple[bytes, np.ndarray]:
    """A serialised summary with these scalars, and where the four bytes of each number lie in it, (4 tags,)."""
    summary, holes = b"", list[int]()
    for tag in tags:
        name = tag.encode()
        value = b"\x0a" + _varint(len(name)) + name + b"\x15" + bytes(4)
        summary += b"\x0a" + _varint(len(value)) + value
        holes += range(len(summary) - 4, len(summary))
    return summary, np.array(holes, int)


def _varint(number: int) -> bytes:
    """A number that is not negative, as protobuf writes it: seven bits a byte, the lowest first."""
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*octets, number])


def _checksums(data: np.ndarray) -> np.ndarray:
    return masked_crc32c(data).astype("<u4")[:, None].view(np.uint8)
