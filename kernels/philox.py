"""Random numbers that are the same on every device: Philox4x32-10.

Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (2011). A block of four 32-bit words is a function of a
64-bit key and a 128-bit counter, with no state between draws, so element i of draw number n is the same whichever
device computes it and in whatever order. Here the key is the seed, and the counter is (element block, purpose,
draw number). A uniform is the top 24 bits of a word times 2**-24: exact in float32, hence equal to the bit everywhere.
"""

from __future__ import annotations

from typing import Any

MULTIPLIER_0, MULTIPLIER_1 = 0xD2511F53, 0xCD9E8D57
WEYL_0, WEYL_1 = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10
LOW = 0xFFFFFFFF

#: What a stream is for: draws of different purposes never share numbers.
PURPOSES = {"initialize": 0, "shuffle": 1, "dropout": 2, "sample": 3}


def philox(xp: Any, counter: tuple[Any, Any, Any, Any], key: tuple[Any, Any]) -> tuple[Any, Any, Any, Any]:
    """Four words for each counter: uint64 arrays of the namespace ``xp`` that hold 32-bit values.

    counter: four arrays (n,); key: two arrays (1,). Written without ``uint32`` products, which the array-API
    standard does not define on overflow: a product of two 32-bit values fits a uint64.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    low, shift = (xp.asarray(v, dtype=xp.uint64) for v in (LOW, 32))
    m0, m1 = (xp.asarray(v, dtype=xp.uint64) for v in (MULTIPLIER_0, MULTIPLIER_1))
    w0, w1 = (xp.asarray(v, dtype=xp.uint64) for v in (WEYL_0, WEYL_1))
    for _ in range(ROUNDS):
        p0, p1 = m0 * c0, m1 * c2
        c0, c1, c2, c3 = (p1 >> shift) ^ c1 ^ k0, p1 & low, (p0 >> shift) ^ c3 ^ k1, p0 & low
        k0, k1 = (k0 + w0) & low, (k1 + w1) & low
    return c0, c1, c2, c3


def words(xp: Any, count: int, purpose: int, seed: Any, draw: Any) -> Any:
    """``count`` 32-bit words (as uint64) of draw number ``draw``; seed and draw are int64 arrays (1,)."""
    return words_of(xp, xp.arange((count + 3) // 4), purpose, seed, draw)[:count]


def words_of(xp: Any, blocks: Any, purpose: int, seed: Any, draw: Any) -> Any:
    """The words of blocks of four, by their numbers (n,), one after the other: (4 n,)."""
    low, shift = xp.asarray(LOW, dtype=xp.uint64), xp.asarray(32, dtype=xp.uint64)
    blocks = xp.astype(blocks, xp.uint64)
    seed, draw = xp.astype(seed, xp.uint64), xp.astype(draw, xp.uint64)
    zero = xp.zeros_like(blocks)
    stream = zero + xp.asarray(purpose, dtype=xp.uint64)
    counter = (blocks & low, stream, zero + (draw & low), zero + (draw >> shift))
    block = philox(xp, counter, (seed & low, seed >> shift))
    return xp.reshape(xp.stack(block, axis=1), (-1,))


def uniforms(xp: Any, words: Any, dtype: Any) -> Any:
    """Words -> numbers in [0, 1), multiples of 2**-24."""
    top = xp.astype(words >> xp.asarray(8, dtype=xp.uint64), dtype)
    return top * 2.0**-24
