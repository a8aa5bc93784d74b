"""TensorBoard's event files: records with checksums, of messages in protobuf's encoding.

A record is the length of its content (uint64), a checksum of that, the content, and a checksum of the content. The
checksum is CRC-32C (Castagnoli), rotated and shifted ("masked") as TensorFlow's record files have it. The content is a
protobuf message ``Event``; the few kinds of fields that it needs are written here.
"""

from __future__ import annotations

import functools
import itertools
import os
import socket
import struct
import time
from pathlib import Path

__all__ = ["EventFile", "crc32c", "double", "integer", "message", "number", "packed_doubles", "record", "text"]

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, its bits reversed
_MASK = 0xA282EAD8
_count = itertools.count()


@functools.cache
def _table() -> list[int]:
    values = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        values.append(value)
    return values


def crc32c(content: bytes) -> int:
    """The checksum CRC-32C.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    table, value = _table(), 0xFFFFFFFF
    for byte in content:
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def _masked(content: bytes) -> bytes:
    value = crc32c(content)
    return struct.pack("<I", ((value >> 15 | value << 17) + _MASK) & 0xFFFFFFFF)


def record(content: bytes) -> bytes:
    """A record of a TFRecord file."""
    length = struct.pack("<Q", len(content))
    return length + _masked(length) + content + _masked(content)


# ---- fields of protobuf messages: a key (number and kind), then the value ---------------------------------------


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def integer(field: int, value: int) -> bytes:
    """A whole number.

    >>> integer(1, 150).hex()
    '089601'
    """
    return _varint(field << 3) + _varint(value)


def double(field: int, value: float) -> bytes:
    """A number of 64 bits."""
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def number(field: int, value: float) -> bytes:
    """A number of 32 bits."""
    return _varint(field << 3 | 5) + struct.pack("<f", value)


def message(field: int, content: bytes) -> bytes:
    """A message, or bytes."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def text(field: int, value: str) -> bytes:
    """A text."""
    return message(field, value.encode())


def packed_doubles(field: int, values: list[float]) -> bytes:
    """Several numbers of 64 bits."""
    return message(field, struct.pack(f"<{len(values)}d", *values))


class EventFile:
    """An event file in ``folder``, which is made if need be; open until ``close``."""

    def __init__(self, folder: str | os.PathLike[str], suffix: str = "", flush_secs: float = 120) -> None:
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        name = (
            f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_count)}{suffix}"
        )
        self.path = place / (name + suffix)
        self._file = open(self.path, "ab")
        self._flush_secs, self._flushed = flush_secs, time.monotonic()
        self._write(double(1, time.time()) + text(3, "brain.Event:2"))
        self.flush()

    def add(self, summary: bytes, step: int | None = None, wall_time: float | None = None) -> None:
        """An event with the message Summary ``summary``."""
        content = double(1, time.time() if wall_time is None else wall_time)
        content += integer(2, int(step)) if step is not None else b""
        self._write(content + message(5, summary))
        if time.monotonic() - self._flushed > self._flush_secs:
            self.flush()

    def _write(self, content: bytes) -> None:
        self._file.write(record(content))

    def flush(self) -> None:
        """Hand all events over to the operating system."""
        if not self._file.closed:
            self._file.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        """No more events."""
        self._file.close()
