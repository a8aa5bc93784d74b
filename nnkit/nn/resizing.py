"""Padding, resizing and shuffling of places as modules, and dropout of whole channels: PyTorch's names and defaults."""

from __future__ import annotations

from typing import Any, ClassVar

from nnkit.nn import functional
from nnkit.nn.dropout_functions import check_probability
from nnkit.nn.module import Module
from nnkit.nn.sizes import numbers
from nnkit.tensors.tensor import Tensor

# fmt: off
__all__ = [
    "CircularPad1d", "CircularPad2d", "ConstantPad1d", "ConstantPad2d", "Dropout1d", "Dropout2d", "Dropout3d",
    "PixelShuffle", "PixelUnshuffle", "ReflectionPad1d", "ReflectionPad2d", "ReplicationPad1d", "ReplicationPad2d",
    "Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d", "ZeroPad1d", "ZeroPad2d",
]
# fmt: on


class _Pad(Module):
    """``padding``: one number for every side, or (before, behind) of the last axis, then of the one before."""

    axes: ClassVar[int]
    mode: ClassVar[str] = "constant"
    value: float | None = None

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * (2 * self.axes)
        if len(self.padding) != 2 * self.axes:
            raise ValueError(f"padding: expected one number, or {2 * self.axes}, got {padding!r}")

    def forward(self, x: Tensor) -> Tensor:
        return functional.pad(x, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """More elements of one value before and behind the last axis.

    >>> import nnkit
    >>> ConstantPad1d((1, 0), 5.0)(nnkit.tensor([[1.0]])).tolist()
    [[5.0, 1.0]]
    """

    axes = 1


class ConstantPad2d(_ConstantPad):
    """More elements of one value around the last two axes: (left, right, top, bottom).

    >>> import nnkit
    >>> ConstantPad2d((1, 1, 0, 0), 9.0)(nnkit.tensor([[[1.0, 2.0]]])).tolist()
    [[[9.0, 1.0, 2.0, 9.0]]]
    """

    axes = 2


class ZeroPad1d(_Pad):
    """Zeros before and behind the last axis.

    >>> import nnkit
    >>> ZeroPad1d((1, 2))(nnkit.tensor([[1.0]])).tolist()
    [[0.0, 1.0, 0.0, 0.0]]
    """

    axes = 1


class ZeroPad2d(_Pad):
    """Zeros around the last two axes: (left, right, top, bottom), or one number.

    >>> import nnkit
    >>> ZeroPad2d(1)(nnkit.ones(1, 1, 2, 2)).shape
    (1, 1, 4, 4)
    """

    axes = 2


class ReflectionPad1d(_Pad):
    """What lies behind the edge as in a mirror, before and behind the last axis.

    >>> import nnkit
    >>> ReflectionPad1d(1)(nnkit.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[2.0, 1.0, 2.0, 3.0, 2.0]]
    """

    axes, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """What lies behind the edges as in a mirror, around the last two axes.

    >>> import nnkit
    >>> ReflectionPad2d((2, 0, 0, 0))(nnkit.tensor([[[1.0, 2.0, 3.0]]])).tolist()
    [[[3.0, 2.0, 1.0, 2.0, 3.0]]]
    """

    axes, mode = 2, "reflect"


class ReplicationPad1d(_Pad):
    """The edge repeated, before and behind the last axis.

    >>> import nnkit
    >>> ReplicationPad1d(1)(nnkit.tensor([[1.0, 2.0]])).tolist()
    [[1.0, 1.0, 2.0, 2.0]]
    """

    axes, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The edges repeated, around the last two axes.

    >>> import nnkit
    >>> ReplicationPad2d((2, 0, 0, 0))(nnkit.tensor([[[1.0, 2.0]]])).tolist()
    [[[1.0, 1.0, 1.0, 2.0]]]
    """

    axes, mode = 2, "replicate"


class CircularPad1d(_Pad):
    """The other end, before and behind the last axis.

    >>> import nnkit
    >>> CircularPad1d(1)(nnkit.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[3.0, 1.0, 2.0, 3.0, 1.0]]
    """

    axes, mode = 1, "circular"


class CircularPad2d(_Pad):
    """The other end, around the last two axes.

    >>> import nnkit
    >>> CircularPad2d((1, 0, 0, 0))(nnkit.tensor([[[1.0, 2.0, 3.0]]])).tolist()
    [[[3.0, 1.0, 2.0, 3.0]]]
    """

    axes, mode = 2, "circular"


# ---- resizing -------------------------------------------------------------------------------------------------------


class Upsample(Module):
    """Other numbers of places, by ``functional.interpolate``: (B, C, *S) -> (B, C, *size).

    >>> import nnkit
    >>> Upsample(scale_factor=2)(nnkit.zeros(1, 3, 4, 4)).shape
    (1, 3, 8, 8)
    """

    def __init__(
        self, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, x: Tensor) -> Tensor:
        given = (self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor)
        return functional.interpolate(x, *given)

    def extra_repr(self) -> str:
        what = f"size={self.size}" if self.size is not None else f"scale_factor={self.scale_factor}"
        return f"{what}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """``Upsample`` of images by the nearest place.

    >>> import nnkit
    >>> UpsamplingNearest2d(size=(1, 4))(nnkit.tensor([[[[1.0, 2.0]]]])).tolist()
    [[[[1.0, 1.0, 2.0, 2.0]]]]
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor)


class UpsamplingBilinear2d(Upsample):
    """``Upsample`` of images by mixing neighbours, the corners aligned.

    >>> import nnkit
    >>> UpsamplingBilinear2d(scale_factor=2)(nnkit.zeros(1, 1, 2, 3)).shape
    (1, 1, 4, 6)
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


class PixelShuffle(Module):
    """(..., C r r, H, W) -> (..., C, H r, W r): Shi et al., 2016.

    >>> import nnkit
    >>> PixelShuffle(2)(nnkit.zeros(1, 8, 3, 3)).shape
    (1, 2, 6, 6)
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        (self.upscale_factor,) = numbers("upscale_factor", upscale_factor, 1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.pixel_shuffle(x, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """(..., C, H r, W r) -> (..., C r r, H, W): what PixelShuffle takes back.

    >>> import nnkit
    >>> PixelUnshuffle(2)(nnkit.zeros(1, 1, 4, 4)).shape
    (1, 4, 2, 2)
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        (self.downscale_factor,) = numbers("downscale_factor", downscale_factor, 1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.pixel_unshuffle(x, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


# ---- dropout of channels --------------------------------------------------------------------------------------------


class _ChannelDropout(Module):
    axes: ClassVar[int]

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        check_probability(p)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        function = getattr(functional, f"dropout{self.axes}d")
        return function(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace=False"


class Dropout1d(_ChannelDropout):
    """In training, zeroes each channel of signals (B, C, L) with probability ``p``; the rest grows by 1/(1-p).

    >>> import nnkit
    >>> Dropout1d(0.5).eval()(nnkit.ones(1, 2, 3)).tolist()
    [[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]]
    """

    axes = 1


class Dropout2d(_ChannelDropout):
    """In training, zeroes each channel of images (B, C, H, W) with probability ``p``, and multiplies the rest by
    1/(1-p): Tompson et al., Efficient Object Localization Using Convolutional Networks, 2015.

    >>> import nnkit
    >>> Dropout2d(0.5).eval()(nnkit.ones(1, 1, 1, 2)).tolist()
    [[[[1.0, 1.0]]]]
    """

    axes = 2


class Dropout3d(_ChannelDropout):
    """The same of volumes (B, C, D, H, W).

    >>> import nnkit
    >>> Dropout3d(0.5)(nnkit.ones(1, 2, 3, 3, 3)).shape
    (1, 2, 3, 3, 3)
    """

    axes = 3
