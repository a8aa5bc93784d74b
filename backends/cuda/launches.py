"""From a primitive's arguments to work for the device, or to the reason why no kernel fits.

Each function has the signature of the primitive that it is named after. Kernels take contiguous arrays: what else lies
in memory in a regular way is copied first (``strided``). Other types are for the reference body. Here are reductions
and classification; ``elementwise`` has formulas, ``moves`` memory and random numbers, ``products`` matrix products.
"""

from __future__ import annotations

import functools
from typing import Any

from nnkit.backends.cuda.arrays import INT64, KEPT, STORED, aligned, around, common_type, scratch, why_not
from nnkit.backends.cuda.elementwise import map
from nnkit.backends.cuda.strided import after, in_order
from nnkit.backends.cuda.work import Chain, Launch, Work
from nnkit.kernels.cuda import classification, reductions
from nnkit.kernels.cuda.texts import Plan, Step

Array = Any

# ---- reductions -----------------------------------------------------------------------------------------------------


def _planned(plan: Plan, x: Array, out: Array) -> Work:
    """A reduction of one step, or of two with partial results between them."""
    first, *rest = plan.steps
    if not rest:
        return Launch(first.source, first.grid, (x, out, *first.sizes))
    between = scratch((plan.partials,), plan.partial_type)
    (second,) = rest
    return Chain((
        Launch(first.source, first.grid, (x, between, *first.sizes)),
        Launch(second.source, second.grid, (between, out, *second.sizes)),
    ))  # fmt: skip


def _step(step: Step, *arrays: Array) -> Launch:
    return Launch(step.source, step.grid, (*arrays, *step.sizes))


def reduce(kind: str, x: Array, axes: tuple[int, ...], out: Array) -> Work | str:
    """Arrays of one type; what does not lie in order, or is reduced over axes that are not neighbours, is copied."""
    if x.dtype not in STORED or x.dtype != out.dtype or not out.flags.c_contiguous:
        return why_not(x, out)
    if not x.size or (kind in ("any", "all")) != (x.dtype.kind == "b"):
        return "an array is empty, or of another kind"
    if not axes:
        return map("identity", (x,), (out.reshape(x.shape),))
    if axes != tuple(range(axes[0], axes[-1] + 1)):
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        x, axes = x.transpose(*kept, *axes), tuple(range(len(kept), x.ndim))
    (x,), before = in_order(x)
    if not x.flags.c_contiguous:
        return why_not(x)
    A, K, B = around(axes, x.shape)
    if x.dtype.kind == "b" and (B if B > 1 else K) % 8 == 0 and aligned(x, out):  # eight booleans at a time
        words = x.reshape(-1).view(INT64)
        if B > 1:
            plan = reductions.reduce_plan(kind, "words", A, K, B // 8)
            return after(before, _planned(plan, words, out.reshape(-1).view(INT64)))
        return after(before, _planned(reductions.reduce_plan(kind, "words", A, K // 8, 1), words, out))
    return after(before, _planned(reductions.reduce_plan(kind, STORED[x.dtype], A, K, B), x, out))


def arg_reduce(kind: str, x: Array, axis: int, out: Array) -> Work | str:
    """The result in int64; an array that does not end in that axis, or lie in order, is copied so."""
    if x.dtype not in STORED or x.dtype.kind == "b" or not out.flags.c_contiguous:
        return why_not(x)
    if out.dtype != INT64 or not x.size or not x.ndim:
        return "an array is empty, or of another type than int64 for places"
    axis %= x.ndim
    (x,), before = in_order(x.transpose(*(k for k in range(x.ndim) if k != axis), axis))
    if not x.flags.c_contiguous:
        return why_not(x)
    columns = x.shape[-1]
    return after(before, _step(reductions.position_step(kind, STORED[x.dtype], x.size // columns, columns), x, out))


# ---- classification -------------------------------------------------------------------------------------------------


#: Found again at each eager call: the frame of a row and the name of its kernel depend on sizes alone.
_cross_entropy_step = functools.lru_cache(KEPT)(classification.cross_entropy_step)


def _rows(*arrays: Array) -> tuple[bool, int, int]:
    """Whether four neighbours can be read at a time, how many rows there are, and their length."""
    first = arrays[0]
    columns = first.shape[-1]
    return aligned(*arrays), first.size // columns, columns


def softmax(x: Array, log: bool, out: Array) -> Work | str:
    """Floats of at least one element a row, the result contiguous."""
    (x,), before = in_order(x)
    dtype = common_type(x, out)
    if dtype is None or x.size == 0 or x.ndim == 0:
        return why_not(x, out)
    return after(before, _step(classification.softmax_step(dtype, log, *_rows(x, out)), x, out))


def softmax_grad(dy: Array, y: Array, log: bool, out: Array) -> Work | str:
    """Floats, the result contiguous."""
    (dy, y), before = in_order(dy, y)
    dtype = common_type(dy, y, out)
    if dtype is None or not y.size or y.ndim == 0:
        return why_not(dy, y, out)
    return after(before, _step(classification.softmax_grad_step(dtype, log, *_rows(y, dy, out)), dy, y, out))


def cross_entropy(z: Array, labels: Array, row_weights: Array | None, loss: Array, dz: Array) -> Work | str:
    """Labels int64; loss and dz contiguous, dz in memory of its own."""
    (z, labels), before = in_order(z, labels)
    dtype = common_type(z, row_weights, loss, dz)
    if labels.dtype != INT64:
        return "labels that are not int64"
    if dtype is None or z.size == 0:
        return why_not(z, row_weights, loss, dz)
    if z.data.ptr == dz.data.ptr:
        return "the gradient overwrites the logits"
    weights = () if row_weights is None else (row_weights,)
    step = _cross_entropy_step(dtype, bool(weights), *_rows(z, dz))
    return after(before, _step(step, z, labels, *weights, loss, dz))
