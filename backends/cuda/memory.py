"""Memory of the GPU: what happens when there is not enough, and how data larger than it is streamed through it.

allocate(make, nbytes, device="cuda") -> what make() returns
                                out of memory: pools freed, tried once more, then DeviceOutOfMemory
batch_of(rows)                  context manager: an out-of-memory error inside names the largest batch that fits
free_bytes() -> int             what the current device could still give, free blocks of CuPy's pool counted
release() -> None               give what CuPy's pools hold and nobody uses back to the device
HostStream(sources, rows)       host arrays, copied to the current device in batches, through pinned memory,
                                while the batch before is being worked on:
    for x, y in HostStream((x, y), rows=4096).batches(indices): ...
pinned(shape, dtype)            host memory that the GPU reads by itself, or ordinary memory where there is no more
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import cupy
import numpy as np

from nnkit.backends.cuda import faults, room
from nnkit.backends.cuda.room import batch_of, free_bytes, release
from nnkit.backends.recording import Array

__all__ = ["HostStream", "allocate", "batch_of", "free_bytes", "pinned", "release"]

T = TypeVar("T")
OUT_OF_MEMORY = 2  # the status of CUDA; CuPy's pool of pinned memory raises it as it is


def allocate(make: Callable[[], T], nbytes: int, device: str = "cuda") -> T:
    """What ``make`` returns, which takes ``nbytes`` of the current device, named ``device`` in errors.

    Where there is too little memory, what pools hold for nobody is given back and ``make`` is called once more.
    Raises DeviceOutOfMemory, and DeviceFault where CUDA fails otherwise.
    """
    try:
        return make()
    except cupy.cuda.memory.OutOfMemoryError:
        pass  # outside of this handler, so that the error's frames keep no arrays alive
    except Exception as error:
        raise faults.translate(error, f"allocating {nbytes} bytes", device) from error
    room.release()
    try:
        return make()
    except cupy.cuda.memory.OutOfMemoryError as error:
        raise room.out_of_memory(nbytes, device) from error
    except Exception as error:
        raise faults.translate(error, f"allocating {nbytes} bytes", device) from error


class _Slot:
    """Room for one batch on the host and on the device, and when each may be written again."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], types: Sequence[np.dtype], pool: Any) -> None:
        self.host = [pinned(shape, dtype) for shape, dtype in zip(shapes, types, strict=True)]
        self.device = [_on_device(like, pool) for like in self.host]
        self.copied = cupy.cuda.Event(disable_timing=True)  # the host's side may be written
        self.used = cupy.cuda.Event(disable_timing=True)  # the device's side may be written


class HostStream:
    """Batches of host arrays on the device that is current now: one is copied there while another is worked on.

    sources: arrays (N, ...) in the host's memory; rows: the most rows of a batch; types: of the batches, of those that
    CuPy has (the sources' own where not given). It holds two batches in pinned host memory, which the GPU reads by
    itself, and two on the device.
    """

    def __init__(self, sources: Sequence[np.ndarray], rows: int, types: Sequence[np.dtype] | None = None) -> None:
        if rows < 1:
            raise ValueError(f"rows: expected at least 1, got {rows}")
        if len({len(source) for source in sources}) != 1:
            raise ValueError(f"sources: expected arrays of equally many rows, got {[len(s) for s in sources]}")
        self._sources = list(sources)
        self._rows = rows
        self._index = cupy.cuda.runtime.getDevice()  # whoever asks for batches may be at another GPU
        # A pool of its own: what other streams still do with a batch keeps CUDA from giving its memory to anybody.
        self._pool = cupy.cuda.MemoryPool()
        shapes = [(rows, *source.shape[1:]) for source in sources]
        types = [source.dtype for source in sources] if types is None else types
        self._slots = [_Slot(shapes, types, self._pool) for _ in range(2)]
        self._copies = cupy.cuda.Stream(non_blocking=True)

    def batches(self, indices: Iterable[np.ndarray]) -> Iterator[tuple[Array, ...]]:
        """For each array of row numbers, those rows of every source, on the device.

        A batch is for that device's stream that is current when it is handed out, and is overwritten after the next
        one is asked for: by then the work on it has to be given to that stream, though it need not be done.
        """
        waiting: tuple[_Slot, int] | None = None
        try:
            for number, rows in enumerate(indices):
                slot = self._slots[number % 2]
                with self._here():
                    self._fill(slot, rows)
                if waiting is not None:
                    yield from self._hand_out(*waiting)
                waiting = slot, len(rows)
            if waiting is not None:
                yield from self._hand_out(*waiting)
        finally:
            with self._here():
                self._copies.synchronize()  # left early, a copy may still read the pinned memory

    def _here(self) -> Any:
        return cupy.cuda.Device(self._index)

    def _fill(self, slot: _Slot, rows: np.ndarray) -> None:
        if len(rows) > self._rows:
            raise ValueError(f"indices: expected at most {self._rows} rows a batch, got {len(rows)}")
        try:
            slot.copied.synchronize()
            for source, host in zip(self._sources, slot.host, strict=True):
                _take(source, rows, host[: len(rows)])
            self._copies.wait_event(slot.used)
            for host, device in zip(slot.host, slot.device, strict=True):
                part = host[: len(rows)]
                device.data.copy_from_host_async(part.ctypes.data, part.nbytes, self._copies)
            slot.copied.record(self._copies)
        except Exception as error:
            raise faults.translate(error, "copying a batch to the device") from error

    def _hand_out(self, slot: _Slot, count: int) -> Iterator[tuple[Array, ...]]:
        with self._here():
            stream = cupy.cuda.get_current_stream()
            stream.wait_event(slot.copied)
            batch = tuple(device[:count] for device in slot.device)
        try:
            yield batch
        finally:
            with self._here():
                slot.used.record(stream)


def _take(source: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    if source.dtype == out.dtype and source.flags.c_contiguous and source.flags.aligned:  # else it copies the source
        np.take(source, rows, axis=0, out=out, mode="clip")
    else:
        with np.errstate(over="ignore"):
            np.copyto(out, source[rows], casting="unsafe")


def _on_device(like: np.ndarray, pool: Any) -> Array:
    device = f"cuda:{cupy.cuda.runtime.getDevice()}"
    memory = allocate(lambda: pool.malloc(like.nbytes), like.nbytes, device)
    return cupy.ndarray(like.shape, like.dtype, memory)


def pinned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Host memory that the GPU reads by itself; ordinary memory, and one warning, where the system has no more."""
    size = math.prod(shape)
    if not size:
        return np.empty(shape, dtype)
    try:
        memory = cupy.cuda.alloc_pinned_memory(size * dtype.itemsize)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        if error.status != OUT_OF_MEMORY:
            raise faults.translate(error, "allocating pinned host memory") from error
        _warn_once()
        return np.empty(shape, dtype)
    return np.frombuffer(memory, dtype, size).reshape(shape)


@functools.cache
def _warn_once() -> None:
    warnings.warn("the system gives no more pinned host memory: data reaches the GPU more slowly", stacklevel=4)
