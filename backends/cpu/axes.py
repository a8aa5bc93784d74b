"""Arrays of images as kernels see them: samples, channels, and always three axes of places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nnkit.backends.cpu.launch import address
from nnkit.backends.windows import Sizes, Window

AXES = 3


def three(values: Sequence[int], fill: int) -> Sizes:
    """A number for each of three axes: the leading ones, which are not there, get ``fill``.

    >>> three((5, 7), 1)
    (1, 5, 7)
    """
    return (fill,) * (AXES - len(values)) + tuple(values)


def of_three_axes(window: Window) -> Window:
    """The same window with leading axes of one place."""
    around = ((0, 0),) * (AXES - len(window.padding)) + window.padding
    return Window(three(window.kernel, 1), three(window.stride, 1), around, three(window.dilation, 1))


class Steps(NamedTuple):
    """An array (B, C, *S) by its address and, in elements, the steps along samples, channels and three axes."""

    at: int
    sample: int
    channel: int
    axes: Sizes

    def as_rows(self) -> Steps:
        """Of an array whose places lie side by side: a channel as one row of them."""
        return self._replace(axes=(0, 0, 1))


def steps_of(x: np.ndarray) -> Steps:
    """Where an array lies."""
    sample, channel, *axes = (s // x.itemsize for s in x.strides)
    return Steps(address(x), sample, channel, three(axes, 0))
