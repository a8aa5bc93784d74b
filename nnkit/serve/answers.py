"""Bodies in and out: JSON, by orjson where that is installed, and NumPy's and raw float32 for those who can."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
from typing import Any

import numpy as np

from nnkit.serve.refused import Refused

orjson: Any = None  # the standard library's JSON takes ten times longer, and says the same
with contextlib.suppress(ImportError):
    orjson = importlib.import_module("orjson")

__all__ = ["JSON", "JSONS", "NPY", "RAW", "dumps", "encoded", "rows_in"]

JSON, NPY, RAW = "application/json", "application/x-npy", "application/octet-stream"
#: What counts as JSON: curl says the last, unless told.
JSONS = (JSON, "", "application/x-www-form-urlencoded")
MAGIC = b"\x93NUMPY"


def rows_in(body: bytes, kind: str, columns: int | None) -> Any:
    """The rows in a body of this content type: what JSON had, or an array of ``columns`` numbers a row.

    Raises Refused: 400 for what is not JSON, 422 for what has no rows.
    """
    if kind == NPY or (kind == RAW and body.startswith(MAGIC)):
        return _npy(body)
    if kind == RAW:
        return _raw(body, columns)
    if kind not in JSONS:
        raise Refused(415, f"content-type {kind[:50]!r}; expected {JSON}, {NPY} or {RAW}")
    asked = _loads(body)
    names = [name for name in ("rows", "columns") if isinstance(asked, dict) and name in asked]
    if len(names) != 1:
        raise Refused(422, 'expected {"rows": [[...], ...]}, or {"columns": {"name": [...], ...}}')
    return asked[names[0]]


def _loads(body: bytes) -> Any:
    if orjson is not None:
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:  # perhaps for a NaN, which is no JSON, and shall be refused in the usual words
            pass
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is no JSON: {error}") from None


def _npy(body: bytes) -> np.ndarray:
    """An array over the body itself; what its head promises has to be there."""
    file = io.BytesIO(body)
    try:
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, by_columns, dtype = read[np.lib.format.read_magic(file)](file)
        if dtype.hasobject or not shape:
            raise ValueError("expected an array of numbers with rows")
        array = np.frombuffer(body, dtype, offset=file.tell())
        return array.reshape(shape, order="F" if by_columns else "C")
    except (ValueError, KeyError, EOFError, SyntaxError) as error:
        raise Refused(400, f"the body is no NumPy file: {error}") from None


def _raw(body: bytes, columns: int | None) -> np.ndarray:
    if columns is None:
        raise Refused(422, f"this model does not say how many numbers a row has; send {NPY}, which does")
    if not body or len(body) % (4 * columns):
        raise Refused(
            422, f"{len(body):,} bytes; expected float32, {columns} numbers a row: {4 * columns:,} bytes each"
        )
    return np.frombuffer(body, "<f4").reshape(-1, columns)


def encoded(outputs: np.ndarray, labels: list[Any] | None, version: str, accept: str) -> bytes:
    """The body of an answer. NaN and infinity, which JSON has not, are null in it."""
    if accept in (NPY, RAW):
        room = io.BytesIO()
        np.lib.format.write_array(room, outputs, allow_pickle=False)
        return room.getvalue()
    told: dict[str, Any] = {"outputs": outputs}
    if labels is not None:
        told["labels"] = labels
    told["version"] = version
    return dumps(told)


def dumps(value: Any) -> bytes:
    """JSON of plain values and arrays.

    >>> dumps({"outputs": np.array([[1.0, np.nan]], np.float32)})
    b'{"outputs":[[1.0,null]]}'
    """
    if orjson is not None:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    return json.dumps(_without_nan(value), separators=(",", ":"), allow_nan=False).encode()


def _plain(value: Any) -> Any:
    """What orjson does not take of arrays: those that are not contiguous, or of other types."""
    if isinstance(value, np.ndarray):
        return _without_nan(value.astype(np.float64) if value.dtype.kind == "f" else value)
    raise TypeError(f"no JSON of {type(value).__name__}")


def _without_nan(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return _without_nan(value.tolist())
    if isinstance(value, dict):
        return {str(key): _without_nan(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
