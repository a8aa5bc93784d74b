"""How long a GPU works on what a thread gives it, and waiting for the end of that."""

from __future__ import annotations

import cupy

from nnkit.backends.cuda import faults


class Span:
    """Work of GPU ``index`` between two events of the current stream: from now on, until ``end``."""

    def __init__(self, index: int) -> None:
        self._index = index
        # Who waits sleeps: spinning would take a core from those who prepare data.
        self._events = cupy.cuda.Event(block=True), cupy.cuda.Event(block=True)
        self._events[0].record()

    def end(self) -> None:
        """The work ends with what the current stream has been given so far."""
        faults.check()
        try:
            with cupy.cuda.Device(self._index):
                self._events[1].record()
        except RuntimeError as error:
            faults.give(error, "marking the end of work", f"cuda:{self._index}")

    def wait(self) -> float:
        """Wait for the end; the seconds that the work took."""
        faults.check()
        begin, end = self._events
        try:
            end.synchronize()
            return float(cupy.cuda.get_elapsed_time(begin, end)) / 1000.0
        except RuntimeError as error:
            faults.give(error, "waiting for its work", f"cuda:{self._index}")
