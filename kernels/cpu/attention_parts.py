"""The parts that the kernels of attention are made of: the fields of their blocks, what they call, and rows of scores.

A block of TALL queries has WIDE scores of each. Its parts are kernels of their own, which the two in ``attention`` call
on arguments of theirs: rows laid out as columns, weights of scores, what is not seen, what dropout leaves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.products import row_tile, transpose_word
from nnkit.kernels.cpu.random import philox_words
from nnkit.kernels.cpu.vectors import Vectors, lanes, tile_word
from nnkit.kernels.cpu.words import compiled_formulas, control_words, memory_words, scalar_words
from nnkit.kernels.philox import PURPOSES

TALL = 64  # queries of a block
WIDE = 64  # keys of a block; a multiple of four, as random numbers come
SMALL = 4  # queries that are multiplied along rows of keys

#: What a mask is made of.
BOOLEANS, NUMBERS = 1, 2


def _steps(*names: str) -> tuple[str, ...]:
    """For each array: its address, and how many elements lie between its batches, heads and tokens."""
    return tuple(f"{name}{part}" for name in names for part in ("", "_BATCH", "_HEAD", "_ROW"))


#: The numbers of the blocks, in order. Of HEADS each GROUP shares a head of keys; a unit is a block of queries of a
#: head (forward), or a head of keys (backward). Addresses that may be 0: MASK, PAST, KEY (of random numbers), DQ, and
#: DK with DV. ROOM is for a block of keys transposed, and backward one of values. OUTER to WEIGH are other kernels.
SHARED = (
    "HEADS", "GROUP", "QUERIES", "KEYS", "WIDTH", "VALUES", *_steps("Q", "K", "V", "MASK"), "MASK_STEP", "MASK_KIND",
    "PAST", "KEY", "CAUSAL", "SCALE", "DROPOUT", "KEEP", "OUTER", "THIN", "TURN", "SHUT", "DRAW", "FEW",
    "SOFTEN", "WEIGH", "ROOM", *_steps("OUT"), "LSE", "FIRST", "COUNT",
)  # fmt: skip

FORWARD_FIELDS = SHARED
#: A call that has DQ takes all blocks of keys, and one that has DK and DV all blocks of queries.
BACKWARD_FIELDS = (*SHARED, *_steps("DY", "DQ", "DK", "DV"), "Q_FIRST", "Q_END", "K_FIRST", "K_END")

#: Words of kernels that call others: these on arguments of theirs, and zeros.
WORDS = """
def run(kernel, block, a, b, c, d, e, f, g, h):
    x = labels(block)
    x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7] = a, b, c, d, e, f, g, h
    call(kernel, block)

def product(outer, block, a, b, y, M, N, K, row, step, ldb, ldy, add):
    x = labels(block)
    x[8], x[9], x[10], x[11] = ldb, ldy, add, 0
    run(outer, block, a, b, y, M, N, K, row, step)

def along(thin, block, a, b, y, M, N, K, lda, ldb):
    x = labels(block)
    x[8], x[9] = WIDE, 0
    run(thin, block, a, b, y, M, N, K, lda, ldb)

def clear(y, rows, width, step):
    for r in range(rows):
        row = pointer(y + r * step * SIZE)
        for c in range(width):
            row[c] = zero
"""

# ---- what the kernels of attention call ----------------------------------------------------------------------------

# Block: [x, y, rows, width, elements from row to row]: the rows of x as columns of y, which is WIDE wide.
TURN = """
def kernel(block):
    x, y, rows, width, step = pointer(block[0]), pointer(block[1]), block[2], block[3], block[4]
    for n in range(0, rows, W):
        for k in range(0, width, W):
            transpose(x, y, n, rows, k, width, step, WIDE, n)
"""

# Block: [a, b, y, M, N, K, elements from row to row of b, twice those of y and 1 where it is added to]: y = a b, row by
# row; those of a are WIDE apart.
FEW = """
def kernel(block):
    a, y, M, N, K, step = pointer(block[0]), pointer(block[2]), block[3], block[4], block[5], block[7] // 2
    for i in range(M):
        for j in range(0, N, W):
            b = pointer(block[1] + j * SIZE)
            row_tile(a, b, y, y, i, j, M, N, K, WIDE, 1, block[6], step, block[7] % 2)
"""

# Block: [block of attention, scores, rows, columns, first query, first key, keys before the first query, place in the
# mask]: minus infinity where a key is not seen; a mask of numbers is added to scores times their scale.
SHUT = """
def kernel(own):
    block, p, rows, columns = labels(own[0]), pointer(own[1]), own[2], own[3]
    kind, step, causal, scale = block[MASK_KIND], block[MASK_STEP], block[CAUSAL], scalar(block[SCALE])
    numbers, marks, scaled = pointer(block[MASK]), byte(block[MASK]), kind == NUMBERS or scale <= zero
    for r in range(rows):
        row, begin, end = r * WIDE, own[7] + r * block[MASK_ROW], columns
        if causal != 0:
            end = min(end, max(own[6] + own[4] + r + 1 - own[5], 0))
        if scaled:
            for c in range(columns):
                p[row + c] = p[row + c] * scale
        if kind == NUMBERS:
            if step == 1:
                for c in range(columns):
                    p[row + c] += numbers[begin + c]
            else:
                for c in range(columns):
                    p[row + c] += numbers[begin]
        if kind == BOOLEANS:
            if step == 1:
                for c in range(columns):
                    p[row + c] = p[row + c] if marks[begin + c] != 0 else lowest
            elif marks[begin] == 0:
                end = 0
        if end < WIDE:
            row_shut(p, row, end)
"""

# Block: [block of attention, y, number]: what WIDE weights count, 0 or more than 1, from a block of four numbers on.
DRAW = """
def kernel(own):
    block, y, number = labels(own[0]), pointer(own[1]), own[2]
    key, chance, share = labels(block[KEY]), scalar(block[DROPOUT]), scalar(block[KEEP])
    s0, s1, d0, d1 = u32(key[0]), u32(key[0] >> 32), u32(key[1]), u32(key[1] >> 32)
    for n in range(WIDE // 4):
        c0, c1, c2, c3 = philox_block(u32(number + n), PURPOSE, d0, d1, s0, s1)
        y[4 * n] = share if element(c0 >> u32(8)) * digit >= chance else zero
        y[4 * n + 1] = share if element(c1 >> u32(8)) * digit >= chance else zero
        y[4 * n + 2] = share if element(c2 >> u32(8)) * digit >= chance else zero
        y[4 * n + 3] = share if element(c3 >> u32(8)) * digit >= chance else zero
"""

# What the two below begin with: scores were multiplied by their scale where a mask was added.
ROWS = """block, p, rows, first = labels(own[0]), pointer(own[1]), own[3], own[4]
    luck, arguments = stack({row}), stack(96)
    scale, per_row, drawn, F = scalar(block[SCALE]), (block[KEYS] + 3) // 4, pointer(luck), block[VALUES]
    factor = one if block[MASK_KIND] == NUMBERS or scale <= zero else scale"""

# Block: [block of attention, scores, state, rows, number of the first, out, first key]: weights of scores, their sums,
# and out made smaller by as much as the greatest score has grown. The state of TALL rows: the greatest score, the sum,
# what out is multiplied by, and the greatest score or, where that is minus infinity, 0.
SOFTEN = """
def kernel(own):
    {rows}
    top, total = pointer(own[2]), pointer(own[2] + TALL * SIZE)
    fade, high, out, j = pointer(own[2] + 2 * TALL * SIZE), pointer(own[2] + 3 * TALL * SIZE), own[5], own[6]
    for r in range(rows):
        row_top(p, high, r * WIDE, r)
    for r in range(rows):
        fade[r] = top[r]
        top[r] = greatest(top[r], high[r] * factor)
        high[r] = top[r] if top[r] > lowest else zero
    for r in range(rows):
        fade[r] = exponential(fade[r] - high[r])
    for r in range(rows):
        at, base, sums = r * WIDE, high[r], zero
        for c in range(WIDE):
            weight = exponential(p[at + c] * factor - base)
            p[at + c] = weight
            sums += weight
        total[r] = total[r] * fade[r] + sums
    if j > 0:
        for r in range(rows):
            row_scale(pointer(out + r * block[OUT_ROW] * SIZE), fade, r, F)
    if block[KEY] != 0:
        for r in range(rows):
            run(block[DRAW], arguments, own[0], luck, (first + r) * per_row + j // 4, 0, 0, 0, 0, 0)
            for c in range(WIDE):
                p[r * WIDE + c] = p[r * WIDE + c] * drawn[c]
"""

# Block: [block of attention, scores, changes, rows, number of the first, dy, out, first key]: weights of scores, and
# the changes of scores from those of weights.
WEIGH = """
def kernel(own):
    {rows}
    lse, whole, dp = pointer(block[LSE]), pointer(stack({column})), pointer(own[2])
    for r in range(rows):
        row_dot(pointer(own[5] + r * block[DY_ROW] * SIZE), pointer(own[6] + r * block[OUT_ROW] * SIZE), whole, r, F)
    for r in range(rows):
        at, logs, less = r * WIDE, lse[first + r], whole[r]
        if block[KEY] != 0:
            run(block[DRAW], arguments, own[0], luck, (first + r) * per_row + own[7] // 4, 0, 0, 0, 0, 0)
            for c in range(WIDE):
                dp[at + c] = dp[at + c] * drawn[c]
        for c in range(WIDE):
            weight = exponential(p[at + c] * factor - logs)
            p[at + c] = weight
            dp[at + c] = weight * (dp[at + c] - less) * scale
        if block[KEY] != 0:
            for c in range(WIDE):
                p[at + c] = p[at + c] * drawn[c]
"""

TEXTS = {"soften": SOFTEN, "weigh": WEIGH, "turn": TURN, "few": FEW, "shut": SHUT, "draw": DRAW}


# ---- rows in vector registers: loops of their lengths would be left to scalars --------------------------------------


def _row_top(v: Vectors, p: Any, out: Any, at: Any, r: Any) -> None:
    """out[r] = the greatest of WIDE numbers from place ``at`` on; whether NaN counts is left open."""

    def higher(x: Any, y: Any) -> Any:
        return v.builder.select(v.builder.fcmp_ordered(">", x, y), x, y)

    found = [v.load(p, v.plus(at, c)) for c in range(0, WIDE, v.lanes)]
    while len(found) > 1:
        found = [higher(*found[n : n + 2]) for n in range(0, len(found), 2)]
    v.builder.store(v.fold(found[0], higher), v.element(out, r))


def _row_shut(v: Vectors, p: Any, at: Any, end: Any) -> None:
    """p[at + c] = minus infinity from c = ``end`` on."""
    lowest = v.spread(v.ir.Constant(v.real, float("-inf")))
    for c in range(0, WIDE, v.lanes):
        place = v.plus(at, c)
        kept = v.lanes_below(v.builder.sub(end, v.integer(c)))
        v.store(p, place, v.builder.select(kept, v.load(p, place), lowest))


def _row_scale(v: Vectors, y: Any, factors: Any, r: Any, F: Any) -> None:
    """y[f] = y[f] factors[r], of F numbers."""
    factor = v.spread(v.builder.load(v.element(factors, r)))
    for f, count in v.parts(F):
        v.store(y, f, v.builder.fmul(v.load(y, f, count), factor), count)


def _row_dot(v: Vectors, x: Any, y: Any, out: Any, r: Any, F: Any) -> None:
    """out[r] = the sum of x[f] y[f], of F numbers."""
    sums = v.variable(v.zero)
    for f, count in v.parts(F):
        v.builder.store(v.multiply_add(v.load(x, f, count), v.load(y, f, count), v.builder.load(sums)), sums)
    v.builder.store(v.sums([v.builder.load(sums)])[0], v.element(out, r))


# ---- kernels and their words ---------------------------------------------------------------------------------------


@functools.cache
def part_kernel(name: str, dtype: str) -> Kernel:
    """One of ``TEXTS``."""
    words = {"turn": _tile_words, "few": _tile_words, "soften": _soften_words, "weigh": _weigh_words}
    return load_kernel(f"attention_{name}", dtype, TEXTS[name], words.get(name, _words))


def load_kernel(name: str, dtype: str, text: str, words: Callable[[str], dict[str, Any]]) -> Kernel:
    """A kernel of a text that names sizes of memory in braces."""
    size = np.dtype(dtype).itemsize
    sizes = {"tile": TALL * WIDE * size, "row": WIDE * size, "column": TALL * size, "state": 4 * TALL * size}
    text = text.replace("{rows}", ROWS).format(**sizes)
    return load(Source(f"{name}_{dtype}_{lanes(dtype)}", text, words, (dtype,), reassociate=True))


def _words(dtype: str) -> dict[str, Any]:
    """Sizes, places in a block, and memory."""
    kind = np.dtype(dtype).type
    words: dict[str, Any] = {name: number for number, name in enumerate(SHARED)}
    words |= memory_words(dtype) | philox_words()
    words |= {"TALL": TALL, "WIDE": WIDE, "SMALL": SMALL, "W": lanes(dtype), "SIZE": np.dtype(dtype).itemsize}
    words |= {"BOOLEANS": BOOLEANS, "NUMBERS": NUMBERS, "PURPOSE": np.uint32(PURPOSES["dropout"])}
    words |= {"zero": kind(0), "one": kind(1), "lowest": kind(-np.inf), "digit": kind(2.0**-24)}
    return words | {"row_shut": tile_word(dtype, 1, 2, _row_shut)}


def _tile_words(dtype: str) -> dict[str, Any]:
    return _words(dtype) | {"row_tile": row_tile(dtype), "transpose": transpose_word(dtype)}


def forward_words(dtype: str) -> dict[str, Any]:
    """The words of the kernel forward."""
    return _calling_words(dtype) | {"row_scale": tile_word(dtype, 2, 2, _row_scale)}


def backward_words(dtype: str) -> dict[str, Any]:
    """The words of the kernel of gradients."""
    return _calling_words(dtype) | {name: number for number, name in enumerate(BACKWARD_FIELDS)}


def _soften_words(dtype: str) -> dict[str, Any]:
    return forward_words(dtype) | {
        "row_top": tile_word(dtype, 2, 2, _row_top), "greatest": scalar_words()["greatest"],
    }  # fmt: skip


def _weigh_words(dtype: str) -> dict[str, Any]:
    return backward_words(dtype) | {"row_dot": tile_word(dtype, 3, 2, _row_dot)}


def _calling_words(dtype: str) -> dict[str, Any]:
    """Those of kernels that call others."""
    from numba import njit

    formulas = compiled_formulas(dtype)
    words = _words(dtype) | control_words() | {name: formulas[name] for name in ("exponential", "logarithm")}
    exec(WORDS, words)
    for name in ("run", "product", "along", "clear"):
        words[name] = njit(error_model="numpy", forceinline=True)(words[name])
    return words
