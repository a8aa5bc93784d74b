"""What is kept of the training data to compare with: for each feature how many rows fell into each of a few bins."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit.errors import DataError, ShapeError
from nnkit.preprocessing.columns import texts_of
from nnkit.preprocessing.frames import Column, columns_of, is_table

__all__ = ["Feature", "checked_reference", "matrix_of", "numbers_of", "reference"]

BINS = 20
MOST_FEATURES, MOST_ROWS = 1000, 20_000
MOST_VALUES = 50  # of a category by name
RARE = 0.02  # a value with a smaller share counts among the others
LONGEST_TEXT = 200
MOST_BINS = 200
FORMAT = "nnkit reference"


class Feature(NamedTuple):
    """One feature: numbers have ``edges``, categories ``values``; ``counts`` has a bin more, and then the missing ones.

    Bin i of numbers is what is greater than edge i - 1 and at most edge i; the last bin of categories all other values.
    """

    name: str
    place: int
    edges: list[float] | None
    values: list[str] | None
    counts: list[int]


def reference(
    x: Any,
    *,
    names: Sequence[str] | None = None,
    categories: Collection[str] = (),
    columns: Collection[str] | None = None,
) -> dict[str, Any]:
    """What to compare later rows with: plain JSON of bounded size, for ``publish(reference=...)`` and ``Drift``.

    Args:
        x: (rows, ...) numbers, each place of a row a feature; or a table, each column one.
        names: of the features of an array; ``x[0]``, ``x[1]``, ... by default.
        categories: columns of numbers that are names and not sizes.
        columns: of a table, those to look at; all by default.

    Bins of numbers hold a twentieth of the rows each, and a value that has so many rows is a bin of its own; texts are
    counted by value, rare ones together; dates are numbers of days. Of more than 1,000 features as many are chosen
    evenly, of more than 20,000 rows as many by chance. Raises ``DataError`` for no rows and for more names than
    features, and as ``Drift.update`` does.

    Source: nnkit's own.

    >>> made = reference({"age": [20, 30, 40, None], "city": ["Rome", "Oslo", "Rome", "Rome"]})
    >>> made["rows"], made["features"][1]
    (4, {'name': 'city', 'place': 1, 'values': ['Oslo', 'Rome'], 'counts': [1, 3, 0, 0]})
    """
    width: int | None = None
    if is_table(x):
        named = list(columns_of(x, wanted=columns).items())
        chosen = _chosen_rows(len(named[0][1].values) if named else 0)
        places = _spread(len(named))
        found = [_of_column(*named[p], p, chosen, named[p][0] in categories) for p in places]
    else:
        matrix = _matrix(x)
        width = matrix.shape[1]
        chosen, places = _chosen_rows(len(matrix)), _spread(matrix.shape[1])
        if names is not None and len(names) != matrix.shape[1]:
            raise DataError(f"names has {len(names)} entries, and a row {matrix.shape[1]} features")
        called = [f"x[{p}]" if names is None else str(names[p]) for p in places]
        taken = (
            (name, place, matrix[chosen, place].astype(np.float64)) for name, place in zip(called, places, strict=True)
        )
        found = [_of_numbers(*each) for each in taken]
    if not found:
        raise DataError("x has no feature")
    kept = [{key: value for key, value in feature._asdict().items() if value is not None} for feature in found]
    return {"format": FORMAT, "version": 1, "rows": len(chosen), "width": width, "features": kept}


def matrix_of(x: Any) -> np.ndarray:
    """(rows, features) float64 of an array with any number of places a row; raises ``ShapeError`` for no such array."""
    return _matrix(x).astype(np.float64)


def _matrix(x: Any) -> np.ndarray:
    """(rows, features), of the type they came in."""
    array = np.asarray(x.numpy() if hasattr(x, "numpy") else x)
    if array.ndim == 0 or array.dtype.kind not in "biuf" + "V" * (array.dtype.name == "bfloat16"):
        raise ShapeError(f"x must be rows of numbers or a table, got {array.dtype} of shape {array.shape}")
    return array.reshape(len(array), math.prod(array.shape[1:]))


def numbers_of(column: Column) -> np.ndarray:
    """A column of numbers or dates as float64, NaN where one is missing."""
    if column.kind == "date":
        days = column.values.astype("datetime64[us]").astype(np.int64) / 86_400e6
        return np.where(np.isnat(column.values), np.nan, days)
    return column.values


def _chosen_rows(rows: int) -> np.ndarray:
    if rows == 0:
        raise DataError("x has no rows")
    if rows <= MOST_ROWS:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, MOST_ROWS, replace=False))


def _spread(features: int) -> list[int]:
    if features <= MOST_FEATURES:
        return list(range(features))
    return np.linspace(0, features - 1, MOST_FEATURES).astype(int).tolist()


def _of_column(name: str, column: Column, place: int, rows: np.ndarray, is_name: bool) -> Feature:
    if column.kind != "text" and not is_name:
        return _of_numbers(name, place, numbers_of(column)[rows])
    texts = texts_of(column)
    counts: dict[str, int] = {}
    for row in rows.tolist():
        if (text := texts[row]) is not None:
            counts[text] = counts.get(text, 0) + 1
    present = sum(counts.values())
    often = sorted(counts, key=lambda text: (-counts[text], text))[:MOST_VALUES]
    values = sorted(text for text in often if counts[text] >= RARE * present and len(text) <= LONGEST_TEXT)
    known = [counts[value] for value in values]
    return Feature(name, place, None, values, [*known, present - sum(known), len(rows) - present])


def _of_numbers(name: str, place: int, values: np.ndarray) -> Feature:
    present = values[~np.isnan(values)]
    if not len(present):
        return Feature(name, place, [], None, [0, len(values)])
    edges = _edges(present)
    counts = np.bincount(np.searchsorted(edges, present), minlength=len(edges) + 1).tolist()
    return Feature(name, place, edges.tolist(), None, [*counts, len(values) - len(present)])


def _edges(present: np.ndarray) -> np.ndarray:
    """Edges that a twentieth of the values lie between; where one value has so many, it lies between two of its own."""
    finite = present[np.isfinite(present)]
    if not len(finite):
        return np.zeros(0)
    places = np.sort(finite)
    at = places[np.arange(1, BINS) * len(places) // BINS]
    first = np.concatenate([[0], np.flatnonzero(np.diff(places)) + 1])
    values, counts = places[first], np.diff([*first, len(places)])
    heavy = values[(counts * BINS >= len(places)) | (len(values) <= BINS)]
    return np.unique(np.concatenate([at, heavy, np.nextafter(heavy, -np.inf)]))


# ---- reading --------------------------------------------------------------------------------------------------------


def checked_reference(given: Any) -> tuple[int | None, list[Feature]]:
    """Numbers a row (None of a table) and features of a reference; ``DataError`` where it cannot be one."""
    if not isinstance(given, Mapping) or given.get("format") != FORMAT:
        raise DataError("reference must be what nnkit.monitor.reference(x) gives")
    if given.get("version") != 1:
        raise DataError(
            f"the reference has version {str(given.get('version'))[:20]}, and this nnkit reads 1; upgrade it"
        )
    rows, width, features = given.get("rows"), given.get("width"), given.get("features")
    good = type(rows) is int and rows > 0 and (width is None or (type(width) is int and width > 0))
    good = good and isinstance(features, list) and 0 < len(features) <= MOST_FEATURES
    found = [_feature(one, width, rows) for one in features] if good and isinstance(features, list) else []
    if not found or any(one is None for one in found):
        raise DataError("the reference is damaged: make it anew with nnkit.monitor.reference(x)")
    return width, [one for one in found if one is not None]


def _feature(given: Any, width: int | None, rows: Any) -> Feature | None:
    """A feature out of JSON; None where it cannot be one."""
    if not isinstance(given, Mapping) or not set(given) <= set(Feature._fields):
        return None
    fields: list[Any] = [given.get(field) for field in Feature._fields]
    name, place, edges, values, counts = fields
    bins = values if edges is None else edges
    if (edges is None) == (values is None) or not isinstance(bins, list) or len(bins) > MOST_BINS:
        return None
    good = isinstance(name, str) and type(place) is int and 0 <= place < (width or 1 << 30)
    good = good and isinstance(counts, list) and len(counts) == len(bins) + 2
    good = good and all(type(count) is int and count >= 0 for count in counts) and sum(counts) == rows
    good = good and (_are_texts(bins) if edges is None else _are_edges(bins))
    return Feature(name, place, edges, values, counts) if good else None


def _are_texts(bins: list[Any]) -> bool:
    return all(isinstance(value, str) for value in bins) and len(set(bins)) == len(bins)


def _are_edges(bins: list[Any]) -> bool:
    numbers = all(isinstance(e, (int, float)) and not isinstance(e, bool) and math.isfinite(e) for e in bins)
    return numbers and all(low < high for low, high in itertools.pairwise(bins))
