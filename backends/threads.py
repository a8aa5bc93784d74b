"""How many threads the CPU's kernels use."""

from __future__ import annotations

import os

_settings: dict[str, int | None] = {"count": None}


def get_num_threads() -> int:
    """How many threads large kernels use: NNKIT_NUM_THREADS, else the processors this process may run on.

    >>> get_num_threads() >= 1
    True
    """
    count = _settings["count"]
    if count is None:
        available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        count = _settings["count"] = int(os.environ.get("NNKIT_NUM_THREADS") or available)
    return count


def set_num_threads(count: int) -> None:
    """Use so many threads for large kernels from now on; programs that are recorded already keep their pieces.

    >>> before = get_num_threads()
    >>> set_num_threads(1); get_num_threads()
    1
    >>> set_num_threads(before)
    """
    if count < 1:
        raise ValueError(f"count: expected at least 1 thread, got {count}")
    _settings["count"] = int(count)
