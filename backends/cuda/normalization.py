"""Launches of normalizations: contiguous arrays, x, dy and the result of one type, statistics of another."""

from __future__ import annotations

from typing import Any

from nnkit.backends.cuda.arrays import FLOATS, aligned, scratch, why_not
from nnkit.backends.cuda.strided import after, in_order
from nnkit.backends.cuda.work import Chain, Launch, Work
from nnkit.kernels.cuda import normalization as kernels
from nnkit.kernels.cuda.normalization import Totals
from nnkit.kernels.cuda.normalization_texts import Types
from nnkit.kernels.cuda.texts import Step, computed

Array = Any


def _given(*arrays: Array | None) -> list[Array]:
    return [array for array in arrays if array is not None]


def _types(
    x: tuple[Array, ...], w: Array | None, b: Array | None, statistics: tuple[Array, Array], *written: Array | None
) -> Types | str:
    """The types of a kernel; or the reason why there is none."""
    arrays = _given(*x, w, b, *statistics, *written)
    if any(a.dtype not in FLOATS for a in arrays) or not all(a.flags.c_contiguous and a.size for a in arrays):
        return why_not(*arrays)
    if any(a.dtype != x[0].dtype for a in x) or statistics[0].dtype != statistics[1].dtype:
        return "x and the result, or mean and variance, are of two types"
    if x[0].size > kernels.MOST:
        return "an array is too large"
    names = [None if a is None else FLOATS[a.dtype] for a in (w, b)]
    return Types(FLOATS[x[0].dtype], names[0], names[1], FLOATS[statistics[0].dtype])


def _ordered(*arrays: Array | None) -> tuple[list[Any], list[Work]]:
    """The arrays in order; those that are None stay so."""
    made, works = in_order(*_given(*arrays))
    return [None if array is None else made.pop(0) for array in arrays], works


def _launch(step: Step, arrays: list[Array], *eps: float) -> Launch:
    return Launch(step.source, step.grid, (*arrays, *eps, *step.sizes))


# ---- with x's own statistics ----------------------------------------------------------------------------------------


def normalize(
    x: Array, w: Array | None, b: Array | None, groups: int, eps: float, centred: bool, mean: Array, variance: Array,
    out: Array,
) -> Work | str:  # fmt: skip
    """Floats; mean, variance and out contiguous."""
    (x, w, b), before = _ordered(x, w, b)
    types = _types((x, out), w, b, (mean, variance))
    if isinstance(types, str):
        return types
    if groups:
        step = kernels.rows_step(types, centred, x.shape, groups)
        return after(before, _launch(step, [*_given(x, w, b), mean, variance, out], float(eps)))
    partials = _partials(types, x)
    first = kernels.parts_step(types, False, centred, x.shape)
    second = kernels.fold_step(types.statistics, None, x.shape, computed(types.x))
    return Chain((
        *before, _launch(first, [x, partials]), _launch(second, [partials, mean, variance]),
        _applied(types, x, w, b, eps, mean, variance, out),
    ))  # fmt: skip


def normalize_grad(
    x: Array, w: Array | None, groups: int, eps: float, centred: bool, mean: Array, variance: Array, dy: Array,
    dx: Array | None, dw: Array | None, db: Array | None, add: tuple[bool, bool],
) -> Work | str:  # fmt: skip
    """Floats; dx, dw and db contiguous."""
    (x, w, dy, mean, variance), before = _ordered(x, w, dy, mean, variance)
    types = _types((x, dy, *_given(dx)), w, None, (mean, variance), dw, db)
    if isinstance(types, str):
        return types
    works = list(before)
    if groups and dx is not None:
        step = kernels.rows_grad_step(types, centred, x.shape, groups)
        works.append(_launch(step, [*_given(x, dy, w), mean, variance, dx], float(eps)))
    sums = scratch((2, x.shape[1]), computed(types.x)) if not groups and dx is not None else None
    works += _summed(types, x, dy, groups, eps, mean, variance, dw, db, add, sums)
    if sums is not None and dx is not None:
        step = kernels.apply_grad_step(types, True, centred, aligned(x, dy, dx), x.shape)
        works.append(_launch(step, [x, dy, sums, *_given(w), mean, variance, dx], float(eps)))
    return Chain(tuple(works))


def _partials(types: Types, x: Array) -> Array:
    parts = kernels.parts_for(*x.shape)
    return scratch((2, parts.Q * x.shape[1] * parts.R), computed(types.x))


def _summed(
    types: Types, x: Array, dy: Array, groups: int, eps: float, mean: Array, variance: Array, dw: Array | None,
    db: Array | None, add: tuple[bool, bool], sums: Array | None,
) -> list[Work]:  # fmt: skip
    """The sums of channels, of dy and of dy times x normalized, and what is made of them."""
    if not _given(dw, db, sums):
        return []
    partials = _partials(types, x)
    first = kernels.parts_step(types, True, True, x.shape, groups)
    names = [None if a is None else FLOATS[a.dtype] for a in (dw, db)]
    totals = Totals(names[0], names[1], (bool(add[0]), bool(add[1])), sums is not None)
    second = kernels.fold_step(types.statistics, totals, x.shape, computed(types.x))
    return [
        _launch(first, [x, dy, mean, variance, partials], float(eps)),
        _launch(second, [partials, *_given(dw, db, sums)]),
    ]


# ---- with given statistics ------------------------------------------------------------------------------------------


def _applied(
    types: Types, x: Array, w: Array | None, b: Array | None, eps: float, mean: Array, variance: Array, out: Array
) -> Work:
    step = kernels.apply_step(types, aligned(x, out), x.shape)
    return _launch(step, [*_given(x, w, b), mean, variance, out], float(eps))


def normalize_by(
    x: Array, w: Array | None, b: Array | None, eps: float, mean: Array, variance: Array, out: Array
) -> Work | str:
    """Floats; out contiguous."""
    (x, w, b, mean, variance), before = _ordered(x, w, b, mean, variance)
    types = _types((x, out), w, b, (mean, variance))
    return types if isinstance(types, str) else after(before, _applied(types, x, w, b, eps, mean, variance, out))


def normalize_by_grad(
    x: Array, w: Array | None, eps: float, mean: Array, variance: Array, dy: Array, dx: Array | None,
    dw: Array | None, db: Array | None, add: tuple[bool, bool],
) -> Work | str:  # fmt: skip
    """Floats; dx, dw and db contiguous."""
    (x, w, dy, mean, variance), before = _ordered(x, w, dy, mean, variance)
    types = _types((x, dy, *_given(dx)), w, None, (mean, variance), dw, db)
    if isinstance(types, str):
        return types
    works = list(before)
    if dx is not None:
        step = kernels.apply_grad_step(types, False, True, aligned(dy, dx), x.shape)
        works.append(_launch(step, [dy, *_given(w), mean, variance, dx], float(eps)))
    return Chain((*works, *_summed(types, x, dy, 0, eps, mean, variance, dw, db, add, None)))
