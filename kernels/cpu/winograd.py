"""Convolutions of 3 by 3 places, one place apart, by 16 products for each 2 by 2 results instead of 36.

Winograd's minimal filtering as Lavin and Gray use it ("Fast Algorithms for Convolutional Neural Networks", 2016): a
*tile* is 4 by 4 places of x and the 2 by 2 results over them. Tiles and weights are transformed; a matrix product over
channels follows for each of the 16 places of a transformed tile, and another transform gives the results. All factors
of the transforms are 0, 1 and 1/2, so that errors are those of the direct sum; but where x is not finite, neither are
all results of its tiles. The gradient of weights multiplies the same tiles of x by transformed tiles of dz and adds up
over tiles.

A register holds neighbouring channels of one place, so sizes of images do not matter. *Strips* are rows of an image in
that order; transformed tiles lie as (16 places, registers of channels, tiles, lanes). Some rows of tiles are made at a
time, as many as the second cache has room for. A sum grows from the first channel to the last in one register.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.pooling import greatest
from nnkit.kernels.cpu.rooms import room_words
from nnkit.kernels.cpu.vectors import Vectors, lanes, registers, tile_word
from nnkit.kernels.cpu.winograd_tiles import PLACES, Build
from nnkit.kernels.cpu.words import compiled_formulas, control_words, memory_words
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.kernels.registered import FORMULAS
from nnkit.kernels.vocabulary import scalar_names

APART = 16  # elements between the tiles of two places, so that their cache lines do not fall on each other


def panel(channels: int, dtype: str) -> int:
    """Registers of output channels of a product's tile, of so many channels."""
    count = -(-channels // lanes(dtype))
    return 3 if count % 3 == 0 else min(count, 2)


def tile_rows(registers_wide: int, width: int = 0) -> int:
    """Image tiles that a product's tile takes at once: a row of so many, or half of it, where that is nearly as many as
    there are registers for.
    """
    if registers().number < 32:
        return 12 // registers_wide
    most = 24 // registers_wide
    fitting = [R for R in (width, width // 2) if R <= most < 2 * R and width % R == 0]
    return max(fitting, default=most)


def few_rows(rows: int) -> int:
    """As many for what is left at the end."""
    return max(1, rows // 3)


def weight_panel(channels: int, dtype: str) -> int:
    """Registers of channels of a tile of the weights' gradient."""
    return 1 if -(-channels // lanes(dtype)) % 2 else 2


def weight_rows(dtype: str, registers_wide: int) -> int:
    """Output channels of such a tile, all of one register."""
    most = 16 if registers().number >= 32 else 8
    return min(most // registers_wide, lanes(dtype))


# ---- forward --------------------------------------------------------------------------------------------------------


def _product(R: int, N: int) -> Build:
    """sums[to + n plane + r lanes…] = the sums over channels c of tiles[at + r lanes + c] w[c, n…], by registers."""

    def build(v: Vectors, tiles: Any, w: Any, sums: Any, *numbers: Any) -> None:
        at, of_w, to, channels, plane = numbers
        totals = [[v.variable(v.zero) for _ in range(N)] for _ in range(R)]
        with v.loop(channels) as n:
            from_tiles = v.plus(at, v.times(n, plane))
            from_w = v.plus(of_w, v.times(n, v.integer(v.lanes * N * v.lanes)))
            with v.loop(v.integer(v.lanes)) as c:
                here, row = v.plus(from_tiles, c), v.plus(from_w, v.times(c, v.integer(N * v.lanes)))
                factors = [v.load(w, v.plus(row, m * v.lanes)) for m in range(N)]
                for r in range(R):
                    value = v.spread(v.builder.load(v.element(tiles, v.plus(here, r * v.lanes))))
                    for m in range(N):
                        total = totals[r][m]
                        v.builder.store(v.multiply_add(value, factors[m], v.builder.load(total)), total)
        for m in range(N):
            target = v.plus(to, v.times(plane, v.integer(m)))
            for r in range(R):
                v.store(sums, v.plus(target, r * v.lanes), v.builder.load(totals[r][m]))

    return build


def _out_of(v: Vectors, sums: Any, y: Any, bias: Any, *numbers: Any) -> None:
    """y, two rows of places ``row`` apart, = the results of the tiles j of a row, and the bias."""
    at, shift, step, row, count = numbers
    minus, own = v.builder.fsub, v.load(bias, shift)
    places = [v.times(step, v.integer(k)) for k in range(PLACES)]
    with v.loop(count) as j:
        here = v.plus(at, v.times(j, v.integer(v.lanes)))
        pairs = []
        for m in range(4):
            d = [v.load(sums, v.plus(here, places[4 * m + n])) for n in range(4)]
            both, apart = v.add(d[1], d[2]), minus(d[1], d[2])
            pairs.append((v.add(d[0], both), minus(apart, d[3])))
        to = v.times(j, v.integer(2 * v.lanes))
        for n in range(2):
            d = [pair[n] for pair in pairs]
            both, apart = v.add(d[1], d[2]), minus(d[1], d[2])
            place = v.plus(to, n * v.lanes)
            v.store(y, place, v.add(v.add(d[0], both), own))
            v.store(y, v.plus(place, row), v.add(minus(apart, d[3]), own))


def _turned_back(v: Vectors, y: Any, out: Any, *numbers: Any) -> None:
    """out[to + c step + i] = y[at + i lanes + c]: a square of places i and channels c, as far as they are there."""
    at, to, step, places, channels = numbers
    columns = [v.load(y, v.plus(at, i * v.lanes)) for i in range(v.lanes)]
    for c, row in enumerate(v.transposed(columns)):
        with v.when(v.builder.icmp_signed("<", v.integer(c), channels)):
            v.store_first(out, v.plus(to, v.times(step, v.integer(c))), row, places)


def _copied_back(v: Vectors, y: Any, out: Any, *numbers: Any) -> None:
    """out[to + i step + c] = y[at + i lanes + c], as far as channels are there."""
    at, to, step, places, channels = numbers
    with v.loop(places) as i:
        value = v.load(y, v.plus(at, v.times(i, v.integer(v.lanes))))
        v.store_first(out, v.plus(to, v.times(i, step)), value, channels)


def _greatest_of_tiles(v: Vectors, y: Any, out: Any, *numbers: Any) -> None:
    """out[j lanes…] = the greatest of the 2 by 2 results of tile j in y, whose rows are ``row`` apart."""
    row, count = numbers
    with v.loop(count) as j:
        first = v.times(j, v.integer(2 * v.lanes))
        places = [v.plus(start, n * v.lanes) for start in (first, v.plus(first, row)) for n in range(2)]
        v.store(out, v.times(j, v.integer(v.lanes)), greatest(v, [v.load(y, place) for place in places]))


# Block: [tiles kernel, its block, weights, table of rooms, in it bytes to three other parts, bias or 0, out, z or 0,
# first row of tiles, how many, how many at once, rows of tiles of an image, tiles of a row, registers of channels, O,
# rows and places of results, the 4 steps of ``out``, places of the strip, from place to place of transformed tiles,
# from register to register, from place to place of sums, 1 where the greatest result of each tile is written,
# scalars…]. A strip is two rows of results, the same after the activation, and the bias.
FORWARD = """
def kernel(block):
    own, weights, room = labels(block[1]), pointer(block[2]), taken(block[3])
    parts = labels(block[4])
    own[1], own[2] = room, room + parts[0]
    sums, strip = pointer(room + parts[1]), pointer(room + parts[2])
    y, before = pointer(block[6]), pointer(block[7])
    height, width, channels, O, P1, P2 = block[11], block[12], block[13], block[14], block[15], block[16]
    ys, yc, y1, y2, row = block[17], block[18], block[19], block[20], block[21] * {W}
    step, plane, out_step = block[22], block[23], block[24]
    tiles = pointer(own[2])
    {scalars}
    panels = (O + {wide} - 1) // {wide}
    shift, done = 4 * row, pointer(room + parts[2] + 2 * row * {size})
    for o in range(panels * {wide}):
        strip[shift + o] = zero
    if block[5] != 0:
        for o in range(O):
            strip[shift + o] = pointer(block[5])[o]
    for q0 in range(block[8], block[8] + block[9], block[10]):
        count = min(block[10], block[8] + block[9] - q0)
        own[14], own[15] = q0, count
        call(block[0], block[1])
        for k in range(16):
            for p in range(panels):
                t, w = 0, (k * panels + p) * channels * {W} * {wide}
                to = k * out_step + p * {N} * plane
                while t < count * width:
                    if count * width - t > {R} - {few}:
                        product(tiles, weights, sums, k * step + t * {W}, w, to + t * {W}, channels, plane)
                        t += {R}
                    else:
                        rest(tiles, weights, sums, k * step + t * {W}, w, to + t * {W}, channels, plane)
                        t += {few}
        for q in range(q0, q0 + count):
            b, i = q // height, q % height
            for o in range(0, O, {W}):
                at = o // {W} * plane + (q - q0) * width * {W}
                out_of(sums, strip, strip, at, shift + o, out_step, row, width)
                for k in range(2 * row):
                    done[k] = {formula}(strip[k]{arguments})
                rows, places = min(2, P1 - 2 * i), P2
                to = b * ys + 2 * i * y1 + o * yc
                if block[25] != 0:
                    greatest_of_tiles(done, done, row, width)
                    rows, places, to = rows // 2, P2 // 2, b * ys + i * y1 + o * yc
                for u in range(rows):
                    for part in range(2):
                        results, target = done, y
                        if part == 0:
                            results, target = strip, before
                            if block[7] == 0:
                                continue
                        if yc == 1:
                            copied_back(results, target, u * row, to + u * y1, y2, places, O - o)
                        else:
                            for p in range(0, places, {W}):
                                k = max(0, min(p, places - {W}))
                                turned_back(results, target, u * row + k * {W}, to + u * y1 + k, yc, places - k, O - o)
    given_back(block[3], room)
"""


@functools.cache
def forward_kernel(dtype: str, activation: str, registers_wide: int, rows: int) -> Kernel:
    """A convolution of some rows of tiles, with bias and activation; ``rows`` tiles are multiplied at once."""
    formula = ACTIVATIONS[activation]
    names = [f"s{k}" for k in range(len(scalar_names(FORMULAS[formula])))]
    N, W = registers_wide, lanes(dtype)
    text = FORWARD.format(
        scalars="\n    ".join(f"{name} = scalar(block[{26 + k}])" for k, name in enumerate(names)) or "pass",
        W=W, N=N, wide=N * W, R=rows, few=few_rows(rows), formula=formula, size=np.dtype(dtype).itemsize,
        arguments="".join(f", {name}" for name in names),
    )  # fmt: skip
    return load(
        Source(f"winograd_{activation}_{N}x{rows}_{dtype}_{W}", text, _forward_words, (dtype, str(N), str(rows)))
    )


def _forward_words(dtype: str, registers_wide: str, rows: str) -> dict[str, Any]:
    N, R = int(registers_wide), int(rows)
    return memory_words(dtype) | control_words() | room_words() | compiled_formulas(dtype) | {
        "zero": np.dtype(dtype).type(0), "product": tile_word(dtype, 3, 5, _product(R, N)),
        "rest": tile_word(dtype, 3, 5, _product(few_rows(R), N)), "out_of": tile_word(dtype, 3, 5, _out_of),
        "turned_back": tile_word(dtype, 2, 5, _turned_back), "copied_back": tile_word(dtype, 2, 5, _copied_back),
        "greatest_of_tiles": tile_word(dtype, 2, 2, _greatest_of_tiles),
    }  # fmt: skip


# ---- the gradient of the weights ------------------------------------------------------------------------------------


def _products(R: int, N: int) -> Build:
    """sums[to + r row + n lanes…] += the sums over tiles t of dz[of_dz + t lanes + r] x[of_x + n plane + t lanes…]."""

    def build(v: Vectors, x: Any, dz: Any, sums: Any, *numbers: Any) -> None:
        of_x, of_dz, to, tiles, plane, row = numbers
        totals = [[v.variable(v.zero) for _ in range(N)] for _ in range(R)]
        starts = [v.plus(of_x, v.times(plane, v.integer(n))) for n in range(N)]
        with v.loop(tiles) as t:
            at = v.times(t, v.integer(v.lanes))
            factors = [v.load(x, v.plus(start, at)) for start in starts]
            here = v.plus(of_dz, at)
            for r in range(R):
                value = v.spread(v.builder.load(v.element(dz, v.plus(here, r))))
                for n in range(N):
                    total = totals[r][n]
                    v.builder.store(v.multiply_add(value, factors[n], v.builder.load(total)), total)
        for r in range(R):
            for n in range(N):
                place = v.plus(v.plus(to, v.times(row, v.integer(r))), n * v.lanes)
                v.store(sums, place, v.add(v.load(sums, place), v.builder.load(totals[r][n])))

    return build


def _taps(v: Vectors, totals: Any, y: Any, *numbers: Any) -> None:
    """y[m lanes…] = the gradient of tap m for neighbouring channels, of the products at ``at``, ``step`` apart."""
    at, step = numbers
    minus, half = v.builder.fsub, v.spread(v.ir.Constant(v.real, 0.5))

    def three(d: list[Any]) -> list[Any]:
        both, apart = v.builder.fmul(half, v.add(d[1], d[2])), v.builder.fmul(half, minus(d[1], d[2]))
        return [v.add(d[0], both), apart, minus(both, d[3])]

    places = [v.plus(at, v.times(step, v.integer(k))) for k in range(PLACES)]
    across = [three([v.load(totals, places[4 * m + n]) for n in range(4)]) for m in range(4)]
    for n in range(3):
        for m, value in enumerate(three([row[n] for row in across])):
            v.store(y, v.integer((3 * m + n) * v.lanes), value)


# Block: [kernel of tiles of x, its block, that of dz, its block, table of rooms, sums, first row of tiles, how many,
# how many at once, tiles of a row, C, O, from place to place of tiles of x and of dz, from register to register, 1
# where the bias is wanted, bytes in a room to four other parts]. sums: nine for each output and channel, then one for
# each output.
GRADIENT = """
def kernel(block):
    mine, others, sums, room = labels(block[1]), labels(block[3]), pointer(block[5]), taken(block[4])
    parts = labels(block[16])
    mine[1], mine[2], others[1], others[2] = room, room + parts[0], room + parts[1], room + parts[2]
    totals = pointer(room + parts[3])
    width, C, O, step, dz_step, plane = block[9], block[10], block[11], block[12], block[13], block[14]
    x, dz = pointer(mine[2]), pointer(others[2])
    row, outputs = (C + {W} - 1) // {W} * {W}, (O + {W} - 1) // {W} * {W}
    each = outputs * row + {apart}
    for k in range(16 * each):
        totals[k] = zero
    for o in range(O):
        sums[O * C * 9 + o] = zero
    for q in range(block[6], block[6] + block[7], block[8]):
        count = min(block[8], block[6] + block[7] - q)
        mine[14], mine[15], others[14], others[15] = q, count, q, count
        call(block[0], block[1])
        call(block[2], block[3])
        for k in range(16):
            for o in range(0, O, {R}):
                of_dz = k * dz_step + o // {W} * plane + o % {W}
                for c in range(0, C, {wide}):
                    to = k * each + o * row + c
                    products(x, dz, totals, k * step + c // {W} * plane, of_dz, to, count * width, plane, row)
        if block[15] != 0:
            for o in range(O):
                total, at = zero, 5 * dz_step + o // {W} * plane + o % {W}
                for t in range(count * width):
                    total += dz[at + t * {W}]
                sums[O * C * 9 + o] += total
    nine = pointer(stack(9 * {W} * {size}))
    for o in range(O):
        for c0 in range(0, C, {W}):
            taps(totals, nine, o * row + c0, each)
            for c in range(c0, min(c0 + {W}, C)):
                for m in range(9):
                    sums[(o * C + c) * 9 + m] = nine[m * {W} + c - c0]
    given_back(block[4], room)
"""


@functools.cache
def gradient_kernel(dtype: str, registers_wide: int) -> Kernel:
    """The gradient of weights and bias over some rows of tiles."""
    N, W = registers_wide, lanes(dtype)
    R = weight_rows(dtype, N)
    text = GRADIENT.format(W=W, R=R, wide=N * W, apart=APART, size=np.dtype(dtype).itemsize)
    return load(Source(f"winograd_gradient_{R}x{N}_{dtype}_{W}", text, _gradient_words, (dtype, str(N)), True))


def _gradient_words(dtype: str, registers_wide: str) -> dict[str, Any]:
    N = int(registers_wide)
    return memory_words(dtype) | control_words() | room_words() | {
        "zero": np.dtype(dtype).type(0), "taps": tile_word(dtype, 2, 2, _taps),
        "products": tile_word(dtype, 3, 6, _products(weight_rows(dtype, N), N)),
    }  # fmt: skip
