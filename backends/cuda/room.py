"""How much memory of the GPU there is, and the error that says that it is too little.

What is free is what CUDA can still give and what CuPy's pool holds for nobody. How large a batch would fit is estimated
from what this one has taken so far, so ``batch_of`` has to know when it began.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import cupy

from nnkit.backends.errors import DeviceOutOfMemory


class _Batch(NamedTuple):
    rows: int
    free: int  # bytes, when it began


class _Local(threading.local):
    batch: _Batch | None = None


_local = _Local()


def free_bytes() -> int:
    """What the current device can still give, in bytes."""
    return int(cupy.cuda.runtime.memGetInfo()[0]) + int(cupy.get_default_memory_pool().free_bytes())


def release() -> None:
    """Give back to the device and the host what CuPy's pools hold for nobody."""
    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
    cupy.get_default_pinned_memory_pool().free_all_blocks()


@contextmanager
def batch_of(rows: int) -> Iterator[None]:
    """Inside, this thread works on a batch of so many rows: an out-of-memory error says how many would fit.

    It asks the driver for what is free, so it is for the first step of a kind, not for each.
    """
    before, _local.batch = _local.batch, _Batch(rows, free_bytes())
    try:
        yield
    finally:
        _local.batch = before


def out_of_memory(asked: int, device: str) -> DeviceOutOfMemory:
    """The error for ``asked`` bytes that the current device, named so, did not have."""
    free, total = free_bytes(), int(cupy.cuda.runtime.memGetInfo()[1])
    text = f"{device} is out of memory: {_size(asked)} were asked for, {_size(free)} of {_size(total)} are free"
    if free >= asked:
        text += ", but not in one piece"
    batch = _local.batch
    if batch is None:
        return DeviceOutOfMemory(f"{text}. Use smaller batches, or delete tensors and models not needed", asked, free)
    rows = _fitting_rows(batch, asked, free)
    if rows < 1:
        text += ". Not even a batch of 1 row fits: the model itself is too large"
    else:
        text += f". Of this batch of {batch.rows} rows at most about {rows} fit: use batch_size={rows} or less"
    return DeviceOutOfMemory(text, asked, free, rows)


def _fitting_rows(batch: _Batch, asked: int, free: int) -> int:
    """How many rows would have fitted at most: they need what was taken since the batch began and what is asked now.

    Fewer than the batch in any case, since it did not fit; 0 where not even one would.
    """
    needed = max(batch.free - free, 0) + asked
    return min(batch.free * batch.rows // max(needed, 1), batch.rows - 1)


def _size(nbytes: int) -> str:
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if nbytes >= scale:
            return f"{nbytes / scale:.2f} {unit}"
    return f"{nbytes} bytes"
