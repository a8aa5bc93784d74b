"""What a card says of data: a checksum to recognise them by, how many rows, and what a row looks like."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from nnkit import nn
from nnkit.errors import DataError, ShapeError
from nnkit.monitor.references import reference
from nnkit.preprocessing.columns import Encoder
from nnkit.preprocessing.frames import columns_of, is_table
from nnkit.preprocessing.table import ATTRIBUTE, Table

__all__ = ["columns_read", "described_data", "features_of", "inputs_of", "reference_of"]

LONGEST_TEXT = 1000


def described_data(data: Any) -> dict[str, Any]:
    """``{"sha256", "rows"}`` of arrays, a table, or a tuple of them; ``{"source"}`` of a text that names the data.

    The same numbers of the same type have the same checksum, whatever holds them. Raises ``DataError`` for others.

    >>> described_data(np.zeros((3, 2)))["rows"]
    3
    """
    if isinstance(data, str):
        if not data or len(data) > LONGEST_TEXT:
            raise DataError(f"data must be 1 to {LONGEST_TEXT} characters where it is a text that names the data")
        return {"source": data}
    found, rows = hashlib.sha256(), -1
    for part in data if isinstance(data, tuple) else (data,):
        for label, array in _arrays(part):
            found.update(f"{label}:{array.dtype.str}:{array.shape}\n".encode())
            found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
            rows = len(array) if rows < 0 else rows
    if rows < 0:
        raise DataError("data has no array and no column in it")
    return {"sha256": found.hexdigest(), "rows": rows}


def _arrays(part: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays in one part by name; texts as their bytes, each with its length before it."""
    if part is None:
        return
    if is_table(part):
        for name, column in columns_of(part, "data").items():
            yield f"column {name!r}", _as_bytes(column.values) if column.kind == "text" else column.values
        return
    array = part.numpy() if hasattr(part, "numpy") else np.asarray(part)
    if array.ndim == 0:
        raise DataError(f"data must be arrays or a table with rows, or a tuple of them, got {type(part).__name__}")
    yield "array", _as_bytes(array) if array.dtype.kind in "OUS" else array


def _as_bytes(values: np.ndarray) -> np.ndarray:
    texts = ("-" if value is None else f"{len(str(value))}:{value}" for value in values.reshape(-1).tolist())
    parts = np.frombuffer("".join(texts).encode("utf-8", "surrogatepass"), np.uint8)
    return np.concatenate([np.array(values.shape, np.int64).view(np.uint8), parts])


def features_of(data: Any) -> Any:
    """x of ``(x, y)``, or of data that are x alone; None where they are only named."""
    x = data[0] if isinstance(data, tuple) and data else data
    return None if isinstance(x, str) else x


# ---- what a row looks like -------------------------------------------------------------------------------------------

TYPES = {"number": "float64", "category": "text", "code": "text", "date": "date"}


def columns_read(model: Any) -> list[Encoder]:
    """The columns that a model's Table reads; none where it has no Table."""
    table: Table | None = model.__dict__.get(ATTRIBUTE)
    return [] if table is None else table.encoders


def inputs_of(model: nn.Module, x: Any = None) -> list[dict[str, Any]] | None:
    """``[{"name", "shape", "dtype"}]`` of one row, None in a shape for a size that may differ; None if it is not known.

    By the Table that the model reads, else by data, else by the model's own words.

    >>> inputs_of(nn.Linear(3, 1))
    [{'name': 'x', 'shape': [3], 'dtype': 'float32'}]
    """
    encoders = columns_read(model)
    if encoders:
        return [{"name": one.name, "shape": [], "dtype": TYPES[one.kind]} for one in encoders]
    dtype = next((p.dtype.name for p in model.parameters() if p.dtype.kind == "f"), "float32")
    if x is not None and not is_table(x):
        given = x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype
        kind = np.dtype(given).name if np.dtype(given).kind in "biu" else dtype
        return [{"name": "x", "shape": [int(size) for size in np.shape(x)[1:]], "dtype": kind}]
    shape = _stated(model)
    if shape is None and isinstance(_first(model), nn.Embedding):
        return [{"name": "x", "shape": [None], "dtype": "int64"}]
    return None if shape is None else [{"name": "x", "shape": shape, "dtype": dtype}]


def reference_of(model: nn.Module, x: Any) -> dict[str, Any] | None:
    """What drift of the model's inputs is told by; None where x is none, or no numbers and no table that is read."""
    encoders = columns_read(model)
    if encoders and is_table(x):
        names = [one.name for one in encoders if TYPES[one.kind] == "text"]
        return reference(x, columns=[one.name for one in encoders], categories=names)
    if x is None or is_table(x) or np.size(x) == 0:
        return None
    try:
        return reference(x)
    except ShapeError:
        return None


def _stated(model: nn.Module) -> list[int | None] | None:
    """The shape of a row by what a Keras model, or the first layer, says."""
    stated = getattr(model, "input_shape", None)
    if isinstance(stated, tuple) and all(size is None or isinstance(size, int) for size in stated):
        return list(stated[1:])
    first = _first(model)
    return [first.in_features] if isinstance(first, nn.Linear) else None


def _first(model: nn.Module) -> Any:
    """The layer that a Sequential begins with."""
    first: Any = model
    while isinstance(first, nn.Sequential) and len(first):
        first = first[0]
    return first
