"""A program's own memory: blocks that a later instruction of the same program may use again, and nothing else may.

While a step is recorded, an array that Python drops gives its block back, and the next instruction that needs
memory takes it. A replay runs the instructions in the same order, so no two live values ever share a block.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes: a cache line, and the widest vector register
LARGE = 1 << 14  # bytes


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Like ``np.empty``, but a large array starts at a cache line: loops over it are a few per cent faster."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


class _Lease:
    """What an array of the pool stands on; when the array and its views are gone, the block is free again."""

    __slots__ = ("__array_interface__", "block", "pool")

    def __init__(self, pool: Pool, block: tuple[int, int], shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.pool = pool
        self.block = block
        self.__array_interface__ = {"shape": shape, "typestr": dtype.str, "data": (block[1], False), "version": 3}

    def __del__(self) -> None:
        self.pool.free.append(self.block)


class Pool:
    """Memory for numpy arrays; ``peak`` is what it holds, in bytes."""

    def __init__(self) -> None:
        self.free: list[tuple[int, int]] = []  # (size, address)
        self.peak = 0
        self._memory: list[np.ndarray] = []
        self._ranges: list[tuple[int, int]] = []

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array over the smallest free block that fits and is not wastefully large, else over a new one."""
        dtype = np.dtype(dtype)
        need = max(-(-math.prod(shape) * dtype.itemsize // ALIGNMENT) * ALIGNMENT, ALIGNMENT)
        fitting = [block for block in self.free if need <= block[0] <= 2 * need]
        block = min(fitting) if fitting else self._grow(need)
        if fitting:
            self.free.remove(block)
        return np.asarray(_Lease(self, block, shape, dtype))

    def _grow(self, size: int) -> tuple[int, int]:
        memory = np.empty(size + ALIGNMENT, np.uint8)
        start = memory.ctypes.data
        address = -(-start // ALIGNMENT) * ALIGNMENT
        self._memory.append(memory)
        self._ranges.append((address, address + size))
        self.peak += size
        return size, address

    def owns(self, array: np.ndarray) -> bool:
        """Whether an array lies in this pool."""
        address = array.__array_interface__["data"][0]
        return any(start <= address < end for start, end in self._ranges)
