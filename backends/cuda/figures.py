"""What a GPU is, how much of its memory is taken, and events on it: for ``nnkit.cuda``'s questions."""

from __future__ import annotations

from typing import Any, NamedTuple

import cupy

from nnkit.backends.cuda import room


class Properties(NamedTuple):
    """What CUDA says about a GPU."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int


def properties(index: int) -> Properties:
    """Of GPU ``index``."""
    found = cupy.cuda.runtime.getDeviceProperties(index)
    name = found["name"]
    return Properties(
        name.decode() if isinstance(name, bytes) else str(name),
        int(found["major"]),
        int(found["minor"]),
        int(found["totalGlobalMem"]),
        int(found["multiProcessorCount"]),
    )


def free_and_total(index: int) -> tuple[int, int]:
    """Bytes, as the driver counts them."""
    with cupy.cuda.Device(index):
        free, total = cupy.cuda.runtime.memGetInfo()
    return int(free), int(total)


def used(index: int) -> int:
    """Bytes of arrays, and of recorded programs."""
    with cupy.cuda.Device(index):
        return int(cupy.get_default_memory_pool().used_bytes())


def held(index: int) -> int:
    """Bytes that the pool has taken from the device, whether used or not."""
    with cupy.cuda.Device(index):
        return int(cupy.get_default_memory_pool().total_bytes())


def release(index: int) -> None:
    """Give back what the pool holds for nobody."""
    with cupy.cuda.Device(index):
        room.release()


def synchronize(index: int) -> None:
    """Wait for all work of a GPU."""
    cupy.cuda.Device(index).synchronize()


def version() -> str:
    """Of CUDA's runtime, such as "13.0"."""
    number = int(cupy.cuda.runtime.runtimeGetVersion())
    return f"{number // 1000}.{number % 1000 // 10}"


def event(index: int) -> Any:
    """An event of a GPU that can be timed."""
    with cupy.cuda.Device(index):
        return cupy.cuda.Event(block=True)


def milliseconds(begin: Any, end: Any) -> float:
    """The time between two events."""
    return float(cupy.cuda.get_elapsed_time(begin, end))
