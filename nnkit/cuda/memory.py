"""How much memory of a GPU is taken, as CuPy's pool and the driver count it. All is 0 where no GPU is usable.

The pool keeps what it has taken from the device, so what it holds is also the most that it has held: that is what the
figures called ``max`` say. ``reset_peak_memory_stats`` gives back what nobody uses, and so begins anew.
"""

from __future__ import annotations

from typing import Any

from nnkit.cuda.devices import figures, index_of, is_available

__all__ = [
    "empty_cache", "ipc_collect", "max_memory_allocated", "max_memory_cached", "max_memory_reserved", "mem_get_info",
    "memory_allocated", "memory_cached", "memory_reserved", "memory_summary", "reset_max_memory_allocated",
    "reset_max_memory_cached", "reset_peak_memory_stats",
]  # fmt: skip


def memory_allocated(device: Any = None) -> int:
    """Bytes of arrays and of recorded programs."""
    return int(figures(index := index_of(device)).used(index)) if is_available() else 0


def memory_reserved(device: Any = None) -> int:
    """Bytes that the pool has taken from the device, used or not."""
    return int(figures(index := index_of(device)).held(index)) if is_available() else 0


def max_memory_allocated(device: Any = None) -> int:
    """At most so many bytes were used at once since ``reset_peak_memory_stats``: what the pool has taken since."""
    return memory_reserved(device)


def reset_peak_memory_stats(device: Any = None) -> None:
    """Let the figures called ``max`` begin anew; what nobody uses is given back to the device."""
    if is_available():
        figures(index := index_of(device)).release(index)


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Free and total bytes of the device. Raises DeviceUnavailable where no GPU is usable."""
    free, total = figures(index := index_of(device)).free_and_total(index)
    return int(free), int(total)


def empty_cache() -> None:
    """Give back to the device what the pool holds for nobody."""
    reset_peak_memory_stats(None)


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """The figures as text."""
    used, held = memory_allocated(device), memory_reserved(device)
    return f"allocated: {used:,} bytes\nreserved:  {held:,} bytes"


def ipc_collect() -> None:
    """Nothing: no memory is shared with other processes."""


memory_cached, max_memory_cached, max_memory_reserved = memory_reserved, memory_reserved, memory_reserved
reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats
