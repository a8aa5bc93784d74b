"""The gradient of a linear layer's bias: the sums over the rows of dz (M, O), contiguous."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.vectors import Vectors, lanes, tile_word
from nnkit.kernels.cpu.words import memory_words

# Block: [dz, db, M, O, add]: db (+)= the sums of dz over its rows.
BIAS_GRAD = """
def kernel(block):
    dz, db, M, O, add = pointer(block[0]), pointer(block[1]), block[2], block[3], block[4]
    whole = O - O % {wide}
    for j in range(0, whole, {wide}):
        sums(dz, db, j, M, O, add)
    for j in range(whole, O, {W}):
        part_sums(dz, db, j, M, O, add)
"""
REGISTERS = 4  # of sums that are made together


def _column_sums(count: int, part: bool) -> Callable[..., None]:
    """db[j…] (+)= the sums over the rows of dz[…, j…], ``count`` registers of columns; ``part``: not all of them."""

    def build(v: Vectors, dz: Any, db: Any, j: Any, M: Any, O: Any, add: Any) -> None:
        places = [v.plus(j, c * v.lanes) for c in range(count)]
        wanted = v.builder.sub(O, j) if part else None
        sums = [v.variable(v.zero) for _ in places]
        with v.when(v.builder.icmp_signed("!=", add, v.integer(0))):
            for total, place in zip(sums, places, strict=True):
                v.builder.store(v.load(db, place, wanted), total)
        with v.loop(M) as i:
            for total, place in zip(sums, places, strict=True):
                row = v.load(dz, v.plus(v.times(i, O), place), wanted)
                v.builder.store(v.add(v.builder.load(total), row), total)
        for total, place in zip(sums, places, strict=True):
            v.store(db, place, v.builder.load(total), wanted)

    return build


@functools.cache
def bias_grad_kernel(dtype: str) -> Kernel:
    """db = the sums of dz over its rows, or db plus them."""
    text = BIAS_GRAD.format(W=lanes(dtype), wide=REGISTERS * lanes(dtype))
    return load(Source(f"bias_grad_{dtype}", text, _words, (dtype,)))


def _words(dtype: str) -> dict[str, Any]:
    return memory_words(dtype) | {
        "sums": tile_word(dtype, 2, 4, _column_sums(REGISTERS, False)),
        "part_sums": tile_word(dtype, 2, 4, _column_sums(1, True)),
    }
