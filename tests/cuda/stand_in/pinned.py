"""``cupy.cuda.pinned_memory``: host memory that the GPU can copy from by itself."""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable
from typing import Any

from . import runtime
from .machine import machine
from .memory import UNIT, _free


class PinnedMemory:
    """Host memory that the GPU can copy from by itself."""

    def __init__(self, size: int, flags: int = 0) -> None:
        self.size, self.ptr = size, 0
        if size > 0:
            self.ptr = runtime.hostAlloc(size, flags)
            weakref.finalize(self, _free, runtime.freeHost, self.ptr, machine.blocks[self.ptr]).atexit = False

    def __int__(self) -> int:
        return self.ptr


class PooledPinnedMemory(PinnedMemory):
    """What a pool hands out; it goes back to the pool when nobody holds it."""

    def __init__(self, mem: PinnedMemory, pool: Any) -> None:
        self._mem, self.pool, self.size, self.ptr = mem, pool, mem.size, mem.ptr

    def __del__(self) -> None:
        pool = self.pool()
        if pool is not None:
            pool._free.setdefault(self.size, []).append(self._mem)


class _Place:
    """What a pinned pointer can do beside being a buffer."""

    mem: PinnedMemory
    ptr: int

    def __int__(self) -> int:
        return self.ptr

    def __add__(self, offset: int) -> Any:
        return PinnedMemoryPointer(self.mem, self.ptr - self.mem.ptr + offset)

    def size(self) -> int:
        return self.mem.size - (self.ptr - self.mem.ptr)


@functools.cache
def _buffer(size: int) -> Any:
    # Before Python 3.12 a class can be a buffer only by being made of one; ctypes keeps the object that numpy reads.
    return type("PinnedMemoryPointer", (_Place, ctypes.Array), {"_type_": ctypes.c_uint8, "_length_": size})


class PinnedMemoryPointer(_Place):
    """A place in pinned memory; ``np.frombuffer`` reads it."""

    def __new__(cls, mem: PinnedMemory, offset: int) -> Any:
        size = mem.size - offset
        place = _buffer(size).from_address(mem.ptr + offset) if size else _buffer(0)()
        place.mem, place.ptr = mem, mem.ptr + offset
        return place


class PinnedMemoryPool:
    """Pinned memory that is used again, by exact size."""

    def __init__(self, allocator: Callable[[int], PinnedMemoryPointer] | None = None) -> None:
        self._allocator = allocator or _malloc_host
        self._free: dict[int, list[PinnedMemory]] = {}

    def malloc(self, size: int) -> PinnedMemoryPointer:
        if size == 0:
            return PinnedMemoryPointer(PinnedMemory(0), 0)
        size = -(-size // UNIT) * UNIT
        free = self._free.get(size)
        memory = free.pop() if free else self._allocator(size).mem
        return PinnedMemoryPointer(PooledPinnedMemory(memory, weakref.ref(self)), 0)

    def free_all_blocks(self) -> None:
        self._free.clear()

    def n_free_blocks(self) -> int:
        return sum(map(len, self._free.values()))


def _malloc_host(size: int) -> PinnedMemoryPointer:
    return PinnedMemoryPointer(PinnedMemory(size, runtime.hostAllocPortable), 0)


_host_allocator: list[Callable[[int], PinnedMemoryPointer]] = [_malloc_host]


def set_pinned_memory_allocator(allocator: Callable[[int], PinnedMemoryPointer] | None = None) -> None:
    _host_allocator[0] = allocator or _malloc_host


def alloc_pinned_memory(size: int) -> PinnedMemoryPointer:
    """Pinned memory from the allocator in force."""
    return _host_allocator[0](size)
