"""Where arrays lie, and which of them show a weight or a part of one."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends.pool import shadow
from nnkit.nn.module import Module

__all__ = ["Part", "Region", "Span", "names_of", "part_of", "span_of", "weights_of"]


class Span(NamedTuple):
    """Where an array lies."""

    start: int
    end: int
    address: int
    layout: tuple[Any, ...]


def span_of(array: Any) -> Span | None:
    """Where an array lies; None for one without elements, and where that cannot be told."""
    view = shadow(array)
    if view is None or not view.size:
        return None
    start, end = np.lib.array_utils.byte_bounds(view)
    address = int(view.__array_interface__["data"][0])
    return Span(start, end, address, (view.shape, view.strides, view.dtype.str))


class Region:
    """Memory that arrays cover, as stretches that do not touch: asked about much more often than it grows."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, span: Span) -> None:
        """Cover where an array lies, too."""
        first = bisect.bisect_left(self._ends, span.start)
        last = bisect.bisect_right(self._starts, span.end)
        start = min([span.start, *self._starts[first:last][:1]])
        end = max([span.end, *self._ends[first:last][-1:]])
        self._starts[first:last], self._ends[first:last] = [start], [end]

    def meets(self, span: Span) -> bool:
        """Whether an array lies there in part.

        >>> region = Region(); region.add(Span(0, 8, 0, ())); region.add(Span(16, 24, 16, ()))
        >>> [region.meets(Span(at, at + 4, at, ())) for at in (4, 8, 14, 24)]
        [True, False, True, False]
        """
        place = bisect.bisect_right(self._ends, span.start)
        return place < len(self._starts) and self._starts[place] < span.end


class Part(NamedTuple):
    """A view of a weight: some of its rows, in another shape, and then with the axes in another order."""

    weight: Any  # the weight's array
    start: int
    end: int
    shape: tuple[int, ...]
    order: tuple[int, ...]


def weights_of(model: Module) -> list[tuple[Span, Any]]:
    """Where the weights of a model lie that lie in order, and their arrays."""
    found = [(span_of(tensor.array), tensor) for tensor in model.state_dict(keep_vars=True).values()]
    return [(span, t.array) for span, t in found if span is not None and t.backend.is_contiguous(t.array) and t.ndim]


def part_of(array: Any, span: Span, weights: Sequence[tuple[Span, Any]]) -> Part | None:
    """Which part of which weight an array shows; None where it shows none, or none that can be said simply."""
    for whole, weight in weights:
        if not (whole.start <= span.start and span.end <= whole.end):
            continue
        shape, strides, _ = span.layout
        order = sorted(range(len(shape)), key=lambda axis: (-strides[axis], axis))
        sizes = tuple(shape[axis] for axis in order)
        itemsize = np.dtype(span.layout[2]).itemsize
        steps = [itemsize * math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
        in_order = all(n == 1 or strides[axis] == step for n, axis, step in zip(sizes, order, steps, strict=True))
        row = itemsize * math.prod(tuple(weight.shape)[1:])
        offset = span.start - whole.start
        if in_order and row and offset % row == 0 and (span.end - span.start) % row == 0:
            start, end = offset // row, (span.end - whole.start) // row
            return Part(weight, start, end, sizes, tuple(order.index(axis) for axis in range(len(shape))))
    return None


def names_of(model: Module) -> dict[Any, str]:
    """The names of weights, by the ids of their arrays and by where they lie; of a shared one the first."""
    names: dict[Any, str] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        names.setdefault(id(tensor.array), name)
        span = span_of(tensor.array)
        if span is not None:
            names.setdefault(span, name)
    return names
