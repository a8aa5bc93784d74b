"""Attention on the CPU: a block of queries by a block of keys at a time, whose scores stay in the first cache.

The scheme of FlashAttention (Dao et al., 2022; ``backends.attention`` has the mathematics). Products are those of
``products.outer``, whose tiles stay in vector registers; for a few queries, as in writing one token after the other,
keys are read along their rows and nothing is laid out anew. A block of scores is always WIDE columns, minus infinity
where there is no key: so loops over a row have a length that is known when they are compiled. What is added up, and in
which order, depends on the sizes alone, never on the threads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.products import row_tile, transpose_word
from nnkit.kernels.cpu.random import philox_words
from nnkit.kernels.cpu.vectors import lanes
from nnkit.kernels.cpu.words import compiled_formulas, control_words, memory_words, scalar_words
from nnkit.kernels.philox import PURPOSES

TALL = 64  # queries of a block
WIDE = 64  # keys of a block; a multiple of four, as random numbers come
FEW = 4  # queries that are multiplied along rows of keys

#: What a mask is made of.
BOOLEANS, NUMBERS = 1, 2


def _steps(*names: str) -> tuple[str, ...]:
    """For each array: its address, and how many elements lie between its batches, heads and tokens."""
    return tuple(f"{name}{part}" for name in names for part in ("", "_BATCH", "_HEAD", "_ROW"))


#: The numbers of the blocks, in order. Of HEADS each GROUP shares a head of keys; a unit is a block of queries of a
#: head (forward), or a head of keys (backward). Addresses that may be 0: MASK, PAST, KEY (of random numbers), DQ, and
#: DK with DV. ROOM is for a block of keys transposed, and backward one of values.
SHARED = (
    "HEADS", "GROUP", "QUERIES", "KEYS", "WIDTH", "VALUES", *_steps("Q", "K", "V", "MASK"), "MASK_STEP", "MASK_KIND",
    "PAST", "KEY", "CAUSAL", "SCALE", "DROPOUT", "KEEP", "OUTER", "THIN", "ROOM", *_steps("OUT"), "LSE", "FIRST",
    "COUNT",
)  # fmt: skip
FORWARD_FIELDS = SHARED
#: A call that has DQ takes all blocks of keys, and one that has DK and DV all blocks of queries.
BACKWARD_FIELDS = (*SHARED, *_steps("DY", "DQ", "DK", "DV"), "Q_FIRST", "Q_END", "K_FIRST", "K_END")

BEGIN = """H, R, L, S = block[HEADS], block[GROUP], block[QUERIES], block[KEYS]
    E, F, G = block[WIDTH], block[VALUES], block[HEADS] // block[GROUP]
    scale, chance, share = scalar(block[SCALE]), scalar(block[DROPOUT]), scalar(block[KEEP])
    before, stop, outer, key = 0, S, block[OUTER], labels(block[KEY])
    if block[PAST] != 0:
        before = labels(block[PAST])[0]
        stop = min(S, before + L)
    arguments, tile, luck = stack(96), stack({tile}), pointer(stack({row}))
    p, turned, per_row = pointer(tile), block[ROOM], (S + 3) // 4"""

FORWARD = """
def kernel(block):
    {begin}
    top, total, lse = pointer(stack({column})), pointer(stack({column})), pointer(block[LSE])
    blocks = (L + TALL - 1) // TALL
    for unit in range(block[FIRST], block[FIRST] + block[COUNT]):
        head, i = unit // blocks, unit % blocks * TALL
        b, h, rows = head // H, head % H, min(TALL, L - i)
        q = block[Q] + (b * block[Q_BATCH] + h * block[Q_HEAD] + i * block[Q_ROW]) * SIZE
        k = block[K] + (b * block[K_BATCH] + h // R * block[K_HEAD]) * SIZE
        v = block[V] + (b * block[V_BATCH] + h // R * block[V_HEAD]) * SIZE
        out = block[OUT] + (b * block[OUT_BATCH] + h * block[OUT_HEAD] + i * block[OUT_ROW]) * SIZE
        mask = b * block[MASK_BATCH] + h * block[MASK_HEAD] + i * block[MASK_ROW]
        last = stop
        if block[CAUSAL] != 0:
            last = min(stop, before + i + rows)
        for r in range(rows):
            top[r] = lowest
            total[r] = zero
        for j in range(0, last, WIDE):
            columns, add = min(WIDE, last - j), int(j > 0)
            keys, values = k + j * block[K_ROW] * SIZE, v + j * block[V_ROW] * SIZE
            if rows <= FEW:
                along(block[THIN], arguments, q, keys, tile, rows, columns, E, block[Q_ROW], block[K_ROW])
            else:
                turn(keys, turned, columns, E, block[K_ROW])
                product(outer, arguments, q, turned, tile, rows, columns, E, block[Q_ROW], 1, WIDE, WIDE, 0)
            factor = shut(block, p, rows, columns, i, j, before, mask + j * block[MASK_STEP], scale)
            for r in range(rows):
                at, high, sums = r * WIDE, lowest, zero
                for c in range(WIDE):
                    high = greatest(high, p[at + c])
                high = greatest(top[r], high * factor)
                base = high if high > lowest else zero
                for c in range(WIDE):
                    weight = exponential(p[at + c] * factor - base)
                    p[at + c] = weight
                    sums += weight
                fade = exponential(top[r] - base)
                total[r] = total[r] * fade + sums
                top[r] = high
                if block[KEY] != 0:
                    draw(key, (head * L + i + r) * per_row + j // 4, chance, share, luck)
                    for c in range(WIDE):
                        p[at + c] = p[at + c] * luck[c]
                if j > 0:
                    y = pointer(out + r * block[OUT_ROW] * SIZE)
                    for f in range(F):
                        y[f] = y[f] * fade
            if rows <= FEW:
                across(p, values, pointer(out), rows, F, columns, block[V_ROW], block[OUT_ROW], add)
            else:
                product(
                    outer, arguments, tile, values, out, rows, F, columns, WIDE, 1, block[V_ROW], block[OUT_ROW], add
                )
        for r in range(rows):
            y, seen = pointer(out + r * block[OUT_ROW] * SIZE), total[r] != zero
            if seen:
                factor = one / total[r]
                for f in range(F):
                    y[f] = y[f] * factor
                lse[head * L + i + r] = top[r] + logarithm(total[r])
            else:
                for f in range(F):
                    y[f] = zero
                lse[head * L + i + r] = -lowest
"""

BACKWARD = """
def kernel(block):
    {begin}
    change, turned_values = stack({tile}), turned + (E + W) * WIDE * SIZE
    dp, lse = pointer(change), pointer(block[LSE])
    for unit in range(block[FIRST], block[FIRST] + block[COUNT]):
        b, g = unit // G, unit % G
        k = block[K] + (b * block[K_BATCH] + g * block[K_HEAD]) * SIZE
        v = block[V] + (b * block[V_BATCH] + g * block[V_HEAD]) * SIZE
        for j in range(block[K_FIRST], block[K_END], WIDE):
            columns, begun = min(WIDE, S - j), 0
            keys, values = k + j * block[K_ROW] * SIZE, v + j * block[V_ROW] * SIZE
            dk = block[DK] + (b * block[DK_BATCH] + g * block[DK_HEAD] + j * block[DK_ROW]) * SIZE
            dv = block[DV] + (b * block[DV_BATCH] + g * block[DV_HEAD] + j * block[DV_ROW]) * SIZE
            turn(keys, turned, columns, E, block[K_ROW])
            turn(values, turned_values, columns, F, block[V_ROW])
            for h in range(g * R, g * R + R):
                for i in range(block[Q_FIRST], block[Q_END], TALL):
                    rows = min(TALL, L - i)
                    seen = j < stop and (block[CAUSAL] == 0 or j < before + i + rows)
                    q = block[Q] + (b * block[Q_BATCH] + h * block[Q_HEAD] + i * block[Q_ROW]) * SIZE
                    dy = block[DY] + (b * block[DY_BATCH] + h * block[DY_HEAD] + i * block[DY_ROW]) * SIZE
                    out = block[OUT] + (b * block[OUT_BATCH] + h * block[OUT_HEAD] + i * block[OUT_ROW]) * SIZE
                    dq = block[DQ] + (b * block[DQ_BATCH] + h * block[DQ_HEAD] + i * block[DQ_ROW]) * SIZE
                    if seen:
                        product(outer, arguments, q, turned, tile, rows, columns, E, block[Q_ROW], 1, WIDE, WIDE, 0)
                        product(
                            outer, arguments, dy, turned_values, change, rows, columns, F, block[DY_ROW], 1, WIDE,
                            WIDE, 0,
                        )
                        mask = b * block[MASK_BATCH] + h * block[MASK_HEAD] + i * block[MASK_ROW]
                        last = min(columns, stop - j)
                        factor = shut(block, p, rows, last, i, j, before, mask + j * block[MASK_STEP], scale)
                        first = (b * H + h) * L + i
                        for r in range(rows):
                            at, logs, whole = r * WIDE, lse[first + r], zero
                            z, y = pointer(dy + r * block[DY_ROW] * SIZE), pointer(out + r * block[OUT_ROW] * SIZE)
                            for f in range(F):
                                whole += z[f] * y[f]
                            if block[KEY] != 0:
                                draw(key, (first + r) * per_row + j // 4, chance, share, luck)
                                for c in range(WIDE):
                                    dp[at + c] = dp[at + c] * luck[c]
                            for c in range(WIDE):
                                weight = exponential(p[at + c] * factor - logs)
                                p[at + c] = weight
                                dp[at + c] = weight * (dp[at + c] - whole) * scale
                            if block[KEY] != 0:
                                for c in range(WIDE):
                                    p[at + c] = p[at + c] * luck[c]
                        if block[DQ] != 0:
                            product(
                                outer, arguments, change, keys, dq, rows, E, columns, WIDE, 1, block[K_ROW],
                                block[DQ_ROW], int(j > 0),
                            )
                        if block[DK] != 0:
                            product(
                                outer, arguments, change, q, dk, columns, E, rows, 1, WIDE, block[Q_ROW], block[DK_ROW],
                                begun,
                            )
                            product(
                                outer, arguments, tile, dy, dv, columns, F, rows, 1, WIDE, block[DY_ROW], block[DV_ROW],
                                begun,
                            )
                        begun = 1
            if block[DK] != 0 and begun == 0:
                clear(dk, columns, E, block[DK_ROW])
                clear(dv, columns, F, block[DV_ROW])
"""

#: The words of both: products by other kernels, a block of keys transposed, what is not seen, and random numbers.
WORDS = """
def product(outer, block, a, b, y, M, N, K, row, step, ldb, ldy, add):
    x = labels(block)
    x[0], x[1], x[2], x[3], x[4], x[5] = a, b, y, M, N, K
    x[6], x[7], x[8], x[9], x[10], x[11] = row, step, ldb, ldy, add, 0
    call(outer, block)

def along(thin, block, a, b, y, M, N, K, lda, ldb):
    x = labels(block)
    x[0], x[1], x[2], x[3], x[4], x[5] = a, b, y, M, N, K
    x[6], x[7], x[8], x[9] = lda, ldb, WIDE, 0
    call(thin, block)

def across(a, b, y, M, N, K, ldb, ldy, add):
    for i in range(M):
        for j in range(0, N, W):
            row_tile(a, pointer(b + j * SIZE), y, y, i, j, M, N, K, WIDE, 1, ldb, ldy, add)

def turn(x, out, rows, width, step):
    for n in range(0, rows, W):
        for k in range(0, width, W):
            transpose(pointer(x), pointer(out), n, rows, k, width, step, WIDE, n)

def clear(y, rows, width, step):
    for r in range(rows):
        row = pointer(y + r * step * SIZE)
        for c in range(width):
            row[c] = zero

def shut(block, p, rows, columns, i, j, before, at, scale):
    kind, step, causal = block[MASK_KIND], block[MASK_STEP], block[CAUSAL]
    ready = kind == NUMBERS or scale <= zero
    for r in range(rows):
        row, begin, end = r * WIDE, at + r * block[MASK_ROW], columns
        if causal != 0:
            end = min(end, max(before + i + r + 1 - j, 0))
        if ready:
            for c in range(columns):
                p[row + c] = p[row + c] * scale
        if kind == NUMBERS:
            numbers = pointer(block[MASK])
            if step == 1:
                for c in range(columns):
                    p[row + c] += numbers[begin + c]
            else:
                for c in range(columns):
                    p[row + c] += numbers[begin]
        if kind == BOOLEANS:
            marks = byte(block[MASK])
            if step == 1:
                for c in range(columns):
                    p[row + c] = p[row + c] if marks[begin + c] != 0 else lowest
            elif marks[begin] == 0:
                end = 0
        for c in range(end, WIDE):
            p[row + c] = lowest
    return one if ready else scale

def draw(key, number, chance, share, luck):
    s0, s1, d0, d1 = u32(key[0]), u32(key[0] >> 32), u32(key[1]), u32(key[1] >> 32)
    for n in range(WIDE // 4):
        c0, c1, c2, c3 = philox_block(u32(number + n), PURPOSE, d0, d1, s0, s1)
        luck[4 * n] = share if element(c0 >> u32(8)) * digit >= chance else zero
        luck[4 * n + 1] = share if element(c1 >> u32(8)) * digit >= chance else zero
        luck[4 * n + 2] = share if element(c2 >> u32(8)) * digit >= chance else zero
        luck[4 * n + 3] = share if element(c3 >> u32(8)) * digit >= chance else zero
"""


@functools.cache
def forward_kernel(dtype: str) -> Kernel:
    """The result, and the logarithms of sums of exponentials."""
    return _load("attention", dtype, FORWARD, _forward_words)


@functools.cache
def backward_kernel(dtype: str) -> Kernel:
    """The gradients of queries, keys and values."""
    return _load("attention_grad", dtype, BACKWARD, _backward_words)


def _load(name: str, dtype: str, text: str, words: Callable[[str], dict[str, Any]]) -> Kernel:
    size = np.dtype(dtype).itemsize
    sizes = {"tile": TALL * WIDE * size, "row": WIDE * size, "column": TALL * size}
    text = text.format(begin=BEGIN.format(**sizes), **sizes)
    return load(Source(f"{name}_{dtype}_{lanes(dtype)}", text, words, (dtype,), reassociate=True))


def _forward_words(dtype: str) -> dict[str, Any]:
    return _words(dtype, FORWARD_FIELDS)


def _backward_words(dtype: str) -> dict[str, Any]:
    return _words(dtype, BACKWARD_FIELDS)


def _words(dtype: str, fields: tuple[str, ...]) -> dict[str, Any]:
    from numba import njit

    kind = np.dtype(dtype).type
    words: dict[str, Any] = memory_words(dtype) | control_words() | compiled_formulas(dtype) | philox_words()
    words |= {name: number for number, name in enumerate(fields)}
    words |= {"TALL": TALL, "WIDE": WIDE, "FEW": FEW, "W": lanes(dtype), "SIZE": np.dtype(dtype).itemsize}
    words |= {"BOOLEANS": BOOLEANS, "NUMBERS": NUMBERS, "greatest": scalar_words()["greatest"]}
    words |= {"zero": kind(0), "one": kind(1), "lowest": kind(-np.inf), "digit": kind(2.0**-24)}
    words |= {"row_tile": row_tile(dtype), "transpose": transpose_word(dtype)}
    words["PURPOSE"] = np.uint32(PURPOSES["dropout"])
    exec(WORDS, words)
    fast = {"contract", "nsz", "reassoc"}
    for name in ("product", "along", "across", "turn", "clear", "shut", "draw"):
        words[name] = njit(error_model="numpy", fastmath=fast, forceinline=True)(words[name])
    return words
