"""Numbers of features, channels and places, as layers take them."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

__all__ = ["Sizes", "numbers", "positive"]

#: One number, or one for each axis of places.
Sizes = int | Sequence[int]


def positive(name: str, value: Any) -> int:
    """``value`` as a whole number of at least 1. Raises TypeError or ValueError, which name the argument.

    >>> positive("out_features", 3)
    3
    """
    try:
        size = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if size < 1:
        raise ValueError(f"{name} must be at least 1, got {size}")
    return size


def numbers(name: str, value: Any, axes: int, least: int = 1) -> tuple[int, ...]:
    """One whole number for each axis. Raises TypeError or ValueError where they are none, too few or too small.

    >>> numbers("stride", 2, 3), numbers("stride", (1, 2), 2)
    ((2, 2, 2), (1, 2))
    """
    given = value if isinstance(value, (tuple, list)) else (value,) * axes
    try:
        found = tuple(operator.index(n) for n in given)
    except TypeError:
        raise TypeError(f"{name}: expected whole numbers, got {value!r}") from None
    if len(found) == 1:
        found *= axes
    if len(found) != axes:
        raise ValueError(f"{name}: expected one number, or {axes}, got {value!r}")
    if any(n < least for n in found):
        raise ValueError(f"{name}: expected at least {least}, got {value!r}")
    return found
