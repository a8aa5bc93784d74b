"""Images as PNG files: rows of bytes, filtered by nothing, compressed by zlib."""

from __future__ import annotations

import struct
import zlib

import numpy as np

__all__ = ["png", "png_size"]

_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> PNG's number: gray, gray and alpha, RGB, RGB and alpha


def png(image: np.ndarray) -> bytes:
    """The file of an image, uint8 (height, width, channels), of 1 to 4 channels."""
    height, width, channels = image.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)
    rows[:, 1:] = image.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOURS[channels], 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in parts)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_size(file: bytes) -> tuple[int, int]:
    """Width and height of a PNG file."""
    width, height = struct.unpack(">II", file[16:24])
    return width, height
