"""PyTorch's ``utils.benchmark.Timer``: how long a statement takes, of many runs."""

from __future__ import annotations

import statistics
import timeit
from typing import Any

from nnkit import cuda

__all__ = ["Measurement", "Timer"]


class Measurement:
    """Seconds that a statement took: ``times`` has one number for each block of runs, for a single run.

    Raises StatisticsError, a ValueError, where the mean of no times is asked for. Source:
    ``torch.utils.benchmark.Measurement``.

    >>> Measurement([0.5, 1.5], 10, "step").mean
    1.0
    """

    def __init__(self, times: list[float], number_per_run: int, label: str) -> None:
        self.times, self.number_per_run, self.title = times, number_per_run, label

    @property
    def raw_times(self) -> list[float]:
        """Seconds of each block."""
        return [seconds * self.number_per_run for seconds in self.times]

    @property
    def mean(self) -> float:
        """The mean."""
        return statistics.fmean(self.times)

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.times)

    @property
    def iqr(self) -> float:
        """The range of the middle half; 0 for fewer than two blocks."""
        if len(self.times) < 2:
            return 0.0
        lower, _, upper = statistics.quantiles(self.times, n=4, method="inclusive")
        return upper - lower

    def __repr__(self) -> str:
        count = len(self.times)
        return f"{self.title}\n  {self.median:.3g} s, median of {count} blocks of {self.number_per_run} runs"


class Timer:
    """Runs the statement ``stmt`` many times, after ``setup``, with the names ``globals``.

    A GPU's work is waited for. ``num_threads`` is accepted and changes nothing: see ``nnkit.set_num_threads``. Raises
    ValueError for what is neither a text nor callable. Source: ``torch.utils.benchmark.Timer``.

    >>> Timer("x + 1", globals={"x": 1}).timeit(10).mean > 0
    True
    """

    def __init__(
        self,
        stmt: str = "pass",
        setup: str = "pass",
        global_setup: str = "",
        timer: Any = None,
        globals: dict[str, Any] | None = None,
        label: str | None = None,
        sub_label: str | None = None,
        description: str | None = None,
        env: str | None = None,
        num_threads: int = 1,
    ) -> None:
        self._label = ": ".join(part for part in (label, sub_label, description) if part) or stmt
        self._clock = timer or timeit.default_timer
        self._timer = timeit.Timer(stmt, f"{global_setup}\n{setup}", self._clock, globals or {})

    def timeit(self, number: int = 1_000_000) -> Measurement:
        """The mean of so many runs, as one block."""
        self._run(max(number // 100, 2))
        return Measurement([self._run(number) / number], number, self._label)

    def blocked_autorange(self, callback: Any = None, min_run_time: float = 0.2) -> Measurement:
        """Blocks of as many runs as take a hundredth of the time, until ``min_run_time`` seconds have gone."""
        number = 1
        while (seconds := self._run(number)) < min_run_time / 100 and number < 10**9:
            number *= 10
        times, gone = [], 0.0
        while gone < min_run_time:
            seconds = self._run(number)
            gone += seconds
            times.append(seconds / number)
        return Measurement(times, number, self._label)

    adaptive_autorange = blocked_autorange

    def _run(self, number: int) -> float:
        cuda.synchronize()
        begin = self._clock()
        self._timer.timeit(number)
        cuda.synchronize()
        return float(self._clock() - begin)
