"""The checksum of TensorBoard's records, CRC-32C, many bytes at a time: TensorBoard's own goes byte by byte in Python.

The CRC is linear over GF(2), so that of a block is the exclusive or of what each byte gives at its distance from the
end, and a preceding state is the same as an exclusive or with the block's first four bytes.
"""

from functools import cache

import numpy as np

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, reflected
_BLOCK = 1024


@cache
def _table() -> np.ndarray:
    """Row k: what each of the 256 bytes gives when k bytes follow."""
    rows = np.empty((_BLOCK + 4, 256), np.uint32)
    value = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        value = np.where(value & 1, (value >> 1) ^ np.uint32(_POLYNOMIAL), value >> 1)
    rows[0] = value
    for k in range(1, len(rows)):
        value = (value >> 8) ^ rows[0][value & 0xFF]
        rows[k] = value
    return rows


def masked_crc32c(messages: np.ndarray) -> np.ndarray:
    """The CRC-32C of each row of bytes (n, length), length at least four, rotated and shifted as in TFRecord files."""
    table, length = _table(), messages.shape[1]
    state, start = np.full(len(messages), 0xFFFFFFFF, "<u4"), 0
    # no block is shorter than the state
    end = length % _BLOCK if length % _BLOCK >= 4 else min(length, length % _BLOCK + _BLOCK)
    while start < length:
        block = messages[:, start:end].copy()
        block[:, :4] ^= state[:, None].view(np.uint8)
        state = np.bitwise_xor.reduce(table[np.arange(end - start - 1, -1, -1), block], axis=1).astype("<u4")
        start, end = end, end + _BLOCK
    crc = ~state
    return ((crc >> 15) | (crc << 17)) + np.uint32(0xA282EAD8)
