"""Steps of ``fit`` and ``evaluate`` as programs: batching, forward, loss, backward and update without Python.

The data, the epoch's order and a cursor lie on the device. A program takes the batch at the cursor, runs the step and moves the
cursor on, so one call replays many steps. A step over another number of rows (the last of an epoch) has a program of its
own. Where a step cannot be replayed it runs plainly, after one warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Protocol

from nnkit import ops
from nnkit.backends.program import Program
from nnkit.backends.recording import recording
from nnkit.creation import arange, zeros
from nnkit.dtypes import int64
from nnkit.guards import Guards
from nnkit.tape import no_grad
from nnkit.tensor import Tensor
from nnkit.training.batches import ArraySource, Batch

__all__ = ["Replay"]

MAXIMUM_RECORDINGS = 64  # of one size of batch, per training


class Step(Protocol):
    """A step of training or evaluation, as ``nnkit.training.steps`` has them."""

    totals: Any

    def __call__(self, batch: Batch) -> None:
        """Run on one batch."""


class Replay:
    """The batches of an ArraySource, run through ``step`` by programs."""

    def __init__(self, step: Step, source: ArraySource) -> None:
        self.step = step
        self.source = source
        rows, device = source.data.rows, source.data.x.device
        self._order = arange(rows, dtype=int64, device=device)
        self._cursor = zeros(1, dtype=int64, device=device)
        self._done = 0
        self._programs: dict[int, tuple[Program, Guards]] = {}
        self._recordings = 0
        self._warm = False
        self._plain = False

    def begin(self, number: int) -> None:
        """Start epoch ``number``: draw its order, put the cursor at its start."""
        self.source.draw(number)
        with no_grad():
            if self.source.order is not None:
                self._order.copy_(self.source.order)
            self._cursor.zero_()
        self._done = 0

    def run(self, most: int) -> int:
        """Run the next steps of the epoch, at most ``most``; returns how many: 0 at the end of the epoch."""
        total, size = self.source.data.rows, self.source.batch_size
        left = total - self._done * size
        if left <= 0:
            return 0
        rows = min(size, left)
        times = min(most, max(left // size, 1))
        times = self._replay(rows, times) or self._one(rows)
        self._done += times
        return times

    def _replay(self, rows: int, times: int) -> int:
        found = self._programs.get(rows)
        if found is None or not found[1].hold():
            return 0
        program, guards = found
        program.replay(times)
        guards.leave()
        self.step.totals.samples += rows * times
        return times

    def _one(self, rows: int) -> int:
        """One step in Python; recorded, unless it is the first of all or cannot be replayed."""
        if not self._warm or self._plain:
            self._warm = True
            self._step(rows)
            return 1
        self._recordings += 1
        work = self._order.backend.recorder()
        with recording(work):
            self._step(rows)
        if work.host_reads:
            self._run_plainly(f"it reads a value on the host at {work.host_reads[0]}")
        elif self._recordings > MAXIMUM_RECORDINGS:
            self._run_plainly("something that it relies on changes in every step")
        else:
            self._programs[rows] = work.finish(), Guards(work)
        return 1

    def _step(self, rows: int) -> None:
        take: Callable[[Tensor], Tensor] = lambda x: ops.take_batch(x, self._order, self._cursor, rows)  # noqa: E731
        data = self.source.data
        self.step(Batch(take(data.x), take(data.y), None if data.weight is None else take(data.weight)))
        with no_grad():
            self._cursor.add_(rows)

    def _run_plainly(self, reason: str) -> None:
        self._plain = True
        self._programs.clear()
        warnings.warn(f"this training's step cannot be replayed: {reason}; it runs without recording", stacklevel=2)
