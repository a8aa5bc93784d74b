"""Attention on the CPU: a block of queries by a block of keys at a time, whose scores stay in the first cache.

The scheme of FlashAttention (Dao et al., 2022; ``backends.attention`` has the mathematics). Products are those of
``products.outer``, whose tiles stay in vector registers; for a few queries, as in writing one token after the other,
keys are read along their rows and nothing is laid out anew. A block of scores is always WIDE columns, minus infinity
where there is no key: so loops over a row have a length that is known when they are compiled. What is added up, and in
which order, depends on the sizes alone, never on the threads. What the kernels here call is in ``attention_parts``.
"""

from __future__ import annotations

import functools

from nnkit.kernels.cpu.attention_parts import backward_words, forward_words, load_kernel
from nnkit.kernels.cpu.compiler import Kernel

#: How both begin.
BEGIN = """H, R, L, S = block[HEADS], block[GROUP], block[QUERIES], block[KEYS]
    E, F, G = block[WIDTH], block[VALUES], block[HEADS] // block[GROUP]
    scale, before, stop, outer = scalar(block[SCALE]), 0, S, block[OUTER]
    if block[PAST] != 0:
        before = labels(block[PAST])[0]
        stop = min(S, before + L)
    shuts, arguments, tile, turned = scale <= zero or block[MASK_KIND] != 0, stack(96), stack({tile}), block[ROOM]"""

FORWARD = """
def kernel(block):
    {begin}
    state, lse = stack({state}), pointer(block[LSE])
    top, total, fade = pointer(state), pointer(state + TALL * SIZE), pointer(state + 2 * TALL * SIZE)
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
            if L <= SMALL:
                along(block[THIN], arguments, q, keys, tile, rows, columns, E, block[Q_ROW], block[K_ROW])
            else:
                run(block[TURN], arguments, keys, turned, columns, E, block[K_ROW], 0, 0, 0)
                product(outer, arguments, q, turned, tile, rows, columns, E, block[Q_ROW], 1, WIDE, WIDE, 0)
            if shuts or columns < WIDE or (block[CAUSAL] != 0 and j + columns > before + i + 1):
                at = mask + j * block[MASK_STEP]
                run(block[SHUT], arguments, address(block), tile, rows, columns, i, j, before, at)
            run(block[SOFTEN], arguments, address(block), tile, state, rows, head * L + i, out, j, 0)
            if L <= SMALL:
                run(block[FEW], arguments, tile, values, out, rows, F, columns, block[V_ROW], block[OUT_ROW] * 2 + add)
            else:
                product(
                    outer, arguments, tile, values, out, rows, F, columns, WIDE, 1, block[V_ROW], block[OUT_ROW], add
                )
        for r in range(rows):
            fade[r] = one / total[r]
            lse[head * L + i + r] = top[r] + logarithm(total[r]) if total[r] != zero else -lowest
        for r in range(rows):
            if total[r] != zero:
                row_scale(pointer(out + r * block[OUT_ROW] * SIZE), fade, r, F)
            else:
                clear(out + r * block[OUT_ROW] * SIZE, 1, F, 0)
"""

BACKWARD = """
def kernel(block):
    {begin}
    change, turned_values = stack({tile}), turned + (E + W) * WIDE * SIZE
    for unit in range(block[FIRST], block[FIRST] + block[COUNT]):
        b, g = unit // G, unit % G
        k = block[K] + (b * block[K_BATCH] + g * block[K_HEAD]) * SIZE
        v = block[V] + (b * block[V_BATCH] + g * block[V_HEAD]) * SIZE
        for j in range(block[K_FIRST], block[K_END], WIDE):
            columns, begun = min(WIDE, S - j), 0
            keys, values = k + j * block[K_ROW] * SIZE, v + j * block[V_ROW] * SIZE
            dk = block[DK] + (b * block[DK_BATCH] + g * block[DK_HEAD] + j * block[DK_ROW]) * SIZE
            dv = block[DV] + (b * block[DV_BATCH] + g * block[DV_HEAD] + j * block[DV_ROW]) * SIZE
            run(block[TURN], arguments, keys, turned, columns, E, block[K_ROW], 0, 0, 0)
            run(block[TURN], arguments, values, turned_values, columns, F, block[V_ROW], 0, 0, 0)
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
                        last = min(columns, stop - j)
                        if shuts or last < WIDE or (block[CAUSAL] != 0 and j + last > before + i + 1):
                            at = b * block[MASK_BATCH] + h * block[MASK_HEAD] + i * block[MASK_ROW]
                            at += j * block[MASK_STEP]
                            run(block[SHUT], arguments, address(block), tile, rows, last, i, j, before, at)
                        first = (b * H + h) * L + i
                        run(block[WEIGH], arguments, address(block), tile, change, rows, first, dy, out, j)
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


@functools.cache
def forward_kernel(dtype: str) -> Kernel:
    """The result, and the logarithms of sums of exponentials."""
    return load_kernel("attention", dtype, FORWARD.replace("{begin}", BEGIN), forward_words)


@functools.cache
def backward_kernel(dtype: str) -> Kernel:
    """The gradients of queries, keys and values."""
    return load_kernel("attention_grad", dtype, BACKWARD.replace("{begin}", BEGIN), backward_words)
