"""How an array that is broadcast to a shape lies in memory: the question that every launch of ``map`` asks."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple


class Layouts(NamedTuple):
    """How several arrays lie, broadcast to one shape that is seen as rows of ``width`` elements.

    A letter for each array, those of ``layout`` or ``m``: a column of ``middle`` elements, repeated for each group of
    so many rows. ``middle`` is 1 where there is none.
    """

    letters: str
    width: int
    middle: int


def layouts(arrays: Sequence[Any], shape: tuple[int, ...]) -> Layouts | None:
    """How these arrays lie, broadcast to ``shape``; None where one is strided, or they do not fit the same rows.

    >>> import numpy as np
    >>> layouts([np.zeros((2, 3, 5)), np.zeros((3, 1))], (2, 3, 5))
    Layouts(letters='fm', width=5, middle=3)
    """
    size, letters, widths, middles = math.prod(shape), "", set(), set()
    for x in arrays:
        found = layout(x, shape)
        if found is None:
            column = _middle(x, shape)
            if column is None:
                return None
            middles.add(column[0])
            widths.add(column[1])
        elif found[0] in "rc":
            widths.add(found[1] if found[0] == "r" else size // found[1])
        letters += "m" if found is None else found[0]
    if len(widths) > 1 or len(middles) > 1:
        return None
    return Layouts(letters, widths.pop() if widths else size, middles.pop() if middles else 1)


def layout(x: Any, shape: tuple[int, ...]) -> tuple[str, int] | None:
    """How x, broadcast to ``shape``, lies in memory, seen as R rows of C elements; None where it is none of these.

    ``f``: all elements in order; ``r`` and C: one row, repeated; ``c`` and R: one column, repeated; ``1``: one element.

    >>> import numpy as np
    >>> layout(np.zeros((1, 3)), (2, 3)), layout(np.zeros((2, 1)), (2, 3)), layout(np.zeros(3)[::-1], (3,))
    (('r', 3), ('c', 2), None)
    """
    if x.shape == shape and x.flags.c_contiguous:
        return "f", 0
    return _spread(x.shape, x.strides, x.itemsize, shape)


@functools.lru_cache(1 << 12)
def _spread(
    own: tuple[int, ...], strides: tuple[int, ...], itemsize: int, shape: tuple[int, ...]
) -> tuple[str, int] | None:
    lead = len(shape) - len(own)
    steps = [0] * lead + [0 if n == 1 else s // itemsize for n, s in zip(own, strides, strict=True)]
    whole, size = [], 1
    for n in reversed(shape):
        whole.append(size)
        size *= n
    whole.reverse()
    axes = [i for i, n in enumerate(shape) if n > 1]
    varying = [i for i in axes if steps[i]]
    if not varying:
        return "1", 0
    first, last = varying[0], varying[-1]
    if all(steps[i] == whole[i] for i in axes if i >= first):
        return "r", math.prod(shape[first:])
    columns = whole[last]  # elements behind one of the column
    if all(steps[i] * columns == whole[i] for i in axes if i <= last):
        return "c", size // columns
    return None


def _middle(x: Any, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """How long the column is that x is, again and again, and the elements behind one of it; None where it is none."""
    axes = [k for k, n in enumerate(x.shape) if n > 1]
    if not axes or axes[-1] == x.ndim - 1:
        return None
    lead = len(shape) - x.ndim
    column = x[(0,) * axes[0]][..., *(0,) * (x.ndim - 1 - axes[-1])]
    if column.shape != shape[lead + axes[0] : lead + axes[-1] + 1] or not column.flags.c_contiguous:
        return None
    return column.size, math.prod(shape[lead + axes[-1] + 1 :])
