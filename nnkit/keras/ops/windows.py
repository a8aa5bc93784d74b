"""Convolutions and pools of images, signals and volumes, with Keras's kernels (*size, channels, filters)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.backends.windows import Window
from nnkit.errors import ShapeError
from nnkit.keras.more_convolutions import spread_of
from nnkit.keras.ops.elementwise import as_tensors
from nnkit.keras.ops.types import convert_to_tensor, floats
from nnkit.keras.places import known_format, known_padding, window_over
from nnkit.nn.sizes import numbers
from nnkit.nn.windowed_functions import counts
from nnkit.tensors.creation import tensor
from nnkit.tensors.tensor import Tensor


class _View:
    """Images (B, *S, C) or (B, C, *S), seen as (B, C, *S)."""

    def __init__(self, name: str, inputs: Tensor, data_format: str | None) -> None:
        if inputs.ndim not in (3, 4, 5):
            raise ShapeError(f"{name}: expected inputs of 3, 4 or 5 axes; got shape {tuple(inputs.shape)}")
        self.is_last = known_format(data_format) == "channels_last"
        self.axes = inputs.ndim - 2
        order = (0, inputs.ndim - 1, *range(1, inputs.ndim - 1))
        self.x = inputs.permute(order) if self.is_last else inputs

    def back(self, y: Tensor) -> Tensor:
        return y.permute(0, *range(2, y.ndim), 1) if self.is_last else y

    def window(self, kernel: Any, strides: Any, padding: str, dilation: Any) -> Window:
        """The window of a convolution or a pool."""
        sizes = [
            numbers(name, given, self.axes)
            for name, given in (("kernel", kernel), ("strides", strides), ("dilation_rate", dilation))
        ]
        return window_over(self.x.shape[2:], sizes[0], sizes[1], known_padding(padding), sizes[2])


def conv(
    inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid", data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:  # fmt: skip
    """A convolution: inputs (B, *S, C), kernel (*size, C / groups, filters) -> (B, *S', filters).

    >>> import nnkit
    >>> conv(nnkit.ones(1, 4, 1), nnkit.ones(2, 1, 3)).shape
    (1, 3, 3)
    """
    x, w = (floats(part) for part in as_tensors(inputs, kernel))
    view = _View("conv", x, data_format)
    if w.ndim != x.ndim or view.x.shape[1] % w.shape[-2]:
        raise ShapeError(
            f"conv: a kernel of shape {tuple(w.shape)} does not fit inputs of shape {tuple(x.shape)}: expected "
            "(*size, channels, filters), whose channels divide those of the inputs"
        )
    weight = ops.permute(w, (w.ndim - 1, w.ndim - 2, *range(w.ndim - 2)))
    window = view.window(w.shape[:-2], strides, padding, dilation_rate)
    return view.back(ops.conv(view.x, weight, None, window, view.x.shape[1] // w.shape[-2]))


def depthwise_conv(
    inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid", data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:  # fmt: skip
    """Each channel by itself: inputs (B, *S, C), kernel (*size, C, multiplier) -> (B, *S', C multiplier)."""
    w = convert_to_tensor(kernel)
    grouped = ops.reshape(w, (*w.shape[:-2], 1, w.shape[-2] * w.shape[-1]))
    return conv(inputs, grouped, strides, padding, data_format, dilation_rate)


def separable_conv(
    inputs: Any, depthwise_kernel: Any, pointwise_kernel: Any, strides: Any = 1, padding: str = "valid",
    data_format: str | None = None, dilation_rate: Any = 1,
) -> Tensor:  # fmt: skip
    """:func:`depthwise_conv`, then a convolution of kernel size 1."""
    between = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(between, pointwise_kernel, data_format=data_format)


def conv_transpose(
    inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid", output_padding: Any = None,
    data_format: str | None = None, dilation_rate: Any = 1,
) -> Tensor:  # fmt: skip
    """The gradient of a convolution: inputs (B, *S, C), kernel (*size, filters, C) -> (B, *S', filters)."""
    x, w = (floats(part) for part in as_tensors(inputs, kernel))
    view = _View("conv_transpose", x, data_format)
    steps, apart = (
        numbers(n, given, view.axes) for n, given in (("strides", strides), ("dilation_rate", dilation_rate))
    )
    more = (None,) * view.axes if output_padding is None else numbers("output_padding", output_padding, view.axes, 0)
    sizes, around = [], []
    for n, step, k, d, extra in zip(view.x.shape[2:], steps, w.shape[:-2], apart, more, strict=True):
        size, before = spread_of(n, step, d * (k - 1) + 1, known_padding(padding), extra)
        sizes.append(size)
        around.append((before, max((n - 1) * step + d * (k - 1) + 1 - size - before, 0)))
    window = Window(tuple(w.shape[:-2]), tuple(steps), tuple(around), tuple(apart))
    weight = ops.permute(w, (w.ndim - 1, w.ndim - 2, *range(w.ndim - 2)))
    return view.back(ops.conv_transpose(view.x, weight, None, window, tuple(sizes)))


def max_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None
) -> Tensor:
    """The greatest element in each window."""
    view = _View("max_pool", floats(inputs), data_format)
    return view.back(ops.max_pool(view.x, _pool(view, pool_size, strides, padding)))


def average_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None
) -> Tensor:
    """The mean of each window, over what is there."""
    view = _View("average_pool", floats(inputs), data_format)
    window = _pool(view, pool_size, strides, padding)
    if not any(map(any, window.padding)):
        return view.back(ops.sum_pool(view.x, window, 1.0 / math.prod(window.kernel)))
    return view.back(ops.sum_pool(view.x, window) / counts(view.x, window, ((0, 0),) * view.axes))


def _pool(view: _View, pool_size: Any, strides: Any, padding: str) -> Window:
    return view.window(pool_size, pool_size if strides is None else strides, padding, 1)


def adaptive_average_pool(inputs: Any, output_size: Any, data_format: str | None = None) -> Tensor:
    """The means of so many windows as evenly split the places."""
    view = _View("adaptive_average_pool", floats(inputs), data_format)
    y = view.x
    for axis, count in enumerate(numbers("output_size", output_size, view.axes), 2):
        n = y.shape[axis]
        shares = np.zeros((n, count))
        for k, (first, last) in enumerate(_spans(n, count)):
            shares[first:last, k] = 1.0 / (last - first)
        y = _along(y, axis, tensor(shares, dtype=y.dtype, device=y.device))
    return view.back(y)


def adaptive_max_pool(inputs: Any, output_size: Any, data_format: str | None = None) -> Tensor:
    """The greatest elements of so many windows as evenly split the places."""
    view = _View("adaptive_max_pool", floats(inputs), data_format)
    y = view.x
    for axis, count in enumerate(numbers("output_size", output_size, view.axes), 2):
        spans = _spans(y.shape[axis], count)
        y = ops.stack([ops.amax(ops.narrow(y, axis, a, b - a), axis) for a, b in spans], axis)
    return view.back(y)


def _spans(n: int, count: int) -> list[tuple[int, int]]:
    """Where each of ``count`` windows over n places begins and ends.

    >>> _spans(5, 2)
    [(0, 3), (2, 5)]
    """
    return [(k * n // count, -(-(k + 1) * n // count)) for k in range(count)]


def _along(x: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """An axis times a matrix (n, m)."""
    return ops.movedim(ops.matmul(ops.movedim(x, axis, -1), matrix), -1, axis)
