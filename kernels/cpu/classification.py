"""Row-wise kernels of classification: softmax, log-softmax, and cross-entropy fused with its gradient."""

from __future__ import annotations

import functools
from typing import Any

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.words import compiled_formulas, memory_words, scalar_words

# Block: [z, labels, weights or 0, loss, dz, B, C]: per row, loss = weight * (log sum exp z - z[label]) and
# dz = weight * (softmax(z) - onehot(label)). The greatest logit is subtracted first, so exp cannot overflow.
# ``add`` and ``sub`` are formulas: unlike the operators they are never reordered, so small differences keep their
# digits.
# Rows are taken in groups of about 4096 elements, so that exp runs over long stretches also where rows are short.
CROSS_ENTROPY = """
def kernel(block):
    z, label, weight = pointer(block[0]), labels(block[1]), pointer(block[2])
    loss, dz = pointer(block[3]), pointer(block[4])
    B, C = block[5], block[6]
    group = max(1, 4096 // C)
    for first in range(0, B, group):
        last = min(first + group, B)
        for i in range(first, last):
            at = i * C
            top = z[at]
            for j in range(1, C):
                top = greatest(top, z[at + j])
            loss[i] = sub(top, z[at + min(max(label[i], 0), C - 1)])
            for j in range(C):
                dz[at + j] = z[at + j] - top
        for q in range(first * C, last * C):
            dz[q] = exponential(dz[q])
        for i in range(first, last):
            at = i * C
            total = element(0)
            for j in range(C):
                total += dz[at + j]
            w = element(1)
            if block[2] != 0:
                w = weight[i]
            loss[i] = w * add(logarithm(total), loss[i])
            factor = w / total
            for j in range(C):
                dz[at + j] = dz[at + j] * factor
            dz[at + min(max(label[i], 0), C - 1)] -= w
"""

# Block: [x, y, B, C]
SOFTMAX = """
def kernel(block):
    x, y = pointer(block[0]), pointer(block[1])
    B, C = block[2], block[3]
    for i in range(B):
        at = i * C
        top = x[at]
        for j in range(1, C):
            top = greatest(top, x[at + j])
        total = element(0)
        for j in range(C):
            y[at + j] = exponential(x[at + j] - top)
        for j in range(C):
            total += y[at + j]
        {finish}
"""
FINISH_SOFTMAX = """factor = element(1) / total
        for j in range(C):
            y[at + j] = y[at + j] * factor"""
FINISH_LOG_SOFTMAX = """total = logarithm(total)
        for j in range(C):
            y[at + j] = sub(sub(x[at + j], top), total)"""

# Block: [dy, y, dx, B, C].
SOFTMAX_GRAD = """
def kernel(block):
    dy, y, dx = pointer(block[0]), pointer(block[1]), pointer(block[2])
    B, C = block[3], block[4]
    for i in range(B):
        at = i * C
        total = element(0)
        for j in range(C):
            total += {term}
        for j in range(C):
            dx[at + j] = {value}
"""


def _load(name: str, dtype: str, text: str) -> Kernel:
    # Sums over a row may be reordered: that is what lets them use vector registers.
    return load(Source(f"{name}_{dtype}", text, _words, (dtype,), reassociate=True))


def _words(dtype: str) -> dict[str, Any]:
    return memory_words(dtype) | compiled_formulas(dtype) | {"greatest": scalar_words()["greatest"]}


@functools.cache
def cross_entropy_kernel(dtype: str) -> Kernel:
    """Cross-entropy of logits and labels, with its gradient."""
    return _load("cross_entropy", dtype, CROSS_ENTROPY)


@functools.cache
def softmax_kernel(dtype: str, log: bool) -> Kernel:
    """Softmax or log-softmax over rows."""
    finish = FINISH_LOG_SOFTMAX if log else FINISH_SOFTMAX
    return _load("log_softmax" if log else "softmax", dtype, SOFTMAX.format(finish=finish))


@functools.cache
def softmax_grad_kernel(dtype: str, log: bool) -> Kernel:
    """The gradient of softmax or log-softmax from its output."""
    if log:
        term, value = "dy[at + j]", "dy[at + j] - exponential(y[at + j]) * total"
    else:
        term, value = "dy[at + j] * y[at + j]", "y[at + j] * (dy[at + j] - total)"
    text = SOFTMAX_GRAD.format(term=term, value=value)
    return _load("log_softmax_grad" if log else "softmax_grad", dtype, text)
