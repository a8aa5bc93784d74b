"""Planes of an image for the sums of ``convolution``: rows with their padding, one for each remainder by strides."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.vectors import Vectors, lanes, tile_word
from nnkit.kernels.cpu.words import memory_words

Build = Callable[..., None]

# Block: [x, planes, C, from channel to channel in x, 3 sizes of x, 3 steps in x, 3 paddings before, 3 strides, 3 sizes
# of a plane, elements of a channel in planes, elements behind all that become 0, 1 where all becomes 0 before, 3
# numbers of remainders]. A channel has a plane for each remainder of a place by the strides.
PLANES = """
def kernel(block):
    x, y = pointer(block[0]), pointer(block[1])
    C, xc, S0, S1, S2, x0, x1, x2 = block[2], block[3], block[4], block[5], block[6], block[7], block[8], block[9]
    before0, before1, before2, s0, s1, s2 = block[10], block[11], block[12], block[13], block[14], block[15]
    Q0, Q1, Q2, channel, kept0, kept1, kept2 = (
        block[16], block[17], block[18], block[19], block[22], block[23], block[24]
    )
    plane = Q0 * Q1 * Q2
    if block[21] != 0:
        for k in range(C * channel + block[20]):
            y[k] = zero
    if xc == 1 and x2 != 1 and s2 == 1:
        for i0 in range(S0):
            for i1 in range(S1):
                r0, r1 = (i0 + before0) % s0, (i1 + before1) % s1
                if r0 < kept0 and r1 < kept1:
                    to = (r0 * kept1 + r1) * plane + ((i0 + before0) // s0 * Q1 + (i1 + before1) // s1) * Q2 + before2
                    for i2 in range(0, S2, {W}):
                        at = i0 * x0 + i1 * x1 + i2 * x2
                        for c in range(0, C, {W}):
                            turned(x, y, at + c, c * channel + to + i2, x2, channel, S2 - i2, C - c)
        return
    for c in range(C):
        for i0 in range(S0):
            r0 = (i0 + before0) % s0
            if r0 >= kept0:
                continue
            for r1 in range(kept1):
                m1 = max(0, (before1 - r1 + s1 - 1) // s1)
                i1 = m1 * s1 + r1 - before1
                rows = max(0, (S1 - i1 + s1 - 1) // s1)
                for r2 in range(kept2):
                    m2 = max(0, (before2 - r2 + s2 - 1) // s2)
                    i2 = m2 * s2 + r2 - before2
                    width = max(0, (S2 - i2 + s2 - 1) // s2)
                    at = c * xc + i0 * x0 + i1 * x1 + i2 * x2
                    to = c * channel + ((r0 * kept1 + r1) * kept2 + r2) * plane
                    to += ((i0 + before0) // s0 * Q1 + m1) * Q2 + m2
                    if x2 == 1 and s2 == 1 and width == s1 * x1 and width == Q2:
                        each1(x, y, at, to, 1, rows * width, 0, 0)
                    elif x2 == 1 and s2 == 1:
                        each1(x, y, at, to, rows, width, s1 * x1, Q2)
                    elif x2 == 1 and s2 == 2:
                        each2(x, y, at, to, rows, width, s1 * x1, Q2)
                    else:
                        for i in range(rows):
                            for j in range(width):
                                y[to + i * Q2 + j] = x[at + i * s1 * x1 + j * s2 * x2]
"""


def _each(stride: int) -> Build:
    """y[to + i row + j] = x[at + i step + j stride]: ``rows`` of ``width`` elements."""

    def build(v: Vectors, x: Any, y: Any, *numbers: Any) -> None:
        at, to, rows, width, step, row = numbers
        rest = v.builder.srem(width, v.integer(v.lanes))
        whole = v.builder.sub(width, rest)
        with v.loop(rows) as i:
            source, target = v.plus(at, v.times(i, step)), v.plus(to, v.times(i, row))

            def move(j: Any, source: Any = source, target: Any = target, count: Any = None) -> None:
                here = v.plus(source, v.times(j, v.integer(stride)))
                value = v.load(x, here, count) if stride == 1 else v.every(x, here, stride, v.builder.sub(width, j))
                v.store(y, v.plus(target, j), value, count)

            with v.loop(whole, v.lanes) as j:
                move(j)
            with v.when(v.builder.icmp_signed(">", rest, v.integer(0))):
                move(whole, count=rest)

    return build


def _turned(v: Vectors, x: Any, y: Any, *numbers: Any) -> None:
    """y[to + c row + i] = x[at + i step + c]: a square of places i, whose channels c lie side by side in x."""
    at, to, step, row, places, channels = numbers
    last = v.plus(places, -1)
    loaded = [v.load(x, v.plus(at, v.times(v.at_most(v.integer(i), last), step)), channels) for i in range(v.lanes)]
    for c, column in enumerate(v.transposed(loaded)):
        with v.when(v.builder.icmp_signed("<", v.integer(c), channels)):
            v.store(y, v.plus(to, v.times(row, v.integer(c))), column, places)


@functools.cache
def planes_kernel(dtype: str) -> Kernel:
    """Copy the channels of one image into planes."""
    return load(Source(f"conv_planes_{dtype}_{lanes(dtype)}", PLANES.format(W=lanes(dtype)), _plane_words, (dtype,)))


def _plane_words(dtype: str) -> dict[str, Any]:
    return memory_words(dtype) | {
        "zero": np.dtype(dtype).type(0), "turned": tile_word(dtype, 2, 6, _turned),
        "each1": tile_word(dtype, 2, 6, _each(1)), "each2": tile_word(dtype, 2, 6, _each(2)),
    }  # fmt: skip
