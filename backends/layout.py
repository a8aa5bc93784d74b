"""How an array that is broadcast to a shape lies in memory: the question that every launch of ``map`` asks."""

from __future__ import annotations

import functools
import math
from typing import Any


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
