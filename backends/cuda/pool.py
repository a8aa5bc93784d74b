"""A program's own memory on a GPU: the pool of ``backends.pool`` over device memory that nobody else gets."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from nnkit.backends.cuda import memory
from nnkit.backends.pool import Array, Block, Lease, Pool, shadow

ALIGNMENT = 256  # bytes: what cudaMalloc gives, and more than any load of a kernel asks for


class DevicePool(Pool):
    """Memory for cupy arrays on GPU ``index``.

    No other pool has its blocks: they come from the device, and go back there when the program is gone.
    """

    kind = cupy.ndarray
    alignment = ALIGNMENT

    def __init__(self, index: int) -> None:
        super().__init__()
        self._index = index

    def _allocate(self, size: int) -> cupy.ndarray:
        return device_bytes(size, self._index)

    def _leased(self, block: Block, shape: tuple[int, ...], dtype: np.dtype) -> cupy.ndarray:
        size, address = block
        return _array_at(address, size, Lease(self, block), self._index, shape, dtype)

    def _bare(self, array: cupy.ndarray, memory: cupy.ndarray, offset: int) -> cupy.ndarray:
        return cupy.ndarray(array.shape, array.dtype, memory.data + offset, array.strides)


def device_bytes(size: int, index: int) -> cupy.ndarray:
    """Memory of GPU ``index`` that goes back to the device itself as soon as nobody holds it.

    That waits for whatever works on it, in any stream; memory of CuPy's common pool would be handed on at once.
    Raises DeviceOutOfMemory.
    """
    source = cupy.cuda.MemoryPool()  # and so no other array's
    with cupy.cuda.Device(index):
        pointer = memory.allocate(lambda: source.malloc(size), size, f"cuda:{index}")
    return _array_at(pointer.ptr, size, (pointer, source), index, (size,), np.dtype(np.uint8))


def _array_at(address: int, size: int, owner: Any, index: int, shape: tuple[int, ...], dtype: np.dtype) -> cupy.ndarray:
    pointer = cupy.cuda.MemoryPointer(cupy.cuda.UnownedMemory(address, size, owner, index), 0)
    return cupy.ndarray(shape, dtype, pointer)


def duplicate(x: Array) -> Array:
    """A copy with the same strides: which kernel fits, and so the last bit of a result, depends on them.

    It moves the memory from x's first byte to its last: a copy by elements would be a kernel of CuPy's, which NVRTC
    compiles when it first runs.
    """
    if not x.size:
        return cupy.empty(x.shape, x.dtype)
    low, high = np.lib.array_utils.byte_bounds(shadow(x))
    before = x.data.ptr - low  # bytes ahead of the first element: some where a stride is negative
    room = cupy.empty(high - low, np.uint8)
    room.data.copy_from_device_async(x.data - before, room.nbytes)
    return cupy.ndarray(x.shape, x.dtype, room.data + before, x.strides)
