"""Large matrix products: panels of both factors are copied into the order in which the tile reads them.

The scheme of Goto and van de Geijn ("Anatomy of High-Performance Matrix Multiplication", 2008) and of BLIS: a block of
the left factor lies in the second cache, a panel of the right factor, as wide as a tile, in the first; the tile then
reads two streams. A panel takes its elements from a factor whose sums run ``along`` its rows in memory, or ``across``
them: transposed on the way, or copied.

A sum grows step by step, from its first term to its last, in one register; between two blocks it is kept in the
result. So neither the blocks nor the threads nor the other rows change it, and ``products.outer`` gives the same. Where
sums run across the left factor, too, each block's begins with zero and is added to the result, as in ``deep``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.products import ADDED, BIAS, RESULT, ZERO, depth
from nnkit.kernels.cpu.target import second_cache
from nnkit.kernels.cpu.vectors import Vectors, lanes, registers, tile_word
from nnkit.kernels.cpu.words import control_words, memory_words

TALLEST = 384  # rows of the left factor in a block, at most: the block lies on the stack
#: Bytes of weights from which on sums are made in the order of panels: with 16 registers, and with more.
HEAVY, HEAVY_MANY = 4 << 20, 7 << 20
BROAD = 3072  # columns of the right factor whose panels are kept: a few MiB, for the third cache
UNROLLED = 8  # steps of a sum
CACHE_LINE = 64  # bytes
SLICE = 4 * CACHE_LINE  # bytes of a row: so many terms of the next panel are packed at a time
Build = Callable[..., None]


def tile_rows() -> int:
    """Rows of a tile: with its registers of columns, as many sums as there are registers for."""
    return 8 if registers().number >= 32 else 6


def tile_registers() -> int:
    """Registers of columns of a tile."""
    return 3 if registers().number >= 32 else 2


def width(dtype: str) -> int:
    """Columns of a tile, and of a panel of the right factor."""
    return tile_registers() * lanes(dtype)


def large_product(M: int, N: int, K: int) -> bool:
    """Whether a product is made faster by panels than by ``outer``, which gives the same numbers."""
    return M * N * K >= (1 << 27 if registers().number >= 32 and registers().nbytes >= 64 else 1 << 24)


def large_weights(dtype: str, N: int, K: int) -> bool:
    """Whether products with these weights (N, K) are made by panels rather than by ``dot``, in another order."""
    return N * K * np.dtype(dtype).itemsize >= (HEAVY_MANY if registers().number >= 32 else HEAVY)


def tall(dtype: str, M: int) -> int:
    """Rows of each block of a left factor of M rows: as many as leave a quarter of the second cache free, evenly."""
    R = tile_rows()
    most = second_cache() * 3 // 4 // (depth(dtype) * np.dtype(dtype).itemsize)
    most = max(8, min(TALLEST, most) // R) * R
    blocks = -(-M // most)
    return -(-M // (blocks * R)) * R


def room_bytes(dtype: str, N: int) -> int:
    """The memory that a call needs whose right factor has N columns and whose left factor several blocks."""
    wide = width(dtype)
    return depth(dtype) * -(-min(N, BROAD) // wide) * wide * np.dtype(dtype).itemsize


# ---- panels ---------------------------------------------------------------------------------------------------------


def _copied(count: int, part: bool) -> Build:
    """out[k, …] = x[k, …]: ``count`` neighbouring elements of each of K rows of x; ``part``: so many as there are."""

    def build(v: Vectors, x: Any, out: Any, K: Any, ldx: Any, present: Any) -> None:
        places = range(0, count, v.lanes)
        counts = [v.builder.sub(present, v.integer(place)) if part else None for place in places]
        with v.loop(K) as k:
            row, to = v.times(k, ldx), v.times(k, v.integer(count))
            for place, left in zip(places, counts, strict=True):
                v.store(out, v.plus(to, place), v.load(x, v.plus(row, place), left))

    return build


def _transposed(count: int) -> Build:
    """out[k, r] = x[r, k]: K elements of each of ``count`` rows of x; rows beyond those present repeat the last.

    A register may reach beyond the ``count`` elements of a step: the next step's overwrite what it leaves there.
    """

    def build(v: Vectors, x: Any, out: Any, K: Any, ldx: Any, present: Any) -> None:
        last = v.plus(present, -1)
        rest = v.builder.srem(K, v.integer(v.lanes))
        whole = v.builder.sub(K, rest)
        rows = [v.times(v.at_most(v.integer(r), last), ldx) for r in range(count)]
        groups = [(first, rows[first : first + v.lanes]) for first in range(0, count, v.lanes)]

        def squares(k: Any, left: Any = None) -> list[list[Any]]:
            """For each element of the rows from k on, the registers that make the step."""
            turned = []
            for _, those in groups:
                loaded = [v.load(x, v.plus(row, k), left) for row in those]
                turned.append(v.transposed(loaded + [v.zero] * (v.lanes - len(loaded))))
            return [list(step) for step in zip(*turned, strict=True)]

        def put(k: Any, step: list[Any]) -> None:
            for (first, _), column in zip(groups, step, strict=True):
                v.store(out, v.plus(v.times(k, v.integer(count)), first), column)

        with v.loop(whole, v.lanes) as k:
            for c, step in enumerate(squares(k)):
                put(v.plus(k, c), step)
        with v.when(v.builder.icmp_signed(">", rest, v.integer(0))):
            for c, step in enumerate(squares(whole, rest)[:-1]):
                with v.when(v.builder.icmp_signed("<", v.integer(c), rest)):
                    put(v.plus(whole, c), step)

    return build


# ---- the tile -------------------------------------------------------------------------------------------------------


def touched(nbytes: int) -> int:
    """A power of 2 that is no fewer than the cache lines that so many bytes touch, wherever they lie."""
    return 1 << (-(-nbytes // CACHE_LINE)).bit_length()


def _tile(C: int, part: bool, later: int, fetched: tuple[int, int]) -> Build:
    """y[r, …] = what it begins with, plus the sums over k of a[k, r] b[k, …], a and b panels.

    ``later``: how a block begins that is not the first: with the RESULT, or with zero and the result is ADDED.
    ``rows`` of its rows are there, and stored; ``part``: the last of its C registers of columns is not full.

    Meanwhile it fetches, into the second cache, the result of the tile below, and the slice of the right factor
    ``ahead`` from its cache line number ``first`` on: ``fetched`` says how many rows and cache lines of each it has.
    """

    def build(v: Vectors, a: Any, b: Any, y: Any, bias: Any, *numbers: Any) -> None:
        rows, columns, K, ldy, begin, ahead, apart, first = numbers
        R, wide = tile_rows(), tile_registers() * v.lanes
        starts = [c * v.lanes for c in range(C)]
        counts = [
            v.builder.sub(columns, v.integer(start)) if part and start == starts[-1] else None for start in starts
        ]
        row_places = [v.times(v.at_most(v.integer(r), v.plus(rows, -1)), ldy) for r in range(R)]
        sums = [[v.variable(v.zero) for _ in starts] for _ in range(R)]

        def begin_with(kind: int, memory: Any, places: list[Any]) -> None:
            with v.when(v.builder.icmp_signed("==", begin, v.integer(kind))):
                for r in range(R):
                    for c, start in enumerate(starts):
                        v.builder.store(v.load(memory, v.plus(places[r], start), counts[c]), sums[r][c])

        def fetch(start: Any, number: Any, row_length: Any, rows: int, lines: int) -> None:
            """The cache line of that number; ``lines`` is a power of 2."""
            row = v.at_most(v.builder.lshr(number, v.integer(lines.bit_length() - 1)), v.integer(rows - 1))
            line = v.times(v.builder.and_(number, v.integer(lines - 1)), v.integer(CACHE_LINE))
            v.prefetch(v.plus(start, v.plus(v.times(v.times(row, row_length), v.integer(v.size)), line)))

        def step(k: Any) -> None:
            left, right = v.times(k, v.integer(R)), v.times(k, v.integer(wide))
            factors = [v.load(b, v.plus(right, start)) for start in starts]
            for r in range(R):
                factor = v.spread(v.builder.load(v.element(a, v.plus(left, r))))
                for c in range(C):
                    v.builder.store(v.multiply_add(factor, factors[c], v.builder.load(sums[r][c])), sums[r][c])

        below = v.address(y, v.times(v.integer(R), ldy))
        if later == RESULT:
            begin_with(RESULT, y, row_places)
        begin_with(BIAS, bias, [v.integer(0)] * R)
        rest = v.builder.srem(K, v.integer(UNROLLED))
        whole = v.builder.sub(K, rest)
        with v.loop(whole, UNROLLED) as k:
            for more in range(UNROLLED):
                step(v.plus(k, more))
            number = v.builder.lshr(k, v.integer(UNROLLED.bit_length() - 1))
            fetch(ahead, v.plus(first, number), apart, *fetched)
            fetch(below, number, ldy, R, touched(C * v.lanes * v.size))
        with v.loop(rest) as k:
            step(v.plus(whole, k))
        if later == ADDED:
            with v.when(v.builder.icmp_signed("==", begin, v.integer(ADDED))):
                for r in range(R):
                    for c, start in enumerate(starts):
                        before = v.load(y, v.plus(row_places[r], start), counts[c])
                        v.builder.store(v.add(before, v.builder.load(sums[r][c])), sums[r][c])
        for r in range(R):
            with v.when(v.builder.icmp_signed("<", v.integer(r), rows)):
                for c, start in enumerate(starts):
                    v.store(y, v.plus(row_places[r], start), v.builder.load(sums[r][c]), counts[c])

    return build


# ---- the kernel -----------------------------------------------------------------------------------------------------

# Block: [a, b, y, M, N, K, lda, ldb, ldy, add, bias or 0, tall, room or 0]: y (M, N) = a b + bias, or y + a b. A block
# of the left factor has ``tall`` rows; where there are several, the panels of the right factor are kept for the next
# ones in ``room``, of ``room_bytes``. The panel after the one at hand is packed between tiles, so many terms of the
# sums at a time, every so many tiles; these have fetched the terms meanwhile, so nobody waits for memory. The first
# panel is packed when there is none at hand. What is kept is fetched in the same way.
PANELS = """
def kernel(block):
    M, N, K, lda, ldb, ldy = block[3], block[4], block[5], block[6], block[7], block[8]
    left, right = stack(({tallest} + {W}) * {deep} * {size}), stack(2 * {wide} * {deep} * {size})
    if block[12] != 0:
        right = block[12]
    for n0 in range(0, N, {broad}):
        broad = min({broad}, N - n0)
        for k0 in range(0, K, {deep}):
            depth = min({deep}, K - k0)
            begin = {later}
            if k0 == 0 and block[9] == 0:
                begin = {bias} if block[10] != 0 else {zero}
            for i0 in range(0, M, block[11]):
                rows = min(block[11], M - i0)
                for i in range(0, rows, {R}):
                    from_a, to_a = pointer(block[0] + {left_place} * {size}), pointer(left + i * depth * {size})
                    {pack_left}
                tiles = -(-rows // {R})
                terms = -(-depth // ({slice} * tiles)) * {slice}
                every = tiles // -(-depth // terms)
                for j in range(-{wide}, broad, {wide}):
                    columns, following = min({wide}, broad - j), min({wide}, broad - j - {wide})
                    here, there = j // {wide}, j // {wide} + 1
                    if block[12] == 0:
                        here, there = here & 1, there & 1
                    b, bias = pointer(right + here * {wide} * depth * {size}), pointer(block[10] + (n0 + j) * {size})
                    ahead, apart = block[1], ldb
                    for tile in range(tiles):
                        i, k = tile * {R}, tile // every * terms
                        if tile % every == 0 and k < depth and following > 0:
                            to_b, count = right + (there * depth + k) * {wide} * {size}, min(terms, depth - k)
                            if block[12] != 0 and i0 > 0:
                                ahead, apart = to_b + terms * {wide} * {size}, {apart}
                            else:
                                from_b, packed = pointer(block[1] + {right_place} * {size}), pointer(to_b)
                                {pack_right}
                                k, ahead = k + terms, block[1]
                                if k < depth:
                                    ahead += {right_place} * {size}
                        if j >= 0:
                            a, present = pointer(left + i * depth * {size}), min({R}, rows - i)
                            y = pointer(block[2] + ((i0 + i) * ldy + n0 + j) * {size})
                            first = tile % every * (depth // {unrolled})
                            {choice}
"""
#: How sums run through the factors -> where a panel begins, and how it is filled.
LEFT = {
    "along": ("((i0 + i) * lda + k0)", "transposed_left(from_a, to_a, depth, lda, rows - i)"),
    "across": ("(k0 * lda + i0 + i)", "{name}_left(from_a, to_a, depth, lda, rows - i)"),
}
RIGHT = {
    "along": ("((n0 + j + {wide}) * ldb + k0 + k)", "transposed_right(from_b, packed, count, ldb, following)"),
    "across": ("((k0 + k) * ldb + n0 + j + {wide})", "{name}_right(from_b, packed, count, ldb, following)"),
}
#: How a block of the sums begins that is not the first.
LATER = {"along": RESULT, "across": ADDED}


def _either(line: str, condition: str, indent: int) -> str:
    """A line by one of two words: where ``condition`` holds nothing beyond the panel is read."""
    if "{name}" not in line:
        return line
    lines = [f"if {condition}:", f"    {line.format(name='copied')}", "else:", f"    {line.format(name='part')}"]
    return f"\n{' ' * indent}".join(lines)


def _choice(dtype: str, indent: int) -> str:
    """Which tile is called: by its width and by whether its last register is full."""
    arguments = "a, b, y, bias, present, columns, depth, ldy, begin, ahead, apart, first"
    W, lines = lanes(dtype), list[str]()
    for C in range(tile_registers(), 0, -1):
        for part, condition in ((False, f"columns == {C * W}"), (True, f"columns > {(C - 1) * W}")):
            lines.append(f"{'elif' if lines else 'if'} {condition}:")
            lines.append(f"    tile{C}{'p' * part}({arguments})")
    return f"\n{' ' * indent}".join(lines)


def _slice(dtype: str, b: str) -> tuple[int, int, int]:
    """Of a slice of the right factor: its rows in memory, the cache lines of each, and its elements, in a panel."""
    terms, wide = SLICE // np.dtype(dtype).itemsize, width(dtype)
    if b == "along":
        return wide, SLICE // CACHE_LINE, terms
    return terms, touched(wide * np.dtype(dtype).itemsize), wide


@functools.cache
def panels_kernel(dtype: str, a: str, b: str) -> Kernel:
    """y = a b, whose sums run "along" the rows of a and of b in memory, or "across" them."""
    W, R, wide = lanes(dtype), tile_rows(), width(dtype)
    (left_place, left), (right_place, right) = LEFT[a], RIGHT[b]
    text = PANELS.format(
        W=W, R=R, wide=wide, deep=depth(dtype), size=np.dtype(dtype).itemsize, tallest=TALLEST, broad=BROAD, zero=ZERO,
        bias=BIAS, later=LATER[a], left_place=left_place, right_place=right_place.format(wide=wide),
        pack_left=_either(left, f"rows - i >= {-(-R // W) * W}", 20),
        pack_right=_either(right, f"following == {wide}", 32), choice=_choice(dtype, 28),
        slice=SLICE // np.dtype(dtype).itemsize, unrolled=UNROLLED, apart=_slice(dtype, b)[2],
    )  # fmt: skip
    return load(Source(f"panels_{a}_{b}_{dtype}_{W}_{depth(dtype)}", text, _words, (dtype, a, b)))


def _words(dtype: str, a: str, b: str) -> dict[str, Any]:
    words = memory_words(dtype) | control_words()
    for side, count in (("left", tile_rows()), ("right", width(dtype))):
        words[f"transposed_{side}"] = tile_word(dtype, 2, 3, _transposed(count))
        words[f"copied_{side}"] = tile_word(dtype, 2, 3, _copied(count, False))
        words[f"part_{side}"] = tile_word(dtype, 2, 3, _copied(count, True))
    fetched = _slice(dtype, b)[:2]
    for C in range(1, tile_registers() + 1):
        for part in (False, True):
            words[f"tile{C}{'p' * part}"] = tile_word(dtype, 4, 8, _tile(C, part, LATER[a], fetched))
    return words
