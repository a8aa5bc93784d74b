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
        self._memory: list[Any] = []
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
        address = -(-memory.ctypes.data // ALIGNMENT) * ALIGNMENT
        self._keep(memory, address, size)
        return size, address

    def _keep(self, memory: Any, address: int, size: int) -> None:
        self._memory.append(memory)
        self._ranges.append((address, address + size))
        self.peak += size

    def adopt(self, array: Any) -> None:
        """Count an array that was made elsewhere as the pool's; it is never reused."""
        view = host_view(array)
        if view is not None:
            self._keep(array, _address(view), max(view.nbytes, 1))

    def owns(self, array: Any) -> bool:
        """Whether an array lies in this pool."""
        return self._place(array) is not None

    def _place(self, array: Any) -> int | None:
        view = host_view(array)
        if view is None:
            return None
        address = _address(view)
        return next((i for i, (start, end) in enumerate(self._ranges) if start <= address < end), None)

    def unleased(self, array: Any) -> Any:
        """An array of the pool without a lease: its block may be used again while this exists. Others as they are."""
        place = self._place(array) if isinstance(array, np.ndarray) else None
        if place is None:
            return array
        memory = self._memory[place]
        return np.ndarray(array.shape, array.dtype, memory, _address(array) - _address(memory), array.strides)

    def contents(self) -> list[np.ndarray]:
        """The pool's memory, piece by piece."""
        return [memory for memory in self._memory if isinstance(memory, np.ndarray)]


def host_view(array: Any) -> np.ndarray | None:
    """The memory of an array of any namespace as a numpy array; None where it is not in the host's memory."""
    if isinstance(array, np.ndarray):
        return array
    try:
        return np.asarray(array) if hasattr(array, "shape") else None
    except TypeError:
        return None


def overlap(x: Any, y: Any) -> bool:
    """Whether two arrays have memory in common; True where that is hard to tell."""
    first, second = host_view(x), host_view(y)
    if first is None or second is None:
        return x is y
    try:
        return np.shares_memory(first, second, max_work=1000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])
