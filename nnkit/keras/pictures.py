"""Pictures in files and as arrays, through Pillow. Definitions: ``keras.utils``, ``keras.preprocessing.image``."""

from __future__ import annotations

import io
import os
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit.errors import ShapeError, UnknownNameError
from nnkit.keras import config
from nnkit.keras.ops.images import resize
from nnkit.keras.places import known_format

__all__ = ["array_to_img", "img_to_array", "load_img", "save_img", "smart_resize"]

MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
#: Keras's names of Pillow's ways to resize.
RESAMPLING = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")


def _pillow() -> Any:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise ModuleNotFoundError("pictures in files need Pillow: pip install pillow", name="PIL") from None
    return Image


def load_img(
    path: Any, color_mode: str = "rgb", target_size: Sequence[int] | None = None, interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Any:  # fmt: skip
    """A picture of Pillow's, from a file.

    Args:
        path: a path, or ``io.BytesIO``.
        color_mode: "rgb", "rgba" or "grayscale".
        target_size: (height, width), or None for that of the file.
        interpolation: "nearest", "bilinear", "bicubic", "hamming", "box" or "lanczos".
        keep_aspect_ratio: cut off first what does not fit the shape of ``target_size``.

    Raises UnknownNameError (a ValueError) for an unknown word, TypeError for what is no path.
    """
    images = _pillow()
    if color_mode not in MODES:
        raise UnknownNameError("color_mode", color_mode, list(MODES))
    if not isinstance(path, (str, bytes, os.PathLike, io.BytesIO)):
        raise TypeError(f"path should be a path or io.BytesIO, got {type(path).__name__}")
    if isinstance(path, io.BytesIO):
        image = images.open(path)
    else:
        with open(path, "rb") as file:
            image = images.open(io.BytesIO(file.read()))
    if not (color_mode == "grayscale" and image.mode in ("L", "I;16", "I")) and image.mode != MODES[color_mode]:
        image = image.convert(MODES[color_mode])
    if target_size is None or image.size == (target_size[1], target_size[0]):
        return image
    if interpolation not in RESAMPLING:
        raise UnknownNameError("interpolation", interpolation, RESAMPLING)
    height, width = (int(n) for n in target_size)
    way = getattr(images.Resampling, interpolation.upper())
    box = _middle(image.size, width, height) if keep_aspect_ratio else None
    return image.resize((width, height), way, box=box)


def _middle(size: tuple[int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """The largest part in the middle with the shape wanted: left, top, right, bottom.

    >>> _middle((100, 50), 10, 10)
    (25, 0, 75, 50)
    """
    high, wide = min(size[1], size[0] * height // width), min(size[0], size[1] * width // height)
    top, left = (size[1] - high) // 2, (size[0] - wide) // 2
    return left, top, left + wide, top + high


def img_to_array(img: Any, data_format: str | None = None, dtype: Any = None) -> np.ndarray:
    """A picture as an array (height, width, channels) or (channels, height, width), of ``floatx`` or ``dtype``.

    >>> img_to_array(np.zeros((2, 3))).shape
    (2, 3, 1)
    """
    array = np.asarray(img, dtype=config.floatx() if dtype is None else dtype)
    if array.ndim not in (2, 3):
        raise ShapeError(f"img_to_array: expected a picture of 2 or 3 axes; got shape {array.shape}")
    array = array[:, :, None] if array.ndim == 2 else array
    return array.transpose(2, 0, 1) if known_format(data_format) == "channels_first" else array


def array_to_img(x: Any, data_format: str | None = None, scale: bool = True, dtype: Any = None) -> Any:
    """A picture of Pillow's from an array of 1, 3 or 4 channels; ``scale`` spreads its numbers from 0 to 255."""
    images = _pillow()
    array = np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
    array = array.astype(config.floatx() if dtype is None else dtype)
    if array.ndim != 3:
        raise ShapeError(f"array_to_img: expected one picture of 3 axes; got shape {array.shape}")
    if known_format(data_format) == "channels_first":
        array = array.transpose(1, 2, 0)
    if scale:
        array = array - array.min()
        most = array.max()
        array = (array / most if most != 0 else array) * 255
    if array.shape[2] not in (1, 3, 4):
        raise ShapeError(f"array_to_img: expected 1, 3 or 4 channels; got {array.shape[2]}")
    if array.shape[2] > 1:
        return images.fromarray(np.ascontiguousarray(array.astype("uint8")))
    return images.fromarray(array[:, :, 0].astype("int32" if array.max() > 255 else "uint8"))


def save_img(
    path: Any, x: Any, data_format: str | None = None, file_format: str | None = None, scale: bool = True, **kwargs: Any
) -> None:
    """Write an array as a picture; the file's name says in which format, unless ``file_format`` does."""
    if file_format is None and isinstance(path, (str, os.PathLike)):
        file_format = pathlib.Path(path).suffix[1:]
    file_format = "jpeg" if file_format and file_format.lower() == "jpg" else file_format
    image = array_to_img(x, data_format=data_format, scale=scale)
    if image.mode == "RGBA" and str(file_format).lower() == "jpeg":
        warnings.warn("JPEG files have no transparency: written without", stacklevel=2)
        image = image.convert("RGB")
    image.save(path, format=file_format or None, **kwargs)


def smart_resize(
    x: Any, size: Sequence[int], interpolation: str = "bilinear", data_format: str = "channels_last", **ignored: Any
) -> Any:
    """An image or a batch in another size, without distortion: what does not fit is cut off. An array stays one."""
    found = resize(x, size, interpolation, crop_to_aspect_ratio=True, data_format=data_format)
    return found.numpy() if isinstance(x, np.ndarray) else found
