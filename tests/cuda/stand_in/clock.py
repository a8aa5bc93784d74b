"""Virtual time: how long the work of streams takes, and where the host stands meanwhile; no real clock is read.

A test says what takes time (``durations``) and when something comes from outside (``at``). Work is done as early or as
late as ever: the clock only keeps the books, so that events are passed, and who waits wakes up, when they should.
"""

from __future__ import annotations

from collections.abc import Callable

#: Seconds of the host that a call of CUDA takes.
CALL = 5e-6


class Clock:
    """The host's time in seconds; each stream has its own, ``State.until``."""

    def __init__(self) -> None:
        self.now = 0.0
        #: Kind of work ("kernel", "copy", "graph" for a launch of one beside its nodes ...) -> seconds that it takes.
        self.durations: dict[str, float] = {}
        #: The most seconds of work that a stream ever had before it.
        self.most_ahead = 0.0
        self._alarms: list[tuple[float, Callable[[], None]]] = []

    def read(self) -> float:
        """The host's time, in place of ``time.perf_counter``."""
        return self.now

    def at(self, moment: float, act: Callable[[], None]) -> None:
        """Call ``act`` as soon as that moment has come."""
        self._alarms.append((moment, act))
        self._alarms.sort(key=lambda alarm: alarm[0])

    def wait(self, moment: float) -> None:
        """The host waits until then, if it is not past."""
        self.now = max(self.now, moment)
        while self._alarms and self._alarms[0][0] <= self.now:
            self._alarms.pop(0)[1]()

    def spend(self, until: float, kind: str) -> float:
        """When work ends that was given now to a stream which is at work ``until`` then."""
        end = max(until, self.now) + self.durations.get(kind, 0.0)
        self.most_ahead = max(self.most_ahead, end - self.now)
        return end
