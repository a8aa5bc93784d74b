"""Launches of the gates of one step of a recurrent layer; the products around them are matrix products."""

from __future__ import annotations

from typing import Any

from nnkit.backends.cuda.arrays import FLOATS, why_not
from nnkit.backends.cuda.work import Launch, Work
from nnkit.kernels.cuda import recurrent

Array = Any
MOST = 2**32 - 1  # a thread's number has 32 bits


def _stored(rows: tuple[Array, ...], whole: tuple[Array, ...], keep: Array | None) -> str | None:
    """The type of arrays of one type, the first ones with contiguous rows, the others contiguous; else None."""
    given = (*rows, *whole, *(() if keep is None else (keep,)))
    if len({a.dtype for a in given}) > 1 or not all(a.size for a in given) or given[0].size > MOST:
        return None
    if any(a.shape[1] > 1 and a.strides[1] != a.itemsize for a in rows) or not all(a.flags.c_contiguous for a in whole):
        return None
    return FLOATS.get(given[0].dtype)


def _apart(a: Array) -> tuple[Array, int]:
    """An array of rows, and the elements from one to the next."""
    return a, a.strides[0] // a.itemsize


def recurrent_step(
    kind: str, gates: Array, z: Array, b: Array | None, h: Array, c: Array, y: Array, kept: Array, keep: Array | None
) -> Work | str:
    """Rows of gates, y and kept that may lie apart; the other arrays contiguous."""
    whole = (z, h, c) if b is None else (z, b, h, c)
    stored = _stored((gates, y, kept), whole, keep)
    if stored is None:
        return why_not(gates, y, kept, *whole)
    B, H = h.shape
    kernel = recurrent.step_kernel(kind, stored, b is not None, keep is not None)
    states = (z, h if b is None else b, h, c)
    arguments = (*_apart(gates), *states, *_apart(y), *_apart(kept), *_apart(h if keep is None else keep), B, H)
    return Launch(kernel, recurrent.grid(B, H), arguments)


def recurrent_step_grad(
    kind: str, dy: Array, gates: Array, h: Array, c: Array, y: Array, kept: Array, keep: Array | None, dh: Array,
    dc: Array, dx: Array, dz: Array,
) -> Work | str:  # fmt: skip
    """dh, dc and dz contiguous; the rows of the other arrays may lie apart."""
    rows = (dy, gates, h, c, y, kept, dx)
    stored = _stored(rows, (dh, dc, dz), keep)
    if stored is None:
        return why_not(*rows, dh, dc, dz)
    B, H = dh.shape
    kernel = recurrent.step_grad_kernel(kind, stored, keep is not None)
    there = h if keep is None else keep
    given = [part for a in (dy, gates, h, c, y, kept, there) for part in _apart(a)]
    return Launch(kernel, recurrent.grid(B, H), (*given, dh, dc, *_apart(dx), dz, B, H))
