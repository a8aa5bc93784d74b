"""Weights of one moment: what reads a model's weights waits while ``fit`` changes them, and many may read at once.

Reading is what ``predict`` does thousands of times a second, so it costs a few operations on a dict where nobody
writes.
A writer has its turn for a chunk of steps (some 50 ms), and lets those who wait go first after it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock, get_ident
from typing import Any

__all__ = ["Moment"]

PAUSE = 5e-5  # seconds between two looks
#: The files whose functions read.
READING = tuple(os.path.join(os.path.dirname(__file__), name) for name in ("prediction.py", "evaluation.py"))
MOST = 0.1  # seconds that a writer gives way, at most


class Moment:
    """Who reads a model's weights, and who writes them; copies and pickles of a model begin with a new one."""

    def __init__(self) -> None:
        self._readers: dict[int, int] = {}  # thread -> how often it reads, one within the other
        self._writer = 0  # the thread that writes, or 0
        self._turn = RLock()
        self._waiting: dict[int, bool] = {}

    def __reduce__(self) -> tuple[type[Moment], tuple[()]]:
        return Moment, ()

    def __deepcopy__(self, memo: Any) -> Moment:
        return Moment()

    def begin(self) -> None:
        """Begin to read, when no other thread writes; ``end`` has to follow."""
        own, readers = get_ident(), self._readers
        readers[own] = readers.get(own, 0) + 1
        if self._writer and self._writer != own and readers[own] == 1:
            del readers[own]
            try:
                self._waiting[own] = True
                with self._turn:  # nobody writes now, nor will before this has ended
                    readers[own] = 1
            finally:
                self._waiting.pop(own, None)

    def end(self) -> None:
        """End reading."""
        own, readers = get_ident(), self._readers
        count = readers.get(own, 0)
        if count > 1:
            readers[own] = count - 1
        else:
            readers.pop(own, None)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read inside the block."""
        try:
            self.begin()
            yield
        finally:
            self.end()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write inside the block, alone."""
        self._give_way()
        with self._turn:
            before, own = self._writer, get_ident()
            try:
                self._writer = own
                while before != own and self._others(own):
                    time.sleep(PAUSE)
                yield
            finally:
                self._writer = before

    def _others(self, own: int) -> bool:
        """Whether another thread reads. Ctrl-C may have come before it could say that it ended."""
        for places in (self._readers, self._waiting):
            for thread in list(places):
                if thread != own and not _is_inside(thread):
                    places.pop(thread, None)
        return any(thread != own for thread in list(self._readers))

    def _give_way(self) -> None:
        """Let those go first who waited while this thread, or another, wrote."""
        if self._waiting:
            self._others(get_ident())
            until = time.monotonic() + MOST
            while self._waiting and time.monotonic() < until:
                time.sleep(PAUSE)


def _is_inside(thread: int) -> bool:
    """Whether a thread is inside a prediction or evaluation now."""
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_code.co_filename in READING:
            return True
        frame = frame.f_back
    return False
