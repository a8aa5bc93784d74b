"""``cupy.cuda.memory``, ``pinned_memory`` and ``device``: blocks, pointers into them, pools.

A pool keeps its free blocks by stream, splits a larger one and joins neighbours again, like the real one.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from . import queues, runtime, streams
from .device import Device
from .errors import CUDARuntimeError, OutOfMemoryError
from .machine import GARBAGE, current_device, machine

UNIT = 512


class BaseMemory:
    """A block of device memory."""

    ptr: int
    size: int
    device_id: int

    def __int__(self) -> int:
        return self.ptr

    @property
    def device(self) -> Device:
        return Device(self.device_id)


class Memory(BaseMemory):
    """A block that is CUDA's own, given back when nobody holds it."""

    def __init__(self, size: int) -> None:
        self.size, self.device_id, self.ptr = size, current_device(), 0
        if size > 0:
            self.ptr = runtime.malloc(size)
            weakref.finalize(self, _free, runtime.free, self.ptr, machine.blocks[self.ptr]).atexit = False


def _free(free: Callable[[int], None], ptr: int, block: Any) -> None:
    # Held until here, the block's memory cannot have become another block in a machine that was reset.
    if machine.blocks.get(ptr) is block:
        try:
            free(ptr)
        except CUDARuntimeError:
            pass  # a finalizer cannot raise


class UnownedMemory(BaseMemory):
    """A block that something else keeps alive."""

    def __init__(self, ptr: int, size: int, owner: Any, device_id: int = -1) -> None:
        if device_id < 0:
            if ptr == 0:
                raise RuntimeError("UnownedMemory requires explicit device ID for a null pointer.")
            device_id = runtime.pointerGetAttributes(ptr).device
        self.ptr, self.size, self._owner, self.device_id = ptr, size, owner, device_id


class MemoryPointer:
    """A place in a block."""

    def __init__(self, mem: BaseMemory, offset: int) -> None:
        assert mem.ptr != 0 or offset == 0
        self.mem, self.ptr, self.device_id = mem, mem.ptr + offset, mem.device_id

    def __int__(self) -> int:
        return self.ptr

    @property
    def device(self) -> Device:
        return Device(self.device_id)

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self.ptr - self.mem.ptr + offset)

    __radd__ = __add__

    def __sub__(self, offset: int) -> MemoryPointer:
        return self + -offset

    def copy_from_device(self, src: MemoryPointer, size: int) -> None:
        if size > 0:
            runtime.memcpy(self.ptr, src.ptr, size, runtime.memcpyDefault)

    def copy_from_device_async(self, src: MemoryPointer, size: int, stream: Any = None) -> None:
        if size > 0:
            runtime.memcpyAsync(self.ptr, src.ptr, size, runtime.memcpyDefault, _handle(stream))

    def copy_from_host(self, mem: Any, size: int) -> None:
        if size > 0:
            runtime.memcpy(self.ptr, _host(mem), size, runtime.memcpyHostToDevice)

    def copy_from_host_async(self, mem: Any, size: int, stream: Any = None) -> None:
        if size > 0:
            runtime.memcpyAsync(self.ptr, _host(mem), size, runtime.memcpyHostToDevice, _handle(stream))

    def copy_from(self, mem: Any, size: int) -> None:
        (self.copy_from_device if isinstance(mem, MemoryPointer) else self.copy_from_host)(mem, size)

    def copy_from_async(self, mem: Any, size: int, stream: Any = None) -> None:
        copy = self.copy_from_device_async if isinstance(mem, MemoryPointer) else self.copy_from_host_async
        copy(mem, size, stream)

    def copy_to_host(self, mem: Any, size: int) -> None:
        if size > 0:
            runtime.memcpy(_host(mem), self.ptr, size, runtime.memcpyDeviceToHost)

    def copy_to_host_async(self, mem: Any, size: int, stream: Any = None) -> None:
        if size > 0:
            runtime.memcpyAsync(_host(mem), self.ptr, size, runtime.memcpyDeviceToHost, _handle(stream))

    def memset(self, value: int, size: int) -> None:
        if size > 0:
            runtime.memset(self.ptr, value, size)

    def memset_async(self, value: int, size: int, stream: Any = None) -> None:
        if size > 0:
            runtime.memsetAsync(self.ptr, value, size, _handle(stream))


def _host(mem: Any) -> int:
    return mem if isinstance(mem, int) else mem.value


def _handle(stream: Any) -> int:
    return (streams.get_current_stream() if stream is None else stream).ptr


class _Chunk:
    """A piece of a block that a pool handed out or may hand out."""

    def __init__(self, memory: BaseMemory, offset: int, size: int, stream: int) -> None:
        self.memory, self.offset, self.size, self.stream = memory, offset, size, stream
        self.before: _Chunk | None = None
        self.after: _Chunk | None = None
        self.free = False

    @property
    def ptr(self) -> int:
        return self.memory.ptr + self.offset


class PooledMemory(BaseMemory):
    """What a pool hands out; the piece goes back to the pool when nobody holds it."""

    def __init__(self, chunk: _Chunk, pool: Any) -> None:
        self.ptr, self.size, self.device_id, self.pool = chunk.ptr, chunk.size, chunk.memory.device_id, pool
        self._chunk: _Chunk | None = chunk

    def free(self) -> None:
        chunk, self._chunk, pool = self._chunk, None, self.pool()
        if chunk is not None and pool is not None:
            pool._give_back(chunk)

    def __del__(self) -> None:
        if getattr(self, "_chunk", None) is not None:
            self.free()


class MemoryPool:
    """Memory that is used again; by device and stream."""

    def __init__(self, allocator: Callable[[int], MemoryPointer] | None = None) -> None:
        self._allocator = allocator
        self._chunks: list[_Chunk] = []
        self._limit: dict[int, int] = {}
        self._lock = threading.RLock()

    def malloc(self, size: int) -> MemoryPointer:
        size = -(-size // UNIT) * UNIT
        if size == 0:
            return MemoryPointer(Memory(0), 0)
        stream = streams.get_current_stream().ptr
        with self._lock:
            fitting = [c for c in self._here() if c.free and c.stream == stream and c.size >= size]
            chunk = min(fitting, key=lambda c: c.size) if fitting else self._grow(size, stream)
            chunk.free = False
            if chunk.size > size:
                self._split(chunk, size)
        return MemoryPointer(PooledMemory(chunk, weakref.ref(self)), 0)

    def _here(self) -> list[_Chunk]:
        return [c for c in self._chunks if c.memory.device_id == current_device()]

    def _grow(self, size: int, stream: int) -> _Chunk:
        limit = self.get_limit()
        if limit and self.total_bytes() + size > limit:
            self.free_all_blocks()
            if self.total_bytes() + size > limit:
                raise OutOfMemoryError(size, self.total_bytes(), limit)
        for clean in (self.free_all_blocks, self._collect, None):
            try:
                memory = (self._allocator or _malloc)(size).mem
                break
            except CUDARuntimeError as error:
                if error.status != 2:
                    raise
                if clean is None:
                    raise OutOfMemoryError(size, self.total_bytes(), limit) from None
                clean()
        chunk = _Chunk(memory, 0, size, stream)
        self._chunks.append(chunk)
        return chunk

    def _collect(self) -> None:
        gc.collect()
        self.free_all_blocks()

    def _split(self, chunk: _Chunk, size: int) -> None:
        rest = _Chunk(chunk.memory, chunk.offset + size, chunk.size - size, chunk.stream)
        rest.free, rest.before, rest.after = True, chunk, chunk.after
        if chunk.after is not None:
            chunk.after.before = rest
        chunk.after, chunk.size = rest, size
        self._chunks.append(rest)

    def _give_back(self, chunk: _Chunk) -> None:
        with self._lock:
            self._scribble(chunk)
            chunk.free = True
            if chunk.after is not None and chunk.after.free:
                self._join(chunk, chunk.after)
            if chunk.before is not None and chunk.before.free:
                self._join(chunk.before, chunk)

    def _scribble(self, chunk: _Chunk) -> None:
        # What is freed may be anything from now on, unless work that was given to a stream still needs it.
        if chunk.memory.ptr in machine.blocks and not queues.busy(chunk.memory.device_id):
            machine.view(chunk.ptr, chunk.size)[:] = GARBAGE

    def _join(self, first: _Chunk, second: _Chunk) -> None:
        first.size += second.size
        first.after = second.after
        if second.after is not None:
            second.after.before = first
        self._chunks.remove(second)

    def free_all_blocks(self, stream: Any = None) -> None:
        with self._lock:
            whole = [c for c in self._here() if c.free and c.before is None and c.after is None]
            for chunk in whole:
                if stream is None or chunk.stream == stream.ptr:
                    self._chunks.remove(chunk)

    def free_all_free(self) -> None:
        self.free_all_blocks()

    def n_free_blocks(self) -> int:
        return sum(c.free for c in self._here())

    def used_bytes(self) -> int:
        return sum(c.size for c in self._here() if not c.free)

    def free_bytes(self) -> int:
        return sum(c.size for c in self._here() if c.free)

    def total_bytes(self) -> int:
        return sum(c.size for c in self._here())

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        if size is not None and fraction is not None:
            raise ValueError("``size`` and ``fraction`` cannot be specified at the same time.")
        self._limit[current_device()] = int(machine.memory_size * fraction) if fraction is not None else size or 0

    def get_limit(self) -> int:
        return self._limit.get(current_device(), 0)


def _malloc(size: int) -> MemoryPointer:
    return MemoryPointer(Memory(size), 0)


class _Allocator(threading.local):
    of_thread: Callable[[int], MemoryPointer] | None = None


_allocator = _Allocator()
_everywhere: list[Callable[[int], MemoryPointer]] = [_malloc]


def set_allocator(allocator: Callable[[int], MemoryPointer] | None = None) -> None:
    if _allocator.of_thread is not None:
        raise ValueError("Can't change the global allocator inside `using_allocator` context manager")
    _everywhere[0] = allocator or _malloc


def get_allocator() -> Callable[[int], MemoryPointer]:
    return _allocator.of_thread or _everywhere[0]


@contextmanager
def using_allocator(allocator: Callable[[int], MemoryPointer] | None = None) -> Iterator[None]:
    before, _allocator.of_thread = _allocator.of_thread, allocator or _malloc
    try:
        yield
    finally:
        _allocator.of_thread = before


def alloc(size: int) -> MemoryPointer:
    """Memory from the allocator in force."""
    return get_allocator()(size)
