"""Images in another size, cut at random or in the middle, brighter and grayer. Keras's arguments and defaults."""

from __future__ import annotations

from typing import Any, Unpack

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.keras.arguments import positive
from nnkit.keras.augmentation import _Random, between
from nnkit.keras.layer import Layer, LayerOptions, Shape
from nnkit.keras.ops import images as functions
from nnkit.keras.places import known_format
from nnkit.tensors.creation import arange
from nnkit.tensors.random_tensors import rand
from nnkit.tensors.tensor import Tensor

__all__ = ["CenterCrop", "RandomBrightness", "RandomCrop", "RandomGrayscale", "Resizing"]


class _Sized(Layer):
    """A layer that makes images of one height and width."""

    def __init__(
        self, height: int, width: int, data_format: str | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        name = type(self).__name__
        self.height, self.width = positive(name, "height", height), positive(name, "width", width)
        self.data_format = known_format(data_format)

    def _axes(self, rank: int) -> tuple[int, int]:
        """The axes of height and width."""
        if rank not in (3, 4):
            raise ShapeError(f"{type(self).__name__} {self.name!r} needs one image or a batch; got {rank} axes")
        return (rank - 3, rank - 2) if self.data_format == "channels_last" else (rank - 2, rank - 1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        sizes = list(input_shape)
        tall, wide = self._axes(len(sizes))
        sizes[tall], sizes[wide] = self.height, self.width
        return tuple(sizes)

    def _cut(self, x: Tensor, top: int, left: int) -> Tensor:
        tall, wide = self._axes(x.ndim)
        return ops.narrow(ops.narrow(x, tall, top, self.height), wide, left, self.width)

    def _smart(self, x: Tensor) -> Tensor:
        return functions.resize(x, (self.height, self.width), crop_to_aspect_ratio=True, data_format=self.data_format)

    def get_config(self) -> dict[str, Any]:
        own = {"height": self.height, "width": self.width, "data_format": self.data_format}
        return {**super().get_config(), **own}


class Resizing(_Sized):
    """Images of another height and width. The arguments are those of ``keras.ops.image.resize``.

    >>> import nnkit
    >>> Resizing(4, 6)(nnkit.zeros(2, 8, 8, 3)).shape
    (2, 4, 6, 3)
    """

    def __init__(
        self, height: int, width: int, interpolation: str = "bilinear", crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False, fill_mode: str = "constant", fill_value: float = 0.0,
        antialias: bool = False, data_format: str | None = None, **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(height, width, data_format, **options)
        self.interpolation, self.antialias = interpolation, antialias
        self.crop_to_aspect_ratio, self.pad_to_aspect_ratio = crop_to_aspect_ratio, pad_to_aspect_ratio
        self.fill_mode, self.fill_value = fill_mode, fill_value

    def call(self, inputs: Tensor) -> Tensor:
        return functions.resize(
            inputs, (self.height, self.width), self.interpolation, self.antialias, self.crop_to_aspect_ratio,
            self.pad_to_aspect_ratio, self.fill_mode, self.fill_value, self.data_format,
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        names = ("interpolation", "crop_to_aspect_ratio", "pad_to_aspect_ratio", "fill_mode", "fill_value", "antialias")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class CenterCrop(_Sized):
    """The middle of images; smaller ones are made larger first.

    >>> import nnkit
    >>> CenterCrop(2, 2)(nnkit.arange(16.0).reshape(1, 4, 4, 1)).reshape(-1).tolist()
    [5.0, 6.0, 9.0, 10.0]
    """

    def call(self, inputs: Tensor) -> Tensor:
        tall, wide = self._axes(inputs.ndim)
        spare = inputs.shape[tall] - self.height, inputs.shape[wide] - self.width
        if min(spare) < 0:
            return self._smart(inputs)
        return self._cut(inputs, spare[0] // 2, spare[1] // 2)


class RandomCrop(_Sized):
    """A part of images: at random in training, one place for the whole batch; else the middle, without distortion."""

    def __init__(
        self, height: int, width: int, seed: int | None = None, data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(height, width, data_format, **options)
        self.seed = seed

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        tall, wide = self._axes(inputs.ndim)
        spare = inputs.shape[tall] - self.height, inputs.shape[wide] - self.width
        if not training or min(spare) <= 0:
            return self._smart(inputs)
        x = inputs
        for axis, size, more in ((tall, self.height, spare[0]), (wide, self.width, spare[1])):
            start = ops.floor(rand(1, device=x.device) * float(more + 1)).long()
            places = start + ops.reshape(_numbers(size, x.device), (-1,))
            x = ops.index_select(x, axis, places)
        return x

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


def _numbers(count: int, device: Any) -> Tensor:
    return arange(count, device=device)


class RandomBrightness(_Random):
    """While training, adds a number to each image: from ``factor`` of the range of values.

    Args:
        factor: a number, for both sides of 0, or two, from -1 to 1.
        value_range: the least and the greatest value of a pixel; the result stays within.
        seed: accepted.
    """

    arguments = ("factor", "value_range")

    def __init__(
        self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(seed, data_format, **options)
        self.factor = factor
        self.value_range = tuple(value_range)
        self._bounds = between("RandomBrightness", "factor", factor, -1.0, 1.0)

    def _change(self, x: Tensor) -> Tensor:
        low, high = (float(v) for v in self.value_range)
        share = rand(x.shape[0], 1, 1, 1, dtype=x.dtype, device=x.device)
        more = (share * (self._bounds[1] - self._bounds[0]) + self._bounds[0]) * (high - low)
        return ops.clamp(x + more, low, high)


class RandomGrayscale(_Random):
    """While training, makes each image gray with probability ``factor``; the channels stay three."""

    arguments = ("factor",)

    def __init__(
        self, factor: float = 0.5, data_format: str | None = None, seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(seed, data_format, **options)
        if not 0 <= factor <= 1:
            raise ValueError(f"RandomGrayscale: factor must be a number from 0 to 1; got {factor!r}")
        self.factor = factor

    def _change(self, x: Tensor) -> Tensor:
        gray = functions.rgb_to_grayscale(x, "channels_first")
        chosen = rand(x.shape[0], 1, 1, 1, dtype=x.dtype, device=x.device) < self.factor
        return ops.where(chosen, ops.broadcast_to(gray, x.shape), x)
