"""Transformers by PyTorch's names: layers of attention and of a small network, each added to what goes around it.

Vaswani et al., Attention is all you need, 2017; with ``norm_first`` as Xiong et al., On layer normalization in the
Transformer architecture, 2020. Parameters have PyTorch's names, shapes and initial values.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.nn import activations, functional, init
from nnkit.nn.attention import MultiheadAttention
from nnkit.nn.containers import ModuleList
from nnkit.nn.key_value_cache import KeyValueCache
from nnkit.nn.linear import Dropout, Linear
from nnkit.nn.module import Module
from nnkit.nn.normalization import LayerNorm
from nnkit.nn.sizes import positive
from nnkit.recording.observer import call
from nnkit.tensors import dtypes
from nnkit.tensors.creation import arange, zeros
from nnkit.tensors.shares import samples_along
from nnkit.tensors.tensor import Tensor

__all__ = [
    "Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder", "TransformerEncoderLayer",
]  # fmt: skip

Mask = Tensor | None
#: Functions that are one with the product before them.
FUSED: dict[Any, str] = {functional.relu: "relu", functional.gelu: "gelu"}


class _Layer(Module):
    """What encoder and decoder layers share: the small network, and how a part is added."""

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int, dropout: float, activation: str | Callable[..., Any],
        norm_first: bool, bias: bool, batch_first: bool, device: Any, dtype: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        if isinstance(activation, str) and activation not in ("relu", "gelu"):
            raise ValueError(f"activation must be 'relu', 'gelu' or a function, got {activation!r}")
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias=bias, batch_first=batch_first, **where)
        self._more_attention(d_model, nhead, dropout, bias, batch_first, where)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **where)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **where)
        self.norm_first, self.activation = norm_first, activation

    def _more_attention(
        self, d_model: int, nhead: int, dropout: float, bias: bool, batch_first: bool, where: dict[str, Any]
    ) -> None:
        """Attention to something else than the layer's input."""

    def _make_norms(self, count: int, d_model: int, eps: float, bias: bool, dropout: float, where: Any) -> None:
        for number in range(1, count + 1):
            self.add_module(f"norm{number}", LayerNorm(d_model, eps, bias=bias, **where))
        for number in range(1, count + 1):
            self.add_module(f"dropout{number}", Dropout(dropout))

    def _network(self, x: Tensor) -> Tensor:
        fused = type(self.linear1) is Linear and not (self.linear1._forward_hooks or self.linear1._forward_pre_hooks)
        if fused:
            hidden = self.linear1.activated(x, FUSED.get(self.activation, self.activation))
        else:
            hidden = call(activations.get(self.activation), call(self.linear1, x))
        return call(self.linear2, call(self.dropout, hidden))

    def _added(self, number: int, x: Tensor, part: Callable[[Tensor], Tensor]) -> Tensor:
        """x and what a part makes of it, normalized before or after."""
        norm, drop = getattr(self, f"norm{number}"), getattr(self, f"dropout{number}")
        if self.norm_first:
            return x + call(drop, part(call(norm, x)))
        return call(norm, x + call(drop, part(x)))

    def _attend(
        self, x: Tensor, mask: Mask, padding: Mask, is_causal: bool, cache: KeyValueCache | None = None
    ) -> Tensor:
        options = {"key_padding_mask": padding, "attn_mask": mask, "is_causal": is_causal, "cache": cache}
        return call(self.self_attn, x, x, x, need_weights=False, **options)[0]


class TransformerEncoderLayer(_Layer):
    """Self-attention, then two linear layers with an activation between them; each is added to its input.

    src (S, B, d_model), or (B, S, d_model) with ``batch_first``. ``activation`` is "relu", "gelu" or a function. Masks
    as ``MultiheadAttention`` takes them; ``is_causal`` may stand without one. ``cache``: see ``KeyValueCache``. Where
    PyTorch in evaluation writes 0 at padded places, here they have values as in training.

    >>> import nnkit
    >>> TransformerEncoderLayer(8, nhead=2, dim_feedforward=16)(nnkit.zeros(5, 3, 8)).shape
    (5, 3, 8)
    """

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: str | Callable[..., Any] = functional.relu, layer_norm_eps: float = 1e-5, batch_first: bool = False,
        norm_first: bool = False, bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            d_model, nhead, dim_feedforward, dropout, activation, norm_first, bias, batch_first, device, dtype
        )
        self._make_norms(2, d_model, layer_norm_eps, bias, dropout, {"device": device, "dtype": dtype})

    def forward(
        self, src: Tensor, src_mask: Mask = None, src_key_padding_mask: Mask = None, is_causal: bool = False, *,
        cache: KeyValueCache | None = None,
    ) -> Tensor:  # fmt: skip
        attend = lambda x: self._attend(x, src_mask, src_key_padding_mask, is_causal, cache)  # noqa: E731
        with samples_along(0 if self.self_attn.batch_first else 1):
            return self._added(2, self._added(1, src, attend), self._network)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to ``memory``, then two linear layers; each is added to its input.

    tgt (T, B, d_model) and memory (S, B, d_model), or the batch first. As ``TransformerEncoderLayer`` otherwise.

    >>> import nnkit
    >>> TransformerDecoderLayer(8, nhead=2, dim_feedforward=16)(nnkit.zeros(5, 3, 8), nnkit.zeros(4, 3, 8)).shape
    (5, 3, 8)
    """

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: str | Callable[..., Any] = functional.relu, layer_norm_eps: float = 1e-5, batch_first: bool = False,
        norm_first: bool = False, bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            d_model, nhead, dim_feedforward, dropout, activation, norm_first, bias, batch_first, device, dtype
        )
        self._make_norms(3, d_model, layer_norm_eps, bias, dropout, {"device": device, "dtype": dtype})

    def _more_attention(
        self, d_model: int, nhead: int, dropout: float, bias: bool, batch_first: bool, where: dict[str, Any]
    ) -> None:
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, bias=bias, batch_first=batch_first, **where)

    def forward(
        self, tgt: Tensor, memory: Tensor, tgt_mask: Mask = None, memory_mask: Mask = None,
        tgt_key_padding_mask: Mask = None, memory_key_padding_mask: Mask = None, tgt_is_causal: bool = False,
        memory_is_causal: bool = False, *, cache: KeyValueCache | None = None,
    ) -> Tensor:  # fmt: skip
        def to_memory(x: Tensor) -> Tensor:
            options = {"key_padding_mask": memory_key_padding_mask, "attn_mask": memory_mask}
            options["is_causal"] = memory_is_causal  # type: ignore[assignment]
            return call(self.multihead_attn, x, memory, memory, need_weights=False, **options)[0]

        attend = lambda x: self._attend(x, tgt_mask, tgt_key_padding_mask, tgt_is_causal, cache)  # noqa: E731
        with samples_along(0 if self.self_attn.batch_first else 1):
            return self._added(3, self._added(2, self._added(1, tgt, attend), to_memory), self._network)


class _Stack(Module):
    """Copies of a layer, one after the other, and a normalization at the end where given."""

    def __init__(self, layer: Module, num_layers: int, norm: Module | None) -> None:
        super().__init__()
        self.num_layers = positive("num_layers", num_layers)
        self.layers = ModuleList([copy.deepcopy(layer) for _ in range(num_layers)])
        self.norm = norm

    def _normed(self, x: Tensor) -> Tensor:
        return x if self.norm is None else call(self.norm, x)


class TransformerEncoder(_Stack):
    """``num_layers`` copies of a ``TransformerEncoderLayer``, and ``norm`` at the end where given.

    The copies begin with the same values, as in PyTorch. ``enable_nested_tensor`` and ``mask_check`` have no effect.
    ``is_causal`` None is False: a mask is used as it is, whatever is in it. Input and result are (S, B, d_model), or
    with the batch first.

    >>> import nnkit
    >>> layer = TransformerEncoderLayer(8, 2, 16, batch_first=True)
    >>> TransformerEncoder(layer, num_layers=2)(nnkit.zeros(3, 5, 8), is_causal=True).shape
    (3, 5, 8)
    """

    def __init__(
        self, encoder_layer: Module, num_layers: int, norm: Module | None = None, enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(encoder_layer, num_layers, norm)

    def forward(
        self, src: Tensor, mask: Mask = None, src_key_padding_mask: Mask = None, is_causal: bool | None = None, *,
        cache: KeyValueCache | None = None,
    ) -> Tensor:  # fmt: skip
        extra = {} if cache is None else {"cache": cache}  # a layer of the user's need not know of it
        for layer in self.layers:
            options = {"src_mask": mask, "src_key_padding_mask": src_key_padding_mask, "is_causal": bool(is_causal)}
            src = call(layer, src, **options, **extra)
        return self._normed(src)


class TransformerDecoder(_Stack):
    """``num_layers`` copies of a ``TransformerDecoderLayer``, and ``norm`` at the end where given.

    Input and result are (T, B, d_model), or with the batch first.

    >>> import nnkit
    >>> layer = TransformerDecoderLayer(8, 2, 16)
    >>> TransformerDecoder(layer, num_layers=2)(nnkit.zeros(5, 3, 8), nnkit.zeros(4, 3, 8)).shape
    (5, 3, 8)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__(decoder_layer, num_layers, norm)

    def forward(
        self, tgt: Tensor, memory: Tensor, tgt_mask: Mask = None, memory_mask: Mask = None,
        tgt_key_padding_mask: Mask = None, memory_key_padding_mask: Mask = None, tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False, *, cache: KeyValueCache | None = None,
    ) -> Tensor:  # fmt: skip
        extra = {} if cache is None else {"cache": cache}
        for layer in self.layers:
            tgt = call(
                layer, tgt, memory, tgt_mask=tgt_mask, memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask, memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=bool(tgt_is_causal), memory_is_causal=memory_is_causal, **extra,
            )  # fmt: skip
        return self._normed(tgt)


class Transformer(Module):
    """An encoder, and a decoder that attends to what it makes: src (S, B, d_model), tgt (T, B, d_model).

    ``custom_encoder`` and ``custom_decoder`` are modules in their place. Raises ShapeError for other widths.

    >>> import nnkit
    >>> model = Transformer(8, nhead=2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=16)
    >>> model(nnkit.zeros(4, 3, 8), nnkit.zeros(5, 3, 8), tgt_is_causal=True).shape
    (5, 3, 8)
    """

    def __init__(
        self, d_model: int = 512, nhead: int = 8, num_encoder_layers: int = 6, num_decoder_layers: int = 6,
        dim_feedforward: int = 2048, dropout: float = 0.1, activation: str | Callable[..., Any] = functional.relu,
        custom_encoder: Module | None = None, custom_decoder: Module | None = None, layer_norm_eps: float = 1e-5,
        batch_first: bool = False, norm_first: bool = False, bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        sizes = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias)

        def norm() -> Module:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, **where)

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*sizes, **where), num_encoder_layers, norm()
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*sizes, **where), num_decoder_layers, norm()
        )
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def forward(
        self, src: Tensor, tgt: Tensor, src_mask: Mask = None, tgt_mask: Mask = None, memory_mask: Mask = None,
        src_key_padding_mask: Mask = None, tgt_key_padding_mask: Mask = None, memory_key_padding_mask: Mask = None,
        src_is_causal: bool | None = None, tgt_is_causal: bool | None = None, memory_is_causal: bool = False,
    ) -> Tensor:  # fmt: skip
        for name, x in (("src", src), ("tgt", tgt)):
            if x.ndim not in (2, 3) or x.shape[-1] != self.d_model:
                raise ShapeError(f"{name}: expected {self.d_model} features in the last axis, got shape {x.shape}")
        memory = call(self.encoder, src, mask=src_mask, src_key_padding_mask=src_key_padding_mask,
                      is_causal=src_is_causal)  # fmt: skip
        return call(
            self.decoder, tgt, memory, tgt_mask=tgt_mask, memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask, memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal, memory_is_causal=memory_is_causal,
        )  # fmt: skip

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """(sz, sz), minus infinity where a key comes after the query, else 0.

        >>> Transformer.generate_square_subsequent_mask(2).tolist()
        [[0.0, -inf], [0.0, 0.0]]
        """
        places = arange(sz, device=device)
        later = ops.gt(places, places.reshape(-1, 1))
        return ops.where(later, -math.inf, zeros((), dtype=dtype or dtypes.float32, device=device))
