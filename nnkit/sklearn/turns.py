"""One fit at a time on a GPU: ``n_jobs`` processes or threads of a search, and Dask's workers, wait for one another.

Side by side they would each hold their data and a pool of memory, and a GPU runs their kernels in turns anyhow.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nnkit import cuda

try:
    import fcntl
except ImportError:  # Windows, where processes do not wait
    fcntl = None  # type: ignore[assignment]

__all__ = ["taking_turns"]

_locks: dict[str, threading.RLock] = {}
_making = threading.Lock()
_warned: set[str] = set()


@contextlib.contextmanager
def taking_turns(device: Any) -> Iterator[None]:
    """Inside, no other thread of this process, and no other worker process of this user, is inside for this GPU.

    Who has to wait warns once. A worker process gives back the memory that its pool keeps for nobody. On a CPU nothing
    happens.
    """
    name = str(device)
    if getattr(device, "type", "cpu") != "cuda":
        yield
        return
    with _making:
        lock = _locks.setdefault(name, threading.RLock())
    if not lock.acquire(blocking=False):
        _say(name)
        lock.acquire()
    try:
        if fcntl is None or not _is_worker():
            yield
            return
        with _alone_among_processes(name):
            yield
            cuda.empty_cache()
    finally:
        lock.release()


def _is_worker() -> bool:
    """Whether this process works for another one: as a child, or as a worker of Dask that a user has started."""
    if multiprocessing.current_process().name != "MainProcess":
        return True
    dask = sys.modules.get("distributed")
    if dask is None:
        return False
    try:
        dask.get_worker()
    except ValueError:
        return False
    return True


@contextlib.contextmanager
def _alone_among_processes(name: str) -> Iterator[None]:
    descriptor = os.open(_path(name), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(name)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # and with it goes the lock


def _path(name: str) -> Path:
    """The file whose lock is the turn: one for each user and GPU."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    return Path(tempfile.gettempdir()) / f"nnkit-{user}-{name.replace(':', '-')}.turn"


def _say(name: str) -> None:
    if name not in _warned:
        _warned.add(name)
        warnings.warn(
            f"several fits were begun on {name!r} and run one at a time: n_jobs=1 is as fast there, in less memory",
            stacklevel=5,
        )
