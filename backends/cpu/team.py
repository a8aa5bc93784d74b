"""The threads that help the one that runs a program: they wait in compiled code, and sleep when nothing comes.

One program at a time has the team; another thread's program then runs all of its calls itself, with the same results,
because a call does the same whoever runs it. See ``kernels.cpu.runner`` for how work is handed out.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading

from nnkit.backends.threads import get_num_threads
from nnkit.kernels.cpu.runner import ACTIVE, CALLS, HELPERS, LINE, THREADS, helper_kernel


class Team:
    """A board and the helpers that watch it."""

    def __init__(self, helpers: int) -> None:
        self.process = os.getpid()
        self.helpers = helpers
        self.lock = threading.RLock()  # which knows whose it is
        size = HELPERS + LINE * helpers
        self._memory = (ctypes.c_int64 * (size + LINE))()
        skipped = -ctypes.addressof(self._memory) % 64
        self.address = ctypes.addressof(self._memory) + skipped
        self.board = (ctypes.c_int64 * size).from_address(self.address)
        self.board[THREADS] = helpers + 1
        self.beds = [threading.Semaphore(0) for _ in range(helpers)]
        self.dismissed = False
        # Loaded here: a helper that loads it could hold the compiler's lock while this thread forks.
        self.kernel = helper_kernel() if helpers else None
        for number in range(helpers):
            self.board[HELPERS + LINE * number] = 1
            threading.Thread(target=self._help, args=(number,), name=f"nnkit-{number + 1}", daemon=True).start()

    def _help(self, number: int) -> None:
        assert self.kernel is not None
        call, block = self.kernel.call, (ctypes.c_int64 * 3)(self.address, number, _usleep())
        address = ctypes.addressof(block)
        while self.beds[number].acquire() and not self.dismissed:
            call(address)

    def wake(self) -> None:
        """Send the helpers that sleep to the board."""
        for number, bed in enumerate(self.beds):
            place = HELPERS + LINE * number
            if self.board[place]:
                self.board[place] = 0
                bed.release()

    def leave(self) -> None:
        """End this thread's work on a table, if it has the team: also where Ctrl-C came just after it was taken."""
        while self.lock._is_owned():  # type: ignore[attr-defined]
            self.board[ACTIVE] = 0
            self.lock.release()

    def dismiss(self) -> None:
        """End the helpers' threads."""
        self.dismissed = True
        for bed in self.beds:
            bed.release()


@functools.cache
def _usleep() -> int:
    """The address of a C function that sleeps for so many microseconds; on Windows it only lets others run."""
    windows = os.name == "nt"
    function = ctypes.CDLL("kernel32").SwitchToThread if windows else ctypes.CDLL(None).usleep
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address


_current: Team | None = None
_making = threading.Lock()


def _team() -> Team | None:
    """The team of as many threads as are set now; None where that is one."""
    global _current
    helpers = get_num_threads() - 1
    team = _current
    if team is not None and team.helpers == helpers and team.process == os.getpid():
        return team if helpers else None
    with _making:
        if _current is not None and _current.process == os.getpid():  # a forked child has no threads to dismiss
            _current.dismiss()
        _current = Team(helpers)
    return _current if helpers else None


def taken(calls: int) -> Team | None:
    """The team, at work on a table whose calls lie at this address until it may ``leave``; None where it is busy."""
    team = _team()
    if team is None:
        return None
    team.leave()
    if not team.lock.acquire(blocking=False):
        return None
    team.board[CALLS] = calls
    team.board[ACTIVE] = 1
    team.wake()
    return team


def left() -> None:
    """End what this thread has the team do, if anything."""
    team = _current
    if team is not None:
        team.leave()
