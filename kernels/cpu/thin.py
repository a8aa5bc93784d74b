"""Products of few rows with a matrix whose sums run along its rows: w is read once, and nothing of it is copied.

A square of w is transposed in registers, and each of its columns is multiplied by one element of x at once. So a sum
grows step by step in one register, as in ``panels`` and ``products.outer``: one row gives the same numbers alone and
in a batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.vectors import Vectors, lanes, tile_word
from nnkit.kernels.cpu.words import memory_words

#: Rows of a tile -> the fewest for which it is taken.
ROWS = {8: 5, 4: 3, 2: 2, 1: 1}


def _tile(R: int) -> Callable[..., None]:
    """y[i…, j…] = bias[j…] + the sums over k of x[i…, k] w[j…, k], a register of columns.

    Rows and columns beyond the last repeat it.
    """

    def build(v: Vectors, x: Any, w: Any, y: Any, bias: Any, *numbers: Any) -> None:
        i, j, M, N, K, ldx, ldw, ldy, biased = numbers
        count = v.builder.sub(N, j)
        rows = [v.at_most(v.plus(i, r), v.plus(M, -1)) for r in range(R)]
        from_x = [v.times(row, ldx) for row in rows]
        from_w = [v.times(v.at_most(v.plus(j, n), v.plus(N, -1)), ldw) for n in range(v.lanes)]
        sums = [v.variable(v.zero) for _ in rows]
        with v.when(v.builder.icmp_signed("!=", biased, v.integer(0))):
            first = v.load(bias, j, count)
            for total in sums:
                v.builder.store(first, total)

        def step(k: Any, column: Any) -> None:
            for r in range(R):
                factor = v.spread(v.builder.load(v.element(x, v.plus(from_x[r], k))))
                v.builder.store(v.multiply_add(factor, column, v.builder.load(sums[r])), sums[r])

        rest = v.builder.srem(K, v.integer(v.lanes))
        whole = v.builder.sub(K, rest)
        with v.loop(whole, v.lanes) as k:
            for n, column in enumerate(v.transposed([v.load(w, v.plus(row, k)) for row in from_w])):
                step(v.plus(k, n), column)
        with v.when(v.builder.icmp_signed(">", rest, v.integer(0))):
            columns = v.transposed([v.load(w, v.plus(row, whole), rest) for row in from_w])
            for n, column in enumerate(columns[:-1]):
                with v.when(v.builder.icmp_signed("<", v.integer(n), rest)):
                    step(v.plus(whole, n), column)
        for row, total in zip(rows, sums, strict=True):
            v.store(y, v.plus(v.times(row, ldy), j), v.builder.load(total), count)

    return build


# Block: [x, w, y, M, N, K, ldx, ldw, ldy, bias or 0]: y (M, N) = x w^T + bias, x (M, K), w (N, K), bias (N,).
THIN = """
def kernel(block):
    x, w, y, bias = pointer(block[0]), pointer(block[1]), pointer(block[2]), pointer(block[9])
    M, N, K, ldx, ldw, ldy = block[3], block[4], block[5], block[6], block[7], block[8]
    biased = int(block[9] != 0)
    i = 0
    while i < M:
        {choice}
"""
TILE = """{word} M - i >= {least}:
    for j in range(0, N, {W}):
        tile{R}(x, w, y, bias, i, j, M, N, K, ldx, ldw, ldy, biased)
    i += {R}"""


@functools.cache
def thin_kernel(dtype: str) -> Kernel:
    """y = x w^T + bias for few rows of x."""
    W = lanes(dtype)
    tiles = [TILE.format(word="elif" if R < 8 else "if", least=least, W=W, R=R) for R, least in ROWS.items()]
    text = THIN.format(choice="\n".join(tiles).replace("\n", "\n" + " " * 8))
    return load(Source(f"thin_{dtype}_{W}", text, _words, (dtype,)))


def _words(dtype: str) -> dict[str, Any]:
    return memory_words(dtype) | {f"tile{R}": tile_word(dtype, 4, 9, _tile(R)) for R in ROWS}
