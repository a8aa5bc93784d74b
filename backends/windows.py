"""Windows over the places of an image, a signal or a volume: what convolutions and pools have in common.

An array is (B, C, *S): samples, channels, and one to three axes of places. A window of ``kernel`` places is laid over
them at every ``stride``; ``dilation`` is the distance between its neighbours, and ``padding`` says how many places
there are before and behind each axis that hold nothing: 0 to a convolution, minus infinity to a maximum.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

Sizes = tuple[int, ...]


class Window(NamedTuple):
    """One number of each for every axis of places; of the padding, two."""

    kernel: Sizes
    stride: Sizes
    padding: tuple[tuple[int, int], ...]
    dilation: Sizes

    def reach(self) -> Sizes:
        """From the first place of a window to behind its last.

        >>> Window((3,), (1,), ((0, 0),), (2,)).reach()
        (5,)
        """
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def padded(self, sizes: Sizes) -> Sizes:
        """The places with the padding."""
        return tuple(n + before + behind for n, (before, behind) in zip(sizes, self.padding, strict=True))

    def places(self, sizes: Sizes) -> Sizes:
        """How many windows there are over so many places; below 1 where none fits.

        >>> Window((3,), (2,), ((1, 1),), (1,)).places((7,))
        (4,)
        """
        triples = zip(self.padded(sizes), self.reach(), self.stride, strict=True)
        return tuple((n - reach) // step + 1 for n, reach, step in triples)

    def taps(self, out: Sizes) -> Iterator[tuple[Sizes, tuple[slice, ...]]]:
        """For each place of the window: where it is, and of the padded array what it meets in ``out`` windows.

        >>> list(Window((2,), (3,), ((0, 0),), (1,)).taps((4,)))
        [((0,), (slice(0, 10, 3),)), ((1,), (slice(1, 11, 3),))]
        """
        for tap in itertools.product(*map(range, self.kernel)):
            starts = [k * d for k, d in zip(tap, self.dilation, strict=True)]
            ends = [s + step * (n - 1) + 1 for s, step, n in zip(starts, self.stride, out, strict=True)]
            yield tap, tuple(slice(*three) for three in zip(starts, ends, self.stride, strict=True))

    def inside(self, sizes: Sizes) -> tuple[slice, ...]:
        """Of the padded array, the array without its padding."""
        return tuple(slice(before, before + n) for n, (before, _) in zip(sizes, self.padding, strict=True))
