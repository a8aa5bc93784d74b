"""A thread in each process that sees when an exchange waits too long, asks the others, and names who is missing.

While nothing waits long it only looks every second whether another process asks. Who has waited for longer than its
bound asks all others where they are, and their threads answer, whatever their main threads do: so a process that
computes, sleeps or reads is named with the line at which it is. One that does not answer has ended, was killed or
stopped, or is in a call that lets no other thread run.
"""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from nnkit.parallel.launch import end_all

__all__ = ["TIMEOUT", "Waiting", "Watch", "watch_of"]

#: Seconds that an exchange waits for the slowest process.
TIMEOUT = 300.0
#: Seconds between two looks, at most; who was asked has so many of them to answer, on a machine that is busy, too.
BEAT, LOOKS = 1.0, 10
#: Of the ranks that are missing, so many are named.
NAMED = 4
#: Where code is that says nothing about what the user's does.
INSIDE = (os.path.dirname(os.path.dirname(__file__)) + os.sep, os.path.dirname(os.__file__) + os.sep)


class Message(NamedTuple):
    """A question from a process, or its answer: how many exchanges it has begun, and where it is."""

    rank: int
    asks: bool
    begun: int
    line: str


class Watch:
    """What a process does in one communicator: how many exchanges it has begun, and since when it waits in one."""

    def __init__(self, communicator: Any) -> None:
        self.communicator = communicator
        self.begun = 0
        self.since: float | None = None
        self.timeout: float | None = None
        #: To how many meetings in kernels it has come, and whether it waits in the last.
        self.meetings: Callable[[], tuple[int, bool]] = lambda: (0, False)
        self._met: tuple[int, float] = (0, 0.0)  # the last that it was seen to wait in, and since when
        self._rank = communicator.Get_rank()
        self._thread = threading.get_ident()
        self._ended = threading.Event()
        self._answers: dict[int, Message] = {}
        self._asked: tuple[int, float] = (0, 0.0)  # about which exchange, and when
        self._sent: list[Any] = []

    # ---- told by those who wait ------------------------------------------------------------------------------

    def begin(self, timeout: float | None) -> None:
        """An exchange begins, and may take so many seconds; None: any number."""
        self._thread = threading.get_ident()
        self.begun += 1
        self.timeout, self.since = timeout, time.monotonic()

    def end(self) -> None:
        """The exchange is over."""
        self.since = None

    # ---- the thread ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Look from now on, until the interpreter ends."""
        mpi = importlib.import_module("mpi4py.MPI")
        self._can_ask = mpi.Query_thread() == mpi.THREAD_MULTIPLE
        self._tag = self.communicator.Get_attr(mpi.TAG_UB)  # the last one there is
        thread = threading.Thread(target=self._run, name="nnkit.parallel.watch", daemon=True)
        atexit.register(self._stop, thread)
        thread.start()

    def _stop(self, thread: threading.Thread) -> None:
        self._ended.set()
        thread.join()  # before MPI is finalized

    def _run(self) -> None:
        beat = BEAT
        while not self._ended.wait(beat):
            if self._can_ask:
                self._hear()
            (begun, since), timeout = self._state(), self.timeout
            if since is not None and timeout is not None:
                beat = min(BEAT, timeout / 4)
                if time.monotonic() - since > timeout:
                    self._suspect(begun, timeout)

    def _state(self) -> tuple[int, float | None]:
        """How many exchanges it has begun, and since when it waits in the last one, if it does."""
        met, waits = self.meetings()
        begun, since = self.begun + met, self.since
        if not waits:
            return begun, since
        if self._met[0] != begun:
            self._met = begun, time.monotonic()
        return begun, self._met[1]

    def _hear(self) -> None:
        """Keep the answers of others, and answer their questions."""
        while self.communicator.iprobe(tag=self._tag):
            message = Message(*self.communicator.recv(tag=self._tag))
            if message.asks:
                self._send(message.rank, asks=False)
            else:
                self._answers[message.rank] = message

    def _send(self, receiver: int, asks: bool) -> None:
        self._sent = [request for request in self._sent if not request.Test()]
        begun, since = self._state()
        message = Message(self._rank, asks, begun, "" if since is not None else line_of(self._thread))
        self._sent.append(self.communicator.isend(tuple(message), receiver, self._tag))

    def _suspect(self, exchange: int, timeout: float) -> None:
        """Ask, once, who is not in the exchange in which this process has waited too long; some looks later end all."""
        others = [rank for rank in range(self.communicator.Get_size()) if rank != self._rank]
        if not self._can_ask:
            self._end(exchange, timeout, "this MPI has no threads (MPI_THREAD_MULTIPLE), so the others were not asked")
        elif self._asked[0] != exchange:
            self._answers.clear()
            self._asked = exchange, time.monotonic()
            for rank in others:
                self._send(rank, asks=True)
        else:
            missing = {rank: self._answers.get(rank) for rank in others if not self._is_there(rank, exchange)}
            first = sum(rank < self._rank for rank in others if rank not in missing)  # those speak before this one
            all_told = bool(missing) and None not in missing.values()
            if time.monotonic() - self._asked[1] > (first + (0 if all_told else LOOKS)) * BEAT:
                self._end(exchange, timeout, _said(missing))

    def _is_there(self, rank: int, exchange: int) -> bool:
        return rank in self._answers and self._answers[rank].begun >= exchange

    def _end(self, exchange: int, timeout: float, who: str) -> None:
        begun, since = self._state()
        if since is not None and begun == exchange:
            end_all(self.communicator, f"after {timeout:g} s of waiting for all in exchange {exchange}: {who}")


def _said(missing: dict[int, Message | None]) -> str:
    """Which ranks are missing, and where they are."""
    found = [
        f"rank {rank} does not answer: it has ended, was killed or stopped, or is in a call that lets no thread run"
        if message is None
        else f"rank {rank} has not come, it is at {message.line or f'exchange {message.begun}'}"
        for rank, message in list(missing.items())[:NAMED]
    ]
    more = [f"{len(missing) - NAMED} more ranks are missing"] if len(missing) > NAMED else []
    return "; ".join([*found, *more]) or (
        "all ranks have come, to different calls (one caught an error of a training that the others still run, or "
        "calls what they do not), or MPI or the network has failed"
    )


def line_of(thread: int) -> str:
    """The line at which a thread is, in code that is neither nnkit's nor Python's own where there is some.

    >>> line_of(threading.get_ident()).endswith("in <module>")
    True
    """
    frame = innermost = sys._current_frames().get(thread)
    while frame is not None and frame.f_code.co_filename.startswith(INSIDE):
        frame = frame.f_back
    frame = frame or innermost
    if frame is None:
        return "no line: its thread has ended"
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


class Waiting:
    """A block that waits for the other processes, for so many seconds at most."""

    def __init__(self, watch: Watch, timeout: float | None) -> None:
        self._watch, self._timeout = watch, timeout

    def __enter__(self) -> None:
        self._watch.begin(self._timeout)

    def __exit__(self, *raised: object) -> None:
        self._watch.end()

    def also(self, meetings: Callable[[], tuple[int, bool]]) -> None:
        """Let the watch see what waits in kernels; ``meetings`` as in ``Watch``."""
        self._watch.meetings = meetings


_watches: list[Watch] = []


def watch_of(communicator: Any) -> Watch:
    """The one watch of a communicator in this process, which has been started."""
    for watch in _watches:
        if watch.communicator == communicator:
            return watch
    watch = Watch(communicator)
    watch.start()
    _watches.append(watch)
    return watch
