"""Attention as a plain function, by PyTorch's name and arguments."""

from __future__ import annotations

import math

import numpy as np

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.tensors import dtypes
from nnkit.tensors.tensor import Tensor

__all__ = ["scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """softmax(query key^T scale + attn_mask) value: (..., L, E), (..., S, E), (..., S, F) -> (..., L, F).

    ``attn_mask`` broadcasts to (..., L, S): floats are added to the scores, of booleans True lets a query see a key.
    ``is_causal`` lets query i see keys 0 to i. ``scale`` is 1/sqrt(E) where None. ``dropout_p`` drops weights, whatever
    the mode. ``enable_gqa``: the third axis from the end, heads, may be larger for queries, by a whole factor. A query
    that sees no key gives 0. The scores of all queries and keys are never in memory at once, but for a mask that
    requires grad. Raises ShapeError for shapes that do not fit, ValueError for both ``attn_mask`` and ``is_causal``.
    Vaswani et al., Attention is all you need, 2017; Dao et al., FlashAttention, 2022.

    >>> import nnkit
    >>> x = nnkit.ones(1, 2, 5, 4)
    >>> scaled_dot_product_attention(x, x, x, is_causal=True).shape
    (1, 2, 5, 4)
    """
    if attn_mask is not None and is_causal:
        raise ValueError("attn_mask must be None where is_causal is set: put the causal mask into attn_mask")
    for name, t in (("query", query), ("key", key), ("value", value)):
        if t.ndim < 2:
            raise ShapeError(f"{name}: expected shape (..., tokens, width), got {t.shape}")
    lead, of_keys = _leads(query, key, value, enable_gqa)
    q, k, v = _flat(query, lead), _flat(key, of_keys), _flat(value, of_keys)
    mask = None if attn_mask is None else _flat_mask(attn_mask, lead)
    out = ops.attention(q, k, v, mask, is_causal, scale, dropout_p)
    return out if query.ndim == 4 else out.reshape(*lead, *out.shape[2:])


def _leads(query: Tensor, key: Tensor, value: Tensor, grouped: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The leading axes of the result, and those of keys and values."""
    sizes = [t.shape[:-2] for t in (query, key, value)]
    heads = tuple(size[-1:] for size in sizes)
    grouped = grouped and all(heads) and heads[0] != heads[1] and heads[1] == heads[2]
    try:
        if grouped:
            batch = np.broadcast_shapes(*(size[:-1] for size in sizes))
            return (*batch, *heads[0]), (*batch, *heads[1])
        lead = np.broadcast_shapes(*sizes)
    except ValueError:
        hint = "" if grouped else "; heads that share keys and values need enable_gqa=True"
        shapes = f"{query.shape}, {key.shape} and {value.shape}"
        raise ShapeError(f"query, key and value: leading axes of shapes {shapes} do not broadcast{hint}") from None
    return lead, lead


def _flat(x: Tensor, lead: tuple[int, ...]) -> Tensor:
    """x as (batch, heads, tokens, width)."""
    x = x if x.shape[:-2] == lead else x.expand(*lead, *x.shape[-2:])
    return x if x.ndim == 4 else x.reshape(math.prod(lead[:-1]), *(lead[-1:] or (1,)), *x.shape[-2:])


def _flat_mask(mask: Tensor, lead: tuple[int, ...]) -> Tensor:
    """A mask with as many axes as there are in ``_flat``, or fewer."""
    if len(lead) == 2 or mask.ndim <= 2:
        return mask
    try:
        return _flat(mask, lead)
    except ShapeError:
        raise ShapeError(f"attn_mask: shape {mask.shape} does not broadcast to {(*lead, *mask.shape[-2:])}") from None


def seen(mask: Tensor) -> Tensor:
    """A mask that is True where a key is shut out, as modules take it, as one that is True where it is seen."""
    return ops.logical_not(mask) if mask.dtype == dtypes.bool_ else mask
