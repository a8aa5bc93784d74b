"""Large host arrays on their way to a GPU: piece by piece through two pinned buffers, and never copied as a whole.

CUDA reads pinned memory by itself, so one buffer is filled while the other is being copied. A source may have any
element type, byte order and strides: it becomes what the device wants while a buffer is filled.
"""

from __future__ import annotations

import threading
from typing import Any

import cupy
import numpy as np

from nnkit.backends.cuda import memory
from nnkit.backends.pieces import pieces
from nnkit.backends.recording import Array

__all__ = ["LARGE", "Uploads", "of_device"]

LARGE = 4 << 20  # bytes of an array from which on it goes by pieces
PIECE = 8 << 20  # bytes of a buffer


class _Buffer:
    """Host memory that is filled again when it has been copied."""

    def __init__(self) -> None:
        self._memory = memory.pinned((PIECE,), np.dtype(np.uint8))
        # Who waits sleeps: the stream may have much to do before it copies.
        self._copied = cupy.cuda.Event(block=True, disable_timing=True)

    def send(self, part: np.ndarray, dtype: np.dtype, to: Any) -> None:
        """Let the current stream copy ``part`` to a place on the device, as elements of ``dtype``."""
        nbytes = part.size * dtype.itemsize
        host = self._memory[:nbytes].view(dtype).reshape(part.shape)
        self._copied.synchronize()
        np.copyto(host, part, casting="unsafe")
        try:
            to.copy_from_host_async(host.ctypes.data, nbytes)
        finally:  # an interrupt may come as soon as the copy is given
            self._copied.record()


class Uploads:
    """What all threads send to one GPU, which is the current device, goes through here; a piece at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buffers: list[_Buffer] = []
        self._sent = 0

    def send(self, source: np.ndarray, out: Array) -> None:
        """Let the current stream copy a host array to a contiguous one of the same shape; returns when it is read."""
        done = 0
        for part in pieces(source, PIECE // out.dtype.itemsize):
            with self._lock:
                self._next().send(part, out.dtype, out.data + done)
            done += part.size * out.dtype.itemsize

    def _next(self) -> _Buffer:
        if len(self._buffers) < 2:
            self._buffers.append(_Buffer())
        self._sent += 1
        return self._buffers[self._sent % len(self._buffers)]


_of_devices: dict[int, Uploads] = {}
_lock = threading.Lock()


def of_device(index: int) -> Uploads:
    """Where what is sent to GPU ``index`` goes through."""
    with _lock:
        return _of_devices.setdefault(index, Uploads())
