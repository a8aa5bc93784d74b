"""Memory that the calls of one launch need while they run."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from typing import Any

import numpy as np

from nnkit.backends import recording
from nnkit.backends.cpu.launch import address
from nnkit.backends.pool import ALIGNMENT, aligned_empty
from nnkit.backends.threads import get_num_threads
from nnkit.kernels.cpu.rooms import LINE


class _Local(threading.local):
    """Memory of this thread's, used again by its next launch."""

    def __init__(self) -> None:
        self.memory: list[np.ndarray] = []


_local = _Local()


#: Every table of rooms that there is, by its address.
_tables: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def _all_free() -> None:
    """In a process that has just been forked nobody has a room: threads that had one are not there."""
    for at, table in list(_tables.items()):
        first = (at - ctypes.addressof(table)) // 8
        for room in range(table[first]):
            table[first + LINE * (room + 1)] = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_all_free)


class Rooms:
    """Memory that the calls of one launch need while they run, and nobody after that.

    What runs now takes the thread's own, what is recorded a block of the program's, which later instructions use again.
    """

    def __init__(self) -> None:
        self._taken: list[np.ndarray] = []  # so that two calls of a launch never get the same
        self.own: list[np.ndarray] = []  # of the thread: for the launch to hold; a program holds its blocks itself

    def take(self, nbytes: int) -> int:
        """The address of so many bytes."""
        at_work, number = recording.recorder(), len(self._taken)
        if at_work is not None:
            self._taken.append(at_work.allocate((nbytes,), np.uint8))
        else:
            kept = _local.memory
            if number == len(kept) or kept[number].nbytes < nbytes:
                kept[number : number + 1] = [aligned_empty((nbytes,), np.uint8)]
            self._taken.append(kept[number])
            self.own.append(kept[number])
        return address(self._taken[-1])

    def keep(self, nbytes: int) -> int:
        """The address of so many bytes that stay as they are from one run of the launch to the next; 0 at first."""
        self.own.append(aligned_empty((nbytes,), np.uint8))
        self.own[-1][...] = 0
        return address(self.own[-1])

    def table(self, calls: int, nbytes: int) -> tuple[int, Any]:
        """A table of rooms that so many calls take turns at, by address, and what has to live as long.

        See ``kernels.cpu.rooms``.
        """
        nbytes = -(-nbytes // ALIGNMENT) * ALIGNMENT
        count = min(calls, get_num_threads())
        table = (ctypes.c_int64 * (LINE * (count + 2)))()
        skipped = -ctypes.addressof(table) % (8 * LINE) // 8
        table[skipped : skipped + 3] = [count, self.take(count * nbytes), nbytes]
        _tables[ctypes.addressof(table) + 8 * skipped] = table
        return ctypes.addressof(table) + 8 * skipped, table
