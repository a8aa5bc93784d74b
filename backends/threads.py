"""How many threads the CPU's kernels use."""

from __future__ import annotations

import os

_settings: dict[str, int | None] = {"count": None}


def get_num_threads() -> int:
    """How many threads large kernels use: NNKIT_NUM_THREADS, else the processors this process may run on, or as many of
    them as OMP_NUM_THREADS says, which joblib, Dask and launchers set in the processes that they start.

    As ``torch.get_num_threads``.

    >>> get_num_threads() >= 1
    True
    """
    count = _settings["count"]
    if count is None:
        available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        own = os.environ.get("NNKIT_NUM_THREADS")
        count = _settings["count"] = int(own) if own else min(available, _of_openmp() or available)
    return count


def _of_openmp() -> int | None:
    """OMP_NUM_THREADS, of whose list the first number is meant; None where it says none."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def set_num_threads(count: int) -> None:
    """Use so many threads for large kernels from now on; programs that are recorded already keep their pieces.

    Raises ValueError for fewer than 1. As ``torch.set_num_threads``.

    >>> before = get_num_threads()
    >>> set_num_threads(1); get_num_threads()
    1
    >>> set_num_threads(before)
    """
    if count < 1:
        raise ValueError(f"count: expected at least 1 thread, got {count}")
    _settings["count"] = int(count)
