"""What TensorBoard shows, as the message ``Summary``: a number, an image, a histogram, a text."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from nnkit.tensors.tensor import Tensor
from nnkit.utils.tensorboard.event_file import double, integer, message, number, packed_doubles, text
from nnkit.utils.tensorboard.png import png, png_size

__all__ = ["figure_image", "histogram", "host", "image", "scalar", "tiled", "words"]

_STRING = 7  # TensorFlow's number of the type


def host(values: Any) -> np.ndarray:
    """Values of a tensor, an array or a list as a numpy array."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _summary(tag: str, content: bytes) -> bytes:
    return message(1, text(1, tag) + content)


def scalar(tag: str, value: Any) -> bytes:
    """One number. Raises ValueError for more than one."""
    values = host(value)
    if values.size != 1:
        raise ValueError(f"scalar_value must be one number, got shape {values.shape}")
    return _summary(tag, number(2, float(values.reshape(-1)[0])))


def words(tag: str, value: str) -> bytes:
    """A text."""
    plugin = message(9, message(1, text(1, "text")))
    shape = message(2, message(2, integer(1, 1)))
    return _summary(f"{tag}/text_summary", plugin + message(8, integer(1, _STRING) + shape + text(8, value)))


# ---- images -----------------------------------------------------------------------------------------------------


def image(tag: str, values: Any, dataformats: str) -> bytes:
    """An image in the order of axes ``dataformats``, of letters C, H and W: bytes, or floats from 0 to 1."""
    found = host(values)
    letters = dataformats.upper()
    if len(letters) != found.ndim or set(letters) not in ({"H", "W"}, {"C", "H", "W"}):
        raise ValueError(f"dataformats {dataformats!r} does not name the axes of an image of shape {found.shape}")
    if "C" not in letters:
        found, letters = found[..., None], letters + "C"
    found = found.transpose([letters.index(letter) for letter in "HWC"])
    if found.shape[2] not in (1, 3, 4):
        raise ValueError(f"an image has 1, 3 or 4 channels, got {found.shape[2]}: see dataformats")
    return _encoded(tag, png(_as_bytes(found)))


def _as_bytes(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    return np.clip(np.asarray(values, np.float64) * 255.0, 0.0, 255.0).astype(np.uint8)


def tiled(values: Any, dataformats: str) -> np.ndarray:
    """Images (N, ...) as one, in rows of up to eight: (height, width, channels)."""
    found, letters = host(values), dataformats.upper()
    if len(letters) != found.ndim or set(letters) not in ({"N", "H", "W"}, {"N", "C", "H", "W"}):
        raise ValueError(f"dataformats {dataformats!r} does not name the axes of images of shape {found.shape}")
    if "C" not in letters:
        found, letters = found[..., None], letters + "C"
    found = _as_bytes(found.transpose([letters.index(letter) for letter in "NHWC"]))
    count, height, width, channels = found.shape
    columns = max(min(8, count), 1)
    rows = -(-count // columns)
    whole = np.zeros((rows * columns, height, width, channels), np.uint8)
    whole[:count] = found
    grid = whole.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * height, columns * width, channels)


def figure_image(tag: str, file: bytes) -> bytes:
    """A PNG file."""
    return _encoded(tag, file)


def _encoded(tag: str, file: bytes) -> bytes:
    width, height = png_size(file)
    return _summary(tag, message(4, integer(1, height) + integer(2, width) + integer(3, 3) + message(4, file)))


# ---- histograms -------------------------------------------------------------------------------------------------


@functools.cache
def _edges() -> np.ndarray:
    """TensorFlow's edges: from 1e-12, each a tenth more than the one before, and the same below 0."""
    upper = 1e-12 * 1.1 ** np.arange(0, 775)
    return np.concatenate([-upper[::-1], [0.0], upper])


def histogram(tag: str, values: Any, bins: Any) -> bytes:
    """How often which values come: in TensorFlow's bins, or NumPy's of that name or number."""
    found = host(values).reshape(-1).astype(np.float64)
    found = found[np.isfinite(found)]
    if not found.size:
        raise ValueError("a histogram needs at least one finite value")
    edges: Any = _edges() if isinstance(bins, str) and bins == "tensorflow" else bins
    counts, edges = np.histogram(np.clip(found, edges[0], edges[-1]) if isinstance(edges, np.ndarray) else found, edges)
    filled = np.flatnonzero(counts)
    first, last = max(int(filled[0]) - 1, 0), int(filled[-1]) + 1
    kept, limits = counts[first:last], edges[first + 1 : last + 1]
    content = (
        double(1, float(found.min())) + double(2, float(found.max())) + double(3, float(found.size))
        + double(4, float(found.sum())) + double(5, float(found @ found))
        + packed_doubles(6, limits.tolist()) + packed_doubles(7, kept.astype(np.float64).tolist())
    )  # fmt: skip
    return _summary(tag, message(5, content))
