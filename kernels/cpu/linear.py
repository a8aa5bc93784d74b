"""What a linear layer does besides its matrix products: bias and activation, and the gradient of the bias.

Everything is row-major and contiguous: y and dz (M, O), b and db (O,).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from nnkit.kernels import formulas
from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.vectors import Vectors, lanes, tile_word
from nnkit.kernels.cpu.words import compiled_formulas, memory_words
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.kernels.vocabulary import scalar_names

# Block: [b or 0, z or 0, y, M, O, scalars…]: y holds the product and becomes activation(y + b); z keeps y + b.
LINEAR_END = """
def kernel(block):
    b, z, y = pointer(block[0]), pointer(block[1]), pointer(block[2])
    has_b, has_z, M, O = block[0] != 0, block[1] != 0, block[3], block[4]
    {scalars}
    for i in range(M):
        at = i * O
        for j in range(O):
            t = y[at + j]
            if has_b:
                t = t + b[j]
            if has_z:
                z[at + j] = t
            y[at + j] = {formula}(t{arguments})
"""

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
def linear_end_kernel(activation: str, dtype: str) -> Kernel:
    """y = activation(y + b)."""
    formula = ACTIVATIONS[activation]
    count = len(scalar_names(getattr(formulas, formula)))
    scalars = "; ".join(f"s{k} = scalar(block[{5 + k}])" for k in range(count)) or "pass"
    arguments = "".join(f", s{k}" for k in range(count))
    text = LINEAR_END.format(formula=formula, scalars=scalars, arguments=arguments)
    return load(
        Source(f"linear_end_{activation}_{dtype}", text, lambda: memory_words(dtype) | compiled_formulas(dtype))
    )


@functools.cache
def bias_grad_kernel(dtype: str) -> Kernel:
    """db = the sums of dz over its rows, or db plus them."""
    text = BIAS_GRAD.format(W=lanes(dtype), wide=REGISTERS * lanes(dtype))
    return load(Source(f"bias_grad_{dtype}", text, lambda: memory_words(dtype) | _sum_words(dtype)))


def _sum_words(dtype: str) -> dict[str, Any]:
    return {
        "sums": tile_word(dtype, 2, 4, _column_sums(REGISTERS, False)),
        "part_sums": tile_word(dtype, 2, 4, _column_sums(1, True)),
    }
