"""Images resized, cropped, padded, turned, blurred and in other colours: ``keras.ops.image``.

Images are (H, W, C) or (B, H, W, C), or with ``data_format="channels_first"`` (C, H, W) or (B, C, H, W).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.backends.windows import Window
from nnkit.errors import ShapeError, UnknownNameError
from nnkit.keras.ops.types import convert_to_tensor, floats
from nnkit.keras.places import known_format, known_padding, window_over
from nnkit.nn.sizes import numbers
from nnkit.tensors.creation import tensor
from nnkit.tensors.tensor import Tensor


class Images:
    """Images as (B, C, H, W)."""

    def __init__(self, name: str, images: Tensor, data_format: str | None) -> None:
        if images.ndim not in (3, 4):
            raise ShapeError(f"{name}: expected one image or a batch, 3 or 4 axes; got shape {tuple(images.shape)}")
        self.is_last, self.is_one = known_format(data_format) == "channels_last", images.ndim == 3
        x = ops.unsqueeze(images, 0) if self.is_one else images
        self.x = ops.permute(x, (0, 3, 1, 2)) if self.is_last else x

    def back(self, y: Tensor) -> Tensor:
        y = ops.permute(y, (0, 2, 3, 1)) if self.is_last else y
        return ops.squeeze(y, 0) if self.is_one else y


def _channels(images: Tensor, data_format: str | None) -> tuple[list[Tensor], int]:
    """The three colours, and their axis."""
    axis = -1 if known_format(data_format) == "channels_last" else -3
    if images.ndim not in (3, 4) or images.shape[axis] != 3:
        raise ShapeError(f"expected images with 3 colours along axis {axis}; got shape {tuple(images.shape)}")
    return list(ops.unbind(images, axis)), axis


# ---- colours --------------------------------------------------------------------------------------------------------


def rgb_to_grayscale(images: Any, data_format: str | None = None) -> Tensor:
    """One channel of brightness: 0.2989 red + 0.587 green + 0.114 blue (ITU-R BT.601).

    >>> import nnkit
    >>> rgb_to_grayscale(nnkit.ones(2, 2, 3)).shape
    (2, 2, 1)
    """
    images = convert_to_tensor(images)
    (red, green, blue), axis = _channels(floats(images), data_format)
    gray = ops.unsqueeze(0.2989 * red + 0.587 * green + 0.114 * blue, axis)
    return ops.to(gray, dtype=images.dtype)


def rgb_to_hsv(images: Any, data_format: str | None = None) -> Tensor:
    """Hue, saturation and value, from 0 to 1, of colours from 0 to 1. Smith, Color Gamut Transform Pairs, 1978."""
    images = _of_floats("rgb_to_hsv", images)
    small = float(np.finfo(images.dtype).eps)
    (r, g, b), axis = _channels(ops.where(ops.abs(images) < small, 0.0, images), data_format)
    value, least = ops.maximum(ops.maximum(r, g), b), ops.minimum(ops.minimum(r, g), b)
    spread = value - least
    is_coloured = spread > 0
    saturation = ops.where(value > 0, spread / ops.where(value > 0, value, 1.0), 0.0)
    sixth = 1.0 / (6.0 * ops.where(is_coloured, spread, 1.0))
    hue = ops.where(ops.eq(value, g), sixth * (b - r) + 2.0 / 6.0, sixth * (r - g) + 4.0 / 6.0)
    hue = ops.where(ops.eq(value, r), sixth * (g - b), hue)
    hue = ops.where(hue < 0.0, hue + 1.0, hue)
    return ops.stack([ops.where(is_coloured, hue, 0.0), saturation, value], axis)


def hsv_to_rgb(images: Any, data_format: str | None = None) -> Tensor:
    """Colours of hue, saturation and value: the inverse of :func:`rgb_to_hsv`."""
    (hue, saturation, value), axis = _channels(_of_floats("hsv_to_rgb", images), data_format)
    turn = (hue - ops.floor(hue)) * 6.0
    parts = (ops.abs(turn - 3.0) - 1.0, 2.0 - ops.abs(turn - 2.0), 2.0 - ops.abs(turn - 4.0))
    return ops.stack([value * (1.0 - saturation + saturation * ops.clamp(p, 0.0, 1.0)) for p in parts], axis)


def _of_floats(name: str, images: Any) -> Tensor:
    images = convert_to_tensor(images)
    if not images.is_floating_point():
        raise ValueError(f"{name}: expected floats from 0 to 1; got {images.dtype}: divide by 255 first")
    return images


# ---- other sizes ----------------------------------------------------------------------------------------------------


def _linear(x: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, 1.0 - x)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys, Cubic Convolution Interpolation for Digital Image Processing, 1981, with a = -0.5."""
    near, far = (1.5 * x - 2.5) * x * x + 1.0, ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _lanczos(radius: int) -> Callable[[np.ndarray], np.ndarray]:
    def kernel(x: np.ndarray) -> np.ndarray:
        return np.where(x < radius, np.sinc(x) * np.sinc(x / radius), 0.0)

    return kernel


KERNELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "bilinear": _linear, "linear": _linear, "triangle": _linear, "bicubic": _cubic, "cubic": _cubic,
    "lanczos3": _lanczos(3), "lanczos5": _lanczos(5),
}  # fmt: skip
RESIZING = ("bilinear", "nearest", "lanczos3", "lanczos5", "bicubic")


def _shares(n: int, size: int, scale: float, shift: float, kernel: Callable[..., np.ndarray], smooth: bool) -> Any:
    """How much of each of n places is in each of ``size`` new ones: (size, n)."""
    at = (np.arange(size) + 0.5 - shift) / scale - 0.5
    width = max(1.0 / scale, 1.0) if smooth else 1.0
    shares = kernel(np.abs(at[:, None] - np.arange(n)[None, :]) / width)
    total = shares.sum(1, keepdims=True)
    shares = np.where(np.abs(total) > 1000.0 * np.finfo(np.float32).eps, shares / np.where(total == 0, 1, total), 0.0)
    return np.where(((at >= -0.5) & (at <= n - 0.5))[:, None], shares, 0.0)


def _resized(x: Tensor, axis: int, size: int, interpolation: str, antialias: bool) -> Tensor:
    n = x.shape[axis]
    if n == size:
        return x
    if interpolation == "nearest":
        taken = np.floor((np.arange(size) + 0.5) * n / size).astype(np.int64)
        return ops.index_select(x, axis, tensor(taken, device=x.device))
    return _mixed(x, axis, _shares(n, size, size / n, 0.0, KERNELS[interpolation], antialias))


def _mixed(x: Tensor, axis: int, shares: np.ndarray) -> Tensor:
    matrix = tensor(shares.T.copy(), dtype=x.dtype, device=x.device)
    return ops.movedim(ops.matmul(ops.movedim(x, axis, -1), matrix), -1, axis)


def resize(
    images: Any, size: Sequence[int], interpolation: str = "bilinear", antialias: bool = False,
    crop_to_aspect_ratio: bool = False, pad_to_aspect_ratio: bool = False, fill_mode: str = "constant",
    fill_value: float = 0.0, data_format: str | None = None,
) -> Tensor:  # fmt: skip
    """Images of another height and width.

    Args:
        images: one image or a batch.
        size: (height, width).
        interpolation: "bilinear", "nearest", "bicubic", "lanczos3" or "lanczos5".
        antialias: mix more places where the images become smaller.
        crop_to_aspect_ratio: first cut off what does not fit the new shape; or
        pad_to_aspect_ratio: first add ``fill_value`` until it fits.
        fill_mode: "constant".
        fill_value: what is added.
        data_format: where the channels are.

    >>> import nnkit
    >>> resize(nnkit.tensor([[[0.0], [4.0]]]), (1, 4)).reshape(-1).tolist()
    [0.0, 1.0, 3.0, 4.0]
    """
    if interpolation not in RESIZING:
        raise UnknownNameError("interpolation", interpolation, RESIZING)
    if fill_mode != "constant":
        raise ValueError(f"resize: fill_mode must be 'constant'; got {fill_mode!r}")
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("resize: only one of crop_to_aspect_ratio and pad_to_aspect_ratio can be True")
    height, width = (int(n) for n in size)
    images = convert_to_tensor(images)
    whole = not images.is_floating_point()
    seen = Images("resize", images if interpolation == "nearest" else floats(images), data_format)
    x = seen.x
    H, W = x.shape[2:]
    if crop_to_aspect_ratio:
        h, w = (max(min(n, m), 1) for n, m in ((H, int(W * height / width)), (W, int(H * width / height))))
        x = x[:, :, (H - h) // 2 : (H - h) // 2 + h, (W - w) // 2 : (W - w) // 2 + w]
    elif pad_to_aspect_ratio:
        top, left = ((max(n, m) - n) // 2 for n, m in ((H, int(W * height / width)), (W, int(H * width / height))))
        # Keras pads one axis only, the height where both would be.
        left = 0 if top else left
        x = ops.pad_with(x, [(0, 0), (0, 0), (top, top), (left, left)], fill_value)
    for axis, n in ((2, height), (3, width)):
        x = _resized(x, axis, n, interpolation, antialias)
    if whole and interpolation != "nearest":
        kind = np.iinfo(images.dtype)
        x = ops.to(ops.clamp(ops.round(x), float(kind.min), float(kind.max)), dtype=images.dtype)
    return seen.back(x)


def scale_and_translate(
    images: Any, output_shape: Sequence[int], scale: Any, translation: Any, spatial_dims: Sequence[int], method: str,
    antialias: bool = True,
) -> Tensor:  # fmt: skip
    """Axes made longer by ``scale`` and moved by ``translation``; 0 where nothing was."""
    if method not in KERNELS:
        raise UnknownNameError("method", method, list(KERNELS))
    x = floats(images)
    scales, shifts = (np.asarray(convert_to_tensor(part).tolist(), np.float64) for part in (scale, translation))
    for axis, factor, shift in zip(spatial_dims, scales, shifts, strict=True):
        n, size = x.shape[axis], int(output_shape[axis])
        x = _mixed(x, axis, _shares(n, size, float(factor), float(shift), KERNELS[method], antialias))
    return x


# ---- cropping and padding -------------------------------------------------------------------------------------------


def _around(
    name: str, size: int, before: int | None, behind: int | None, target: int | None, sign: int
) -> tuple[int, int]:
    """How much is added (sign 1) or cut off (-1) before and behind, of two of the three numbers."""
    given = [n is not None for n in (before, behind, target)]
    if given.count(True) != 2:
        raise ValueError(f"{name}: give two of what is before, what is behind and the target size of each axis")
    if target is None:
        return int(before or 0), int(behind or 0)
    rest = sign * (int(target) - size)
    before = rest - int(behind or 0) if before is None else int(before)
    behind = rest - before
    if before < 0 or behind < 0:
        raise ValueError(f"{name}: an axis of size {size} does not become {target} so; got {before} and {behind}")
    return before, behind


def pad_images(
    images: Any, top_padding: int | None = None, left_padding: int | None = None, bottom_padding: int | None = None,
    right_padding: int | None = None, target_height: int | None = None, target_width: int | None = None,
    data_format: str | None = None,
) -> Tensor:  # fmt: skip
    """Zeros around images: for each axis two of before, behind and the target size say how many."""
    seen = Images("pad_images", convert_to_tensor(images), data_format)
    H, W = seen.x.shape[2:]
    tall = _around("pad_images", H, top_padding, bottom_padding, target_height, 1)
    wide = _around("pad_images", W, left_padding, right_padding, target_width, 1)
    return seen.back(ops.pad_with(seen.x, [(0, 0), (0, 0), tall, wide]))


def crop_images(
    images: Any, top_cropping: int | None = None, left_cropping: int | None = None, bottom_cropping: int | None = None,
    right_cropping: int | None = None, target_height: int | None = None, target_width: int | None = None,
    data_format: str | None = None,
) -> Tensor:  # fmt: skip
    """A part of images: for each axis two of before, behind and the target size say which."""
    seen = Images("crop_images", convert_to_tensor(images), data_format)
    H, W = seen.x.shape[2:]
    top, bottom = _around("crop_images", H, top_cropping, bottom_cropping, target_height, -1)
    left, right = _around("crop_images", W, left_cropping, right_cropping, target_width, -1)
    return seen.back(seen.x[:, :, top : H - bottom, left : W - right])


def extract_patches(
    images: Any, size: Any, strides: Any = None, dilation_rate: Any = 1, padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:  # fmt: skip
    """What windows see, as channels: (B, H, W, C) -> (B, H', W', size[0] size[1] C).

    >>> import nnkit
    >>> extract_patches(nnkit.ones(2, 6, 6, 3), 3).shape
    (2, 2, 2, 27)
    """
    kernel = numbers("size", size, 2)
    seen = Images("extract_patches", floats(images), data_format)
    steps = kernel if strides is None else numbers("strides", strides, 2)
    window = window_over(
        seen.x.shape[2:], kernel, steps, known_padding(padding), numbers("dilation_rate", dilation_rate, 2)
    )
    return seen.back(_in_columns(seen.x, window))


def _in_columns(x: Tensor, window: Window) -> Tensor:
    """(B, C, *S) -> (B, taps C, *places)."""
    x = ops.pad_with(x, [(0, 0), (0, 0), *window.padding]) if any(map(any, window.padding)) else x
    bare = window._replace(padding=((0, 0),) * (x.ndim - 2))
    y = ops.patches(x, bare)  # (B, C, taps, *places)
    y = ops.permute(y, (0, 2, 1, *range(3, y.ndim)))
    return ops.reshape(y, (y.shape[0], y.shape[1] * y.shape[2], *y.shape[3:]))


def extract_patches_3d(
    volumes: Any, size: Any, strides: Any = None, dilation_rate: Any = 1, padding: str = "valid",
    data_format: str | None = None,
) -> Tensor:  # fmt: skip
    """:func:`extract_patches` of volumes: (B, D, H, W, C) -> (B, D', H', W', size C)."""
    x = floats(volumes)
    is_one, is_last = x.ndim == 4, known_format(data_format) == "channels_last"
    x = ops.unsqueeze(x, 0) if is_one else x
    x = ops.permute(x, (0, 4, 1, 2, 3)) if is_last else x
    kernel = numbers("size", size, 3)
    steps = kernel if strides is None else numbers("strides", strides, 3)
    apart = numbers("dilation_rate", dilation_rate, 3)
    y = _in_columns(x, window_over(x.shape[2:], kernel, steps, known_padding(padding), apart))
    y = ops.permute(y, (0, 2, 3, 4, 1)) if is_last else y
    return ops.squeeze(y, 0) if is_one else y
