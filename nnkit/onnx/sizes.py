"""Sizes that grow with the batch: found by running a model on batches of three sizes and comparing what it did.

A size that is the same each time is a number. One that is ``factor`` times the rows plus ``more``, in all three runs,
is a ``Size``; anything else is refused, because a file could not say it for the sizes that were not tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit.onnx.errors import OnnxError

#: How many rows the batches have that a model is watched with.
TRIED = (2, 3, 5)


class Size(NamedTuple):
    """``factor`` times the rows of the batch, plus ``more``.

    >>> Size(4, 1).at(10)
    41
    """

    factor: int
    more: int = 0

    def at(self, rows: int) -> int:
        """The size for so many rows."""
        return self.factor * rows + self.more


def less(size: Any, other: Any) -> Any:
    """The difference of two sizes.

    >>> less(Size(2, 3), 1), less(Size(2), Size(2)), less(5, 2)
    (Size(factor=2, more=2), 0, 3)
    """
    (a, b), (c, d) = (one if isinstance(one, Size) else (0, one) for one in (size, other))
    return Size(a - c, b - d) if a != c else b - d


#: The rows of the batch themselves.
ROWS = Size(1)
Dims = tuple[Any, ...]  # of ints and Sizes


class Ref(NamedTuple):
    """A value of a watched run: an input, a constant, or what a step made; ``number`` counts within its kind."""

    kind: str
    number: int
    shape: Dims
    dtype: np.dtype


class Repeated(NamedTuple):
    """A constant with an axis that grows with the batch, along which it repeats itself, or counts."""

    values: np.ndarray  # of size 1 along those axes
    shape: Dims
    counted: bool = False  # it is 0, 1, 2, ... along its only axis, and values are the first and the step


def together(found: Sequence[Any], where: str) -> Any:
    """What the runs of all sizes have in common: the same tree, with Sizes where numbers grow with the batch."""
    first = found[0]
    if isinstance(first, Ref):
        if any(not isinstance(one, Ref) or one[:2] != first[:2] or one.dtype != first.dtype for one in found):
            raise differs(where)
        return first._replace(shape=together([one.shape for one in found], where))
    if isinstance(first, (tuple, list)):
        if any(type(one) is not type(first) or len(one) != len(first) for one in found):
            raise differs(where)
        parts = [together(parts, where) for parts in zip(*found, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    if isinstance(first, dict):
        if any(not isinstance(one, dict) or list(one) != list(first) for one in found):
            raise differs(where)
        return {name: together([one[name] for one in found], where) for name in first}
    if isinstance(first, slice):
        return slice(*(together([getattr(one, word) for one in found], where) for word in ("start", "stop", "step")))
    return _leaf(found, where)


def _leaf(found: Sequence[Any], where: str) -> Any:
    first = found[0]
    if all(one is first for one in found):
        return first
    numbers = all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in found)
    if numbers and all(one == first or one != one for one in found):
        return first
    if numbers and all(float(one).is_integer() for one in found):
        (a, b, c), (x, y, z) = TRIED, map(int, found)
        factor, rest = divmod(y - x, b - a)
        size = Size(factor, x - factor * a)
        if not rest and size.at(c) == z:
            return size
    if not numbers and repr(first) == repr(found[1]) == repr(found[2]):
        return first
    if not numbers:
        raise differs(where)
    raise OnnxError(
        f"export: {where} uses {first!r}, {found[1]!r} and {found[2]!r} for batches of {TRIED[0]}, {TRIED[1]} and "
        f"{TRIED[2]} rows: a file cannot say how that goes on. Export with dynamic=False for one size of batch"
    )


def differs(where: str) -> OnnxError:
    """The error for a model that does other things for other batches."""
    return OnnxError(
        f"export: the model takes another way for another number of rows, at {where}: a file holds one way. Export "
        "with dynamic=False for one size of batch, or write the model so that it does the same for all"
    )


def constant(found: Sequence[np.ndarray], where: str) -> np.ndarray | Repeated:
    """A constant of all runs: the same values; or values that repeat or count along axes that grow with the batch."""
    first = found[0]
    if all(one.shape == first.shape and one.tobytes() == first.tobytes() for one in found):
        return first
    if any(one.ndim != first.ndim or one.dtype != first.dtype for one in found):
        raise differs(where)
    shape = together([one.shape for one in found], where)
    growing = [axis for axis, size in enumerate(shape) if isinstance(size, Size)]
    ones = [one[tuple(slice(0, 1) if axis in growing else slice(None) for axis in range(one.ndim))] for one in found]
    alike = all(one.tobytes() == ones[0].tobytes() for one in ones)
    if growing and alike and all((one == part).all() for one, part in zip(found, ones, strict=True)):
        return Repeated(ones[0], shape)
    if first.ndim == 1 and first.dtype.kind in "if" and growing:
        step = first[1] - first[0]
        if all((one == first[0] + step * np.arange(len(one), dtype=first.dtype)).all() for one in found):
            return Repeated(np.stack([first[0], step]), shape, True)
    raise OnnxError(
        f"export: {where} uses a constant of shape {first.shape} whose values depend on the input, by means that are "
        "not nnkit's, or on the number of rows: a file cannot say that. Write it with ops; where it is the number of "
        "rows, export with dynamic=False for one size of batch"
    )
