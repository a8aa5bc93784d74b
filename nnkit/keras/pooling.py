"""Pools with Keras's arguments and defaults."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Unpack

from nnkit import ops
from nnkit.backends.windows import Window
from nnkit.keras.layer import LayerOptions, Shape
from nnkit.keras.places import ImageLayer, known_padding, places, window_over
from nnkit.nn.sizes import Sizes, numbers
from nnkit.nn.windowed_functions import counts
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "AvgPool1D", "AvgPool2D", "AvgPool3D",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAvgPool1D", "GlobalAvgPool2D", "GlobalMaxPool1D",
    "GlobalMaxPool2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "MaxPool1D", "MaxPool2D", "MaxPool3D",
    "MaxPooling1D", "MaxPooling2D", "MaxPooling3D",
]
# fmt: on


class _Pooling(ImageLayer):
    def __init__(
        self, pool_size: Sizes = 2, strides: Any = None, padding: str = "valid", data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(data_format, **options)
        self.pool_size = numbers("pool_size", pool_size, self.axes)
        self.strides = self.pool_size if strides is None else numbers("strides", strides, self.axes)
        self.padding = known_padding(padding)

    def _pool(self, x: Tensor, window: Window) -> Tensor:
        raise NotImplementedError

    def call(self, inputs: Tensor) -> Tensor:
        x = self.channels_first(inputs)
        window = window_over(x.shape[2:], self.pool_size, self.strides, self.padding, (1,) * self.axes)
        return self.as_given(self._pool(x, window))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        channels, sizes = self.parts_of(input_shape)
        name = f"{type(self).__name__} layer {self.name!r}"
        found = places(name, sizes, self.pool_size, self.strides, self.padding, (1,) * self.axes)
        return self.shape_of(input_shape[0], channels, found)

    def get_config(self) -> dict[str, Any]:
        own = {"pool_size": list(self.pool_size), "strides": list(self.strides), "padding": self.padding}
        return {**super().get_config(), **own}


class _MaxPooling(_Pooling):
    def _pool(self, x: Tensor, window: Window) -> Tensor:
        return ops.max_pool(x, window)


class _AveragePooling(_Pooling):
    def _pool(self, x: Tensor, window: Window) -> Tensor:
        if not any(map(any, window.padding)):
            return ops.sum_pool(x, window, 1.0 / math.prod(window.kernel))
        return ops.sum_pool(x, window) / counts(x, window, ((0, 0),) * self.axes)


class MaxPooling1D(_MaxPooling):
    """The greatest element in each window: (B, steps, C) -> (B, steps', C); see ``MaxPooling2D``.

    >>> MaxPooling1D(2)([[[1.0], [3.0], [2.0], [0.0]]]).tolist()
    [[[3.0], [2.0]]]
    """

    axes = 1


class MaxPooling2D(_MaxPooling):
    """The greatest element in each window: (B, height, width, C) -> (B, height', width', C).

    Args:
        pool_size: one number, or one for height and one for width.
        strides: the same; ``pool_size`` by default.
        padding: "valid" for none; "same" for ceil(size / stride) places, where what lies outside is never greatest.
        data_format: "channels_last", or "channels_first": (B, C, height, width).
        options: ``name``, ``input_shape``.

    >>> import nnkit
    >>> MaxPooling2D()(nnkit.zeros(5, 28, 28, 3)).shape
    (5, 14, 14, 3)
    """

    axes = 2


class MaxPooling3D(_MaxPooling):
    """The greatest element in each window of volumes; see ``MaxPooling2D``.

    >>> import nnkit
    >>> MaxPooling3D(2)(nnkit.zeros(1, 4, 4, 4, 3)).shape
    (1, 2, 2, 2, 3)
    """

    axes = 3


class AveragePooling1D(_AveragePooling):
    """The mean of each window: (B, steps, C) -> (B, steps', C); see ``AveragePooling2D``.

    >>> AveragePooling1D(2, padding="same")([[[1.0], [3.0], [2.0]]]).tolist()
    [[[2.0], [2.0]]]
    """

    axes = 1


class AveragePooling2D(_AveragePooling):
    """The mean of each window: (B, height, width, C) -> (B, height', width', C); padding does not count.

    The arguments are those of ``MaxPooling2D``.

    >>> import nnkit
    >>> AveragePooling2D(3, strides=1, padding="same")(nnkit.ones(1, 4, 4, 1)).sum().item()
    16.0
    """

    axes = 2


class AveragePooling3D(_AveragePooling):
    """The mean of each window of volumes; see ``AveragePooling2D``.

    >>> import nnkit
    >>> AveragePooling3D(2)(nnkit.zeros(1, 4, 4, 4, 3)).shape
    (1, 2, 2, 2, 3)
    """

    axes = 3


class _GlobalPooling(ImageLayer):
    reduction: ClassVar[str]

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **options: Unpack[LayerOptions]) -> None:
        super().__init__(data_format, **options)
        self.keepdims = keepdims

    def call(self, inputs: Tensor) -> Tensor:
        self.parts_of(inputs.shape)
        first = 1 if self.data_format == "channels_last" else 2
        axes = tuple(range(first, first + self.axes))
        return (ops.mean if self.reduction == "mean" else ops.amax)(inputs, axes, self.keepdims)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        channels, sizes = self.parts_of(input_shape)
        kept = (1,) * len(sizes) if self.keepdims else ()
        return self.shape_of(input_shape[0], channels, kept)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "keepdims": self.keepdims}


class GlobalAveragePooling1D(_GlobalPooling):
    """The mean over all steps that count: (B, steps, C) -> (B, C), or (B, 1, C) with ``keepdims``.

    >>> GlobalAveragePooling1D()([[[1.0, 0.0], [3.0, 4.0]]]).tolist()
    [[2.0, 2.0]]
    """

    axes, reduction = 1, "mean"

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return super().call(inputs)
        axis = 1 if self.data_format == "channels_last" else 2
        there = ops.unsqueeze(mask, 3 - axis).to(inputs.dtype)
        return ops.sum(inputs * there, axis, self.keepdims) / ops.sum(there, axis, self.keepdims)


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean over all places: (B, height, width, C) -> (B, C), or (B, 1, 1, C) with ``keepdims``.

    >>> GlobalAveragePooling2D().compute_output_shape((None, 7, 7, 64))
    (None, 64)
    """

    axes, reduction = 2, "mean"


class GlobalMaxPooling1D(_GlobalPooling):
    """The greatest over all steps: (B, steps, C) -> (B, C), or (B, 1, C) with ``keepdims``.

    >>> GlobalMaxPooling1D()([[[1.0, 0.0], [3.0, 4.0]]]).tolist()
    [[3.0, 4.0]]
    """

    axes, reduction = 1, "max"


class GlobalMaxPooling2D(_GlobalPooling):
    """The greatest over all places: (B, height, width, C) -> (B, C), or (B, 1, 1, C) with ``keepdims``.

    >>> GlobalMaxPooling2D(keepdims=True).compute_output_shape((None, 7, 7, 64))
    (None, 1, 1, 64)
    """

    axes, reduction = 2, "max"


MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
GlobalAvgPool1D, GlobalAvgPool2D = GlobalAveragePooling1D, GlobalAveragePooling2D
GlobalMaxPool1D, GlobalMaxPool2D = GlobalMaxPooling1D, GlobalMaxPooling2D
