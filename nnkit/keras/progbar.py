"""``Progbar``: a line that shows how far a loop is. Definition: ``keras.utils.Progbar``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["Progbar"]


class Progbar:
    """Shows steps done, and the means of values given with them.

    Args:
        target: the steps in all, or None where that is not known.
        width: of the bar, in letters.
        verbose: 0 for nothing, 1 for a bar, 2 for one line at the end.
        interval: seconds between two updates of the line.
        stateful_metrics: names of values that are shown as they are, not as a mean.
        unit_name: what a step is called.

    >>> bar = Progbar(2, verbose=2); bar.update(2, [("loss", 0.5)])  # doctest: +ELLIPSIS
    2/2 - ... - loss: 0.5000
    """

    def __init__(
        self, target: int | None, width: int = 20, verbose: int = 1, interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None, stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
    ) -> None:  # fmt: skip
        self.target, self.width, self.verbose, self.interval = target, width, verbose, interval
        self.unit_name = unit_name
        self.stateful_metrics = set(stateful_metrics or ())
        self._sums: dict[str, tuple[float, float]] = {}
        self._began = self._shown = time.perf_counter()
        self._after_first: float | None = None
        self._done = self._width = 0

    def update(
        self, current: int, values: Sequence[tuple[str, Any]] | None = None, finalize: bool | None = None
    ) -> None:
        """Show that ``current`` steps are done; each value counts for the steps since the last one."""
        more = current - self._done
        for name, value in values or ():
            total, count = self._sums.get(name, (0.0, 0.0))
            is_mean = name not in self.stateful_metrics
            weight = max(more, 1)
            self._sums[name] = (total + float(value) * weight, count + weight) if is_mean else (float(value), 1.0)
        self._done = current
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        now = time.perf_counter()
        if current == 1:
            self._after_first = now
        if self.verbose == 1 and (finalize or now - self._shown >= self.interval or current <= 1):
            self._shown = now
            text = self._bar(current) + self._rest(now, current, finalize)
            sys.stdout.write(
                "\r" * (self._width > 0 or sys.stdout.isatty()) + text.ljust(self._width) + "\n" * finalize
            )
            self._width = len(text)
            sys.stdout.flush()
        elif self.verbose == 2 and finalize:
            sys.stdout.write(f"{current}/{self._target_text(current)}{self._rest(now, current, finalize)}\n")
            sys.stdout.flush()

    def add(self, n: int, values: Sequence[tuple[str, Any]] | None = None) -> None:
        """:meth:`update`, with ``n`` more steps."""
        self.update(self._done + n, values)

    def _target_text(self, current: int) -> str:
        return "Unknown" if self.target is None else str(self.target)

    def _bar(self, current: int) -> str:
        if not self.target:
            return f"{current:>7}/Unknown"
        filled = int(self.width * min(current / self.target, 1.0))
        return f"{current:>{len(str(self.target))}}/{self.target} {'━' * filled}{'─' * (self.width - filled)}"

    def _rest(self, now: float, current: int, finalize: bool) -> str:
        each = self._each(now, current)
        passed = now - self._began if finalize or not self.target else each * (self.target - current)
        shown = f"{_clock(passed)} {_duration(each)}/{self.unit_name}"
        if self.verbose == 2:
            shown = shown.replace(" ", " - ", 1)
        for name, (total, count) in self._sums.items():
            value = total / count
            shown += f" - {name}: {value:.4f}" if abs(value) > 1e-3 else f" - {name}: {value:.4e}"
        return f" - {shown}" if self.verbose == 2 else f" {shown}"

    def _each(self, now: float, current: int) -> float:
        """Seconds per step, without the first, which prepares."""
        if current <= 1 or self._after_first is None:
            return (now - self._began) / max(current, 1)
        return (now - self._after_first) / (current - 1)


def _clock(seconds: float) -> str:
    if seconds > 3600:
        return f"{seconds // 3600:.0f}:{seconds % 3600 // 60:02.0f}:{seconds % 60:02.0f}"
    return f"{seconds // 60:.0f}:{seconds % 60:02.0f}" if seconds > 60 else f"{seconds:.0f}s"


def _duration(seconds: float) -> str:
    """A duration in the unit that suits it.

    >>> _duration(2.4), _duration(0.0123), _duration(4e-5)
    ('2s', '12ms', '40us')
    """
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s"
    return f"{seconds * 1e3:.0f}ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us"
