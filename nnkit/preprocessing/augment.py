"""More training images from the ones there are: mirrored, moved and noisy copies.

Images come as (samples, height, width), (samples, channels, height, width), or with
``channels_last=True`` (samples, height, width, channels). Every draw follows from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit.errors import DataError, DtypeError, ShapeError
from nnkit.preprocessing.checks import checked_seed, numbers

__all__ = ["Augment", "GaussianNoise", "RandomFlip", "RandomShift"]

Step = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class RandomFlip:
    """Mirrors each image left to right, and upside down, with the given probabilities.

    Images have shape (samples, [channels,] height, width), float32 or float64. Raises ShapeError for others,
    DataError for what is no probability. Source: ``keras.layers.RandomFlip``.

    >>> RandomFlip(1.0)(np.array([[[1.0, 2.0]]], np.float32), np.random.default_rng(0)).tolist()
    [[[2.0, 1.0]]]
    """

    def __init__(self, horizontal: float = 0.5, vertical: float = 0.0, channels_last: bool = False) -> None:
        for name, value in (("horizontal", horizontal), ("vertical", vertical)):
            if not 0 <= value <= 1:
                raise DataError(f"{name} must be a probability from 0 to 1, got {value!r}")
        self.horizontal, self.vertical, self.channels_last = horizontal, vertical, channels_last

    def __call__(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        height, width = _image_axes(images, self.channels_last)
        for probability, axis in ((self.horizontal, width), (self.vertical, height)):
            chosen = generator.random(len(images)) < probability
            images = np.where(_per_image(chosen, images), np.flip(images, axis), images)
        return images


class RandomShift:
    """Moves each image by up to ``pixels`` in each direction; what comes in from outside is ``fill``.

    Images have shape (samples, [channels,] height, width), float32 or float64. Raises ShapeError for others,
    DataError for ``pixels`` below 0. Source: ``keras.layers.RandomTranslation``.

    >>> RandomShift(1)(np.ones((2, 4, 4), np.float32), np.random.default_rng(0)).shape
    (2, 4, 4)
    """

    def __init__(self, pixels: int = 2, fill: float = 0.0, channels_last: bool = False) -> None:
        if isinstance(pixels, bool) or not isinstance(pixels, int) or pixels < 0:
            raise DataError(f"pixels must be an integer of at least 0, got {pixels!r}")
        if not np.isfinite(fill):
            raise DataError(f"fill must be a finite number, got {fill!r}")
        self.pixels, self.fill, self.channels_last = pixels, fill, channels_last

    def __call__(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        axes = _image_axes(images, self.channels_last)
        margins = [(self.pixels, self.pixels) if axis in axes else (0, 0) for axis in range(images.ndim)]
        padded = np.pad(images, margins, constant_values=self.fill)
        starts = generator.integers(0, 2 * self.pixels + 1, size=(2, len(images)))
        for axis, start in zip(axes, starts, strict=True):
            window = start[:, None] + np.arange(images.shape[axis])
            index = np.expand_dims(window, [other for other in range(1, images.ndim) if other != axis])
            padded = np.take_along_axis(padded, index, axis)
        return padded


class GaussianNoise:
    """Adds normal noise of mean 0 and standard deviation ``std`` (in the unit of the pixels).

    Images are of any shape, float32 or float64. Raises DataError for a deviation below 0. Source:
    ``keras.layers.GaussianNoise``.

    >>> GaussianNoise(0.0)(np.ones((2, 3), np.float32), np.random.default_rng(0)).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    def __init__(self, std: float = 0.1) -> None:
        if not (np.isfinite(std) and std >= 0):
            raise DataError(f"std must be a finite number of at least 0, got {std!r}")
        self.std = float(std)

    def __call__(self, images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        noise = generator.standard_normal(images.shape, np.float32)
        return images + (self.std * noise).astype(images.dtype)


class Augment:
    """Applies steps one after the other to a batch of images; returns new images.

    A step is ``step(images, generator) -> images``: the classes of this file, or any function.
    Call number k depends on ``seed`` and k alone; ``step=k`` repeats it. Images become float32
    (float64 for float64 and wide integers) and keep their shape; raises ShapeError where a step
    changes it.

    Source: nnkit's own.

    >>> augment = Augment([RandomFlip(), RandomShift(1), GaussianNoise(0.05)], seed=7)
    >>> images = np.ones((4, 8, 8), np.float32)
    >>> bool((augment(images, step=3) == augment(images, step=3)).all()), augment(images).shape
    (True, (4, 8, 8))
    """

    def __init__(self, steps: Sequence[Step], seed: int = 0) -> None:
        self.steps = list(steps)
        for step in self.steps:
            if not callable(step):
                raise DtypeError(f"steps must be functions of (images, generator), got {step!r}")
        self.seed = checked_seed(seed)
        self.calls = 0

    def __call__(self, images: Any, step: int | None = None) -> np.ndarray:
        if step is None:
            step, self.calls = self.calls, self.calls + 1
        generator = np.random.default_rng([self.seed, checked_seed(step)])
        images = numbers(images, "images")
        result = images.copy()
        for function in self.steps:
            result = function(result, generator)
            if result.shape != images.shape:
                raise ShapeError(f"{function!r} changed the shape from {images.shape} to {result.shape}")
        return result


def _image_axes(images: np.ndarray, channels_last: bool) -> tuple[int, int]:
    """The axes of height and width, counted from the front."""
    if images.ndim == 4:
        return (1, 2) if channels_last else (2, 3)
    if images.ndim == 3 and not channels_last:
        return 1, 2
    sizes = "height, width, channels" if channels_last else "[channels,] height, width"
    raise ShapeError(f"images must have shape (samples, {sizes}), got {images.shape}")


def _per_image(values: np.ndarray, images: np.ndarray) -> np.ndarray:
    return values.reshape(-1, *(1,) * (images.ndim - 1))
