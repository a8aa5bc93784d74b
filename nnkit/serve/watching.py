"""Drift of the rows that are asked about, against the reference in a version's card.

The thread that predicts only lays rows aside, so many a second at most; the thread that follows the source counts them.
"""

from __future__ import annotations

from typing import Any

from nnkit.monitor import Drift

__all__ = ["Watch"]

MOST = 250  # rows laid aside between two looks, a quarter of a second apart
SHOWN = 20  # inputs that the page shows: those with the largest stability index


class Watch:
    """Of one version; without a reference it watches nothing.

    >>> Watch(None).told() is None
    True
    """

    def __init__(self, reference: Any) -> None:
        self._waiting: list[Any] = []
        self._count = 0
        self._drift: Drift | None = None
        self._error: str | None = None
        if reference is not None:
            try:
                self._drift = Drift(reference)
            except (ValueError, TypeError, ImportError) as error:
                self._error = str(error)

    def seen(self, rows: Any, count: int) -> None:
        """Lay rows aside, in the thread that predicts: an array, or the table that was sent."""
        if self._drift is not None and self._count < MOST:
            self._waiting.append(rows)
            self._count += count

    def look(self) -> None:
        """Count what was laid aside."""
        rows, self._waiting, self._count = self._waiting, [], 0
        if self._drift is None:
            return
        for part in rows:
            try:
                self._drift.update(part)
            except (ValueError, TypeError) as error:
                self._error = str(error)

    def told(self, most: int = SHOWN) -> dict[str, Any] | None:
        """The report of the last window, with the inputs that moved most; None without a reference."""
        if self._drift is None:
            return None if self._error is None else {"error": self._error}
        report = self._drift.report()
        moved = sorted(report["features"], key=lambda feature: -feature["psi"])
        told = {**report, "features": moved[:most], "drifted": report["drifted"][:most]}
        return told if self._error is None else {**told, "error": self._error}
