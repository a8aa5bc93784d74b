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
    """Bytes of a GPU's arrays and recorded programs; 0 where no GPU is usable.

    Raises ValueError for what is no GPU, where one is usable. Source: ``torch.cuda.memory_allocated``.

    >>> memory_allocated() <= memory_reserved()
    True
    """
    return int(figures(index := index_of(device)).used(index)) if is_available() else 0


def memory_reserved(device: Any = None) -> int:
    """Bytes that the pool has taken from a GPU, used or not; 0 where no GPU is usable.

    Raises ValueError for what is no GPU, where one is usable. Source: ``torch.cuda.memory_reserved``, which also
    had the name ``memory_cached``.

    >>> memory_reserved() >= 0
    True
    """
    return int(figures(index := index_of(device)).held(index)) if is_available() else 0


def max_memory_allocated(device: Any = None) -> int:
    """At most so many bytes were used at once since ``reset_peak_memory_stats``: what the pool has taken since.

    Raises ValueError for what is no GPU, where one is usable. Source: ``torch.cuda.max_memory_allocated``.

    >>> max_memory_allocated() >= memory_allocated()
    True
    """
    return memory_reserved(device)


def reset_peak_memory_stats(device: Any = None) -> None:
    """Let the figures called ``max`` begin anew; what nobody uses is given back to the device.

    Raises ValueError for what is no GPU, where one is usable. Source: ``torch.cuda.reset_peak_memory_stats``.

    >>> reset_peak_memory_stats(); max_memory_allocated() >= 0
    True
    """
    if is_available():
        figures(index := index_of(device)).release(index)


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Free and total bytes of a GPU.

    Raises DeviceUnavailable where it is not usable, ValueError for what is no GPU. Source:
    ``torch.cuda.mem_get_info``.

    >>> free, total = mem_get_info() if is_available() else (0, 0)
    >>> free <= total
    True
    """
    free, total = figures(index := index_of(device)).free_and_total(index)
    return int(free), int(total)


def empty_cache() -> None:
    """Give back to the device what the pool holds for nobody.

    Source: ``torch.cuda.empty_cache``.

    >>> empty_cache()
    """
    reset_peak_memory_stats(None)


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """The figures as text.

    Raises ValueError for what is no GPU, where one is usable. Source: ``torch.cuda.memory_summary``.

    >>> print(memory_summary())
    allocated: ... bytes
    reserved:  ... bytes
    """
    used, held = memory_allocated(device), memory_reserved(device)
    return f"allocated: {used:,} bytes\nreserved:  {held:,} bytes"


def ipc_collect() -> None:
    """Do nothing: no memory is shared with other processes.

    Source: ``torch.cuda.ipc_collect``.

    >>> ipc_collect()
    """


memory_cached, max_memory_cached, max_memory_reserved = memory_reserved, memory_reserved, memory_reserved
reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats
