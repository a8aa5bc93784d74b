"""Transforms of what ``winograd`` multiplies: tiles of x and of dz, and weights."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.vectors import Vectors, lanes, tile_word
from nnkit.kernels.cpu.words import memory_words

PLACES = 16  # of a transformed tile
Build = Callable[..., None]


# ---- tiles ----------------------------------------------------------------------------------------------------------


def _turned(v: Vectors, x: Any, y: Any, *numbers: Any) -> None:
    """y[to + i lanes + c] = x[at + c step + i]: a square of channels c and places i, and 0 for what is not there."""
    at, to, step, places, channels = numbers
    last, none = v.plus(channels, -1), v.integer(0)
    rows = [v.variable(v.zero) for _ in range(v.lanes)]
    with v.builder.if_else(v.builder.icmp_signed(">=", channels, v.integer(v.lanes))) as (all_there, some):
        with all_there:
            for c, row in enumerate(rows):
                v.builder.store(v.load(x, v.plus(at, v.times(v.integer(c), step)), places), row)
        with some:
            for c, row in enumerate(rows):
                there = v.builder.icmp_signed("<", v.integer(c), channels)
                place = v.plus(at, v.times(v.at_most(v.integer(c), last), step))
                v.builder.store(v.load(x, place, v.builder.select(there, places, none)), row)
    for i, column in enumerate(v.transposed([v.builder.load(row) for row in rows])):
        v.store(y, v.plus(to, i * v.lanes), column)


def _copied(v: Vectors, x: Any, y: Any, *numbers: Any) -> None:
    """y[to + i lanes + c] = x[at + i step + c]: places i whose channels lie side by side, and 0 for others."""
    at, to, step, places, channels = numbers
    with v.loop(places) as i:
        value = v.load(x, v.plus(at, v.times(i, step)), channels)
        v.store(y, v.plus(to, v.times(i, v.integer(v.lanes))), value)


def _differences(v: Vectors, d: list[Any]) -> list[Any]:
    """The transform of four neighbours of x."""
    minus = v.builder.fsub
    return [minus(d[0], d[2]), v.add(d[1], d[2]), minus(d[2], d[1]), minus(d[1], d[3])]


def _sums(v: Vectors, g: list[Any]) -> list[Any]:
    """The transform of two neighbours of dz; twice what it should be, where it is a sum or a difference."""
    return [g[0], v.add(g[0], g[1]), v.builder.fsub(g[0], g[1]), g[1]]


def _into(v: Vectors, x: Any, tiles: Any, *numbers: Any) -> None:
    """tiles[to + k step + j lanes] = the transformed tiles j of a row: 4 by 4 places, 2 apart.

    Down the columns first: a tile has two of these in common with the one before.
    """
    rows, (to, step, count) = numbers[:4], numbers[4:]
    places = [v.times(step, v.integer(k)) for k in range(PLACES)]

    def column(at: Any) -> list[Any]:
        return _differences(v, [v.load(x, v.plus(row, at)) for row in rows])

    before = [[v.variable(value) for value in column(v.integer(n * v.lanes))] for n in range(2)]
    with v.loop(count) as j:
        at, target = v.times(j, v.integer(2 * v.lanes)), v.plus(to, v.times(j, v.integer(v.lanes)))
        columns = [[v.builder.load(value) for value in one] for one in before]
        columns += [column(v.plus(at, n * v.lanes)) for n in (2, 3)]
        for m in range(4):
            for n, value in enumerate(_differences(v, [one[m] for one in columns])):
                v.store(tiles, v.plus(target, places[4 * m + n]), value)
        for one, values in zip(before, columns[2:], strict=True):
            for variable, value in zip(one, values, strict=True):
                v.builder.store(value, variable)


def _into_of_gradient(v: Vectors, x: Any, tiles: Any, *numbers: Any) -> None:
    """The same of dz: 2 by 2 places."""
    rows, (to, step, count) = numbers[:2], numbers[2:]
    places = [v.times(step, v.integer(k)) for k in range(PLACES)]
    with v.loop(count) as j:
        at = v.times(j, v.integer(2 * v.lanes))
        across = [_sums(v, [v.load(x, v.plus(v.plus(row, at), n * v.lanes)) for n in range(2)]) for row in rows]
        target = v.plus(to, v.times(j, v.integer(v.lanes)))
        for n in range(4):
            for m, value in enumerate(_sums(v, [row[n] for row in across])):
                v.store(tiles, v.plus(target, places[4 * m + n]), value)


# Block: [x, strips, tiles, C, rows and places of x, padding before them, in elements the steps of x along samples,
# channels, rows and places, rows of tiles of an image, tiles of a row, first row of tiles, how many, places of a strip,
# from place to place of a transformed tile in ``tiles``, from register to register of channels].
TILES = """
def kernel(block):
    x, strips, tiles = pointer(block[0]), pointer(block[1]), pointer(block[2])
    C, H, W, before1, before2 = block[3], block[4], block[5], block[6], block[7]
    xs, xc, x1, x2, height, width, first, count = (
        block[8], block[9], block[10], block[11], block[12], block[13], block[14], block[15]
    )
    row, step, plane = block[16] * {W}, block[17], block[18]
    for q in range(first, first + count):
        b, i = q // height, q % height
        begin = 2 * i
        if q > first and i > 0:
            begin += {size} - 2
        for u in range(begin, 2 * i + {size}):
            r = u - before1
            for c in range(0, C, {W}):
                to = c * {size} * block[16] + u % {size} * row
                if r < 0 or r >= H:
                    for k in range(to, to + row):
                        strips[k] = zero
                else:
                    for k in range(to, to + before2 * {W}):
                        strips[k] = zero
                    at, inside = b * xs + r * x1 + c * xc, to + before2 * {W}
                    if xc == 1:
                        copied(x, strips, at, inside, x2, W, C - c)
                    elif x2 != 1:
                        for p in range(W):
                            for n in range({W}):
                                strips[inside + p * {W} + n] = x[at + p * x2 + n * xc] if c + n < C else zero
                    else:
                        for p in range(0, W, {W}):
                            turned(x, strips, at + p, inside + p * {W}, xc, W - p, C - c)
                    for k in range(inside + W * {W}, to + (2 * width + {size} - 2) * {W}):
                        strips[k] = zero
        for c in range(0, C, {W}):
            to = c * {size} * block[16]
            into(strips, tiles, {rows}, c // {W} * plane + (q - first) * width * {W}, step, width)
"""


@functools.cache
def tiles_kernel(dtype: str, of_gradient: bool) -> Kernel:
    """Transformed tiles of x, or of dz for the gradient of weights."""
    size, W = 2 if of_gradient else 4, lanes(dtype)
    rows = ", ".join(f"to + (2 * i + {u}) % {size} * row" for u in range(size))
    name = f"winograd_tiles_{size}_{dtype}_{W}"
    return load(Source(name, TILES.format(W=W, size=size, rows=rows), _tile_words, (dtype, str(size))))


def _tile_words(dtype: str, size: str) -> dict[str, Any]:
    into = _into_of_gradient if size == "2" else _into
    return memory_words(dtype) | {
        "zero": np.dtype(dtype).type(0), "turned": tile_word(dtype, 2, 5, _turned),
        "copied": tile_word(dtype, 2, 5, _copied), "into": tile_word(dtype, 2, int(size) + 3, into),
    }  # fmt: skip


# ---- weights --------------------------------------------------------------------------------------------------------

# Block: [w, out, C, O, from channel to channel in w, from output to output, 1 where taps are turned around, first panel
# of outputs, panels, panels in all, memory that the launch keeps or 0]: for each place, panel and channel the
# transformed weights side by side. Channels and outputs that are not there are 0. Kept are the weights of an earlier
# run, and behind them 1 where there was one: if they are the same, bit by bit, nothing is done.
WEIGHTS = """
def kernel(block):
    if block[10] != 0:
        nbytes, apart = block[2] * block[3] * 9 * {size}, 0
        source, kept, known = labels(block[0]), labels(block[10]), labels(block[10] + nbytes // 8 * 8 + 8)
        for k in range(nbytes // 8):
            apart |= source[k] ^ kept[k]
        for k in range(nbytes // 8 * 8, nbytes):
            apart |= int(byte(block[0])[k] != byte(block[10])[k])
        if apart == 0 and known[0] != 0:
            return
        for k in range(nbytes // 8):
            kept[k] = source[k]
        for k in range(nbytes // 8 * 8, nbytes):
            byte(block[10])[k] = byte(block[0])[k]
        known[0] = 1
    w, y, C, O, channel, output = pointer(block[0]), pointer(block[1]), block[2], block[3], block[4], block[5]
    channels = (C + {W} - 1) // {W} * {W}
    step = block[9] * channels * {wide}
    first, way = 0, 1
    if block[6] != 0:
        first, way = 8, -1
    for p in range(block[7], block[7] + block[8]):
        for c in range(channels):
            to = (p * channels + c) * {wide}
            present = min(O - p * {wide}, {wide})
            if c >= C:
                present = 0
            at = c * channel + p * {wide} * output + first
            for n in range(3):
                k = to + n * step
                one = at + n * way
                for o in range(present):
                    g0, g1, g2 = w[one + o * output], w[one + o * output + 3 * way], w[one + o * output + 6 * way]
                    y[k + o], y[k + 12 * step + o] = g0, g2
                    y[k + 4 * step + o], y[k + 8 * step + o] = half * (g0 + g2 + g1), half * (g0 + g2 - g1)
            for m in range(4):
                k = to + 4 * m * step
                for o in range(present):
                    g0, g1, g2 = y[k + o], y[k + step + o], y[k + 2 * step + o]
                    y[k + step + o], y[k + 2 * step + o] = half * (g0 + g2 + g1), half * (g0 + g2 - g1)
                    y[k + 3 * step + o] = g2
            for m in range(16):
                for o in range(present, {wide}):
                    y[to + m * step + o] = zero
"""


@functools.cache
def weights_kernel(dtype: str, registers_wide: int) -> Kernel:
    """Transform weights, and put them into the order in which products read them."""
    W = lanes(dtype)
    text = WEIGHTS.format(W=W, wide=registers_wide * W, size=np.dtype(dtype).itemsize)
    return load(Source(f"winograd_weights_{registers_wide}_{dtype}_{W}", text, _weight_words, (dtype,)))


def _weight_words(dtype: str) -> dict[str, Any]:
    number = np.dtype(dtype).type
    return memory_words(dtype) | {"zero": number(0), "half": number(0.5)}
