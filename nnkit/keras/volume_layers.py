"""Layers of volumes, and pools into a number of windows, with Keras's arguments and defaults."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from nnkit.keras.layer import LayerOptions, Shape
from nnkit.keras.ops import windows
from nnkit.keras.places import ImageLayer
from nnkit.keras.pooling import _GlobalPooling
from nnkit.keras.reshaping import _Cropping, _SpatialDropout, _UpSampling, _ZeroPadding
from nnkit.nn.sizes import numbers
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D", "AdaptiveAveragePooling3D", "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D", "Cropping3D", "GlobalAveragePooling3D", "GlobalMaxPooling3D",
    "SpatialDropout3D", "UpSampling3D", "ZeroPadding3D",
]
# fmt: on


class GlobalAveragePooling3D(_GlobalPooling):
    """The mean over all places of volumes: (B, depth, height, width, C) -> (B, C).

    >>> GlobalAveragePooling3D().compute_output_shape((None, 4, 4, 4, 8))
    (None, 8)
    """

    axes, reduction = 3, "mean"


class GlobalMaxPooling3D(_GlobalPooling):
    """The greatest over all places of volumes: (B, depth, height, width, C) -> (B, C)."""

    axes, reduction = 3, "max"


class UpSampling3D(_UpSampling):
    """Each place of volumes ``size`` times along each axis."""

    axes = 3

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": list(self.size)}


class ZeroPadding3D(_ZeroPadding):
    """Zeros around volumes: ``padding`` is one number, three, or three pairs."""

    axes = 3


class Cropping3D(_Cropping):
    """The middle of volumes: ``cropping`` is one number, three, or three pairs."""

    axes = 3

    def __init__(
        self, cropping: Any = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(cropping, data_format, **options)


class SpatialDropout3D(_SpatialDropout):
    """While training, sets a ``rate`` of the channels of volumes to 0 in all places."""

    axes = 3


class _Adaptive(ImageLayer):
    greatest: ClassVar[bool]

    def __init__(self, output_size: Any, data_format: str | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(data_format, **options)
        self.output_size = numbers("output_size", output_size, self.axes)

    def call(self, inputs: Tensor) -> Tensor:
        pool = windows.adaptive_max_pool if self.greatest else windows.adaptive_average_pool
        return pool(inputs, self.output_size, self.data_format)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        channels, _ = self.parts_of(input_shape)
        return self.shape_of(input_shape[0], channels, tuple(self.output_size))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "output_size": list(self.output_size)}


class AdaptiveAveragePooling1D(_Adaptive):
    """The means of ``output_size`` windows that split the steps evenly.

    >>> AdaptiveAveragePooling1D(2)([[[1.0], [3.0], [5.0], [7.0]]]).tolist()
    [[[2.0], [6.0]]]
    """

    axes, greatest = 1, False


class AdaptiveAveragePooling2D(_Adaptive):
    """The means of ``output_size`` windows that split images evenly."""

    axes, greatest = 2, False


class AdaptiveAveragePooling3D(_Adaptive):
    """The means of ``output_size`` windows that split volumes evenly."""

    axes, greatest = 3, False


class AdaptiveMaxPooling1D(_Adaptive):
    """The greatest of ``output_size`` windows that split the steps evenly."""

    axes, greatest = 1, True


class AdaptiveMaxPooling2D(_Adaptive):
    """The greatest of ``output_size`` windows that split images evenly."""

    axes, greatest = 2, True


class AdaptiveMaxPooling3D(_Adaptive):
    """The greatest of ``output_size`` windows that split volumes evenly."""

    axes, greatest = 3, True
