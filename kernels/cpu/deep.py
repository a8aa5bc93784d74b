"""Products whose sums run down the rows of both factors, a (K, M) and b (K, N): gradients of weights, over a batch.

Such a sum is made in blocks of terms (see ``block``), each of which begins with zero; the blocks are added up in turn.
So several threads can multiply the rows that each of them has made, and the result is the same for any number of
threads. ``panels`` does the same with blocks of ``products.depth`` terms.
"""

from __future__ import annotations

import functools

import numpy as np

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.products import ADDED, depth
from nnkit.kernels.cpu.words import control_words, memory_words

NARROW = 4  # columns of a result that is better made transposed
ROOM = 128  # of its rows at a time

#: Bytes of a result that costs little to make several times, and from how many terms on, in so many at most.
LITTLE, LONG, PARTS, LEAST = 1 << 14, 256, 8, 64

# Block: as that of ``products.OUTER``, without a bias, and then the address of that kernel, and the terms of a block.
DEEP = """
def kernel(block):
    next_block = stack(12 * 8)
    arguments = labels(next_block)
    for n in range(12):
        arguments[n] = block[n]
    deep = block[13]
    for first in range(0, block[5], deep):
        arguments[0] = block[0] + first * block[7] * {size}
        arguments[1] = block[1] + first * block[8] * {size}
        arguments[5] = min(deep, block[5] - first)
        if first > 0 or block[10] != 0:
            arguments[10] = {added}
        call(block[12], next_block)
"""

# Block: as DEEP, N at most NARROW, elements of a row of a side by side (row 1), and then the address of ``DEEP``, which
# makes y^T = b^T a on the stack: a register of so few columns would be nearly empty.
NARROW_DEEP = """
def kernel(block):
    y, M, N, ldy, add = pointer(block[2]), block[3], block[4], block[9], block[10]
    space, next_block = stack({narrow} * {room} * {size}), stack(14 * 8)
    turned, arguments = pointer(space), labels(next_block)
    for i in range(0, M, {room}):
        count = min({room}, M - i)
        if add != 0:
            for n in range(N):
                for r in range(count):
                    turned[n * {room} + r] = y[(i + r) * ldy + n]
        arguments[0], arguments[1], arguments[2] = block[1], block[0] + i * {size}, space
        arguments[3], arguments[4], arguments[5] = N, count, block[5]
        arguments[6], arguments[7], arguments[8], arguments[9] = 1, block[8], block[7], {room}
        arguments[10], arguments[11], arguments[12], arguments[13] = add, 0, block[12], block[13]
        call(block[14], next_block)
        for n in range(N):
            for r in range(count):
                y[(i + r) * ldy + n] = turned[n * {room} + r]
"""


# Block: [parts, y, number of parts, elements, elements from part to part, add]: y = the sum of the parts (and y).
SUM = """
def kernel(block):
    y, add = pointer(block[1]), block[5]
    for part in range(block[2]):
        x = pointer(block[0] + part * block[4] * {size})
        if part == 0 and add == 0:
            for n in range(block[3]):
                y[n] = x[n]
        else:
            for n in range(block[3]):
                y[n] += x[n]
"""


def block(dtype: str, M: int, N: int, K: int) -> int:
    """Terms of a block of sums of K terms, for a result (M, N); it depends on nothing else.

    Few for a small result, so that every thread can take the rows that it has made: what another has made costs more to
    fetch than to multiply.
    """
    if K < LONG or M * N * np.dtype(dtype).itemsize > LITTLE:
        return depth(dtype)
    return -(-K // (PARTS * LEAST)) * LEAST


def _load(name: str, dtype: str, text: str) -> Kernel:
    sizes = {"narrow": NARROW, "room": ROOM, "size": np.dtype(dtype).itemsize, "added": ADDED}
    return load(Source(f"{name}_{dtype}", text.format(**sizes), _words, (dtype,)))


def _words(dtype: str) -> dict[str, object]:
    return memory_words(dtype) | control_words()


@functools.cache
def deep_kernel(dtype: str) -> Kernel:
    """y = a b, or y + a b, block by block."""
    return _load("deep", dtype, DEEP)


@functools.cache
def narrow_kernel(dtype: str) -> Kernel:
    """The same for a few columns."""
    return _load("narrow_deep", dtype, NARROW_DEEP)


@functools.cache
def sum_kernel(dtype: str) -> Kernel:
    """What adds up the blocks that several threads have made."""
    return _load("deep_sum", dtype, SUM)
