"""Where the planes of a convolution lie, and what each of its taps meets in them: see ``kernels.cpu.convolution``."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends.cpu.axes import Steps
from nnkit.backends.windows import Sizes, Window
from nnkit.kernels.cpu.convolution import slack
from nnkit.kernels.cpu.vectors import lanes


class Planes(NamedTuple):
    """How the channels of an image are laid out: what ``planes_kernel`` is told."""

    sizes: Sizes  # of the array
    before: Sizes  # places of padding
    stride: Sizes
    plane: Sizes  # places of a plane
    channel: int  # elements of a channel
    kept: Sizes = (1, 1, 1)  # remainders of places by the strides that a tap meets

    @property
    def pitches(self) -> Sizes:
        """From one place to the next along each axis of a plane."""
        return self.plane[1] * self.plane[2], self.plane[2], 1

    def are(self, x: Steps, dtype: str) -> bool:
        """Whether an array's channels, rows of whole registers, lie as these planes would: then none need be made."""
        n = self.sizes[2]
        copied = Planes((1, 1, n), (0, 0, 0), (1, 1, 1), (1, 1, n), n)
        return self == copied and x.axes[2] == 1 and x.channel == n and n % lanes(dtype) == 0

    def size(self, channels: int, dtype: str) -> int:
        """Elements of an image, with what a tile may read behind it."""
        return channels * self.channel + self.tail(dtype)

    def tail(self, dtype: str) -> int:
        """Elements behind the last channel that a tile may read."""
        return slack(dtype) + self.plane[2]


class Sum(NamedTuple):
    """A sum over channels and taps: for each of them its distance in planes and its place among a group's weights."""

    offsets: np.ndarray
    places: np.ndarray
    first: Sizes  # the first place of ``out`` on each axis
    step: Sizes
    sizes: Sizes


@functools.lru_cache(512)
def forward_layout(window: Window, channels: int, sizes: Sizes, out: Sizes) -> tuple[Planes, Sum]:
    """The planes of x and the sum of a convolution; of three axes, ``channels`` in a group."""
    stride, padded = window.stride, window.padded(sizes)
    plane = tuple(-(-n // s) for n, s in zip(padded, stride, strict=True))
    kept = tuple(min(s, n) for s, n in zip(stride, window.reach(), strict=True))
    channel = math.prod(kept) * math.prod(plane)
    planes = Planes(sizes, tuple(b for b, _ in window.padding), stride, plane, channel, kept)
    taps = []
    for tap in itertools.product(*map(range, window.kernel)):
        apart = [k * d for k, d in zip(tap, window.dilation, strict=True)]
        remainder = 0
        for u, s, n in zip(apart, stride, kept, strict=True):
            remainder = remainder * n + u % s
        steps = sum(u // s * pitch for u, s, pitch in zip(apart, stride, planes.pitches, strict=True))
        taps.append(remainder * math.prod(plane) + steps)
    offsets = [c * planes.channel + tap for c in range(channels) for tap in taps]
    return planes, Sum(table(offsets), table(range(len(offsets))), (0, 0, 0), (1, 1, 1), out)


@functools.lru_cache(512)
def backward_layout(window: Window, outputs: int, inputs: int, sizes: Sizes, out: Sizes) -> tuple[Planes, list[Sum]]:
    """The planes of dz, and the sums that make dx: one for each remainder of its places by the strides.

    ``outputs`` and ``inputs`` are the channels of a group, ``sizes`` x's places, ``out`` those of dz.
    """
    each = [_remainders(*one) for one in zip(*window, sizes, strict=True)]
    before = [max(0, *(t - m for _, _, m, taps in axis for _, t in taps), 0) for axis in each]
    plane = tuple(
        max(low + n, *(m + count + low for _, count, m, _ in axis))
        for low, n, axis in zip(before, out, each, strict=True)
    )
    planes = Planes(out, tuple(before), (1, 1, 1), plane, math.prod(plane))
    every, sums = math.prod(window.kernel), []
    for parts in itertools.product(*each):
        if any(count < 1 for _, count, _, _ in parts):
            continue
        offsets, places = [], []
        for o in range(outputs):
            for taps in itertools.product(*(taps for _, _, _, taps in parts)):
                steps = zip(parts, taps, before, planes.pitches, strict=True)
                offsets.append(o * planes.channel + sum((m - t + low) * p for (_, _, m, _), (_, t), low, p in steps))
                number = 0
                for (k, _), n in zip(taps, window.kernel, strict=True):
                    number = number * n + k
                places.append(o * inputs * every + number)
        first, counts = tuple(part[0] for part in parts), tuple(part[1] for part in parts)
        sums.append(Sum(table(offsets), table(places), first, window.stride, counts))
    return planes, sums


def _remainders(kernel: int, stride: int, padding: tuple[int, int], dilation: int, n: int) -> list[Any]:
    """Along an axis, for each remainder: its first place, how many, where that is in dz, its taps and their shifts."""
    found = []
    for remainder in range(stride):
        first = (remainder - padding[0]) % stride
        taps = [(k, (k * dilation - remainder) // stride) for k in range(kernel) if k * dilation % stride == remainder]
        found.append((first, -(-(n - first) // stride), (first + padding[0] - remainder) // stride, taps))
    return found


def table(numbers: Any) -> np.ndarray:
    """Numbers as kernels read them."""
    return np.array(list(numbers), np.int64)
