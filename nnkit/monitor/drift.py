"""Drift: rows are counted into the reference's bins, window after window, and each full window is compared."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np

from nnkit.errors import DataError, ShapeError
from nnkit.monitor.references import Feature, checked_reference, matrix_of, numbers_of
from nnkit.monitor.statistics import (
    kolmogorov_smirnov,
    ks_limit,
    level,
    population_stability,
    psi_limit,
    special,
)
from nnkit.preprocessing.columns import texts_of
from nnkit.preprocessing.frames import columns_of, is_table

__all__ = ["Drift"]

GROUPS = 10  # bins of the index, of the finer ones of the distance
LEAST = 50  # rows for which a limit is told


class Compared(NamedTuple):
    """What is known of each feature, (features,); NaN where there is no such number."""

    psi: np.ndarray
    psi_limit: np.ndarray
    ks: np.ndarray
    ks_limit: np.ndarray
    missing: np.ndarray
    drifted: np.ndarray

    def told(self, features: list[Feature]) -> dict[str, Any]:
        """As plain values."""
        told = [
            {"name": feature.name} | {key: _or_none(value) for key, value in zip(self._fields, values, strict=True)}
            for feature, *values in zip(features, *(part.tolist() for part in self), strict=True)
        ]
        return {"drifted": [feature["name"] for feature in told if feature["drifted"]], "features": told}


class Drift:
    """Compares the rows that come in with a reference, ``window`` rows at a time, in constant memory.

    Args:
        reference: what ``nnkit.monitor.reference(x)`` gave, such as ``version.card["reference"]``.
        window: rows that are looked at together. After a change no more than two windows pass until it is seen; a
            longer window sees smaller changes.
        alpha: the chance that there is ever a false alarm, in any feature, however long it runs.

    A feature has drifted in a window where the population stability index passes ``psi_limit`` or the
    Kolmogorov-Smirnov distance ``ks_limit``, both at ``level(alpha, 2 * features, number of the window)``;
    ``nnkit.monitor.statistics`` has the formulas and their sources. The index is taken over ten groups of bins, missing
    values being one more; the distance over the values that are there, at the edges of the bins, so it is never more
    than that of the rows themselves; categories have none. Several threads may call it. Raises ``DataError`` for a
    reference that cannot be one, ``ImportError`` without SciPy.

    >>> from nnkit.monitor import reference
    >>> drift = Drift(reference(np.linspace(0, 1, 1000)[:, None]))
    >>> drift.update(np.linspace(0.5, 1, 500)[:, None]).report()["drifted"]
    ['x[0]']
    """

    def __init__(self, reference: Any, *, window: int = 500, alpha: float = 0.001) -> None:
        if type(window) is not int or window < LEAST:
            raise DataError(f"window must be a whole number of at least {LEAST}, got {window!r}")
        if not 0 < alpha < 1:
            raise DataError(f"alpha must be between 0 and 1, got {alpha!r}")
        special()
        self.window, self.alpha = window, alpha
        self._width, self.features = checked_reference(reference)
        numbers = [feature for feature in self.features if feature.edges is not None]
        self._columns = [feature.place for feature in numbers]
        self._edges = _padded([feature.edges or [] for feature in numbers], np.inf).T
        self._before = _padded([feature.counts for feature in self.features], 0, last=True).astype(np.int64)
        self._groups = _groups(self.features, self._before.shape[1])
        self._lock = threading.Lock()
        self._rows = self._windows = 0
        self._now = np.zeros_like(self._before)
        self._alarms = np.zeros(len(self.features), np.int64)
        self._last: Compared | None = None
        # Single rows wait here: counting many at once costs each a small part, and up to 255 are counted in bytes.
        self._waiting = np.empty((min(window, 255), len(self._columns)))
        self._above = np.empty(self._waiting.shape, np.bool_)
        self._places = np.array(
            [place for place, feature in enumerate(self.features) if feature.edges is not None], int
        )
        self._count = 0

    def update(self, rows: Any) -> Drift:
        """Count rows: (rows, ...) numbers as the reference was made of, or a table with its columns; returns itself.

        Raises ``ShapeError`` for rows of another size, ``DataError`` for a table without some column.
        """
        if is_table(rows):
            numbers, texts = self._of_table(rows)
        else:
            numbers, texts = self._of_array(rows), {}
        with self._lock:
            start = 0
            while start < len(numbers):
                start += self._take(numbers, texts, start)
        return self

    def report(self) -> dict[str, Any]:
        """What the last full window says; before there is one, the rows so far, without a verdict.

        ``{"rows", "windows", "window", "alpha", "drifted": [names], "alarms": {name: windows}, "features": [{"name",
        "psi", "psi_limit", "ks", "ks_limit", "missing", "drifted"}]}``; a distance is None where a feature has none.
        """
        with self._lock:
            self._flush()
            last = self._last or self._compared(verdict=False)
            alarms = {f.name: int(n) for f, n in zip(self.features, self._alarms, strict=True) if n}
            facts = {"window": self.window, "alpha": self.alpha, "alarms": alarms}
            return {"rows": self._rows, "windows": self._windows, **facts, **last.told(self.features)}

    # ---- rows into bins ------------------------------------------------------------------------------------------

    def _of_array(self, rows: Any) -> np.ndarray:
        if self._width is None:
            raise ShapeError("the reference was made of a table: update with a table that has its columns")
        matrix = matrix_of(rows)
        if matrix.shape[1] != self._width:
            raise ShapeError(f"rows must have {self._width} numbers each, as in the reference, got {matrix.shape[1]}")
        return matrix if len(self._columns) == self._width else matrix[:, self._columns]

    def _of_table(self, table: Any) -> tuple[np.ndarray, dict[int, list[str | None]]]:
        columns = columns_of(table, "rows", [feature.name for feature in self.features])
        numbers, texts = [], {}
        for place, feature in enumerate(self.features):
            column = columns[feature.name]
            if feature.edges is None:
                texts[place] = texts_of(column)
            elif column.kind == "text" and any(value is not None for value in column.values.tolist()):
                raise DataError(f"column {feature.name!r} must hold numbers, as in the reference, got texts")
            else:
                empty = column.kind == "text"
                numbers.append(np.full(len(column.values), np.nan) if empty else numbers_of(column))
        length = len(next(iter(columns.values())).values)
        return np.stack(numbers, axis=1) if numbers else np.empty((length, 0)), texts

    def _take(self, numbers: np.ndarray, texts: dict[int, list[str | None]], start: int) -> int:
        """Count rows from ``start`` on, as many as the window and the place to wait have room for."""
        room = min(self.window - self._rows % self.window, len(self._waiting) - self._count)
        some = numbers[start : start + room]
        self._waiting[self._count : self._count + len(some)] = some
        self._count += len(some)
        self._rows += len(some)
        for place, values in texts.items():
            known = self.features[place].values or []
            places = {value: number for number, value in enumerate(known)}
            for value in values[start : start + room]:
                self._now[place, -1 if value is None else places.get(value, len(known))] += 1
        full = self._rows % self.window == 0
        if full or self._count == len(self._waiting):
            self._flush()
        if full:
            self._windows += 1
            self._last = self._compared(verdict=True)
            self._alarms += self._last.drifted
            self._now[:] = 0
        return len(some)

    def _flush(self) -> None:
        """Count the rows that wait."""
        values, above = self._waiting[: self._count], self._above[: self._count]
        rows, self._count = self._count, 0
        if not values.size:
            return

        def told() -> np.ndarray:
            return np.add.reduce(above.view(np.uint8), axis=0, dtype=np.uint8)

        np.isnan(values, out=above)
        missing = told().astype(np.int64)
        greater = np.zeros((self._now.shape[1], values.shape[1]), np.int64)  # than the edge below each bin
        greater[0] = rows - missing
        for bin_, edges in enumerate(self._edges, start=1):
            np.greater(values, edges, out=above)
            greater[bin_] = told()
        counts = greater - np.concatenate([greater[1:], np.zeros_like(greater[:1])])
        counts[-1] = missing
        self._now[self._places] += counts.T

    # ---- comparing -----------------------------------------------------------------------------------------------

    def _compared(self, verdict: bool) -> Compared:
        """The rows of the window so far beside the reference."""
        before, now = self._before, self._now
        grouped = [_summed(part, self._groups) for part in (before, now)]
        rows = int(now[0].sum())
        psi = population_stability(*grouped)
        present = [part[:, :-1].sum(axis=1) for part in (before, now)]
        ks = kolmogorov_smirnov(before[:, :-1], now[:, :-1])
        ordered = np.array([feature.edges is not None for feature in self.features]) & (present[0] > 0)
        told = ordered & (present[1] > 0)
        ks[~told] = np.nan
        limits = np.full((2, len(psi)), np.nan)
        if rows >= LEAST:
            chance = level(self.alpha, 2 * len(psi), max(self._windows, 1))
            limits[0] = psi_limit(grouped[0], grouped[1], chance)
            limits[1] = np.where(told & (present[1] >= LEAST), ks_limit(present[0], present[1], chance), np.nan)
        drifted = verdict & ((psi > limits[0]) | (ks > limits[1]))
        return Compared(psi, limits[0], ks, limits[1], now[:, -1] / max(rows, 1), drifted)


def _or_none(value: float) -> float | None:
    return None if value != value else value


def _padded(rows: list[Any], fill: float, last: bool = False) -> np.ndarray:
    """Rows of unequal length as one array; ``last`` keeps the last entry of each in the last column."""
    width = max(map(len, rows), default=0)
    out = np.full((len(rows), width), fill, np.float64)
    for number, row in enumerate(rows):
        out[number, : len(row)] = row
        if last:
            out[number, len(row) - 1], out[number, -1] = fill, row[-1]
    return out


def _groups(features: list[Feature], width: int) -> np.ndarray:
    """For each bin of each feature which group it belongs to: tenths of the rows in order; missing ones by themselves.

    Categories stay as they are.
    """
    groups = np.tile(np.arange(width), (len(features), 1))
    for row, feature in enumerate(features):
        if feature.edges is not None:
            counts = np.array(feature.counts[:-1])
            before = np.concatenate([[0], np.cumsum(counts)[:-1]])
            groups[row, : len(counts)] = before * GROUPS // max(int(counts.sum()), 1)
    groups[:, -1] = max(width, GROUPS + 1)
    return groups


def _summed(counts: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The counts of each group."""
    width = int(groups.max()) + 1
    flat = groups + np.arange(len(groups))[:, None] * width
    return np.bincount(flat.reshape(-1), counts.reshape(-1), len(groups) * width).reshape(len(groups), width)
