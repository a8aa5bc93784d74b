"""Kernels that move values: fill, rows by number, the next random key."""

from __future__ import annotations

import functools
from typing import Any

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.elementwise import namespace
from nnkit.kernels.cpu.words import memory_words

# Block: [n, value, out].
FILL = """
def kernel(block):
    value, y = scalar(block[1]), pointer(block[2])
    for i in range(block[0]):
        y[i] = value
"""

# Block: [x, indices, out, M, words a row, N]: a row is copied in words of 4 bytes, whatever its type.
# The caller has checked the indices where it could; the clamp keeps a wrong one from reading elsewhere.
TAKE_ROWS = """
def kernel(block):
    x, index, y = pointer(block[0]), labels(block[1]), pointer(block[2])
    width = block[4]
    for i in range(block[3]):
        source, target = min(max(index[i], 0), block[5] - 1) * width, i * width
        for j in range(width):
            y[target + j] = x[source + j]
"""

# Block: [x, order, cursor, out, M, words a row]. The rows lie anywhere in memory: long ones are fetched two ahead, a
# cache line of 16 words at a time.
TAKE_BATCH = """
def kernel(block):
    x, order, y = pointer(block[0]), labels(block[1]), pointer(block[3])
    start, M, width = labels(block[2])[0], block[4], block[5]
    if width == 1:
        for i in range(M):
            y[i] = x[order[start + i]]
        return
    for i in range(M):
        source, target = order[start + i] * width, i * width
        if width >= 64:
            ahead = order[start + min(i + 2, M - 1)] * width
            for j in range(0, width, 16):
                prefetch(x, ahead + j)
        for j in range(width):
            y[target + j] = x[source + j]
"""

# Block: [y, indices, out, M, elements a row, N].
ADD_ROWS = """
def kernel(block):
    y, index, out = pointer(block[0]), labels(block[1]), pointer(block[2])
    width = block[4]
    for i in range(block[3]):
        source, target = i * width, min(max(index[i], 0), block[5] - 1) * width
        for j in range(width):
            out[target + j] += y[source + j]
"""

# Block: [x, indices, out, A, N, K, B]: x (A, N, B), indices and out (A, K, B).
GATHER = """
def kernel(block):
    x, index, y = pointer(block[0]), labels(block[1]), pointer(block[2])
    N, K, B = block[4], block[5], block[6]
    for a in range(block[3]):
        for k in range(K):
            here = (a * K + k) * B
            for b in range(B):
                y[here + b] = x[(a * N + min(max(index[here + b], 0), N - 1)) * B + b]
"""

# Block: [y, indices, out, A, N, K, B]: out (A, N, B), indices and y (A, K, B).
SCATTER = """
def kernel(block):
    y, index, out = pointer(block[0]), labels(block[1]), pointer(block[2])
    N, K, B = block[4], block[5], block[6]
    for a in range(block[3]):
        for k in range(K):
            here = (a * K + k) * B
            for b in range(B):
                out[(a * N + min(max(index[here + b], 0), N - 1)) * B + b] {becomes} y[here + b]
"""

# Block: [x, out, A, R, words a row, words from block to block and from row to row of x, and of out].
COPY_ROWS = """
def kernel(block):
    x, y = pointer(block[0]), pointer(block[1])
    width = block[4]
    for a in range(block[2]):
        for i in range(block[3]):
            source, target = a * block[5] + i * block[6], a * block[7] + i * block[8]
            for j in range(width):
                y[target + j] = x[source + j]
"""

# Block: [x, out, R, C, elements from row to row of x, and from column to column]; out is R by C and contiguous.
COPY_STRIDED = """
def kernel(block):
    x, y = pointer(block[0]), pointer(block[1])
    C, down, across = block[3], block[4], block[5]
    for i in range(block[2]):
        source, target = i * down, i * C
        for j in range(C):
            y[target + j] = x[source + j * across]
"""

# Block: [state, key].
NEXT_KEY = """
def kernel(block):
    state, key = labels(block[0]), labels(block[1])
    key[0], key[1] = state[0], state[1]
    state[1] += 1
"""


@functools.cache
def fill_kernel(dtype: str) -> Kernel:
    """Every element becomes one value."""
    return load(Source(f"fill_{dtype}", FILL, namespace, (dtype,)))


@functools.cache
def take_rows_kernel() -> Kernel:
    """Rows by number, of any type whose rows are a multiple of 4 bytes."""
    return load(Source("take_rows", TAKE_ROWS, memory_words, ("uint32",)))


@functools.cache
def take_batch_kernel() -> Kernel:
    """The rows of a batch at a cursor, of any type whose rows are a multiple of 4 bytes."""
    return load(Source("take_batch", TAKE_BATCH, memory_words, ("uint32",)))


@functools.cache
def copy_rows_kernel() -> Kernel:
    """Rows of a multiple of 4 bytes, along two axes some way apart on either side."""
    return load(Source("copy_rows", COPY_ROWS, memory_words, ("uint32",)))


@functools.cache
def copy_strided_kernel(word: str) -> Kernel:
    """A matrix of elements some way apart, as one whose elements lie in order; ``word`` has an element's size."""
    return load(Source(f"copy_strided_{word}", COPY_STRIDED, memory_words, (word,)))


@functools.cache
def add_rows_kernel(dtype: str) -> Kernel:
    """Rows added at places by number."""
    return load(Source(f"add_rows_{dtype}", ADD_ROWS, _words, (dtype,)))


@functools.cache
def gather_kernel(dtype: str) -> Kernel:
    """Elements by number along an axis."""
    return load(Source(f"gather_{dtype}", GATHER, _words, (dtype,)))


@functools.cache
def scatter_kernel(dtype: str, add: bool) -> Kernel:
    """Elements written, or added, at places by number along an axis."""
    text = SCATTER.format(becomes="+=" if add else "=")
    return load(Source(f"scatter_{'add' if add else 'set'}_{dtype}", text, _words, (dtype,)))


@functools.cache
def next_key_kernel() -> Kernel:
    """The key of the next random draw."""
    return load(Source("next_key", NEXT_KEY, _words, ("float64",)))


def _words(dtype: str) -> dict[str, Any]:
    return memory_words(dtype)
