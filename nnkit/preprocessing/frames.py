"""Columns by name, from what people keep tables in: frames through narwhals, dicts of columns, rows as dicts."""

from __future__ import annotations

import datetime
import importlib.util
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends.advice import install
from nnkit.errors import DataError, DtypeError

__all__ = ["Column", "columns_of", "frame_of", "is_table", "take_rows"]


class Column(NamedTuple):
    """One column: "number" (float64, NaN where missing), "text" (objects, None) or "date" (datetime64[us], NaT)."""

    kind: str
    values: np.ndarray
    truth: bool = False  # whether the numbers were truth values
    declared: bool = False  # whether the frame says that the texts are categories


def is_table(value: Any) -> bool:
    """Whether this has named columns: a frame, a dict of columns, one row as a dict, or a list of such rows."""
    if isinstance(value, Mapping):
        return all(isinstance(name, str) for name in value) and bool(value)
    if isinstance(value, list):
        return bool(value) and all(isinstance(row, Mapping) for row in value)
    return (hasattr(value, "columns") and not isinstance(value, np.ndarray)) or _is_row(value)


def _is_row(value: Any) -> bool:
    """Whether this is a row of pandas's, ``frame.iloc[0]``: single values called by texts."""
    named = hasattr(value, "iloc") and not hasattr(value, "columns") and len(value) > 0
    return named and all(isinstance(name, str) for name in value.index)


def columns_of(
    table: Any, name: str = "x", wanted: Collection[str] | None = None, but: Collection[str] = ()
) -> dict[str, Column]:
    """The columns of a frame, of a dict of columns or of single values, or of a list of rows that are dicts.

    Only those that are ``wanted`` are read; all but some, where that is None. Raises ``DataError`` for a column that is
    not there, for columns of unequal length and for rows without some column, ``DtypeError`` that names a column of a
    type that is no number, text or date, and ``ImportError`` where a frame needs narwhals.
    """
    if isinstance(table, list):
        table = _from_rows(table, name)
    elif _is_row(table):
        table = table.to_dict()
    if isinstance(table, Mapping):
        single = not any(_is_column(value) for value in table.values())
        read = {key: _from_values([table[key]] if single else table[key], key) for key in _chosen(table, wanted, but)}
    else:
        frame = _frame(table, name)
        read = {key: _from_series(frame[key], key) for key in _chosen(frame.columns, wanted, but)}
    lengths = {key: len(column.values) for key, column in read.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{name} has columns of unequal length: {lengths}")
    return read


def _frame(table: Any, name: str) -> Any:
    """The frame through narwhals; raises ``DataError`` where its columns cannot be told apart by a text each."""
    if hasattr(table, "collect") and not hasattr(table, "iloc"):
        raise DataError(f"{name} is a {type(table).__name__}, which has no rows yet: write frame.collect()")
    names = list(getattr(table, "columns", ()))
    for column in names:
        if not isinstance(column, str):
            raise DataError(
                f"{name} has a column called {column!r}, and names are texts: "
                "frame.columns = [str(name) for name in frame.columns]"
            )
        if names.count(column) > 1:
            raise DataError(
                f"{name} has {names.count(column)} columns called {column!r}: rename them, or leave all but one out, "
                "frame.loc[:, ~frame.columns.duplicated()]"
            )
    try:
        return _narwhals().from_native(table, eager_only=True)
    except TypeError as error:
        raise DataError(
            f"{name} is a {type(table).__name__}; tables are frames (pandas, polars), dicts of columns, lists of dicts"
        ) from error


def _chosen(names: Collection[str], wanted: Collection[str] | None, but: Collection[str]) -> list[str]:
    """The columns to read; raises ``DataError`` for one that is not there."""
    for name in (*(wanted or ()), *but):
        if name not in names:
            raise DataError(f"there is no column {name!r}; the columns are {list(names)[:20]}")
    return [name for name in names if name not in but] if wanted is None else list(wanted)


def take_rows(table: Any, rows: np.ndarray) -> Any:
    """These rows of an array, a frame, a list, a text or a dict of columns, as the same kind of thing."""
    if isinstance(table, Mapping):
        return {key: take_rows(value, rows) for key, value in table.items()}
    if hasattr(table, "iloc"):
        return table.iloc[rows]
    if hasattr(table, "__getitem__") and hasattr(table, "shape"):
        return table[rows]
    chosen = [table[row] for row in rows.tolist()]
    return tuple(chosen) if isinstance(table, tuple) else chosen


def frame_of(columns: Mapping[str, Sequence[Any]]) -> Any:
    """A frame of these columns: pandas's where that is installed, else polars's. Raises ImportError without either."""
    for library in ("pandas", "polars"):
        if importlib.util.find_spec(library) is not None:
            return _narwhals().from_dict(dict(columns), backend=library).to_native()
    raise ImportError("a frame is made by pandas or polars, and neither is installed: pip install pandas")


def _narwhals() -> Any:
    try:
        import narwhals
    except ImportError as error:
        raise ImportError(f"frames are read through narwhals: {install('tables')}; or pass a dict of arrays") from error
    return narwhals


def _from_rows(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, list[Any]]:
    names = dict.fromkeys(key for row in rows for key in row)
    for number, row in enumerate(rows):
        if lacking := [key for key in names if key not in row]:
            raise DataError(f"{name} lacks {lacking[0]!r} in row {number}, which other rows have; write None there")
    return {key: [row[key] for row in rows] for key in names}


def _is_column(value: Any) -> bool:
    return not isinstance(value, (str, bytes)) and hasattr(value, "__len__") and getattr(value, "ndim", 1) > 0


def _from_series(series: Any, name: str) -> Column:
    """A column of a frame, by its type."""
    nw = _narwhals()
    dtype = series.dtype
    if dtype.is_numeric() or dtype == nw.Boolean:
        wide = series.cast(nw.Float64)
        numbers = np.asarray(wide.fill_null(float("nan")).to_numpy(), np.float64)
        return Column("number", numbers, truth=dtype == nw.Boolean)
    if dtype in (nw.Date, nw.Datetime):
        zoned = getattr(dtype, "time_zone", None)
        plain = series.dt.replace_time_zone(None) if zoned else series
        return Column("date", np.asarray(plain.cast(nw.Datetime("us")).to_numpy()).astype("datetime64[us]"))
    if dtype in (nw.String, nw.Categorical, nw.Enum):
        texts = series.cast(nw.String).to_list()
        values = _objects([None if _is_missing(text) else text for text in texts])
        return Column("text", values, declared=dtype != nw.String)
    if dtype in (nw.Object, nw.Unknown):
        return _from_values(series.to_list(), name)
    raise DtypeError(f"column {name!r} is of the type {dtype}, which is no number, text or date; leave it out")


def _from_values(values: Any, name: str) -> Column:
    """A column by its values: an array, or a list in which None stands for what is missing."""
    if hasattr(values, "detach"):  # a Tensor
        values = values.detach().numpy()
    array = np.asarray(values) if not isinstance(values, (list, tuple)) else _objects(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"column {name!r} must have one value a row, got shape {array.shape}")
    if array.dtype.kind in "biuf":
        return Column("number", array.astype(np.float64), truth=array.dtype.kind == "b")
    if array.dtype.kind == "M":
        return Column("date", array.astype("datetime64[us]"))
    if array.dtype.kind == "U":
        return Column("text", array.astype(object))
    if array.dtype != object:
        raise DtypeError(
            f"column {name!r} is of the type {array.dtype}, which is no number, text or date; leave it out"
        )
    return _from_objects(array, name)


def _from_objects(array: np.ndarray, name: str) -> Column:
    missing = np.array([_is_missing(value) for value in array], bool)
    present = array[~missing]
    if not len(present) or all(isinstance(value, (bool, int, float, np.number, np.bool_)) for value in present):
        numbers = np.full(len(array), np.nan)
        try:
            numbers[~missing] = [float(value) for value in present]
        except OverflowError:
            raise DataError(f"column {name!r} holds a whole number that is too large for float64") from None
        truth = bool(len(present)) and all(isinstance(value, (bool, np.bool_)) for value in present)
        return Column("number", numbers, truth)
    if all(isinstance(value, (datetime.date, np.datetime64)) for value in present):
        dates = np.full(len(array), "NaT", "datetime64[us]")
        dates[~missing] = [np.datetime64(_without_zone(value)) for value in present]
        return Column("date", dates)
    if all(isinstance(value, str) for value in present):
        array = array.copy()
        array[missing] = None
        return Column("text", array)
    raise DtypeError(f"column {name!r} {_mixture(array, missing)}; make it all numbers, all texts or all dates")


def _mixture(array: np.ndarray, missing: np.ndarray) -> str:
    """What kinds of values a column has, and the first of the rarest kind."""
    kinds = [type(value).__name__ for value in array]
    counts = {kind: kinds.count(kind) for kind, gap in zip(kinds, missing, strict=True) if not gap}
    if len(counts) == 1:
        return f"holds objects of the type {next(iter(counts))}"
    row = kinds.index(min(counts, key=lambda kind: counts[kind]))
    return f"mixes {' and '.join(sorted(counts))}, such as {array[row]!r} in row {row}"


def _without_zone(value: Any) -> Any:
    return value.replace(tzinfo=None) if isinstance(value, datetime.datetime) else value


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, np.datetime64):
        return bool(np.isnat(value))
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def _objects(values: Sequence[Any]) -> np.ndarray:
    array = np.empty(len(values), object)
    for number, value in enumerate(values):
        array[number] = value
    return array
