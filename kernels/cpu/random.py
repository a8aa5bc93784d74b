"""Random numbers on the CPU: the streams of ``philox``, four words at a time, in compiled loops."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.words import memory_words
from nnkit.kernels.philox import MULTIPLIER_0, MULTIPLIER_1, ROUNDS, WEYL_0, WEYL_1

# Whole blocks of four numbers first, without a condition, so that several blocks are computed side by side in vector
# registers; then the rest. ``put`` writes number i from word c. The key is seed and draw number, int64 in memory;
# first is the number of the first element, a multiple of 4.
LOOP = """
def kernel(block):
    first, n, key, purpose = block[0] // 4, block[1], labels(block[2]), u32(block[3])
    {setup}
    s0, s1, d0, d1 = u32(key[0]), u32(key[0] >> 32), u32(key[1]), u32(key[1] >> 32)
    for q in range(n // 4):
        c0, c1, c2, c3 = philox_block(u32(first + q), purpose, d0, d1, s0, s1)
        {lane_0}
        {lane_1}
        {lane_2}
        {lane_3}
    if n % 4 != 0:
        q = n // 4
        c0, c1, c2, c3 = philox_block(u32(first + q), purpose, d0, d1, s0, s1)
        {lane_0}
        if n % 4 > 1:
            {lane_1}
        if n % 4 > 2:
            {lane_2}
"""


@functools.cache
def uniform_kernel(dtype: str) -> Kernel:
    """Block: [first, n, key, purpose, out]: numbers in [0, 1)."""
    return _load("uniform", dtype, "y = pointer(block[4])", "y[{i}] = {u}")


@functools.cache
def bits_kernel() -> Kernel:
    """Block: [first, 2 n, key, purpose, out]: 63 bits in each int64, from two words."""
    high, low = "y[{i} // 2] = (i64({c}) >> 1) << 32", "y[{i} // 2] |= i64({c})"
    return _load("bits", "float64", "y = labels(block[4])", high, low)


@functools.cache
def dropout_kernel(dtype: str) -> Kernel:
    """Block: [first, n, key, purpose, x, p, out]: 0 with probability p, else x / (1 - p)."""
    setup = "x, p, y = pointer(block[4]), scalar(block[5]), pointer(block[6]); keep = element(1) / (element(1) - p)"
    return _load("dropout", dtype, setup, "y[{i}] = x[{i}] * keep if {u} >= p else element(0)")


def _load(name: str, dtype: str, setup: str, *puts: str) -> Kernel:
    lanes = {}
    for lane in range(4):
        u = f"element(c{lane} >> u32(8)) * element({2.0**-24!r})"
        lanes[f"lane_{lane}"] = puts[lane % len(puts)].format(i=f"(q * 4 + {lane})", c=f"c{lane}", u=u)
    text = LOOP.format(setup=setup, **lanes)
    return load(Source(f"{name}_{dtype}", text, _words, (dtype,)))


def _words(dtype: str) -> dict[str, Any]:
    return memory_words(dtype) | philox_words()


@functools.cache
def philox_words() -> dict[str, Any]:
    """``philox_block`` of counters and key, on words of 32 bits."""
    from numba import njit

    u32, u64 = np.uint32, np.uint64
    m0, m1, w0, w1 = u64(MULTIPLIER_0), u64(MULTIPLIER_1), u32(WEYL_0), u32(WEYL_1)

    @njit(error_model="numpy", forceinline=True)
    def philox_block(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
        for _ in range(ROUNDS):
            p0, p1 = m0 * u64(c0), m1 * u64(c2)
            c0, c1, c2, c3 = (
                u32(u32(p1 >> u64(32)) ^ c1 ^ k0), u32(p1), u32(u32(p0 >> u64(32)) ^ c3 ^ k1), u32(p0),
            )  # fmt: skip
            k0, k1 = u32(k0 + w0), u32(k1 + w1)
        return c0, c1, c2, c3

    return {"philox_block": philox_block, "u32": u32, "i64": np.int64}
