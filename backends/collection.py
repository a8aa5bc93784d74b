"""Python's garbage collector, held back while a step is recorded or captured: it may run code of anybody's."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["uncollected"]

_lock = threading.Lock()
_blocks = 0  # that are being run, by all threads
_enabled = True  # whether it was, before the first of them


@contextmanager
def uncollected() -> Iterator[None]:
    """Inside, and until every other thread is out of such a block, nothing is collected."""
    global _blocks, _enabled
    with _lock:
        if not _blocks:
            _enabled = gc.isenabled()
            gc.disable()
        _blocks += 1
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks and _enabled:
                gc.enable()
