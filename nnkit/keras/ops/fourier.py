"""Fourier's transform of signals, by products with its matrix; a complex tensor is a pair (real, imaginary).

A transform of n places takes n² multiplications for each row: right for the frames of ``stft``, slow for long signals.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.backends.windows import Window
from nnkit.errors import DtypeError, ShapeError
from nnkit.keras.ops.shaping import pad
from nnkit.keras.ops.types import convert_to_tensor, floats
from nnkit.tensors.creation import tensor
from nnkit.tensors.tensor import Tensor

Complex = tuple[Tensor, Tensor]


@functools.lru_cache(16)
def _waves(n: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of n places, as ``count`` columns."""
    angles = 2.0 * np.pi * np.outer(np.arange(n), np.arange(count)) / n
    return np.cos(angles), np.sin(angles)


def _matrices(n: int, count: int, like: Tensor) -> Complex:
    cosines, sines = _waves(n, count)
    return tuple(tensor(m, dtype=like.dtype, device=like.device) for m in (cosines, sines))  # type: ignore[return-value]


def _pair(name: str, x: Any) -> Complex:
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise ShapeError(f"{name}: a complex tensor is a pair (real, imaginary); got {type(x).__name__}")
    real, imaginary = (floats(part) for part in x)
    if real.shape != imaginary.shape:
        raise ShapeError(f"{name}: both parts must have one shape; got {tuple(real.shape)}, {tuple(imaginary.shape)}")
    return real, imaginary


def _transformed(x: Complex, sign: float) -> Complex:
    """Along the last axis: the sum of x exp(sign 2 pi i j k / n)."""
    cosines, sines = _matrices(x[0].shape[-1], x[0].shape[-1], x[0])
    real = ops.matmul(x[0], cosines) - sign * ops.matmul(x[1], sines)
    return real, ops.matmul(x[1], cosines) + sign * ops.matmul(x[0], sines)


def fft(x: Any) -> Complex:
    """The transform along the last axis of (real, imaginary).

    >>> [part.tolist() for part in fft(([1.0, 1.0], [0.0, 0.0]))][0]
    [2.0, 0.0]
    """
    return _transformed(_pair("fft", x), -1.0)


def _along_rows(x: Complex, sign: float) -> Complex:
    turned = tuple(ops.transpose(part, -2, -1) for part in x)
    real, imaginary = _transformed(turned, sign)  # type: ignore[arg-type]
    return ops.transpose(real, -2, -1), ops.transpose(imaginary, -2, -1)


def fft2(x: Any) -> Complex:
    """The transform along the last two axes."""
    return _along_rows(fft(_pair("fft2", x)), -1.0)


def ifft2(x: Any) -> Complex:
    """The inverse of :func:`fft2`."""
    pair = _pair("ifft2", x)
    real, imaginary = _along_rows(_transformed(pair, 1.0), 1.0)
    count = pair[0].shape[-1] * pair[0].shape[-2]
    return real / count, imaginary / count


def _of_length(x: Tensor, n: int) -> Tensor:
    """The last axis cut, or filled up with zeros."""
    size = x.shape[-1]
    return x[..., :n] if size >= n else ops.pad_with(x, [(0, 0)] * (x.ndim - 1) + [(0, n - size)])


def rfft(x: Any, fft_length: int | None = None) -> Complex:
    """The first n // 2 + 1 of the transform of real numbers: the others mirror them."""
    x = floats(x)
    n = x.shape[-1] if fft_length is None else int(fft_length)
    cosines, sines = _matrices(n, n // 2 + 1, x)
    x = _of_length(x, n)
    return ops.matmul(x, cosines), -ops.matmul(x, sines)


def irfft(x: Any, fft_length: int | None = None) -> Tensor:
    """The inverse of :func:`rfft`."""
    real, imaginary = _pair("irfft", x)
    n = 2 * (real.shape[-1] - 1) if fft_length is None else int(fft_length)
    bins = n // 2 + 1
    cosines, sines = _waves(n, bins)
    twice = np.full(bins, 2.0)
    twice[0] = 1.0
    if n % 2 == 0:
        twice[-1] = 1.0
    back = [tensor((m * twice / n).T.copy(), dtype=real.dtype, device=real.device) for m in (cosines, sines)]
    return ops.matmul(_of_length(real, bins), back[0]) - ops.matmul(_of_length(imaginary, bins), back[1])


# ---- frames ---------------------------------------------------------------------------------------------------------


def extract_sequences(x: Any, sequence_length: int, sequence_stride: int) -> Tensor:
    """Frames of the last axis: (..., n) -> (..., frames, sequence_length).

    >>> extract_sequences([1, 2, 3, 4, 5], 3, 2).tolist()
    [[1, 2, 3], [3, 4, 5]]
    """
    x = convert_to_tensor(x)
    return ops.unfold(x, x.ndim - 1, sequence_length, sequence_stride)


def _window(window: Any, length: int, fft_length: int) -> np.ndarray:
    """The window, in the middle of ``fft_length`` places."""
    if isinstance(window, str):
        if window not in ("hann", "hamming"):
            raise ValueError(f"window must be 'hann', 'hamming', a tensor or None; got {window!r}")
        least = 0.5 if window == "hann" else 0.54
        values = least - (1.0 - least) * np.cos(2.0 * np.pi * np.arange(length) / length)
    elif window is None:
        return np.ones(fft_length)
    else:
        values = np.asarray(convert_to_tensor(window).detach().cpu(), np.float64)
    if values.shape != (length,):
        raise ShapeError(f"window must have shape ({length},); got {values.shape}")
    before = (fft_length - length) // 2
    return np.pad(values, (before, fft_length - length - before))


def stft(
    x: Any, sequence_length: int, sequence_stride: int, fft_length: int, window: Any = "hann", center: bool = True
) -> Complex:
    """The transforms of frames under a window: (..., n) -> two of (..., frames, fft_length // 2 + 1)."""
    x = convert_to_tensor(x)
    if x.dtype.name not in ("float32", "float64"):
        raise DtypeError(f"stft: expected float32 or float64; got {x.dtype}")
    if fft_length < sequence_length:
        raise ValueError(f"stft: fft_length must be at least sequence_length = {sequence_length}; got {fft_length}")
    if center:
        x = pad(x, [(0, 0)] * (x.ndim - 1) + [(fft_length // 2, fft_length // 2)], "reflect")
    shape = tensor(_window(window, sequence_length, fft_length), dtype=x.dtype, device=x.device)
    return rfft(extract_sequences(x, fft_length, sequence_stride) * shape)


def istft(
    x: Any, sequence_length: int, sequence_stride: int, fft_length: int, length: int | None = None,
    window: Any = "hann", center: bool = True,
) -> Tensor:  # fmt: skip
    """The signal whose :func:`stft` comes nearest: frames under the window added up (Griffin and Lim, 1984)."""
    frames = irfft(x, fft_length)
    values = _window(window, sequence_length, fft_length)
    shape = tensor(values, dtype=frames.dtype, device=frames.device)
    count = frames.shape[-2]
    size = fft_length + sequence_stride * (count - 1)
    over = Window((fft_length,), (sequence_stride,), ((0, 0),), (1,))
    rows = ops.reshape(frames * shape, (-1, 1, count, fft_length))
    signal = ops.sum_patches(ops.transpose(rows, -2, -1), over, (size,))
    weight = np.zeros(size)
    for k in range(count):
        weight[k * sequence_stride : k * sequence_stride + fft_length] += values**2
    scale = tensor(1.0 / np.where(weight > 1e-10, weight, 1.0), dtype=frames.dtype, device=frames.device)
    signal = ops.reshape(signal, (*frames.shape[:-2], size)) * scale
    start = fft_length // 2 if center else 0
    end = start + length if length is not None else size - start
    return signal[..., start:end]
