"""Launches of attention: floats whose rows lie in order; what does not is copied first."""

from __future__ import annotations

import functools
import math
from typing import Any

from nnkit.backends.attention import Rule
from nnkit.backends.cuda.arrays import FLOATS, KEPT, STORED, scratch
from nnkit.backends.cuda.strided import after, in_order
from nnkit.backends.cuda.work import Chain, Launch, Work
from nnkit.kernels.cuda import attention as kernels
from nnkit.kernels.cuda.attention import Shape
from nnkit.kernels.cuda.texts import computed

Array = Any

_forward = functools.lru_cache(KEPT)(kernels.forward_kernel)
_queries_grad = functools.lru_cache(KEPT)(kernels.queries_grad_kernel)
_keys_grad = functools.lru_cache(KEPT)(kernels.keys_grad_kernel)
MOST = 1 << 31  # elements of an array


def attention(
    q: Array, k: Array, v: Array, mask: Array | None, past: Array | None, key: Array | None, rule: Rule, out: Array,
    lse: Array,
) -> Work | str:  # fmt: skip
    """q, k and v of one type of floats."""
    (q, k, v), before = _in_rows(q, k, v)
    shape = _shape(q, k, v, mask, past, key, rule, out, lse)
    if isinstance(shape, str):
        return shape
    own, rest = [q, k, v, out], _rest(mask, past, key, rule)
    arguments = (*own, lse, *rest, *_sizes(q, k, *own), *_mask_steps(mask))
    return after(before, Launch(_forward(shape), kernels.grid(q.shape[0] * q.shape[1], q.shape[2]), arguments))


def attention_grad(
    q: Array, k: Array, v: Array, mask: Array | None, past: Array | None, key: Array | None, rule: Rule, out: Array,
    lse: Array, dy: Array, dq: Array, dk: Array, dv: Array,
) -> Work | str:  # fmt: skip
    """As ``attention``; the gradients of the type of ``out``."""
    (q, k, v, out, dy), before = _in_rows(q, k, v, out, dy)
    shape = _shape(q, k, v, mask, past, key, rule, out, lse, dy, dq, dk, dv)
    if isinstance(shape, str):
        return shape
    deltas, rest, steps = scratch(lse.shape, lse.dtype), _rest(mask, past, key, rule), _mask_steps(mask)
    of_queries, of_keys = [q, k, v, dy, out, dq], [q, k, v, dy, dk, dv]
    works = [
        Launch(
            _queries_grad(shape), kernels.grid(q.shape[0] * q.shape[1], q.shape[2]),
            (*of_queries, lse, deltas, *rest, *_sizes(q, k, *of_queries), *steps),
        ),
        Launch(
            _keys_grad(shape), kernels.grid(k.shape[0] * k.shape[1], k.shape[2]),
            (*of_keys, lse, deltas, *rest, *_sizes(q, k, *of_keys), *steps),
        ),
    ]  # fmt: skip
    return Chain((*before, *works))


def _in_rows(*arrays: Array) -> tuple[list[Array], list[Work]]:
    """The arrays, and as copies those whose rows do not lie in order."""
    made, works = [], list[Work]()
    for x in arrays:
        if not _lies_in_rows(x):
            (x,), more = in_order(x)
            works += more
        made.append(x)
    return made, works


def _lies_in_rows(x: Array) -> bool:
    return (x.shape[-1] == 1 or x.strides[-1] == x.itemsize) and min(x.strides) >= 0


def _shape(
    q: Array, k: Array, v: Array, mask: Array | None, past: Array | None, key: Array | None, rule: Rule, out: Array,
    lse: Array, dy: Array | None = None, *made: Array,
) -> Shape | str:  # fmt: skip
    """What the kernels are made for; or the reason why there are none."""
    arrays = [q, k, v, out, *made, *([] if dy is None else [dy])]
    if any(a.dtype not in FLOATS for a in arrays) or len({a.dtype for a in (q, k, v)}) > 1:
        return "arrays of other types than floats, or of several"
    if any(a.dtype != out.dtype for a in made) or not all(0 < a.size < MOST for a in arrays):
        return "gradients of another type than the result; or an array is empty, or too large"
    if not all(_lies_in_rows(a) for a in arrays) or not lse.flags.c_contiguous:
        return "a row does not lie in order"
    given, E, F = FLOATS[q.dtype], q.shape[3], v.shape[3]
    T = computed(given)
    if computed(FLOATS[out.dtype]) != T or lse.dtype != T or (dy is not None and computed(FLOATS[dy.dtype]) != T):
        return "float64 beside other types"
    stored = None if mask is None else STORED.get(mask.dtype)
    if mask is not None and (stored is None or stored == "int64" or min(mask.strides) < 0):
        return "a mask that is neither of booleans nor of floats"
    if stored not in (None, "bool") and computed(str(stored)) != T:
        return "a mask of another type"
    columns = kernels.columns_for(T, E, F)
    if not columns:
        return "heads that are too wide for shared memory"
    gradient = "" if dy is None else FLOATS[dy.dtype]
    flags = (rule.causal, stored, past is not None, key is not None)
    return Shape(given, FLOATS[out.dtype], E, F, *flags, gradient, columns)


def _rest(mask: Array | None, past: Array | None, key: Array | None, rule: Rule) -> list[Any]:
    """The arguments between the arrays that all kernels have and the sizes."""
    scalars = [float(rule.scale), -math.inf]
    scalars += [] if key is None else [float(rule.dropout), float(rule.keep)]
    return [*(array for array in (mask, past, key) if array is not None), *scalars]


def _sizes(q: Array, k: Array, *strided: Array) -> list[int]:
    """H, heads of a group, L, S, and the steps of arrays: batch, head, row."""
    H, G = q.shape[1], k.shape[1]
    return [H, H // G, q.shape[2], k.shape[2], *(step for x in strided for step in _steps(x)[:3])]


def _mask_steps(mask: Array | None) -> list[int]:
    return [] if mask is None else _steps(mask)


def _steps(x: Array) -> list[int]:
    """Elements from one to the next along each axis; 0 where there is but one."""
    return [0 if n == 1 else int(step // x.itemsize) for n, step in zip(x.shape, x.strides, strict=True)]
