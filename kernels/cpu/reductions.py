"""Sums, products, extremes and their positions over memory seen as A by K by B, where K is what is reduced.

Sums are taken in stretches, each in its own type so that it uses vector registers, and the stretches are added in
float64: a million float32 numbers lose no more than a few of them do.
"""

from __future__ import annotations

import functools

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.elementwise import namespace

#: kind -> (the value to begin with, how one more element changes it). first is an element that is there anyway.
STEPS = {
    "sum": ("to_{T}(0)", "total + v"),
    "prod": ("to_{T}(1)", "total * v"),
    "max": ("first", "larger(total, v)"),
    "min": ("first", "smaller(total, v)"),
    "any": ("to_bool(0)", "total | v"),
    "all": ("to_bool(1)", "total & v"),
}

# Block: [A, K, B, x, out]. B is 1: rows are contiguous.
ROWS = """
def kernel(block):
    A, K = block[0], block[1]
    x, y = pointer_{T}(block[3]), pointer_{T}(block[4])
    for a in range(A):
        at = a * K
        first = x[at]
        total = {start}
        for k in range(K):
            v = x[at + k]
            total = {step}
        y[a] = total
"""

SUM_ROWS = """
def kernel(block):
    A, K = block[0], block[1]
    x, y = pointer_{T}(block[3]), pointer_{T}(block[4])
    for a in range(A):
        at = a * K
        whole = to_float64(0)
        for begin in range(0, K, 1024):
            total = to_{T}(0)
            for k in range(begin, min(begin + 1024, K)):
                total = total + x[at + k]
            whole = whole + total
        y[a] = to_{T}(whole)
"""

# Columns: each of K rows of B elements is folded into the output.
COLUMNS = """
def kernel(block):
    A, K, B = block[0], block[1], block[2]
    x, y = pointer_{T}(block[3]), pointer_{T}(block[4])
    for a in range(A):
        for b in range(B):
            first = x[a * K * B + b]
            y[a * B + b] = {start}
        for k in range(K):
            at = (a * K + k) * B
            for b in range(B):
                total = y[a * B + b]
                v = x[at + b]
                y[a * B + b] = {step}
"""

# Block: [A, K, x, out]. NaN counts as greatest and as least, as in NumPy.
POSITION = """
def kernel(block):
    A, K = block[0], block[1]
    x, y = pointer_{T}(block[2]), labels(block[3])
    for a in range(A):
        at = a * K
        best, place = x[at], 0
        for k in range(1, K):
            v = x[at + k]
            if v {comparison} best or (v != v and best == best):
                best, place = v, k
        y[a] = place
"""


@functools.cache
def reduce_kernel(kind: str, dtype: str, rows: bool) -> Kernel:
    """The reduction ``kind`` of rows (B = 1) or of columns."""
    start, step = STEPS[kind]
    text = COLUMNS if not rows else SUM_ROWS if kind == "sum" and dtype.startswith("float") else ROWS
    text = text.format(T=dtype, start=start.format(T=dtype), step=step)
    name = f"{kind}_{'rows' if rows else 'columns'}_{dtype}"
    return load(Source(name, text, namespace, (dtype,), reassociate=True))


@functools.cache
def position_kernel(kind: str, dtype: str) -> Kernel:
    """argmax or argmin of rows."""
    text = POSITION.format(T=dtype, comparison=">" if kind == "argmax" else "<")
    return load(Source(f"{kind}_{dtype}", text, namespace, (dtype,)))
