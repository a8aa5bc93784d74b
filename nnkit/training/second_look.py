"""When a step that is replayed is recorded anew, to see that it is still the program that was written.

What the user's code reads is compared before every replay already. This second line does not depend on knowing what is
read: the step runs once more in Python, and what it does is compared with the program, instruction by instruction. It
is done first some hundredths of a second after the recording, and then so seldom that it takes no more than a hundredth
of the time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["SecondLook"]

SHARE = 0.01  # of the time, at most
FIRST_COST = 5e-4  # seconds: less than a look costs, for the first is taken early


class SecondLook:
    """The time since the last look, and what a look costs."""

    def __init__(self) -> None:
        self._cost = FIRST_COST
        self._last = time.perf_counter()

    def due(self) -> bool:
        """Whether a look may be taken without costing anything measurable."""
        return self._cost < SHARE * (time.perf_counter() - self._last)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Measure what the look inside costs."""
        started = time.perf_counter()
        yield
        self._last = time.perf_counter()
        self._cost = self._last - started
