"""Convolutions, pools, patches, padding; and normalization."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit.backends.windows import Window
from nnkit.onnx.formulas import activated
from nnkit.onnx.graph import Graph, Value


def _of(window: Window) -> dict[str, Any]:
    """A window's attributes but its padding."""
    return {"strides": list(window.stride), "dilations": list(window.dilation), "kernel_shape": list(window.kernel)}


def _pads(window: Window) -> list[int]:
    return [before for before, _ in window.padding] + [behind for _, behind in window.padding]


def convolved(g: Graph, x: Value, w: Value, b: Value | None, window: Window, groups: int) -> Value:
    """x padded where a convolution of ONNX may not, and the convolution."""
    return g.node("Conv", [x, w, b], group=groups, pads=_pads(window), **_of(window))


def conv(
    g: Graph, outs: list[Any], x: Any, w: Any, b: Any, window: Window, groups: int, activation: Any, scalars: Any
) -> Any:
    x, w, b = (None if t is None else g.cast(g.value(t), outs[0].dtype) for t in (x, w, b))
    return activated(g, activation, convolved(g, x, w, b, window, groups), scalars)


def conv_pooled(
    g: Graph, outs: list[Any], x: Any, w: Any, b: Any, window: Window, pool: Window, groups: int, activation: Any,
    scalars: Any,
) -> Any:  # fmt: skip
    y = conv(g, outs, x, w, b, window, groups, activation, scalars)
    shape = (*x.shape[:1], w.shape[0], *window.places(g.fixed(x.shape[2:], "the size of an image")))
    return _max_pooled(g, y._replace(shape=shape), pool)


def conv_transpose(g: Graph, outs: list[Any], x: Any, w: Any, b: Any, window: Window, sizes: Any, groups: int) -> Any:
    x, w, b = (None if t is None else g.cast(g.value(t), outs[0].dtype) for t in (x, w, b))
    return transposed(g, x, w, b, window, sizes, groups)


def transposed(g: Graph, x: Value, w: Value, b: Value | None, window: Window, sizes: Any, groups: int) -> Value:
    """The gradient of a convolution over so many places."""
    places, sizes = g.fixed(x.shape[2:], "the size of an image"), g.fixed(sizes, "the size of an image")
    before = [lead for lead, _ in window.padding]
    whole = [s * (n - 1) + reach for s, n, reach in zip(window.stride, places, window.reach(), strict=True)]
    behind = [have - lead - size for have, lead, size in zip(whole, before, sizes, strict=True)]
    more = [max(-n, 0) for n in behind]
    pads = [*before, *(max(n, 0) for n in behind)]
    return g.node("ConvTranspose", [x, w, b], group=groups, pads=pads, output_padding=more, **_of(window))


def _padded(g: Graph, x: Value, window: Window, value: float) -> Value:
    lead = [0, 0]
    before, behind = ([pair[side] for pair in window.padding] for side in (0, 1))
    shape = (*x.shape[:2], *window.padded(g.fixed(x.shape[2:], "the size of an image")))
    return g.pad(x, [*lead, *before], [*lead, *behind], value, shape)


def max_pool(g: Graph, outs: list[Any], x: Any, window: Window) -> Any:
    return _max_pooled(g, g.value(x), window)


def _max_pooled(g: Graph, x: Value, window: Window) -> Value:
    if any(max(pair) >= kernel for pair, kernel in zip(window.padding, window.kernel, strict=True)):
        x, window = _padded(g, x, window, -math.inf), window._replace(padding=((0, 0),) * len(window.kernel))
    return g.node("MaxPool", [x], pads=_pads(window), **_of(window))


def sum_pool(g: Graph, outs: list[Any], x: Any, window: Window, factor: float) -> Any:
    value = _padded(g, g.value(x), window, 0.0)
    window = window._replace(padding=((0, 0),) * len(window.kernel))
    count = math.prod(window.kernel)
    if any(d != 1 for d in window.dilation):
        channels = g.fixed(value.shape[1], "the number of channels")
        weights = g.constant(np.full((channels, 1, *window.kernel), factor), value.dtype)
        return convolved(g, value, weights, None, window, channels)
    attributes: dict[str, Any] = {"kernel_shape": list(window.kernel), "strides": list(window.stride)}
    mean = g.node("AveragePool", [value], **attributes)
    times = factor * count
    return mean if math.isclose(times, 1.0) else g.node("Mul", [mean, g.constant(times, value.dtype)])


def spread_pool(g: Graph, outs: list[Any], x: Any, window: Window, factor: float, sizes: Any) -> Any:
    value = g.value(x)
    channels = g.fixed(value.shape[1], "the number of channels")
    weights = g.constant(np.full((channels, 1, *window.kernel), factor), value.dtype)
    return transposed(g, value, weights, None, window, sizes, channels)


def _taps(g: Graph, window: Window, dtype: Any) -> Value:
    """Weights that pick each place of a window."""
    count = math.prod(window.kernel)
    return g.constant(np.eye(count).reshape(count, 1, *window.kernel), dtype)


def patches(g: Graph, outs: list[Any], x: Any, window: Window) -> Any:
    value = g.value(x)
    alone = g.reshape(value, (_all(g, value.shape[:2]), 1, *value.shape[2:]))
    found = convolved(g, alone, _taps(g, window, value.dtype), None, window, 1)
    return g.reshape(found._replace(shape=(alone.shape[0], *outs[0].shape[2:])), outs[0].shape)


def sum_patches(g: Graph, outs: list[Any], x: Any, window: Window, sizes: Any) -> Any:
    value = g.value(x)
    alone = g.reshape(value, (_all(g, value.shape[:2]), *value.shape[2:]))
    found = transposed(g, alone, _taps(g, window, value.dtype), None, window, sizes, 1)
    return g.reshape(found._replace(shape=(alone.shape[0], 1, *sizes)), outs[0].shape)


def _all(g: Graph, sizes: Any) -> Any:
    """The product of a size that may grow and of one that may not."""
    rows, channels = sizes
    channels = g.fixed(channels, "the number of channels")
    return (
        rows * channels
        if isinstance(rows, int)
        else rows._replace(factor=rows.factor * channels, more=rows.more * channels)
    )


def pad_with(g: Graph, outs: list[Any], x: Any, padding: Any, value: float) -> Any:
    given = g.value(x)
    if given.dtype == np.bool_:
        given = g.cast(given, np.int32)
    found = g.pad(given, [b for b, _ in padding], [b for _, b in padding], value)
    return g.cast(found, outs[0].dtype)


# ---- normalization --------------------------------------------------------------------------------------------------


def normalize(g: Graph, outs: list[Any], x: Any, w: Any, b: Any, groups: int, eps: float, centred: bool) -> Any:
    value, (A, C, L) = g.value(x), x.shape
    w, b = (None if t is None else g.cast(g.value(t), value.dtype) for t in (w, b))
    if groups == 1 and centred and w is not None and L == 1:
        shift = None if b is None else g.reshape(b, (C, 1))
        scale = g.reshape(w, (C, 1))
        return [g.node("LayerNormalization", [value, scale, shift], axis=1, epsilon=eps), None, None]
    wide = g.cast(value, np.float32) if value.dtype == np.float16 else value
    axes = [0, 2] if groups == 0 else [2]
    if groups:
        inner = C // groups * g.fixed(L, "the number of places") if isinstance(L, int) else -1
        wide = (
            g.reshape(wide, (A, groups, inner))
            if inner != -1
            else g.node("Reshape", [wide, g.constant([0, groups, -1], np.int64)])
        )
    mean = g.reduce("ReduceMean", wide, axes, True)
    off = g.node("Sub", [wide, mean]) if centred else wide
    variance = g.reduce("ReduceMean", g.node("Mul", [off, off]), axes, True)
    root = g.node("Sqrt", [g.node("Add", [variance, g.constant(eps, wide.dtype)])])
    y = g.node("Div", [off, root], shape=wide.shape)
    y = g.cast(g.reshape(y, value.shape), value.dtype)
    y = y if w is None else g.node("Mul", [y, g.reshape(w, (C, 1))])
    y = y if b is None else g.node("Add", [y, g.reshape(b, (C, 1))])
    if not centred:
        mean = g.node("Sub", [mean, mean])
    parts = [g.reshape(one._replace(shape=()), out.shape) for one, out in zip((mean, variance), outs[1:], strict=True)]
    return [y, *parts]


def normalize_by(g: Graph, outs: list[Any], x: Any, mean: Any, variance: Any, w: Any, b: Any, eps: float) -> Any:
    value, C = g.value(x), x.shape[1]
    given = [g.cast(g.value(t), value.dtype) for t in (mean, variance)]
    w = g.constant(np.ones(C), value.dtype) if w is None else g.cast(g.value(w), value.dtype)
    b = g.constant(np.zeros(C), value.dtype) if b is None else g.cast(g.value(b), value.dtype)
    return g.node("BatchNormalization", [value, w, b, *given], epsilon=eps)


RULES: dict[str, Callable[..., Any]] = {
    "conv": conv, "conv_pooled": conv_pooled, "conv_transpose": conv_transpose, "max_pool": max_pool,
    "sum_pool": sum_pool, "spread_pool": spread_pool, "patches": patches, "sum_patches": sum_patches,
    "pad_with": pad_with, "normalize": normalize, "normalize_by": normalize_by,
}  # fmt: skip
