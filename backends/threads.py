"""Large loops on several threads: the pieces of one kernel call, each over its own stretch of memory.

Kernels release Python's lock, so ordinary threads run them side by side. Handing out a piece costs some 20
microseconds: only loops over megabytes are cut.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

LARGE = 1 << 22  # bytes that a loop reads and writes, from which on it is cut into pieces

_settings: dict[str, Any] = {"count": None, "pool": None, "process": None}


def get_num_threads() -> int:
    """How many threads large loops use: NNKIT_NUM_THREADS, else the processors this process may run on."""
    if _settings["count"] is None:
        available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        _settings["count"] = int(os.environ.get("NNKIT_NUM_THREADS") or available)
    return int(_settings["count"])


def set_num_threads(count: int) -> None:
    """Use so many threads for large loops from now on; matrix products have the BLAS library's own threads."""
    if count < 1:
        raise ValueError(f"count: expected at least 1 thread, got {count}")
    _settings["count"], _settings["pool"] = int(count), None


def run_together(calls: Sequence[Callable[[], None]]) -> None:
    """Run all calls, the first one in this thread, and return when all are done."""
    # A forked child has no threads of its parent's pool.
    if _settings["pool"] is None or _settings["process"] != os.getpid():
        workers = max(get_num_threads() - 1, 1)
        _settings["pool"] = ThreadPoolExecutor(workers, thread_name_prefix="nnkit")
        _settings["process"] = os.getpid()
    waiting = [_settings["pool"].submit(call) for call in calls[1:]]
    calls[0]()
    for one in waiting:
        one.result()
