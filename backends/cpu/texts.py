"""Rows of numbers out of JSON, by the compiled kernel."""

from __future__ import annotations

import ctypes
import re

import numpy as np

from nnkit.kernels.cpu.compiler import Kernel
from nnkit.kernels.cpu.texts import LARGEST_POWER, rows_kernel

__all__ = ["read_rows", "ready"]

POWERS = 10.0 ** np.arange(LARGEST_POWER + 1)
HEAD = re.compile(rb'[ \n\r\t]*\{[ \n\r\t]*"rows"[ \n\r\t]*:[ \n\r\t]*\[')
TAIL = re.compile(rb"[ \n\r\t]*\}[ \n\r\t]*\Z")

_powers = POWERS.ctypes.data
_Block = ctypes.c_int64 * 8
_state: dict[str, Kernel | None] = {}


def ready() -> bool:
    """Compile the kernel, or find it; whether there is one on this machine."""
    if "kernel" not in _state:
        try:
            _state["kernel"] = rows_kernel()
        except Exception:  # whatever keeps this machine from compiling; the same is read in another way
            _state["kernel"] = None
    return _state["kernel"] is not None


def read_rows(text: bytes, columns: int) -> np.ndarray | None:
    """float32 (rows, columns) of ``{"rows": [[...], ...]}``, as ``json`` and NumPy would read it.

    None where that is not sure, or where it holds anything else: then read it in another way.

    >>> read_rows(b'{"rows": [[1, -2.5], [0.5, 0]]}', 2).tolist()
    [[1.0, -2.5], [0.5, 0.0]]
    >>> read_rows(b'{"rows": [[1, 2], [3]]}', 2) is None
    True
    """
    head = HEAD.match(text)
    kernel = _state["kernel"] if ready() else None
    if head is None or kernel is None:
        return None
    # A number takes two bytes at least, with what divides it from the next.
    out = np.empty((len(text) // (2 * columns) + 1, columns), np.float32)
    begin = ctypes.cast(ctypes.c_char_p(text), ctypes.c_void_p).value or 0
    block = _Block(begin, head.end(), out.ctypes.data, out.size, columns, _powers, -1, 0)
    kernel.call(ctypes.addressof(block))
    rows, end = block[6], block[7]
    return out[:rows] if rows > 0 and TAIL.match(text, end) else None
