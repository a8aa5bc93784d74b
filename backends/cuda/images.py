"""Launches of pools and patches: arrays of one type that lie in any regular way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnkit.backends.cuda.arrays import FLOATS, INT64, why_not
from nnkit.backends.cuda.strided import after, in_order
from nnkit.backends.cuda.work import Launch, Work
from nnkit.backends.windows import Window
from nnkit.kernels.cuda import windows
from nnkit.kernels.cuda.strided import UNITS

Array = Any


def steps(x: Array) -> tuple[int, ...]:
    """From an element to the next along each axis, in elements."""
    return tuple(step // x.itemsize for step in x.strides)


def channels_last(x: Array) -> bool:
    """Whether neighbours in memory are channels, so that neighbouring threads had better be."""
    return x.shape[1] > 1 and x.strides[1] == x.itemsize and x.strides[-1] != x.itemsize


def _unfit(n: int, *written: Array) -> str | None:
    """Why no kernel writes these arrays by n threads, if none does."""
    if not 0 < n <= windows.MOST or any(step < 0 for a in written for step in a.strides):
        return "an array is empty, too large, or runs backwards"
    return None


def _forwards(*arrays: Array) -> tuple[list[Array], list[Work]]:
    """The arrays, those that run backwards as copies, and the work that makes these."""
    found, works = [], []
    for x in arrays:
        if any(step < 0 for step in x.strides):
            (x,), before = in_order(x)
            works += before
        found.append(x)
    return found, works


def _of_axes(window: Window, sizes: tuple[int, ...], counts: tuple[int, ...]) -> list[int]:
    """``windows.OF_AXIS`` of each axis."""
    firsts = [before for before, _ in window.padding]
    each = zip(sizes, counts, window.kernel, window.stride, firsts, window.dilation, strict=True)
    return [number for axis in each for number in axis]


# ---- pools ----------------------------------------------------------------------------------------------------------


def max_pool(x: Array, window: Window, out: Array, places: Array | None) -> Work | str:
    """Floats of one type; places int64."""
    (x,), before = _forwards(x)
    written = [out] if places is None else [out, places]
    unfit = _unfit(out.size, *written)
    if unfit or x.dtype not in FLOATS or x.dtype != out.dtype or any(a.dtype != INT64 for a in written[1:]):
        return unfit or why_not(x, out)
    sizes, counts = x.shape[2:], out.shape[2:]
    kind = "max" if places is not None else "greatest"
    kernel = windows.pool_kernel(kind, FLOATS[x.dtype], len(sizes), channels_last(out))
    numbers = [out.size, x.shape[1], *_of_axes(window, sizes, counts), *(n for a in (x, *written) for n in steps(a))]
    return after(before, Launch(kernel, windows.grid(out.size), (x, *written, *numbers)))


def max_pool_grad(dy: Array, places: Array, window: Window, dx: Array) -> Work | str:
    """Floats of one type; places int64."""
    (dy, places), before = _forwards(dy, places)
    if places.dtype != INT64:
        return "places that are not int64"
    return after(before, _spread("max", dy, (places,), (), window, dx))


def sum_pool(x: Array, window: Window, factor: float, out: Array) -> Work | str:
    """Floats of one type."""
    (x,), before = _forwards(x)
    unfit = _unfit(out.size, out)
    if unfit or x.dtype not in FLOATS or x.dtype != out.dtype:
        return unfit or why_not(x, out)
    sizes, counts = x.shape[2:], out.shape[2:]
    kernel = windows.pool_kernel("sum", FLOATS[x.dtype], len(sizes), channels_last(out))
    numbers = [out.size, x.shape[1], *_of_axes(window, sizes, counts), *steps(x), *steps(out)]
    return after(before, Launch(kernel, windows.grid(out.size), (x, out, float(factor), *numbers)))


def sum_pool_grad(dy: Array, window: Window, factor: float, dx: Array) -> Work | str:
    """Floats of one type."""
    (dy,), before = _forwards(dy)
    return after(before, _spread("sum", dy, (), (float(factor),), window, dx))


def _spread(
    kind: str, dy: Array, places: tuple[Array, ...], factor: tuple[float, ...], window: Window, dx: Array
) -> Work | str:
    """What windows hold back to the elements that they see."""
    unfit = _unfit(dx.size, dx)
    if unfit or dy.dtype not in FLOATS or dx.dtype not in FLOATS or not dy.size:
        return unfit or why_not(dy, dx)
    sizes, counts = dx.shape[2:], dy.shape[-len(window.kernel) :]
    kernel = windows.spread_kernel(kind, FLOATS[dy.dtype], FLOATS[dx.dtype], len(sizes), channels_last(dx))
    lie = [step for array in (dy, *places, dx) for step in steps(array)]
    numbers = [dx.size, dx.shape[1], *_of_axes(window, sizes, counts), *lie]
    return Launch(kernel, windows.grid(dx.size), (dy, *places, dx, *factor, *numbers))


# ---- patches --------------------------------------------------------------------------------------------------------


def patches(x: Array, window: Window, out: Array) -> Work | str:
    """Arrays of one type."""
    (x,), before = _forwards(x)
    counts = out.shape[3:]
    n = math.prod((*out.shape[:2], *counts))
    unfit = _unfit(n, out)
    if unfit or x.dtype != out.dtype or x.itemsize not in UNITS:
        return unfit or why_not(x, out)
    kernel = windows.patches_kernel(x.itemsize, len(counts))
    unit = np.dtype(UNITS[x.itemsize])
    numbers = [n, x.shape[1], *_of_axes(window, x.shape[2:], counts), *steps(x), *steps(out)]
    return after(before, Launch(kernel, windows.grid(n), (x.view(unit), out.view(unit), *numbers)))


def patches_grad(dy: Array, window: Window, dx: Array) -> Work | str:
    """Floats."""
    (dy,), before = _forwards(dy)
    return after(before, _spread("patches", dy, (), (), window, dx))
