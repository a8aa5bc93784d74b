"""Random numbers on the CPU: the streams of ``philox``, four words at a time, in compiled loops."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.words import memory_words
from nnkit.kernels.philox import MULTIPLIER_0, MULTIPLIER_1, ROUNDS, WEYL_0, WEYL_1

# {body} uses the word in c0 and its index i. Key block: int64 seed and draw number in memory.
LOOP = """
def kernel(block):
    n, key, purpose = block[0], labels(block[1]), block[2]
    {setup}
    seed, draw = key[0], key[1]
    for q in range((n + 3) // 4):
        c0, c1, c2, c3 = philox_block(u32(q), u32(purpose), u32(draw), u32(draw >> 32), u32(seed), u32(seed >> 32))
        for lane in range(4):
            i = q * 4 + lane
            if i < n:
                u = element(c0 >> u32(8)) * element({unit})
                {body}
            c0, c1, c2, c3 = c1, c2, c3, c0
"""


@functools.cache
def uniform_kernel(dtype: str) -> Kernel:
    """Block: [n, key, purpose, out]: numbers in [0, 1)."""
    return _load("uniform", dtype, "y = pointer(block[3])", "y[i] = u")


@functools.cache
def bits_kernel() -> Kernel:
    """Block: [2 n, key, purpose, out]: 63 bits in each int64, from two words."""
    body = "y[i // 2] = (i64(c0) >> 1) << 32 if lane % 2 == 0 else y[i // 2] | i64(c0)"
    return _load("bits", "float64", "y = labels(block[3])", body)


@functools.cache
def dropout_kernel(dtype: str) -> Kernel:
    """Block: [n, key, purpose, x, p, out]: 0 with probability p, else x / (1 - p)."""
    setup = "x, p, y = pointer(block[3]), scalar(block[4]), pointer(block[5]); keep = element(1) / (element(1) - p)"
    return _load("dropout", dtype, setup, "y[i] = x[i] * keep if u >= p else element(0)")


def _load(name: str, dtype: str, setup: str, body: str) -> Kernel:
    text = LOOP.format(setup=setup, body=body, unit=repr(2.0**-24))
    return load(Source(f"{name}_{dtype}", text, lambda: memory_words(dtype) | _philox_words()))


@functools.cache
def _philox_words() -> dict[str, Any]:
    from numba import njit

    u32, u64 = np.uint32, np.uint64
    m0, m1, w0, w1 = u64(MULTIPLIER_0), u64(MULTIPLIER_1), u32(WEYL_0), u32(WEYL_1)

    @njit(error_model="numpy")
    def philox_block(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
        for _ in range(ROUNDS):
            p0, p1 = m0 * u64(c0), m1 * u64(c2)
            c0, c1, c2, c3 = (
                u32(u32(p1 >> u64(32)) ^ c1 ^ k0), u32(p1), u32(u32(p0 >> u64(32)) ^ c3 ^ k1), u32(p0),
            )  # fmt: skip
            k0, k1 = u32(k0 + w0), u32(k1 + w1)
        return c0, c1, c2, c3

    return {"philox_block": philox_block, "u32": u32, "i64": np.int64}
