"""Launches that move or make values: fill, copy, rows by number, random numbers.

As in ``launches``, each function has the signature of its primitive and returns work, or the reason why there is none.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import cupy
import numpy as np

from nnkit.backends.cuda import elementwise, strided
from nnkit.backends.cuda.arrays import EXACT, INT64, KEPT, QUAD, STORED, aligned, apart, common_type, why_not
from nnkit.backends.cuda.work import Chain, Launch, Transfer, Work
from nnkit.backends.layout import layout
from nnkit.kernels.cuda import memory, random
from nnkit.kernels.philox import PURPOSES

Array = Any
#: The most units that a kernel which copies rows can count.
MOST_UNITS = 2**32 - 1
UNIT_TYPES = {"byte": np.dtype(np.uint8), "word": np.dtype(np.uint32), "quad": np.dtype(np.uint32)}
UNIT_BYTES = {"byte": 1, "word": 4, "quad": QUAD}


def fill(value: float, out: Array) -> Work | str:
    """A contiguous array."""
    stored = STORED.get(out.dtype)
    if stored is None or not out.flags.c_contiguous or not out.size:
        return why_not(out)
    whole = stored in ("int64", "bool")
    number = (int(bool(value)) if stored == "bool" else int(value)) if whole else float(value)
    wide = _in_fours(out)
    return Launch(memory.fill_kernel(stored, wide), memory.fill_grid(out.size, wide), (number, out, out.size))


def copy(x: Array, out: Array) -> Work | str:
    """A copy that may change the type or repeat x; of whole contiguous memory in any type."""
    if x.dtype == out.dtype and x.shape == out.shape and x.flags.c_contiguous and out.flags.c_contiguous:
        if x.data.ptr == out.data.ptr or not out.size:
            return Chain(())
        if out.dtype not in STORED or out.size >= elementwise.WIDE:
            return Transfer(x, out) if apart(x, out) else "the arrays overlap"
    if out.dtype.kind == "b" and x.dtype.kind != "b":
        return "a conversion to booleans"
    if x.data.ptr != out.data.ptr and not apart(x, out):
        return "the arrays overlap"
    return _copy_of_rows(x, out) or _copy_of_any(x, out) or elementwise.map("identity", (x,), (out,))


def _copy_of_any(x: Array, out: Array) -> Work | str | None:
    """A copy between arrays that lie in another way than ``map`` takes."""
    if x.dtype != out.dtype or (out.flags.c_contiguous and layout(x, out.shape)):
        return None
    return strided.copy(x, out)


class Rows(NamedTuple):
    """Memory as equal rows, one behind the other: how many, their width and their distance in bytes."""

    number: int
    width: int
    distance: int


def _rows_of(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> Rows | None:
    """The longest rows that an array in row-major order is made of; None where it is not."""
    axes = [(size, step) for size, step in zip(shape, strides, strict=True) if size != 1]
    width = itemsize
    while axes and axes[-1][1] == width:
        width *= axes.pop()[0]
    count, distance = axes.pop() if axes else (1, width)
    for size, step in reversed(axes):
        if step != count * distance:
            return None
        count *= size
    return Rows(count, width, distance) if distance >= width else None


def _copy_of_rows(x: Array, out: Array) -> Work | None:
    """A copy in which an array lies in rows with something between them: a column, what is cut out, what is joined."""
    if x.dtype != out.dtype or x.shape != out.shape or not 0 < out.nbytes <= MOST_UNITS:
        return None
    if (x.flags.c_contiguous and out.flags.c_contiguous) or x.data.ptr == out.data.ptr:
        return None
    common = _common_rows(x.shape, x.strides, out.strides, x.itemsize)
    if common is None:
        return None
    width, first, second = common
    unit = _unit(width | first | second, x, out)  # as wide as all of them allow
    size, kind, count = UNIT_BYTES[unit], UNIT_TYPES[unit], out.nbytes // width
    given, wanted = (_in_units(array, kind, (count - 1) * step + width) for array, step in ((x, first), (out, second)))
    arguments = (given, first // size, wanted, second // size, count, width // size)
    return Launch(memory.copy_rows_kernel(unit), memory.take_grid(count, width // size), arguments)


def _in_units(array: Array, kind: Any, nbytes: int) -> Array:
    """So many bytes from an array's first element on, as elements of a type."""
    return cupy.ndarray((nbytes // kind.itemsize,), kind, array.data)


@functools.lru_cache(KEPT)
def _common_rows(
    shape: tuple[int, ...], given: tuple[int, ...], wanted: tuple[int, ...], itemsize: int
) -> tuple[int, int, int] | None:
    """The width of rows that both arrays lie in, and their distance in each, in bytes, by the strides of both."""
    both = [rows for rows in (_rows_of(shape, strides, itemsize) for strides in (given, wanted)) if rows is not None]
    if len(both) < 2:
        return None
    width = min(rows.width for rows in both)
    if any(rows.width != width and rows.number != 1 for rows in both):
        return None
    first, second = (rows.distance if rows.width == width else width for rows in both)
    return width, first, second


# ---- rows by number -------------------------------------------------------------------------------------------------


def _unit(width: int, *arrays: Array) -> str:
    """The widest unit in which rows of ``width`` bytes can be copied."""
    places = width
    for array in arrays:
        places |= array.data.ptr
    return "byte" if places % 4 else "word" if places % QUAD else "quad"


def _units(array: Array, unit: str) -> Array:
    """The memory of a contiguous array as elements of a unit's type."""
    return array.reshape(-1).view(UNIT_TYPES[unit])


def _row_bytes(x: Array) -> int:
    return math.prod(x.shape[1:]) * x.itemsize


def _refused(x: Array, out: Array, *numbers: Array) -> str | None:
    """Why rows of x cannot be copied to out by a kernel, if they cannot."""
    if not (x.flags.c_contiguous and out.flags.c_contiguous) or x.dtype != out.dtype:
        return "an array is not contiguous, or they are of two types"
    if any(a.dtype != INT64 or not a.flags.c_contiguous for a in numbers):
        return "row numbers that are not contiguous int64"
    return "an array is empty, or too large" if not out.size or out.nbytes > MOST_UNITS else None


def take_rows(x: Array, indices: Array, out: Array) -> Work | str:
    """Contiguous rows of any type; indices int64."""
    refused = _refused(x, out, indices)
    if refused:
        return refused
    width = _row_bytes(x)
    unit = _unit(width, x, out)
    count, units = len(indices), width // UNIT_BYTES[unit]
    arguments = (_units(x, unit), indices, _units(out, unit), count, units, len(x))
    return Launch(memory.take_rows_kernel(unit), memory.take_grid(count, units), arguments)


def take_batch(x: Array, order: Array, cursor: Array, out: Array) -> Work | str:
    """Contiguous rows of any type; order and cursor int64."""
    refused = _refused(x, out, order, cursor)
    if refused:
        return refused
    width = _row_bytes(x)
    unit = _unit(width, x, out)
    count, units = len(out), width // UNIT_BYTES[unit]
    arguments = (_units(x, unit), order, cursor, _units(out, unit), count, units)
    return Launch(memory.take_batch_kernel(unit), memory.take_grid(count, units), arguments)


def add_rows(y: Array, indices: Array, out: Array) -> Work | str:
    """Contiguous floats; indices int64."""
    dtype = common_type(y, out)
    if dtype is None or indices.dtype != INT64 or not indices.flags.c_contiguous or not y.size or not out.size:
        return why_not(y, out)
    width = math.prod(out.shape[1:])
    grid, span = memory.add_rows_grid(len(out), width)
    arguments = (y, indices, out, len(indices), width, len(out), span)
    return Launch(memory.add_rows_kernel(dtype), grid, arguments)


def gather(x: Array, indices: Array, axis: int, out: Array) -> Work | str:
    """Contiguous elements of four or eight bytes; indices int64."""
    unit = {4: "uint32", 8: "int64"}.get(x.itemsize)
    if unit is None:
        return f"element type {x.dtype}"
    refused = _refused(x, out, indices)
    if refused or not x.size:
        return refused or "an array is empty"
    seen = [array.reshape(-1).view(unit) for array in (x, out)]
    sizes = _along(axis, x.shape, indices.shape)
    return Launch(memory.gather_kernel(unit), memory.take_grid(out.size, 1), (seen[0], indices, seen[1], *sizes))


def scatter(kind: str, y: Array, indices: Array, axis: int, out: Array) -> Work | str:
    """Contiguous floats or int64, set or added to; indices int64."""
    stored = STORED.get(out.dtype)
    if kind not in ("set", "add") or stored in (None, "bool"):
        return f"the kind {kind}, or element type {out.dtype}"
    refused = _refused(y, out, indices)
    if refused or not y.size:
        return refused or "an array is empty"
    A, N, K, B = _along(axis, out.shape, indices.shape)
    kernel = memory.scatter_kernel(str(stored), kind == "add")
    return Launch(kernel, memory.take_grid(A * B, 1), (y, indices, out, A, N, K, B))


def _along(axis: int, whole: tuple[int, ...], part: tuple[int, ...]) -> tuple[int, int, int, int]:
    """How many elements lie before the axis, along it in the whole and in the part, and behind it."""
    return math.prod(part[:axis]), whole[axis], part[axis], math.prod(part[axis + 1 :])


def next_key(state: Array, key: Array) -> Work | str:
    """Contiguous."""
    if not (state.flags.c_contiguous and key.flags.c_contiguous):
        return why_not(state, key)
    return Launch(memory.next_key_kernel(), 1, (state, key))


# ---- random numbers -------------------------------------------------------------------------------------------------


def _in_fours(*arrays: Array) -> bool:
    """Whether a thread may write its four numbers in one access."""
    return arrays[0].size >= elementwise.WIDE and aligned(*arrays)


def random_bits(key: Array, purpose: int, out: Array) -> Work | str:
    """Contiguous int64."""
    if out.dtype != INT64 or not out.flags.c_contiguous or not out.size:
        return why_not(out)
    return Launch(random.bits_kernel(), random.grid(out.size, 2), (key, purpose, out, out.size))


def uniform(key: Array, purpose: int, out: Array) -> Work | str:
    """A contiguous array of float32 or float64."""
    stored = EXACT.get(out.dtype)
    if stored is None or not out.flags.c_contiguous or not out.size:
        return why_not(out)
    kernel = random.uniform_kernel(stored, _in_fours(out))
    return Launch(kernel, random.grid(out.size), (key, purpose, out, out.size))


def dropout(x: Array, p: float, key: Array, out: Array, first: int = 0) -> Work | str:
    """Contiguous float arrays, whole."""
    stored = common_type(x, out)
    if first:
        return "it is part of a larger array"
    if stored is None or x.shape != out.shape or not out.size:
        return why_not(x, out)
    kernel = random.dropout_kernel(stored, _in_fours(out, x))
    arguments = (x, float(p), key, PURPOSES["dropout"], out, out.size)
    return Launch(kernel, random.grid(out.size), arguments)
