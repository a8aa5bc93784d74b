"""Up-sampling, padding, cropping and dropout of channels with Keras's arguments and defaults."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

from nnkit import ops
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.keras.layer import LayerOptions, Shape
from nnkit.keras.places import ImageLayer
from nnkit.nn.sizes import Sizes, numbers
from nnkit.tensors.creation import ones, tensor
from nnkit.tensors.tensor import Tensor

__all__ = [
    "Cropping1D",
    "Cropping2D",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "UpSampling1D",
    "UpSampling2D",
    "ZeroPadding1D",
    "ZeroPadding2D",
]

INTERPOLATIONS = ("nearest", "bilinear")


# ---- up-sampling ----------------------------------------------------------------------------------------------------


class _UpSampling(ImageLayer):
    def __init__(self, size: Sizes = 2, data_format: str | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(data_format, **options)
        self.size = numbers("size", size, self.axes)

    def call(self, inputs: Tensor) -> Tensor:
        self.parts_of(inputs.shape)
        x, first = inputs, 1 if self.data_format == "channels_last" else 2
        for axis, times in enumerate(self.size, first):
            x = self._longer(x, axis, times)
        return x

    def _longer(self, x: Tensor, axis: int, times: int) -> Tensor:
        """Each place along an axis so many times."""
        before, behind = x.shape[: axis + 1], x.shape[axis + 1 :]
        repeated = x.reshape(*before, 1, *behind).expand(*before, times, *behind)
        return repeated.reshape(*before[:-1], before[-1] * times, *behind)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        channels, sizes = self.parts_of(input_shape)
        longer = tuple(None if n is None else n * times for n, times in zip(sizes, self.size, strict=True))
        return self.shape_of(input_shape[0], channels, longer)


class UpSampling1D(_UpSampling):
    """Each step ``size`` times: (B, steps, C) -> (B, steps times size, C).

    >>> UpSampling1D(2)([[[1.0], [3.0]]]).tolist()
    [[[1.0], [1.0], [3.0], [3.0]]]
    """

    axes = 1

    def __init__(self, size: int = 2, **options: Unpack[LayerOptions]) -> None:
        super().__init__(size, None, **options)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["data_format"]
        return {**config, "size": self.size[0]}


class UpSampling2D(_UpSampling):
    """Each place ``size`` times, along height and width: (B, height, width, C) -> (B, height', width', C).

    Args:
        size: one number, or one for height and one for width.
        data_format: "channels_last", or "channels_first": (B, C, height, width).
        interpolation: "nearest", or "bilinear", which mixes the two nearest places along each axis.
        options: ``name``, ``input_shape``.

    >>> import nnkit
    >>> UpSampling2D((1, 2), interpolation="bilinear")(nnkit.tensor([[[[0.0], [4.0]]]])).reshape(-1).tolist()
    [0.0, 1.0, 3.0, 4.0]
    """

    axes = 2

    def __init__(
        self, size: Sizes = 2, data_format: str | None = None, interpolation: str = "nearest",
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(size, data_format, **options)
        if interpolation not in INTERPOLATIONS:
            raise UnknownNameError("interpolation", interpolation, INTERPOLATIONS)
        self.interpolation = interpolation

    def _longer(self, x: Tensor, axis: int, times: int) -> Tensor:
        if self.interpolation == "nearest" or times == 1:
            return super()._longer(x, axis, times)
        before, n, behind = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
        shares = tensor(_shares(n, times), dtype=x.dtype, device=x.device)
        mixed = shares @ x.reshape(*before, n, math.prod(behind))  # (n times, n) @ (…, n, the rest): no axis moves.
        return mixed.reshape(*before, n * times, *behind)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": list(self.size), "interpolation": self.interpolation}


def _shares(n: int, times: int) -> list[list[float]]:
    """How much of each of n places is in each of n times as many, whose outer edges are the same.

    >>> _shares(2, 2)
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    rows = []
    for k in range(n * times):
        source = min(max((k + 0.5) / times - 0.5, 0.0), n - 1.0)
        rows.append([max(1.0 - abs(source - place), 0.0) for place in range(n)])
    return rows


# ---- padding and cropping -------------------------------------------------------------------------------------------


def pairs(layer: str, name: str, value: Any, axes: int) -> tuple[tuple[int, int], ...]:
    """Before and behind each axis: of one number, of one for each axis, or of a pair for each axis.

    >>> pairs("ZeroPadding2D", "padding", (1, (2, 3)), 2), pairs("ZeroPadding1D", "padding", (0, 2), 1)
    (((1, 1), (2, 3)), ((0, 2),))
    """
    if isinstance(value, int):
        value = (value,) * axes
    elif axes == 1 and isinstance(value, (tuple, list)) and len(value) == 2:
        value = (value,)
    if not isinstance(value, (tuple, list)) or len(value) != axes:
        expected = "one number or a pair" if axes == 1 else f"one number, {axes}, or {axes} pairs"
        raise ValueError(f"{layer}: {name} must be {expected}; got {value!r}")
    found = [numbers(name, pair, 2, 0) for pair in value]
    return tuple((before, behind) for before, behind in found)


class _Edges(ImageLayer):
    """More places, or fewer, before and behind each axis."""

    #: 1 for more places, -1 for fewer.
    sign: int
    around: tuple[tuple[int, int], ...]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        channels, sizes = self.parts_of(input_shape)
        after = tuple(
            None if n is None else n + self.sign * (before + behind)
            for n, (before, behind) in zip(sizes, self.around, strict=True)
        )
        if any(n is not None and n < 1 for n in after):
            raise ShapeError(
                f"{type(self).__name__} layer {self.name!r}: cropping {self.around} leaves nothing of inputs of shape "
                f"{tuple(input_shape)}"
            )
        return self.shape_of(input_shape[0], channels, after)

    def _of_all_axes(self, between: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        return [(0, 0), *between, (0, 0)] if self.data_format == "channels_last" else [(0, 0), (0, 0), *between]


class _ZeroPadding(_Edges):
    sign = 1

    def __init__(self, padding: Any = 1, data_format: str | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(data_format, **options)
        self.padding = self.around = pairs(type(self).__name__, "padding", padding, self.axes)

    def call(self, inputs: Tensor) -> Tensor:
        self.parts_of(inputs.shape)
        return ops.pad_with(inputs, self._of_all_axes(self.around))

    def get_config(self) -> dict[str, Any]:
        listed = [list(pair) for pair in self.padding]
        return {**super().get_config(), "padding": listed[0] if self.axes == 1 else listed}


class ZeroPadding1D(_ZeroPadding):
    """Zeros before and behind the steps: ``padding`` is one number, or (before, behind).

    >>> ZeroPadding1D((0, 2))([[[1.0], [3.0]]]).tolist()
    [[[1.0], [3.0], [0.0], [0.0]]]
    """

    axes = 1


class ZeroPadding2D(_ZeroPadding):
    """Zeros around images: ``padding`` is one number, (height, width), or ((top, bottom), (left, right)).

    >>> ZeroPadding2D(((0, 1), (2, 3))).compute_output_shape((None, 28, 28, 3))
    (None, 29, 33, 3)
    """

    axes = 2


class _Cropping(_Edges):
    sign = -1

    def __init__(self, cropping: Any, data_format: str | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(data_format, **options)
        self.cropping = self.around = pairs(type(self).__name__, "cropping", cropping, self.axes)

    def call(self, inputs: Tensor) -> Tensor:
        self.compute_output_shape(inputs.shape)
        sizes = zip(inputs.shape, self._of_all_axes(self.around), strict=True)
        return inputs[tuple(slice(before, n - behind) for n, (before, behind) in sizes)]

    def get_config(self) -> dict[str, Any]:
        listed = [list(pair) for pair in self.cropping]
        return {**super().get_config(), "cropping": listed[0] if self.axes == 1 else listed}


class Cropping1D(_Cropping):
    """Fewer steps: ``cropping`` is one number for both ends, or (before, behind).

    >>> Cropping1D((1, 0))([[[1.0], [3.0]]]).tolist()
    [[[3.0]]]
    """

    axes = 1

    def __init__(self, cropping: Any = (1, 1), **options: Unpack[LayerOptions]) -> None:
        super().__init__(cropping, None, **options)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["data_format"]
        return config


class Cropping2D(_Cropping):
    """The middle of images: ``cropping`` is one number, (height, width), or ((top, bottom), (left, right)).

    >>> Cropping2D(((0, 1), (2, 3))).compute_output_shape((None, 28, 28, 3))
    (None, 27, 23, 3)
    """

    axes = 2

    def __init__(
        self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(cropping, data_format, **options)


# ---- dropout of channels --------------------------------------------------------------------------------------------


class _SpatialDropout(ImageLayer):
    supports_masking = True

    def __init__(
        self, rate: float, data_format: str | None = None, seed: int | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(data_format, **options)
        if not isinstance(rate, (int, float)) or not 0 <= rate < 1:
            raise ValueError(f"{type(self).__name__}: rate must be a number from 0 to less than 1; got {rate!r}")
        self.rate, self.seed = rate, seed

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        channels, sizes = self.parts_of(inputs.shape)
        if not training or self.rate == 0:
            return inputs
        shape = [n or 0 for n in self.shape_of(inputs.shape[0], channels, (1,) * len(sizes))]
        return inputs * ops.dropout(ones(*shape, dtype=inputs.dtype, device=inputs.device), self.rate)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.parts_of(input_shape)
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


class SpatialDropout1D(_SpatialDropout):
    """While training, sets a ``rate`` of the channels to 0 in all steps: (B, steps, C).

    See ``SpatialDropout2D``.

    >>> SpatialDropout1D(0.5)([[[1.0, 2.0]]]).tolist()
    [[[1.0, 2.0]]]
    """

    axes = 1

    def __init__(self, rate: float, seed: int | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(rate, None, seed, **options)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["data_format"]
        return config


class SpatialDropout2D(_SpatialDropout):
    """While training, sets a ``rate`` of the channels to 0 in all places, and divides the others by ``1 - rate``.

    ``seed`` is accepted; the masks come from nnkit's random stream. Tompson et al., 2015.

    >>> import nnkit
    >>> SpatialDropout2D(0.5)(nnkit.ones(1, 2, 2, 1), training=True).var().item()
    0.0
    """

    axes = 2
