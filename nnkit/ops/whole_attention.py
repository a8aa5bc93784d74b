"""Attention by way of all the weights at once, made of other ops, which have gradients of every order."""

from __future__ import annotations

import math
from typing import Any

from nnkit.backends.attention import Rule as Weighing
from nnkit.ops.choice import gt, le, logical_and, where
from nnkit.ops.classification import dropout, dropped, softmax
from nnkit.ops.indexing import getitem
from nnkit.ops.products import matmul
from nnkit.ops.reductions import amax
from nnkit.ops.shape import reshape, transpose
from nnkit.ops.windows import pad_with
from nnkit.tensors import dtypes
from nnkit.tensors.creation import arange, full
from nnkit.tensors.results import result
from nnkit.tensors.shares import Part
from nnkit.tensors.tensor import Tensor


def whole_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, causal: bool = False, scale: float | None = None,
    p: float = 0.0,
) -> Tensor:  # fmt: skip
    """``attention`` where the mask wants a gradient, too.

    q (B, H, L, E), k (B, G, S, E) and v (B, G, S, F) give (B, H, L, F), float32 or float64; G divides H. Raises
    ShapeError where widths do not fit. Source: Vaswani et al., Attention is all you need, 2017.

    >>> import nnkit
    >>> q = k = v = nnkit.ones(1, 1, 2, 3)
    >>> whole_attention(q, k, v, mask=nnkit.zeros(2, 2, requires_grad=True)).shape
    (1, 1, 2, 3)
    """
    return _mean(dropout(attention_weights(q, k, mask, causal, scale, safe=True), p), v)


def _mean(weights: Tensor, v: Tensor) -> Tensor:
    """The values by weight; heads of queries share one of values in equal groups."""
    (B, H, L, S), G = weights.shape, v.shape[1]
    mean = matmul(reshape(weights, (B, G, H // G * L, S)), v)
    return reshape(mean, (B, H, L, v.shape[3]))


def attention_weights(
    q: Tensor, k: Tensor, mask: Tensor | None = None, causal: bool = False, scale: float | None = None,
    safe: bool = False,
) -> Tensor:  # fmt: skip
    """softmax(scale q k^T + mask): (B, H, L, S).

    Rows that see no key are NaN, or where ``safe`` 0.

    q (B, H, L, E) and k (B, G, S, E), float32 or float64, where G divides H; mask bool, or floats to add. Raises
    ShapeError where widths do not fit. Source: Vaswani et al., Attention is all you need, 2017.

    >>> import nnkit
    >>> attention_weights(nnkit.ones(1, 1, 2, 3), nnkit.ones(1, 1, 2, 3), causal=True)[0, 0]
    tensor([[1. , 0. ],
            [0.5, 0.5]])
    """
    (B, H, L, E), (_, G, S, _) = q.shape, k.shape
    scale = 1.0 / math.sqrt(E) if scale is None else scale
    queries = reshape(q * scale, (B, G, H // G * L, E))
    scores = reshape(matmul(queries, transpose(k, 2, 3)), (B, H, L, S))
    if mask is not None:
        scores = where(mask, scores, -math.inf) if mask.dtype == dtypes.bool_ else scores + mask.to(scores.dtype)
    if causal:
        after = gt(arange(S, device=q.device), reshape(arange(L, device=q.device), (L, 1)))
        scores = where(after, -math.inf, scores)
    if not safe:
        return softmax(scores, -1)
    seen = gt(amax(scores.detach(), -1, True), -math.inf)
    return where(seen, softmax(where(seen, scores, 0.0), -1), 0.0)


def in_ops(
    q: Tensor, k: Tensor, v: Tensor, besides: tuple[Tensor | None, Tensor | None, Any], rule: Weighing,
    half: str | None, part: Part | None = None,
) -> Tensor:  # fmt: skip
    """What the kernel computes, of the same numbers. ``besides``: mask, past and the key of dropout's numbers, of which
    ``part`` are these samples' where a batch is divided."""
    mask, past, key = besides
    q, k, v = (rounded(t, half) for t in (q, k, v))
    (scale, causal, p), L, S = rule, q.shape[2], k.shape[2]
    if past is not None:
        last = arange(L, device=q.device) if causal else full((L,), L - 1, device=q.device)
        seen = le(arange(S, device=q.device), reshape(last + past.detach(), (L, 1)))
        mask, causal = seen if mask is None else _both(mask, seen), False
    weights = attention_weights(q, k, None if mask is None else mask.detach(), causal, scale, safe=True)
    return _mean(weights if key is None else _dropped(weights, p, key, part), v)


def _both(mask: Tensor, seen: Tensor) -> Tensor:
    return logical_and(mask, seen) if mask.dtype == dtypes.bool_ else where(seen, mask, -math.inf)


def _dropped(weights: Tensor, p: float, key: Any, part: Part | None) -> Tensor:
    """``dropout`` of weights as the kernel draws it: the numbers of a row begin at a multiple of four."""
    if p >= 1.0:
        return weights * 0.0
    S = weights.shape[3]
    padded = pad_with(weights, ((0, 0), (0, 0), (0, 0), (0, -S % 4)))
    return getitem(dropped(padded, p, key, part), (Ellipsis, slice(0, S)))


def rounded(x: Tensor, half: str | None) -> Tensor:
    """The values as operands under ``autocast``; a gradient passes as it is."""
    if half is None:
        return x
    array = Tensor(x.backend.rounded(x.array, half), x.backend).to(x.dtype).array
    return result("rounded", array, x.backend, (x,), lambda dy, into: (dy,), (), lambda dy, asked: (dy,))
