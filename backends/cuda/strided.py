"""Launches that copy arrays which do not lie in order, so that kernels for those which do can take them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import cupy
import numpy as np

from nnkit.backends.cuda.arrays import KEPT, apart, scratch
from nnkit.backends.cuda.work import Chain, Launch, Work
from nnkit.kernels.cuda import strided

Array = Any
#: The most elements that the kernel counts.
MOST = 2**32 - 1
UNITS = {size: np.dtype(unit) for size, unit in strided.UNITS.items()}


class Axis(NamedTuple):
    """One axis of a copy: its size, and from an element to the next in x and in y, in elements."""

    size: int
    x: int
    y: int


def copy(x: Array, out: Array) -> Work | str:
    """x (broadcast) into out: arrays of one type, in memory apart from each other, that lie in any regular way."""
    if x.dtype != out.dtype or x.itemsize not in strided.UNITS:
        return f"element types {x.dtype}, {out.dtype}"
    if not out.size or out.size > MOST:
        return "an array is empty, or too large"
    if not apart(x, out):
        return "the arrays overlap"
    if min(out.strides, default=0) < 0:
        x, out = _turned(cupy.broadcast_to(x, out.shape), out), _turned(out, out)
    axes, start = _axes(x.shape, x.strides, out.shape, out.strides, x.itemsize)
    if len(axes) > strided.MOST_AXES or 0 in [axis.y for axis in axes]:
        return "an array of too many axes, or one that repeats where it is written"
    kernel, unit = strided.strided_kernel(x.itemsize, len(axes)), UNITS[x.itemsize]
    sizes = [number for axis in axes for number in axis]
    arguments = (_turned(x, x).view(unit), out.view(unit), out.size, start, *sizes)
    return Launch(kernel, -(-out.size // strided.THREADS), arguments)


@functools.lru_cache(KEPT)
def _axes(
    own: tuple[int, ...], from_: tuple[int, ...], shape: tuple[int, ...], to: tuple[int, ...], itemsize: int
) -> tuple[tuple[Axis, ...], int]:
    """From an array's shape and strides to another's: the axes, and where the first's first element lies.

    Neighbouring axes are merged where both arrays go on; the element lies so far behind the lowest.
    """
    lead = len(shape) - len(own)
    steps = [0] * lead + [0 if n == 1 else s // itemsize for n, s in zip(own, from_, strict=True)]
    axes: list[Axis] = []
    for size, step, target in zip(shape, steps, to, strict=True):
        if size == 1:
            continue
        axis = Axis(size, step, target // itemsize)
        before = axes[-1] if axes else None
        if before and (before.x, before.y) == (axis.x * size, axis.y * size):
            axes[-1] = axis._replace(size=before.size * size)
        else:
            axes.append(axis)
    start = -sum(min(step, 0) * (n - 1) for step, n in zip(steps[lead:], own, strict=True))
    return tuple(axes) or (Axis(1, 1, 1),), start


def _turned(x: Array, as_in: Array) -> Array:
    """x with those axes turned around along which ``as_in`` runs backwards in memory."""
    if min(as_in.strides, default=0) >= 0:
        return x
    return x[tuple(slice(None, None, -1) if step < 0 else slice(None) for step in as_in.strides)]


def in_order(*arrays: Array) -> tuple[list[Array], list[Work]]:
    """The arrays, those that do not lie in order as copies in scratch memory; and the work that makes these.

    What no kernel can copy stays as it is.
    """
    found, works = [], []
    for x in arrays:
        if not x.flags.c_contiguous:
            room = scratch(x.shape, x.dtype)
            work = copy(x, room)
            if not isinstance(work, str):
                works.append(work)
                x = room
        found.append(x)
    return found, works


def after(before: Sequence[Work], work: Work | str) -> Work | str:
    """Work behind other work."""
    return work if isinstance(work, str) or not before else Chain((*before, work))
