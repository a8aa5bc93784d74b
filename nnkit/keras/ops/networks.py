"""Activations, normalizations, losses of arrays, and attention: ``keras.ops.nn``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.keras import activations, config
from nnkit.keras.ops.comparing import truth
from nnkit.keras.ops.elementwise import named
from nnkit.keras.ops.products import norm
from nnkit.keras.ops.reducing import mean, sum
from nnkit.keras.ops.shaping import expand_dims, reshape
from nnkit.keras.ops.types import axes_of, convert_to_tensor, floats, result_type
from nnkit.nn.ctc import ctc_loss as of_log_probabilities
from nnkit.tensors import creation, dtypes
from nnkit.tensors.tensor import Tensor

# ---- activations ----------------------------------------------------------------------------------------------------


def _activation(name: str, says: str = "") -> Any:
    """One of ``nnkit.keras.activations`` that takes x alone."""
    core = getattr(activations, name)

    def function(x: Any) -> Tensor:
        return core(floats(x))

    return named(function, name, says or core.__doc__.partition("\n\n")[0])


sigmoid, silu, softplus, softsign = (_activation(name) for name in ("sigmoid", "silu", "softplus", "softsign"))
selu, hard_sigmoid, hard_silu = (_activation(name) for name in ("selu", "hard_sigmoid", "hard_silu"))
swish, hard_swish = silu, hard_silu


def relu(x: Any) -> Tensor:
    """x where it is above 0, else 0."""
    x = convert_to_tensor(x)
    if x.is_floating_point():
        return activations.relu(x)
    return x if x.dtype.kind in "bu" else ops.clamp(x, min=0)


def relu6(x: Any) -> Tensor:
    """x, not below 0 and not above 6."""
    return activations.relu6(floats(x))


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Tensor:
    """x where it is above 0, else ``negative_slope`` times it."""
    return activations.leaky_relu(floats(x), negative_slope)


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """x where it is above 0, else ``alpha (exp(x) - 1)``."""
    return activations.elu(floats(x), alpha)


def celu(x: Any, alpha: float = 1.0) -> Tensor:
    """x where it is above 0, else ``alpha (exp(x / alpha) - 1)``."""
    return activations.celu(floats(x), alpha)


def gelu(x: Any, approximate: bool = True) -> Tensor:
    """x times the share of a standard normal distribution below it; by tanh unless ``approximate`` is False."""
    return activations.gelu(floats(x), approximate)


def glu(x: Any, axis: int = -1) -> Tensor:
    """The first half along an axis times the sigmoid of the second."""
    return activations.glu(floats(x), axis)


def log_sigmoid(x: Any) -> Tensor:
    """log(sigmoid(x))."""
    return activations.log_sigmoid(floats(x))


def hard_shrink(x: Any, threshold: float = 0.5) -> Tensor:
    """x where it is farther than the threshold from 0, else 0."""
    return activations.hard_shrink(floats(x), threshold)


def soft_shrink(x: Any, threshold: float = 0.5) -> Tensor:
    """x moved towards 0 by the threshold, but not beyond."""
    return activations.soft_shrink(floats(x), threshold)


def hard_tanh(x: Any) -> Tensor:
    """x, not below -1 and not above 1."""
    return activations.hard_tanh(floats(x))


def tanh_shrink(x: Any) -> Tensor:
    """x - tanh(x)."""
    return activations.tanh_shrink(floats(x))


def threshold(x: Any, threshold: float, default_value: float) -> Tensor:
    """x where it is above the threshold, else ``default_value``."""
    return activations.threshold(floats(x), threshold, default_value)


def squareplus(x: Any, b: float = 4) -> Tensor:
    """(x + sqrt(x² + b)) / 2."""
    return activations.squareplus(floats(x), b)


def sparse_plus(x: Any) -> Tensor:
    """0 below -1, x above 1, and (x + 1)² / 4 between."""
    return activations.sparse_plus(floats(x))


def sparse_sigmoid(x: Any) -> Tensor:
    """0 below -1, 1 above 1, and (x + 1) / 2 between."""
    return activations.sparse_sigmoid(floats(x))


def _over_axes(x: Any, axis: Any, op: Any) -> Tensor:
    """A function along one axis, over several axes together."""
    x = floats(x)
    axes = axes_of(axis, x.ndim)
    if len(axes) == 1:
        return op(x, axes[0])
    rest = tuple(k for k in range(x.ndim) if k not in axes)
    turned = ops.permute(x, (*rest, *axes))
    y = op(ops.reshape(turned, (*(x.shape[k] for k in rest), -1)), len(rest))
    return ops.permute(ops.reshape(y, turned.shape), [(*rest, *axes).index(k) for k in range(x.ndim)])


def softmax(x: Any, axis: Any = -1) -> Tensor:
    """Shares that add up to 1 along an axis, or over several together."""
    return _over_axes(x, axis, ops.softmax)


def log_softmax(x: Any, axis: Any = -1) -> Tensor:
    """The logarithm of :func:`softmax`."""
    return _over_axes(x, axis, ops.log_softmax)


def sparsemax(x: Any, axis: int = -1) -> Tensor:
    """The nearest shares that add up to 1, many of them 0 (Martins and Astudillo, From Softmax to Sparsemax, 2016)."""
    return activations.sparsemax(floats(x), axis)


# ---- normalizations -------------------------------------------------------------------------------------------------


def normalize(x: Any, axis: Any = -1, order: int = 2, epsilon: float | None = None) -> Tensor:
    """x / max(norm(x), epsilon) along axes.

    >>> [round(n, 4) for n in normalize([3.0, 4.0]).tolist()]
    [0.6, 0.8]
    """
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"normalize: order must be a whole number of at least 1; got {order!r}")
    x = floats(x)
    x = ops.reshape(x, (1,)) if x.ndim == 0 else x
    least = config.epsilon() if epsilon is None else epsilon
    if order == 2:
        return x * ops.clamp(ops.rsqrt(sum(x * x, axis, True)), max=1.0 / least)
    return x / ops.clamp(norm(x, order, axis, True), min=least)


def batch_normalization(
    x: Any, mean: Any, variance: Any, axis: int, offset: Any = None, scale: Any = None, epsilon: float = 1e-3
) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) * scale + offset, with vectors along an axis."""
    x = floats(x)
    place = axes_of(axis, x.ndim)[0]
    shape = [-1 if k == place else 1 for k in range(x.ndim)]

    def laid(part: Any) -> Tensor:
        return reshape(ops.to(convert_to_tensor(part), dtype=x.dtype), shape)

    factor = ops.rsqrt(laid(variance) + epsilon)
    factor = factor if scale is None else factor * laid(scale)
    shift = -laid(mean) * factor
    return x * factor + (shift if offset is None else shift + laid(offset))


def _wide(x: Tensor) -> Tensor:
    """Half types as float32."""
    return ops.to(x, dtype=dtypes.float32) if x.dtype.itemsize == 2 else x


def layer_normalization(
    x: Any, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: float | None = None
) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta, of each sample along its axes."""
    x = floats(x)
    wide = _wide(x)
    least = config.epsilon() if epsilon is None else epsilon
    axes = sorted(axes_of(axis, x.ndim))
    apart = wide - mean(wide, axes, True)
    y = apart * ops.rsqrt(mean(apart * apart, axes, True) + least)
    return ops.to(_scaled(y, axes, gamma, beta), dtype=x.dtype)


def _scaled(y: Tensor, axes: Sequence[int], gamma: Any, beta: Any) -> Tensor:
    shape = [n if k in axes else 1 for k, n in enumerate(y.shape)]
    if gamma is not None:
        y = y * reshape(ops.to(convert_to_tensor(gamma), dtype=y.dtype), shape)
    if beta is not None:
        y = y + reshape(ops.to(convert_to_tensor(beta), dtype=y.dtype), shape)
    return y


def rms_normalization(x: Any, scale: Any = None, axis: Any = -1, epsilon: float | None = None) -> Tensor:
    """x / sqrt(mean(x²) + epsilon) * scale (Zhang and Sennrich, Root Mean Square Layer Normalization, 2019)."""
    x = floats(x)
    x = ops.reshape(x, (1,)) if x.ndim == 0 else x
    wide = _wide(x)
    least = config.epsilon() if epsilon is None else epsilon
    y = wide * ops.rsqrt(mean(wide * wide, axis, True) + least)
    return ops.to(y if scale is None else y * ops.to(convert_to_tensor(scale), dtype=y.dtype), dtype=x.dtype)


# ---- losses ---------------------------------------------------------------------------------------------------------


def _of_one_shape(name: str, target: Tensor, output: Tensor) -> None:
    if target.shape != output.shape:
        raise ShapeError(
            f"{name}: target and output must have one shape; got {tuple(target.shape)} and {tuple(output.shape)}"
        )


def _bounded(probabilities: Tensor) -> Tensor:
    least = config.epsilon()
    return ops.clamp(probabilities, least, 1.0 - least)


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Tensor:
    """-(target log(output) + (1 - target) log(1 - output)), of each element."""
    output = floats(output)
    target = ops.to(convert_to_tensor(target), dtype=output.dtype)
    _of_one_shape("binary_crossentropy", target, output)
    if from_logits:
        return -target * log_sigmoid(output) - (1.0 - target) * log_sigmoid(-output)
    output = _bounded(output)
    return -(target * ops.log(output) + (1.0 - target) * ops.log(1.0 - output))


def _logarithms(output: Tensor, from_logits: bool, axis: int) -> Tensor:
    if from_logits:
        return ops.log_softmax(output, axis)
    return ops.log(_bounded(output / ops.sum(output, axis, True)))


def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Tensor:
    """-sum(target log(output)) along the axis of classes.

    >>> round(categorical_crossentropy([0.0, 1.0], [0.5, 0.5]).item(), 4)
    0.6931
    """
    output = floats(output)
    target = ops.to(convert_to_tensor(target), dtype=output.dtype)
    _of_one_shape("categorical_crossentropy", target, output)
    return -ops.sum(target * _logarithms(output, from_logits, axis), axis)


def sparse_categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Tensor:
    """-log of what output has at the target's class, along the axis of classes; 0 of a number that is no class."""
    output, target = floats(output), ops.to(convert_to_tensor(target), dtype=dtypes.int64)
    axis = axes_of(axis, output.ndim)[0]
    if target.ndim == output.ndim and target.shape[-1] == 1:
        target = ops.squeeze(target, -1)
    if target.shape != output.shape[:axis] + output.shape[axis + 1 :]:
        raise ShapeError(
            "sparse_categorical_crossentropy: the target must have output's shape without its classes; got "
            f"{tuple(target.shape)} and {tuple(output.shape)}"
        )
    known = ops.logical_and(target >= 0, target < output.shape[axis])
    place = ops.unsqueeze(ops.where(known, target, 0), axis)
    found = ops.squeeze(ops.gather(_logarithms(output, from_logits, axis), axis, place), axis)
    return -ops.where(known, found, 0.0)


def ctc_loss(target: Any, output: Any, target_length: Any, output_length: Any, mask_index: int = 0) -> Tensor:
    """-log of the probability of labels over all alignments, from logits (B, T, classes): (B,).

    Graves et al., Connectionist Temporal Classification, 2006.
    """
    logits = ops.permute(ops.log_softmax(_wide(floats(output)), -1), (1, 0, 2))
    labels, frames, lengths = (
        ops.to(convert_to_tensor(part), dtype=dtypes.int64) for part in (target, output_length, target_length)
    )
    return of_log_probabilities(logits, labels, frames, lengths, mask_index, "none")


def ctc_decode(
    inputs: Any, sequence_lengths: Any, strategy: str = "greedy", beam_width: int = 100, top_paths: int = 1,
    merge_repeated: bool = True, mask_index: int = 0,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The likeliest class of each frame, without repetitions and blanks: (1, B, T), -1 behind; minus their scores.

    ``strategy="beam_search"`` is refused.
    """
    if strategy != "greedy":
        raise NotImplementedError(f"ctc_decode: only strategy='greedy' is there; got {strategy!r}")
    scores, best = ops.max(_wide(floats(inputs)), -1)
    frames = creation.arange(best.shape[1], dtype=dtypes.int64, device=best.device)
    after = frames >= expand_dims(ops.to(convert_to_tensor(sequence_lengths), dtype=dtypes.int64), -1)
    best, scores = ops.where(after, mask_index, best), ops.where(after, 0.0, scores)
    blank = ops.eq(best, mask_index)
    if merge_repeated:
        again = ops.eq(best[:, 1:], best[:, :-1])
        first = creation.zeros(best.shape[0], 1, dtype=dtypes.bool_, device=best.device)
        blank = ops.logical_or(blank, ops.cat([first, again], 1))
    order = ops.argsort(ops.to(blank, dtype=dtypes.int64), -1)
    found = ops.gather(ops.where(blank, -1, best), 1, order)
    return ops.unsqueeze(ops.to(found, dtype=dtypes.int32), 0), -ops.sum(scores, 1, True)


# ---- attention ------------------------------------------------------------------------------------------------------


def dot_product_attention(
    query: Any, key: Any, value: Any, bias: Any = None, mask: Any = None, scale: float | None = None,
    is_causal: bool = False, flash_attention: bool | None = None, attn_logits_soft_cap: float | None = None,
) -> Tensor:  # fmt: skip
    """softmax(scale query key^T + bias) value, by head: (B, T, heads, E), (B, S, heads, E), (B, S, heads, F).

    ``mask`` is True where something is to be seen, broadcast to (B, heads, T, S).
    """
    parts = [convert_to_tensor(part) for part in (query, key, value)]
    if any(part.ndim != 4 for part in parts):
        raise ShapeError(f"dot_product_attention: expected 4 axes each; got {[tuple(part.shape) for part in parts]}")
    kind = np.dtype(result_type(*(part.dtype for part in parts)))
    q, k, v = (ops.permute(ops.to(floats(part), dtype=kind), (0, 2, 1, 3)) for part in parts)
    factor = 1.0 / math.sqrt(q.shape[-1]) if scale is None else float(scale)
    if bias is None and attn_logits_soft_cap is None:
        seen = None if mask is None else truth(mask)
        if seen is not None:
            seen = ops.broadcast_to(seen, (q.shape[0], q.shape[1], q.shape[2], k.shape[2]))
        return ops.permute(ops.attention(q, k, v, seen, is_causal, factor), (0, 2, 1, 3))
    scores = ops.matmul(q, ops.transpose(k, -2, -1)) * factor
    if bias is not None:
        scores = scores + ops.to(convert_to_tensor(bias), dtype=kind)
    if attn_logits_soft_cap is not None:
        scores = ops.tanh(scores / attn_logits_soft_cap) * attn_logits_soft_cap
    hidden = _hidden(scores, mask, is_causal)
    if hidden is not None:
        scores = ops.where(hidden, -0.7 * float(np.finfo(np.float32).max), scores)
    return ops.permute(ops.matmul(ops.softmax(scores, -1), v), (0, 2, 1, 3))


def _hidden(scores: Tensor, mask: Any, is_causal: bool) -> Tensor | None:
    """True where nothing is to be seen."""
    hidden = None if mask is None else ops.logical_not(truth(mask))
    if is_causal:
        rows = creation.arange(scores.shape[-2], device=scores.device)
        later = creation.arange(scores.shape[-1], device=scores.device) > ops.unsqueeze(rows, 1)
        hidden = later if hidden is None else ops.logical_or(hidden, later)
    return hidden
