"""The primitives that move elements by number or by order: gathering, scattering, sorting, scanning, searching.

Reference bodies in array-API calls. ``axis`` counts from 0, indices are int64 from 0 on: who calls has checked them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nnkit.backends.memory import Memory
from nnkit.backends.precision import is_half
from nnkit.backends.recording import Array, note_host_read, primitive

EVERY = slice(None)


class Places(Memory):
    """What ``Backend`` can do with the places of elements."""

    if TYPE_CHECKING:
        _wide: Callable[[Array], Array]
        _write: Callable[[Array, Array], None]

    @primitive
    def gather(self, x: Array, indices: Array, axis: int, out: Array) -> None:
        """out[..., i, ...] = x[..., indices[..., i, ...], ...] along ``axis``; the other axes are of equal sizes."""
        self._write(self.xp.take_along_axis(x, indices, axis=axis), out)

    @primitive
    def scatter(self, kind: str, y: Array, indices: Array, axis: int, out: Array) -> None:
        """out[..., indices[..., i, ...], ...] takes y[..., i, ...] along ``axis``, in the order of i.

        kind is set, add, mul, max or min: what becomes of what is there. y and indices are of one shape, whose other
        axes are those of ``out``.
        """
        xp, total = self.xp, self._wide(out)
        y, folds = self._wide(y), _folds(xp)
        places = xp.reshape(xp.arange(out.shape[axis], dtype=indices.dtype), (-1, *(1 for _ in out.shape[axis + 1 :])))
        with self.quietly():
            for k in range(indices.shape[axis]):
                at = (*(EVERY,) * axis, slice(k, k + 1), Ellipsis)
                total = xp.where(places == indices[at], folds[kind](total, y[at]), total)
        self._write(total, out)

    @primitive
    def sort(self, x: Array, axis: int, descending: bool, values: Array, places: Array) -> None:
        """The elements along ``axis`` in order, and where each was; NaN is greatest, equal ones stay in order."""
        xp, key = self.xp, self._wide(x)
        if descending:  # a stable sort of the reverse, reversed
            backwards = xp.argsort(xp.flip(key, axis=axis), axis=axis, stable=True)
            order = xp.flip((x.shape[axis] - 1) - backwards, axis=axis)
        else:
            order = xp.argsort(key, axis=axis, stable=True)
        self._write(order, places)
        self._write(xp.take_along_axis(x, places, axis=axis), values)

    @primitive
    def scan(self, kind: str, x: Array, axis: int, out: Array) -> None:
        """Of each and all before it along ``axis``, kind: sum, prod, max or min; floats are summed in float64."""
        xp = self.xp
        with self.quietly():
            if kind in ("sum", "prod"):
                dtype = self.dtype_of(x)
                wide = xp.astype(x, xp.float64) if dtype.kind == "f" or is_half(dtype) else x
                total = (xp.cumulative_sum if kind == "sum" else xp.cumulative_prod)(wide, axis=axis, dtype=wide.dtype)
            else:
                total = self._extremes_so_far(kind, self._wide(x), axis)
        self._write(total, out)

    def _extremes_so_far(self, kind: str, x: Array, axis: int) -> Array:
        """Twice as many elements are looked back on in each round."""
        xp, n, back = self.xp, x.shape[axis], 1
        larger, lead = _folds(xp)[kind], (EVERY,) * axis
        while back < n:
            later = larger(x[(*lead, slice(back, n), ...)], x[(*lead, slice(0, n - back), ...)])
            x = xp.concat([x[(*lead, slice(0, back), ...)], later], axis=axis)
            back *= 2
        return x

    @primitive
    def search(self, edges: Array, x: Array, right: bool, out: Array) -> None:
        """How many of ``edges``, which ascend along the last axis, lie below each x; at or below it where ``right``.

        edges (N,) for x of any shape, or (..., N) for x (..., M); ``out`` is int64 in x's shape.
        """
        xp, side = self.xp, "right" if right else "left"
        edges, x = self._wide(edges), self._wide(x)
        if edges.ndim == 1:
            found = xp.searchsorted(edges, xp.reshape(x, (-1,)), side=side)
            self._write(xp.reshape(found, out.shape), out)
            return
        rows = math.prod(edges.shape[:-1])
        table, wanted = xp.reshape(edges, (rows, edges.shape[-1])), xp.reshape(x, (rows, x.shape[-1]))
        found = xp.stack([xp.searchsorted(table[row, :], wanted[row, :], side=side) for row in range(rows)])
        self._write(xp.reshape(found, out.shape), out)

    # ---- questions whose answer has a size that depends on values: they read on the host ------------------------

    def nonzero(self, x: Array) -> Array:
        """The places of the elements that are not 0 or False, in order: int64 (count, axes)."""
        note_host_read()
        return self.xp.stack(self.xp.nonzero(x), axis=-1)

    def unique(self, x: Array) -> tuple[Array, Array, Array]:
        """The different elements in ascending order, the number of each of x among those, and how often each occurs."""
        note_host_read()
        found = self.xp.unique_all(x)
        return found.values, found.inverse_indices, found.counts


def _folds(xp: Any) -> dict[str, Callable[[Array, Array], Array]]:
    """What becomes of an element that is there and one that comes."""
    return {
        "set": lambda there, come: come,
        "add": lambda there, come: there + come,
        "mul": lambda there, come: there * come,
        "max": xp.maximum,
        "min": xp.minimum,
    }
