"""Launches of pools and normalizations."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit.backends.cpu.axes import AXES, of_three_axes, steps_of, three
from nnkit.backends.cpu.launch import FLOATS, LARGE, Call, Launch, address, address_or_0, common_type, new_call, shares
from nnkit.backends.cpu.rooms import Rooms
from nnkit.backends.threads import get_num_threads
from nnkit.backends.windows import Window
from nnkit.kernels.cpu.normalization import BLOCK, normalize_kernel
from nnkit.kernels.cpu.pooling import max_kernel, pool_kernel

INT64 = np.dtype(np.int64)
#: Places of a window whose maximum is looked for side by side.
MOST_TAPS = 64


def _threads(nbytes: int) -> int:
    """How many threads share so much reading and writing."""
    return get_num_threads() if nbytes >= LARGE // 4 else 1


# ---- pools -----------------------------------------------------------------------------------------------------------


def _pool(
    kind: str, x: np.ndarray, y: np.ndarray, places: np.ndarray | None, window: Window, factor: float
) -> Launch | str:
    """A pool of x, or its gradient, which x gets; y has an element for each window."""
    if x.dtype != y.dtype or x.dtype not in FLOATS or not x.size or not y.size or x.ndim > 2 + AXES:
        return "an array is empty, of another type, or of more axes than three of places"
    if places is not None and (
        places.dtype != INT64 or [8 * s for s in y.strides] != [y.itemsize * s for s in places.strides]
    ):
        return "places that do not lie as the elements do"
    of_x, of_y, wide = steps_of(x), steps_of(y), of_three_axes(window)
    sizes, counts = three(x.shape[2:], 1), three(y.shape[2:], 1)
    if kind == "max_grad" and not _merge(sizes, of_x.axes):
        return "places that do not lie one after the other"
    if kind == "max" and math.prod(wide.kernel) > MOST_TAPS:
        return "a window of too many places"
    box = ctypes.c_double(factor)
    before = [n for n, _ in wide.padding]
    rest = [*sizes, *counts, *wide.kernel, *wide.stride, *before, *wide.dilation, ctypes.addressof(box)]
    dtype, calls = FLOATS[x.dtype], []
    if kind == "max":
        kernel = max_kernel(dtype, wide.kernel, wide.stride[2], wide.dilation[2], places is not None)
    else:
        kernel = pool_kernel(kind, dtype)
    at_places = address_or_0(places)
    for b, count in shares(len(x), 1, _threads(x.nbytes + y.nbytes)):
        ends = [of_x.at + b * of_x.sample * x.itemsize, of_y.at + b * of_y.sample * y.itemsize]
        ends.append(at_places and at_places + b * of_y.sample * 8)
        steps = [of_x.sample, of_x.channel, *of_x.axes, of_y.sample, of_y.channel, *of_y.axes]
        calls.append(new_call(kernel, [*ends, count, x.shape[1], *steps, *rest]))
    return Launch(kernel.name, [calls], box)


def _merge(sizes: Sequence[int], steps: Sequence[int]) -> bool:
    """Whether an element's place lies its number times the last step behind the first."""
    wanted = steps[-1]
    for n, step in zip(reversed(sizes), reversed(steps), strict=True):
        if n > 1 and step != wanted:
            return False
        wanted *= n
    return True


def max_pool(x: np.ndarray, window: Window, out: np.ndarray, places: np.ndarray | None) -> Launch | str:
    """Floats of one type, in any layout; places laid out as ``out``."""
    return _pool("max", x, out, places, window, 1.0)


def max_pool_grad(dy: np.ndarray, places: np.ndarray, window: Window, dx: np.ndarray) -> Launch | str:
    """Floats of one type, places laid out as dy; the places of dx one after the other."""
    return _pool("max_grad", dx, dy, places, window, 1.0)


def sum_pool(x: np.ndarray, window: Window, factor: float, out: np.ndarray) -> Launch | str:
    """Floats of one type, in any layout."""
    return _pool("sum", x, out, None, window, factor)


def sum_pool_grad(dy: np.ndarray, window: Window, factor: float, dx: np.ndarray) -> Launch | str:
    """Floats of one type, in any layout."""
    return _pool("sum_grad", dx, dy, None, window, factor)


# ---- normalization ---------------------------------------------------------------------------------------------------


def _unfit(*arrays: np.ndarray | None) -> str | None:
    """Why no kernel takes these arrays, if none does."""
    given = [a for a in arrays if a is not None]
    if common_type(*given) is None or not all(a.size for a in given):
        return "an array is empty, not contiguous, or of another type"
    return None


def _by_channels(
    name: str, ends: Sequence[int], x: np.ndarray, eps: float, flags: Sequence[int], more: Sequence[int]
) -> Launch:
    """Calls that share the channels: by columns, where each has one place."""
    by_columns = x.shape[2] == 1
    name = name.replace("channels", "columns") if by_columns else name
    kernel, box, rooms = normalize_kernel(name, FLOATS[x.dtype]), ctypes.c_double(eps), Rooms()
    calls = []
    for first, count in shares(x.shape[1], 1, _threads(3 * x.nbytes)):
        room = [rooms.take(32 * count)] if by_columns else []
        calls.append(new_call(kernel, [*ends, *x.shape, ctypes.addressof(box), *flags, first, count, *more, *room]))
    return Launch(kernel.name, [calls], box, rooms.own)


def normalize(
    x: np.ndarray, w: np.ndarray | None, b: np.ndarray | None, groups: int, eps: float, centred: bool, mean: np.ndarray,
    variance: np.ndarray, out: np.ndarray,
) -> Launch | str:  # fmt: skip
    """Contiguous floats of one type."""
    unfit = _unfit(x, w, b, mean, variance, out)
    if unfit:
        return unfit
    ends = [address(x), address_or_0(w), address_or_0(b), address(mean), address(variance), address(out)]
    if groups == 0:
        return _by_channels("channels", ends, x, eps, [int(centred), 1], [])
    return _by_rows("rows", ends, "xwwssx", x, groups, eps, centred)


def _by_rows(
    name: str, ends: Sequence[int], kinds: str, x: np.ndarray, groups: int, eps: float, centred: bool
) -> Launch:
    """Calls that share the samples. ``kinds`` of ends: "x" lies as x does, "s" has an element for each group of a
    sample, "w" is the same for all samples.
    """
    A, C, L = x.shape
    steps = {"x": C * L, "s": groups, "w": 0}
    kernel, box, calls = normalize_kernel(name, FLOATS[x.dtype]), ctypes.c_double(eps), []
    for a, count in shares(A, 1, _threads(3 * x.nbytes)):
        own = [end and end + a * steps[kind] * x.itemsize for end, kind in zip(ends, kinds, strict=True)]
        calls.append(
            new_call(kernel, [*own, count * groups, C // groups, L, ctypes.addressof(box), int(centred), groups])
        )
    return Launch(kernel.name, [calls], box)


def normalize_grad(
    x: np.ndarray, w: np.ndarray | None, groups: int, eps: float, centred: bool, mean: np.ndarray, variance: np.ndarray,
    dy: np.ndarray, dx: np.ndarray | None, dw: np.ndarray | None, db: np.ndarray | None, add: tuple[bool, bool],
) -> Launch | str:  # fmt: skip
    """Contiguous floats of one type."""
    unfit = _unfit(x, w, mean, variance, dy, dx, dw, db)
    if unfit:
        return unfit
    ends = [address(x), address_or_0(w), address(dy), address(mean), address(variance), address_or_0(dx)]
    if groups == 0:
        return _channels_grad(ends, x, eps, [int(centred), 1], dw, db, add)
    stages: list[Sequence[Call]] = []
    alive: list[Any] = []
    if dx is not None:
        rows = _by_rows("rows_grad", ends, "xwxssx", x, groups, eps, centred)
        stages += rows.stages
        alive.append(rows)
    if dw is not None or db is not None:
        weights = _rows_weights(x, dy, mean, variance, groups, eps, dw, db, add)
        stages += weights.stages
        alive.append(weights)
    return Launch(f"normalize_rows_grad_{FLOATS[x.dtype]}", stages, *alive)


def _rows_weights(
    x: np.ndarray, dy: np.ndarray, mean: np.ndarray, variance: np.ndarray, groups: int, eps: float,
    dw: np.ndarray | None, db: np.ndarray | None, add: tuple[bool, bool],
) -> Launch:  # fmt: skip
    kernel, box, rooms = normalize_kernel("rows_weights", FLOATS[x.dtype]), ctypes.c_double(eps), Rooms()
    ends = [address(x), address(dy), address(mean), address(variance), address_or_0(dw), address_or_0(db)]
    calls: list[Call] = []
    (A, C, L), size, threads = x.shape, x.itemsize, _threads(2 * x.nbytes)
    if groups == L == 1 and A > BLOCK and threads > 1:  # each thread takes the rows that it has made
        parts = list(shares(A, BLOCK, -(-A // BLOCK)))
        room = rooms.take(32 * C * len(parts))
        for part, (first, count) in enumerate(parts):
            moved = [
                ends[0] + first * C * size,
                ends[1] + first * C * size,
                *(e + first * size for e in ends[2:4]),
                0,
                0,
            ]
            own = room + 32 * C * part
            calls.append(new_call(kernel, [*moved, count, C, L, ctypes.addressof(box), groups, 0, C, 0, 0, own]))
        end = normalize_kernel("rows_weights_end", FLOATS[x.dtype])
        last = new_call(end, [*ends[4:], C, len(parts), room, *(int(flag) for flag in add)])
        return Launch(kernel.name, [calls, [last]], box, rooms.own)
    for first, count in shares(C, 1, threads):
        room, flags = rooms.take(32 * count), [int(flag) for flag in add]
        calls.append(new_call(kernel, [*ends, *x.shape, ctypes.addressof(box), groups, first, count, *flags, room]))
    return Launch(kernel.name, [calls], box, rooms.own)


def _channels_grad(
    ends: Sequence[int], x: np.ndarray, eps: float, flags: Sequence[int], dw: np.ndarray | None, db: np.ndarray | None,
    add: tuple[bool, bool],
) -> Launch:  # fmt: skip
    more = [address_or_0(dw), address_or_0(db), *(int(flag) for flag in add)]
    return _by_channels("channels_grad", ends, x, eps, flags, more)


def normalize_by(
    x: np.ndarray, w: np.ndarray | None, b: np.ndarray | None, eps: float, mean: np.ndarray, variance: np.ndarray,
    out: np.ndarray,
) -> Launch | str:  # fmt: skip
    """Contiguous floats of one type."""
    unfit = _unfit(x, w, b, mean, variance, out)
    if unfit:
        return unfit
    ends = [address(x), address_or_0(w), address_or_0(b), address(mean), address(variance), address(out)]
    return _by_channels("channels", ends, x, eps, [1, 0], [])


def normalize_by_grad(
    x: np.ndarray, w: np.ndarray | None, eps: float, mean: np.ndarray, variance: np.ndarray, dy: np.ndarray,
    dx: np.ndarray | None, dw: np.ndarray | None, db: np.ndarray | None, add: tuple[bool, bool],
) -> Launch | str:  # fmt: skip
    """Contiguous floats of one type."""
    unfit = _unfit(x, w, mean, variance, dy, dx, dw, db)
    if unfit:
        return unfit
    ends = [address(x), address_or_0(w), address(dy), address(mean), address(variance), address_or_0(dx)]
    return _channels_grad(ends, x, eps, [1, 0], dw, db, add)
