"""Attention with heads as a module, by PyTorch's names: weights, shapes and initial values are PyTorch's."""

from __future__ import annotations

import math
from typing import Any

from nnkit import ops
from nnkit.errors import DtypeError, ShapeError
from nnkit.nn import init
from nnkit.nn.attention_functions import seen
from nnkit.nn.key_value_cache import KeyValueCache
from nnkit.nn.linear import Linear
from nnkit.nn.module import Module
from nnkit.nn.positions import RotaryPositions
from nnkit.nn.sizes import positive
from nnkit.recording.observer import call
from nnkit.tensors import dtypes
from nnkit.tensors.creation import empty, zeros
from nnkit.tensors.shares import samples_along
from nnkit.tensors.tensor import Parameter, Tensor

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Queries (L, B, embed_dim) take of values (S, B, vdim) by keys (S, B, kdim), in ``num_heads`` heads.

    With ``batch_first`` the batch is the first axis; without a batch (L, embed_dim). As PyTorch's, with its weights:
    ``in_proj_weight`` (3 embed_dim, embed_dim), or where kdim or vdim differ ``q_proj_weight``, ``k_proj_weight`` and
    ``v_proj_weight``; ``in_proj_bias``; ``out_proj``; with ``add_bias_kv`` a key and a value of the layer's own,
    ``bias_k`` and ``bias_v``; with ``add_zero_attn`` one that is 0. ``dropout`` is of weights, in training. Vaswani et
    al., Attention is all you need, 2017. Beyond PyTorch: ``rotary``, ``RotaryPositions`` of the width of a head, turns
    queries and keys. Raises ShapeError where shapes do not fit. Parameters are float32 unless ``dtype`` is given.

    >>> import nnkit
    >>> x = nnkit.zeros(5, 3, 8)
    >>> y, weights = MultiheadAttention(8, num_heads=2)(x, x, x)
    >>> y.shape, weights.shape
    ((5, 3, 8), (3, 5, 5))
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False,
        add_zero_attn: bool = False, kdim: int | None = None, vdim: int | None = None, batch_first: bool = False,
        device: Any = None, dtype: Any = None, *, rotary: RotaryPositions | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.embed_dim, self.num_heads = positive("embed_dim", embed_dim), positive("num_heads", num_heads)
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim must be a multiple of num_heads, got {embed_dim} and {num_heads}")
        self.head_dim = embed_dim // num_heads
        self.kdim = embed_dim if kdim is None else positive("kdim", kdim)
        self.vdim = embed_dim if vdim is None else positive("vdim", vdim)
        self.dropout, self.batch_first, self.add_zero_attn, self.rotary = dropout, batch_first, add_zero_attn, rotary

        def parameter(wanted: bool, *shape: int) -> Parameter | None:
            return Parameter(empty(shape, device=device, dtype=dtype)) if wanted else None

        packed = self.kdim == self.vdim == embed_dim
        self.register_parameter("in_proj_weight", parameter(packed, 3 * embed_dim, embed_dim))
        for name, width in (("q", embed_dim), ("k", self.kdim), ("v", self.vdim)):
            self.register_parameter(f"{name}_proj_weight", parameter(not packed, embed_dim, width))
        self.register_parameter("in_proj_bias", parameter(bias, 3 * embed_dim))
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        self.register_parameter("bias_k", parameter(add_bias_kv, 1, 1, embed_dim))
        self.register_parameter("bias_v", parameter(add_bias_kv, 1, 1, embed_dim))
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw new initial values: PyTorch's."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None and self.out_proj.bias is not None:
            init.constant_(self.in_proj_bias, 0.0)
            init.constant_(self.out_proj.bias, 0.0)
        for own in (self.bias_k, self.bias_v):
            if own is not None:
                init.xavier_normal_(own)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
        need_weights: bool = True, attn_mask: Tensor | None = None, average_attn_weights: bool = True,
        is_causal: bool = False, *, cache: KeyValueCache | None = None,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """The result, shaped like the queries, and the weights (B, L, S), or (B, heads, L, S) unless averaged.

        Masks as PyTorch's modules take them: booleans shut a key out where True, floats are added to the scores;
        ``key_padding_mask`` (B, S), ``attn_mask`` (L, S) or (B heads, L, S). ``is_causal`` lets query i see keys 0 to
        i; PyTorch wants the mask beside it, here it may be left out. Without ``need_weights`` the weights are never all
        in memory, and None is returned for them; a query that sees no key then gives 0, with ``need_weights`` NaN.
        ``cache``: see ``KeyValueCache``.
        """
        if query.ndim == 2:
            return self._alone(query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights,
                               is_causal, cache)  # fmt: skip
        self._check(query, key, value)
        own = query is key and key is value
        if not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        with samples_along(0):
            if cache is not None:
                if not own or key_padding_mask is not None or attn_mask is not None or need_weights:
                    raise ValueError(
                        "cache: only for self-attention without masks and with need_weights=False; queries see all "
                        "tokens so far and none after themselves"
                    )
                out = self._with_cache(query, cache)
            else:
                causal = is_causal and (attn_mask is None or (key_padding_mask is None and not need_weights))
                mask = self._mask(query, key, key_padding_mask, None if causal else attn_mask)
                if need_weights:
                    out, weights = self._weighted(query, key, value, mask, causal)
                    weights = weights.mean(1) if average_attn_weights else weights
                elif own and self.in_proj_weight is not None and self._is_plain():
                    qkv = ops.linear(query, self.in_proj_weight, self.in_proj_bias)
                    out = ops.self_attention(qkv, self.num_heads, None, mask, causal, None, self._p())
                else:
                    q, k, v = self._projected(query, key, value)
                    mask = self._longer(mask, k.shape[2] - key.shape[1])
                    out = self._joined(ops.attention(q, k, v, mask, causal, None, self._p()))
        y = call(self.out_proj, out)
        y = y if self.batch_first else y.transpose(0, 1)
        return y, weights if need_weights else None

    # ---- queries, keys and values -----------------------------------------------------------------------------

    def _is_plain(self) -> bool:
        """Whether nothing is done to queries, keys and values."""
        return self.bias_k is None and not self.add_zero_attn and self.rotary is None

    def _p(self) -> float:
        return self.dropout if self.training else 0.0

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values as (B, heads, tokens, head_dim), with the layer's own keys and values."""
        E = self.embed_dim
        w, b = self.in_proj_weight, self.in_proj_bias
        if w is not None and query is key and key is value:
            q, k, v = ops.split(ops.linear(query, w, b), E, 2)
        elif w is not None and key is value:
            q = ops.linear(query, w[:E], None if b is None else b[:E])
            k, v = ops.split(ops.linear(key, w[E:], None if b is None else b[E:]), E, 2)
        else:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight) if w is None else ops.split(w, E)
            biases = (None, None, None) if b is None else ops.split(b, E)
            given = zip((query, key, value), weights, biases, strict=True)
            q, k, v = (ops.linear(x, weight, bias) for x, weight, bias in given)  # type: ignore[arg-type]
        if self.bias_k is not None and self.bias_v is not None:
            k, v = (ops.cat([x, own.expand(len(x), 1, E)], 1) for x, own in ((k, self.bias_k), (v, self.bias_v)))
        if self.add_zero_attn:
            k, v = (ops.cat([x, zeros(len(x), 1, E, dtype=x.dtype, device=x.device)], 1) for x in (k, v))
        q, k, v = (self._split(x) for x in (q, k, v))
        return (q, k, v) if self.rotary is None else (call(self.rotary, q), call(self.rotary, k), v)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)

    def _joined(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], self.embed_dim)

    def _weighted(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool
    ) -> tuple[Tensor, Tensor]:
        q, k, v = self._projected(query, key, value)
        weights = ops.attention_weights(q, k, self._longer(mask, k.shape[2] - key.shape[1]), causal)
        weights = ops.dropout(weights, self._p())
        return self._joined(ops.matmul(weights, v)), weights

    def _with_cache(self, x: Tensor, cache: KeyValueCache) -> Tensor:
        if self.in_proj_weight is None or self.bias_k is not None or self.add_zero_attn:
            raise ValueError("cache: not for kdim, vdim, add_bias_kv or add_zero_attn")
        B, T, E = x.shape
        qkv = ops.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, keys_and_values = self._split(qkv[:, :, :E]), qkv[:, :, E:]
        if self.rotary is not None:
            places = cache.positions(T, x.device)
            k = self._joined(call(self.rotary, self._split(qkv[:, :, E : 2 * E]), places))
            q, keys_and_values = call(self.rotary, q, places), ops.cat([k, qkv[:, :, 2 * E :]], 2)
        memory, length = cache.extend(self, keys_and_values)
        k, v = (
            half.reshape(cache.capacity, B, self.num_heads, self.head_dim).permute((1, 2, 0, 3))
            for half in (memory[:, :, :E], memory[:, :, E:])
        )
        out = ops.attention(q, k, v, causal=True, past=length)
        cache.advance(self, T)
        return self._joined(out)

    # ---- masks and checks -------------------------------------------------------------------------------------

    def _mask(self, query: Tensor, key: Tensor, padding: Tensor | None, mask: Tensor | None) -> Tensor | None:
        """Both masks as one that broadcasts to (B, heads, L, S), of floats or True where a key is seen."""
        (B, L, _), S, given = query.shape, key.shape[1], []
        for name, one in (("key_padding_mask", padding), ("attn_mask", mask)):
            if one is not None and one.dtype != dtypes.bool_ and not one.is_floating_point():
                raise DtypeError(f"{name}: expected booleans or floats, got {one.dtype}")
        if padding is not None:
            if padding.shape != (B, S):
                raise ShapeError(f"key_padding_mask: expected shape {(B, S)}, got {padding.shape}")
            given.append(seen(padding).reshape(B, 1, 1, S))
        if mask is not None:
            shapes = ((L, S), (B * self.num_heads, L, S))
            if mask.shape not in shapes:
                raise ShapeError(f"attn_mask: expected shape {shapes[0]} or {shapes[1]}, got {mask.shape}")
            given.append(seen(mask if mask.ndim == 2 else mask.reshape(B, self.num_heads, L, S)))
        if len(given) < 2:
            return given[0] if given else None
        if all(one.dtype == dtypes.bool_ for one in given):
            return ops.logical_and(*given)
        first, second = (_as_scores(one, query.dtype) for one in given)
        return first + second

    def _longer(self, mask: Tensor | None, more: int) -> Tensor | None:
        """A mask that lets the layer's own keys be seen, too."""
        if mask is None or more == 0:
            return mask
        shape = (*mask.shape[:-1], more)
        own = zeros(*shape, dtype=mask.dtype, device=mask.device)
        return ops.cat([mask, ops.logical_not(own) if mask.dtype == dtypes.bool_ else own], -1)

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        batch = 0 if self.batch_first else 1
        for name, x, width in (("query", query, self.embed_dim), ("key", key, self.kdim), ("value", value, self.vdim)):
            if x.ndim != 3 or x.shape[2] != width or x.shape[batch] != query.shape[batch]:
                order = "(batch, tokens" if self.batch_first else "(tokens, batch"
                raise ShapeError(f"{name}: {self!r} expects shape {order}, {width}), got {x.shape}")
        if key.shape[:2] != value.shape[:2]:
            raise ShapeError(f"key and value: expected as many of one as of the other, got {key.shape}, {value.shape}")

    def _alone(
        self, query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None, need_weights: bool,
        mask: Tensor | None, average: bool, is_causal: bool, cache: KeyValueCache | None,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """Without a batch."""
        axis = 0 if self.batch_first else 1
        first = query.unsqueeze(axis)
        keys = first if key is query else key.unsqueeze(axis)
        values = keys if value is key else value.unsqueeze(axis)
        padding = None if padding is None else padding.unsqueeze(0)
        y, weights = self.forward(first, keys, values, padding, need_weights, mask, average, is_causal, cache=cache)
        return y.squeeze(axis), None if weights is None else weights.squeeze(0)

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, num_heads={self.num_heads}, batch_first={self.batch_first}"


def _as_scores(mask: Tensor, dtype: Any) -> Tensor:
    """A mask as floats that are added to scores."""
    if mask.dtype != dtypes.bool_:
        return mask
    return ops.where(mask, zeros((), dtype=dtype, device=mask.device), -math.inf)
