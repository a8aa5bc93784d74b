"""Sizes of batches: each is recorded as a program of its own, and what it takes says how rows are cut into batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np

__all__ = ["Ladder", "climb"]

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
#: A larger batch is not tried where this one took so many seconds, or no longer saved this share of a row's time.
LONGEST, WORTH = 0.02, 0.9
PATIENCE = 0.001  # seconds that rows wait for others, at most
SAME = 1e-4  # rows of a batch and the same rows alone may differ by so much, as shares of the largest output


class Ladder:
    """What batches of some sizes take, in seconds.

    >>> ladder = Ladder({1: 10e-6, 4: 12e-6})
    >>> list(ladder.cut(1)), list(ladder.cut(3)), list(ladder.cut(5))
    ([(1, 1)], [(3, 4)], [(4, 4), (1, 1)])
    """

    def __init__(self, seconds: Mapping[int, float]) -> None:
        self.seconds = dict(seconds)
        largest = max(self.seconds)
        self._best = [0, *(min(self.seconds, key=lambda size: self._time(rows, size)) for rows in range(1, largest))]
        self.largest = min(self.seconds, key=lambda size: (self.seconds[size] / size, size))
        self.patience = min(PATIENCE, self.seconds[1]) if self.largest > 1 else 0.0

    def _time(self, rows: int, size: int) -> float:
        return -(-rows // size) * self.seconds[size]

    def cut(self, rows: int) -> Iterator[tuple[int, int]]:
        """How many rows the next batch takes, and its size; what is left is filled up."""
        while rows:
            size = self._best[rows] if rows < len(self._best) else self.largest
            taken = min(rows, size)
            yield taken, size
            rows -= taken


def climb(predict: Callable[[np.ndarray], np.ndarray], row: np.ndarray) -> Ladder | None:
    """Measure batches of copies of ``row`` (1, ...), or None where a row's outputs depend on the rows beside it."""
    other = np.zeros_like(row) if row.any() else np.ones_like(row)
    if not _is_alone(predict, row, other):
        return None
    seconds: dict[int, float] = {}
    for size in SIZES:
        batch = np.repeat(row, size, axis=0)
        seconds[size] = _least(predict, batch)
        before = seconds.get(size // 2)
        if seconds[size] > LONGEST or (before is not None and seconds[size] > 2 * WORTH * before):
            break
    return Ladder(seconds)


def _least(predict: Callable[[np.ndarray], np.ndarray], batch: np.ndarray) -> float:
    """Seconds of a prediction: the first two are run plainly and recorded."""
    times = []
    for _ in range(6):
        start = time.perf_counter()
        predict(batch)
        times.append(time.perf_counter() - start)
    return min(times[2:])


def _is_alone(predict: Callable[[np.ndarray], np.ndarray], row: np.ndarray, other: np.ndarray) -> bool:
    both = predict(np.concatenate([row, other]))
    apart = np.concatenate([predict(row), predict(other)])
    if both.shape != apart.shape:
        return False
    largest = float(np.nanmax(np.abs(apart))) if apart.size and not np.isnan(apart).all() else 0.0
    return bool(np.allclose(both, apart, rtol=0, atol=SAME * max(largest, 1e-30), equal_nan=True))
