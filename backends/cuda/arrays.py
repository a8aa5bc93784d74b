"""What a launch asks of cupy arrays: their element type by name, their layout, where they begin."""

from __future__ import annotations

import functools
import math
from typing import Any

import cupy
import numpy as np

from nnkit.backends.pool import overlap
from nnkit.backends.recording import recorder

Array = Any

#: Element type -> its name in a kernel's source.
STORED = {np.dtype(name): name for name in ("float32", "float64", "float16", "int64", "bool")}
try:
    import ml_dtypes

    STORED[np.dtype(ml_dtypes.bfloat16)] = "bfloat16"
except ImportError:  # then there are no arrays of it either
    pass
FLOATS = {dtype: name for dtype, name in STORED.items() if name not in ("int64", "bool")}
#: Those of uniform numbers, whose bits are promised.
EXACT = {dtype: name for dtype, name in FLOATS.items() if name in ("float32", "float64")}
INT64 = np.dtype(np.int64)
QUAD = 16  # bytes that the widest access reads or writes
#: What follows from shapes, types and strides alone is found once for each eager call that is made over and over, and
#: kept; of each kind so many.
KEPT = 1 << 12


def common_type(*arrays: Array | None) -> str | None:
    """The float type that all of these contiguous arrays share, or None; those that are None do not count."""
    dtype: Any = None
    for array in arrays:
        if array is not None:
            if dtype is None:
                dtype = array.dtype
            elif array.dtype != dtype:
                return None
            if not array.flags.c_contiguous:
                return None
    return FLOATS.get(dtype)


def why_not(*arrays: Array | None) -> str:
    """Why no kernel takes these arrays, in words."""
    given = [array for array in arrays if array is not None]
    types = sorted({str(array.dtype) for array in given})
    if len(types) > 1 or given[0].dtype not in FLOATS:
        return f"element types {', '.join(types)}"
    return "an array is empty" if all(a.flags.c_contiguous for a in given) else "an array is not contiguous"


def aligned(*arrays: Array) -> bool:
    """Whether every array begins where a wide access may begin."""
    places = 0
    for array in arrays:
        places |= array.data.ptr
    return places % QUAD == 0


def apart(x: Array, y: Array) -> bool:
    """Whether two arrays have no memory in common."""
    low, high = reach(x.shape, x.strides, x.itemsize)
    from_, to = reach(y.shape, y.strides, y.itemsize)
    first, second = x.data.ptr, y.data.ptr
    return first + high <= second + from_ or second + to <= first + low or not overlap(x, y)


@functools.lru_cache(KEPT)
def reach(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> tuple[int, int]:
    """Where the memory of an array begins and ends, in bytes from its first element."""
    if 0 in shape:
        return 0, 0
    ways = [(n - 1) * step for n, step in zip(shape, strides, strict=True)]
    return sum(min(way, 0) for way in ways), sum(max(way, 0) for way in ways) + itemsize


def scratch(shape: tuple[int, ...], dtype: str) -> Array:
    """Memory for values between two kernels: the program's own, while one is being recorded."""
    at_work = recorder()
    return cupy.empty(shape, dtype) if at_work is None else at_work.allocate(shape, dtype)


@functools.lru_cache(KEPT)
def around(axes: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, int, int]:
    """How many elements lie before, in and behind the neighbouring axes."""
    first, last = axes[0], axes[-1] + 1
    return math.prod(shape[:first]), math.prod(shape[first:last]), math.prod(shape[last:])
