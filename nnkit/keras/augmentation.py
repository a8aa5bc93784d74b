"""Layers that scale images, and layers that change them at random while training: Keras's arguments and defaults.

The random ones draw on the device from nnkit's random stream, one number or two for each image; outside of training
they pass images on. ``seed`` is accepted; the stream is what ``keras.utils.set_random_seed`` starts.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Unpack

from nnkit import ops
from nnkit.errors import UnknownNameError
from nnkit.keras.layer import LayerOptions, SameShape, Shape
from nnkit.keras.places import ImageLayer
from nnkit.keras.warping import FILL_MODES, INTERPOLATIONS, warped
from nnkit.tensors.creation import zeros_like
from nnkit.tensors.random_tensors import rand
from nnkit.tensors.tensor import Tensor

__all__ = ["RandomContrast", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom", "Rescaling"]


class Rescaling(SameShape):
    """``inputs * scale + offset``, in training and outside of it: ``Rescaling(1 / 255)``.

    >>> Rescaling(0.5, offset=-1.0)([[0.0, 4.0]]).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(self, scale: float, offset: float = 0.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.scale, self.offset = scale, offset

    def call(self, inputs: Tensor) -> Tensor:
        return inputs * self.scale + self.offset

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}


class _Random(ImageLayer):
    """A change of images (B, height, width, C) in training; the shape stays."""

    axes = 2
    #: The constructor's arguments that ``get_config`` takes from attributes of the same name.
    arguments: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, seed: int | None = None, data_format: str | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(data_format, **options)
        self.seed = seed

    def _change(self, x: Tensor) -> Tensor:
        """Of images (B, C, height, width), others."""
        raise NotImplementedError

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not inputs.is_floating_point():
            inputs = inputs.float()
        x = self.channels_first(inputs)
        return self.as_given(self._change(x)) if training else inputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.parts_of(input_shape)
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in (*self.arguments, "seed")}
        listed = {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()}
        return {**super().get_config(), **listed}


def between(layer: str, name: str, factor: Any, least: float, most: float, one_sided: bool = False) -> list[float]:
    """The two bounds that a factor stands for: itself on both sides of 0 unless ``one_sided``, or the two given.

    >>> between("RandomZoom", "height_factor", 0.2, -1.0, 1.0), between("RandomZoom", "factor", (-0.3, 0), -1.0, 1.0)
    ([-0.2, 0.2], [-0.3, 0.0])
    """
    given = list(factor) if isinstance(factor, (tuple, list)) else [factor]
    if len(given) not in (1, 2) or not all(isinstance(f, (int, float)) and least <= f <= most for f in given):
        raise ValueError(f"{layer}: {name} must be a number from {least} to {most}, or two; got {factor!r}")
    low, high = given if len(given) == 2 else (given[0] if one_sided else -abs(given[0]), abs(given[0]))
    return [float(low), float(high)] if one_sided else sorted((float(low), float(high)))


def drawn(x: Tensor, bounds: list[float]) -> Tensor:
    """A number between the bounds for each image: (B,)."""
    return rand(x.shape[0], dtype=x.dtype, device=x.device) * (bounds[1] - bounds[0]) + bounds[0]


class RandomFlip(_Random):
    """While training, mirrors each image with probability 1/2: left to right, upside down, or each of both.

    Args:
        mode: "horizontal", "vertical" or "horizontal_and_vertical".
        seed: accepted; see the module.
        data_format: "channels_last", or "channels_first".

    >>> RandomFlip()([[[[1.0], [2.0]]]]).reshape(-1).tolist()
    [1.0, 2.0]
    """

    arguments = ("mode",)
    #: Which axes of (B, C, height, width) a mode mirrors.
    MODES: ClassVar[dict[str, tuple[int, ...]]] = {
        "horizontal": (3,), "vertical": (2,), "horizontal_and_vertical": (3, 2)
    }  # fmt: skip

    def __init__(
        self, mode: str = "horizontal_and_vertical", seed: int | None = None, data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(seed, data_format, **options)
        if mode not in self.MODES:
            raise UnknownNameError("mode", mode, list(self.MODES))
        self.mode = mode

    def _change(self, x: Tensor) -> Tensor:
        for axis in self.MODES[self.mode]:
            chosen = rand(x.shape[0], 1, 1, 1, dtype=x.dtype, device=x.device) < 0.5
            x = ops.where(chosen, x[(*(slice(None),) * axis, slice(None, None, -1))], x)
        return x


class RandomContrast(_Random):
    """While training, moves each channel of an image away from its mean, or towards it.

    Args:
        factor: a share f: the distance is multiplied by a number from 1 - f to 1 + f; or two, for below and above.
        value_range: the least and the greatest value that a pixel may have.
        seed: accepted; see the module.

    >>> RandomContrast(0.5)([[[[1.0], [3.0]]]]).reshape(-1).tolist()
    [1.0, 3.0]
    """

    arguments = ("factor", "value_range")

    def __init__(
        self, factor: Any, value_range: Any = (0, 255), seed: int | None = None, data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(seed, data_format, **options)
        self.factor = tuple(between("RandomContrast", "factor", factor, 0.0, 1.0, one_sided=True))
        self.value_range = tuple(value_range)

    def _change(self, x: Tensor) -> Tensor:
        times = drawn(x, [1.0 - self.factor[0], 1.0 + self.factor[1]]).reshape(x.shape[0], 1, 1, 1)
        mean = x.mean(dim=(2, 3), keepdim=True)
        return ops.clamp((x - mean) * times + mean, *self.value_range)


class _Warp(_Random):
    """An image whose pixel (x, y) is what another had at (a0 x + a1 y + a2, b0 x + b1 y + b2)."""

    def __init__(
        self, fill_mode: str, interpolation: str, seed: int | None, fill_value: float, data_format: str | None,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(seed, data_format, **options)
        for name, value, known in (
            ("fill_mode", fill_mode, FILL_MODES), ("interpolation", interpolation, INTERPOLATIONS)
        ):  # fmt: skip
            if value not in known:
                raise UnknownNameError(name, value, known)
        self.fill_mode, self.interpolation, self.fill_value = fill_mode, interpolation, fill_value

    def _matrix(self, x: Tensor) -> tuple[Tensor, ...]:
        """a0, a1, a2, b0, b1 and b2, each (B,)."""
        raise NotImplementedError

    def _change(self, x: Tensor) -> Tensor:
        return warped(x, self._matrix(x), self.fill_mode, self.interpolation, self.fill_value)


class RandomRotation(_Warp):
    """While training, turns each image about its middle.

    Args:
        factor: a share of a whole turn: turns are from -factor to factor; or two, for both ends.
        fill_mode: what lies outside: "reflect" mirrors, "wrap" repeats, "nearest" is the edge, "constant" fill_value.
        interpolation: "bilinear" or "nearest".
        seed: accepted; see the module.
        fill_value: for "constant".
        data_format: "channels_last", or "channels_first".

    >>> RandomRotation(0.1)([[[[1.0], [3.0]]]]).reshape(-1).tolist()
    [1.0, 3.0]
    """

    arguments = ("factor", "fill_mode", "interpolation", "fill_value")

    def __init__(
        self, factor: Any, fill_mode: str = "reflect", interpolation: str = "bilinear", seed: int | None = None,
        fill_value: float = 0.0, data_format: str | None = None, **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **options)
        self.factor = tuple(between("RandomRotation", "factor", factor, -1.0, 1.0))

    def _matrix(self, x: Tensor) -> tuple[Tensor, ...]:
        turn = drawn(x, [2.0 * math.pi * f for f in self.factor])
        cos, sin = ops.cos(turn), ops.sin(turn)
        middle_y, middle_x = ((n - 1) / 2 for n in x.shape[2:])
        return (
            cos, -sin, middle_x - middle_x * cos + middle_y * sin, sin, cos, middle_y - middle_x * sin - middle_y * cos
        )  # fmt: skip


class RandomTranslation(_Warp):
    """While training, moves each image by shares of its height and width.

    Args:
        height_factor, width_factor: a share f: from -f to f of the size, down or right; or two, for both ends.
        fill_mode, interpolation, seed, fill_value, data_format: as in ``RandomRotation``.

    >>> RandomTranslation(0.1, 0.1)([[[[1.0], [3.0]]]]).reshape(-1).tolist()
    [1.0, 3.0]
    """

    arguments = ("height_factor", "width_factor", "fill_mode", "interpolation", "fill_value")

    def __init__(
        self, height_factor: Any, width_factor: Any, fill_mode: str = "reflect", interpolation: str = "bilinear",
        seed: int | None = None, fill_value: float = 0.0, data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **options)
        self.height_factor = tuple(between("RandomTranslation", "height_factor", height_factor, -1.0, 1.0))
        self.width_factor = tuple(between("RandomTranslation", "width_factor", width_factor, -1.0, 1.0))

    def _matrix(self, x: Tensor) -> tuple[Tensor, ...]:
        down, right = (
            drawn(x, [f * n for f in factor])
            for factor, n in zip((self.height_factor, self.width_factor), x.shape[2:], strict=True)
        )
        none = zeros_like(down)
        return none + 1.0, none, -right, none, none + 1.0, -down


class RandomZoom(_Warp):
    """While training, shows less of each image, or more of what lies outside.

    Args:
        height_factor: a share f: the height shown is from 1 - f to 1 + f of the image's; or two, for both ends.
        width_factor: the same of the width; None for the height's, so that shapes stay.
        fill_mode, interpolation, seed, fill_value, data_format: as in ``RandomRotation``.

    >>> RandomZoom(0.1)([[[[1.0], [3.0]]]]).reshape(-1).tolist()
    [1.0, 3.0]
    """

    arguments = ("height_factor", "width_factor", "fill_mode", "interpolation", "fill_value")

    def __init__(
        self, height_factor: Any, width_factor: Any = None, fill_mode: str = "reflect",
        interpolation: str = "bilinear", seed: int | None = None, fill_value: float = 0.0,
        data_format: str | None = None, **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **options)
        self.height_factor = tuple(between("RandomZoom", "height_factor", height_factor, -1.0, 1.0))
        self.width_factor = (
            None if width_factor is None else tuple(between("RandomZoom", "width_factor", width_factor, -1.0, 1.0))
        )

    def _matrix(self, x: Tensor) -> tuple[Tensor, ...]:
        tall = drawn(x, [1.0 + f for f in self.height_factor])
        wide = tall if self.width_factor is None else drawn(x, [1.0 + f for f in self.width_factor])
        none, (middle_y, middle_x) = zeros_like(tall), ((n - 1) / 2 for n in x.shape[2:])
        return wide, none, middle_x * (1.0 - wide), none, tall, middle_y * (1.0 - tall)
