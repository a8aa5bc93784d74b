"""How many steps run between two looks of the loop, and how far ahead of a device the loop may be.

A CPU has done its steps when the call returns. A GPU is given work and does it later: without a bound the loop would be
seconds ahead of it, and see Ctrl-C, progress and a NaN so much later. So steps are given in chunks, which grow until
one takes about as long as half the time between two looks, and the next but one waits for a chunk to end.
"""

from __future__ import annotations

import time
from collections import deque

from nnkit.backends.memory import Span
from nnkit.nn.module import Module
from nnkit.tensors.default_device import resolve
from nnkit.training.home import home
from nnkit.training.replay import Runner

__all__ = ["LOOK_SECONDS", "Flow"]

LOOK_SECONDS = 0.05  # between two looks
AHEAD = 2  # chunks that a device may still have to do when it is given more


class Flow:
    """Gives the steps of ``model`` to its device; ``chunk`` is how many to run at once."""

    def __init__(self, model: Module) -> None:
        self.chunk = 1
        self._backend = resolve(home(model)[0])
        self._span: Span | None = None  # of the chunk that is being given
        self._given = 0  # its steps so far
        self._ahead: deque[tuple[int, Span]] = deque()  # whole chunks, and how many steps each has

    def begin(self) -> None:
        """Other work came between; what is left of it does not count to the next chunk."""
        self._span, self._given = None, 0
        self._wait(0)

    def run(self, runner: Runner, most: int) -> int:
        """Run steps, at most ``most``, and no more than the chunk still takes where the device is given it."""
        if self._span is None:
            self._span = self._backend.span()
            if self._span is None:
                return self._run_at_once(runner, most)
        ran = runner.run(min(most, self.chunk - self._given))
        self._given += ran
        if self._given >= self.chunk:
            self._span.end()
            self._ahead.append((self._given, self._span))
            self._span, self._given = None, 0
        return ran

    def keep_up(self) -> None:
        """Wait until the device is so far that it may be given the next chunk."""
        self._wait(AHEAD - 1)

    def _wait(self, left: int) -> None:
        while len(self._ahead) > left:
            steps, span = self._ahead.popleft()
            self._fit(steps, span.wait(), LOOK_SECONDS / AHEAD)

    def _run_at_once(self, runner: Runner, most: int) -> int:
        before = time.perf_counter()
        ran = runner.run(most)
        seconds = time.perf_counter() - before
        if ran >= self.chunk or seconds >= LOOK_SECONDS:  # else the epoch ended before the chunk did
            self._fit(ran, seconds, LOOK_SECONDS)
        return ran

    def _fit(self, ran: int, seconds: float, wanted: float) -> None:
        """Let the next chunk take about the seconds wanted, where so many steps took so many seconds."""
        self.chunk = max(1, min(2 * self.chunk, int(ran * wanted / max(seconds, 1e-9))))
