"""A large array as parts of a bounded size, for whoever must not copy it as a whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def pieces(x: np.ndarray, room: int) -> Iterator[np.ndarray]:
    """Views of x, one behind the other in row-major order, of at most ``room`` elements each.

    >>> [part.shape for part in pieces(np.zeros((5, 3)), 7)]
    [(2, 3), (2, 3), (1, 3)]
    """
    if x.size <= room:
        yield x
        return
    rows = room // (x.size // len(x))
    if not rows:
        for row in x:
            yield from pieces(row, room)
        return
    for start in range(0, len(x), rows):
        yield x[start : start + rows]
