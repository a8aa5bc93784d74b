"""Normalization over the samples and places of each channel, or over parts of the channels of each sample.

Sums of a stretch of neighbours are made in their own type, so that they vectorise, and added in float64. Arrays are
(A, C, L), contiguous.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.words import memory_words

# Block: [x, w or 0, b or 0, mean, variance, y, A, C, L, eps, 1 where centred, own, first channel, channels]. ``own``:
# the statistics are made here; else they are given.
CHANNELS = """
def kernel(block):
    x, w, b, y = pointer(block[0]), pointer(block[1]), pointer(block[2]), pointer(block[5])
    mean, variance, A, C, L = pointer(block[3]), pointer(block[4]), block[6], block[7], block[8]
    count, eps = A * L, double(block[9])[0]
    for c in range(block[12], block[12] + block[13]):
        if block[11] != 0:
            whole = 0.0
            if block[10] != 0:
                for a in range(A):
                    total, at = zero, (a * C + c) * L
                    for k in range(L):
                        total += x[at + k]
                    whole += double_of(total)
            middle = element(whole / count)
            square = 0.0
            for a in range(A):
                total, at = zero, (a * C + c) * L
                for k in range(L):
                    total += (x[at + k] - middle) * (x[at + k] - middle)
                square += double_of(total)
            mean[c], variance[c] = middle, element(square / count)
        middle = mean[c]
        factor = element(1.0 / root(double_of(variance[c]) + eps))
        shift = zero
        if block[1] != 0:
            factor = factor * w[c]
        if block[2] != 0:
            shift = b[c]
        for a in range(A):
            at = (a * C + c) * L
            for k in range(L):
                y[at + k] = (x[at + k] - middle) * factor + shift
"""

# Block: [x, w or 0, dy, mean, variance, dx or 0, A, C, L, eps, 1 where centred, own, first channel, channels, dw or 0,
# db or 0, add to dw, add to db]. Where not ``own``, the statistics do not depend on x.
CHANNELS_GRAD = """
def kernel(block):
    x, w, dy, dx = pointer(block[0]), pointer(block[1]), pointer(block[2]), pointer(block[5])
    mean, variance, A, C, L = pointer(block[3]), pointer(block[4]), block[6], block[7], block[8]
    dw, db, count, eps = pointer(block[14]), pointer(block[15]), A * L, double(block[9])[0]
    for c in range(block[12], block[12] + block[13]):
        middle = mean[c]
        factor = element(1.0 / root(double_of(variance[c]) + eps))
        whole, along = 0.0, 0.0
        for a in range(A):
            total, product, at = zero, zero, (a * C + c) * L
            for k in range(L):
                total += dy[at + k]
                product += dy[at + k] * (x[at + k] - middle)
            whole += double_of(total)
            along += double_of(product)
        along = along * double_of(factor)
        if block[14] != 0:
            dw[c] = element(along + double_of(dw[c])) if block[16] != 0 else element(along)
        if block[15] != 0:
            db[c] = element(whole + double_of(db[c])) if block[17] != 0 else element(whole)
        if block[5] != 0:
            scale = factor
            if block[1] != 0:
                scale = factor * w[c]
            less, turn = zero, zero
            if block[11] != 0:
                turn = element(along / count) * factor
                if block[10] != 0:
                    less = element(whole / count)
            for a in range(A):
                at = (a * C + c) * L
                for k in range(L):
                    dx[at + k] = (dy[at + k] - less - (x[at + k] - middle) * turn) * scale
"""

# As CHANNELS, of one place a channel: rows of channels are added up, 512 of them in their own type. Its last argument
# is room for ``channels`` numbers of float64 and as many of x's type.
COLUMNS = """
def kernel(block):
    x, w, b, y = pointer(block[0]), pointer(block[1]), pointer(block[2]), pointer(block[5])
    mean, variance, A, C = pointer(block[3]), pointer(block[4]), block[6], block[7]
    first, channels = block[12], block[13]
    whole, part = double(block[14]), pointer(block[14] + 8 * channels)
    eps = double(block[9])[0]
    for what in range(2 * block[11]):
        for c in range(channels):
            whole[c] = 0.0
        for begin in range(0, A, 512):
            for c in range(channels):
                part[c] = zero
            for a in range(begin, min(begin + 512, A)):
                at = a * C + first
                if what == 0:
                    for c in range(channels):
                        part[c] += x[at + c]
                else:
                    for c in range(channels):
                        part[c] += (x[at + c] - mean[first + c]) * (x[at + c] - mean[first + c])
            for c in range(channels):
                whole[c] += double_of(part[c])
        for c in range(channels):
            if what == 1:
                variance[first + c] = element(whole[c] / A)
            elif block[10] != 0:
                mean[first + c] = element(whole[c] / A)
            else:
                mean[first + c] = zero
    for c in range(channels):
        part[c] = element(1.0 / root(double_of(variance[first + c]) + eps))
        if block[1] != 0:
            part[c] = part[c] * w[first + c]
    for a in range(A):
        at = a * C + first
        if block[2] != 0:
            for c in range(channels):
                y[at + c] = (x[at + c] - mean[first + c]) * part[c] + b[first + c]
        else:
            for c in range(channels):
                y[at + c] = (x[at + c] - mean[first + c]) * part[c]
"""

# As CHANNELS_GRAD, of one place a channel; its last argument is room for four times ``channels`` numbers of float64.
COLUMNS_GRAD = """
def kernel(block):
    x, w, dy, dx = pointer(block[0]), pointer(block[1]), pointer(block[2]), pointer(block[5])
    mean, variance, A, C = pointer(block[3]), pointer(block[4]), block[6], block[7]
    first, channels = block[12], block[13]
    dw, db, eps = pointer(block[14]), pointer(block[15]), double(block[9])[0]
    whole, along = double(block[18]), double(block[18] + 8 * channels)
    total, product = pointer(block[18] + 16 * channels), pointer(block[18] + 24 * channels)
    for c in range(channels):
        whole[c] = 0.0
        along[c] = 0.0
    for begin in range(0, A, 512):
        for c in range(channels):
            total[c] = zero
            product[c] = zero
        for a in range(begin, min(begin + 512, A)):
            at = a * C + first
            for c in range(channels):
                total[c] += dy[at + c]
                product[c] += dy[at + c] * (x[at + c] - mean[first + c])
        for c in range(channels):
            whole[c] += double_of(total[c])
            along[c] += double_of(product[c])
    for c in range(channels):
        factor = 1.0 / root(double_of(variance[first + c]) + eps)
        along[c] = along[c] * factor
        if block[14] != 0:
            dw[first + c] = element(along[c] + double_of(dw[first + c])) if block[16] != 0 else element(along[c])
        if block[15] != 0:
            db[first + c] = element(whole[c] + double_of(db[first + c])) if block[17] != 0 else element(whole[c])
        # From here on: what dy is less by, what the distance from the mean counts, and the scale.
        total[c], product[c] = zero, zero
        if block[11] != 0:
            product[c] = element(along[c] / A * factor)
            if block[10] != 0:
                total[c] = element(whole[c] / A)
        if block[1] != 0:
            factor = factor * double_of(w[first + c])
        along[c] = factor
    if block[5] != 0:
        for a in range(A):
            at = a * C + first
            for c in range(channels):
                dx[at + c] = (dy[at + c] - total[c] - (x[at + c] - mean[first + c]) * product[c]) * element(along[c])
"""

# Block: [x, w or 0, b or 0, mean, variance, y, rows, channels of a row, L, eps, 1 where centred, groups]. A row is a
# part of a sample; row r is of group r % groups.
ROWS = """
def kernel(block):
    x, w, b, y = pointer(block[0]), pointer(block[1]), pointer(block[2]), pointer(block[5])
    mean, variance, channels, L = pointer(block[3]), pointer(block[4]), block[7], block[8]
    count, eps = channels * L, double(block[9])[0]
    for r in range(block[6]):
        at, whole, square = r * count, 0.0, 0.0
        if block[10] != 0:
            for begin in range(0, count, 1024):
                total = zero
                for k in range(begin, min(begin + 1024, count)):
                    total += x[at + k]
                whole += double_of(total)
        middle = element(whole / count)
        for begin in range(0, count, 1024):
            total = zero
            for k in range(begin, min(begin + 1024, count)):
                total += (x[at + k] - middle) * (x[at + k] - middle)
            square += double_of(total)
        mean[r], variance[r] = middle, element(square / count)
        factor = element(1.0 / root(square / count + eps))
        first = r % block[11] * channels
        if block[1] == 0 and block[2] == 0:
            for k in range(count):
                y[at + k] = (x[at + k] - middle) * factor
        elif L == 1 and block[1] != 0 and block[2] != 0:
            for k in range(count):
                y[at + k] = (x[at + k] - middle) * factor * w[first + k] + b[first + k]
        else:
            for c in range(channels):
                scale, shift = factor, zero
                if block[1] != 0:
                    scale = factor * w[first + c]
                if block[2] != 0:
                    shift = b[first + c]
                for k in range(at + c * L, at + c * L + L):
                    y[k] = (x[k] - middle) * scale + shift
"""

# Block: [x, w or 0, dy, mean, variance, dx, rows, channels of a row, L, eps, 1 where centred, groups].
ROWS_GRAD = """
def kernel(block):
    x, w, dy, dx = pointer(block[0]), pointer(block[1]), pointer(block[2]), pointer(block[5])
    mean, variance, channels, L = pointer(block[3]), pointer(block[4]), block[7], block[8]
    count, eps = channels * L, double(block[9])[0]
    for r in range(block[6]):
        at, middle = r * count, mean[r]
        factor = element(1.0 / root(double_of(variance[r]) + eps))
        first, whole, along = r % block[11] * channels, 0.0, 0.0
        if L == 1:
            for begin in range(0, count, 1024):
                total, product = zero, zero
                if block[1] != 0:
                    for k in range(begin, min(begin + 1024, count)):
                        inner = dy[at + k] * w[first + k]
                        total += inner
                        product += inner * (x[at + k] - middle)
                else:
                    for k in range(begin, min(begin + 1024, count)):
                        total += dy[at + k]
                        product += dy[at + k] * (x[at + k] - middle)
                whole += double_of(total)
                along += double_of(product)
        else:
            for c in range(channels):
                total, product = zero, zero
                for k in range(at + c * L, at + c * L + L):
                    total += dy[k]
                    product += dy[k] * (x[k] - middle)
                scale = one
                if block[1] != 0:
                    scale = w[first + c]
                whole += double_of(total * scale)
                along += double_of(product * scale)
        turn = element(along * double_of(factor) / count) * factor
        less = zero
        if block[10] != 0:
            less = element(whole / count)
        if L == 1 and block[1] != 0:
            for k in range(count):
                dx[at + k] = (dy[at + k] * w[first + k] - less - (x[at + k] - middle) * turn) * factor
        else:
            for c in range(channels):
                scale = one
                if block[1] != 0:
                    scale = w[first + c]
                for k in range(at + c * L, at + c * L + L):
                    dx[k] = (dy[k] * scale - less - (x[k] - middle) * turn) * factor
"""

# Block: [x, dy, mean, variance, dw or 0, db or 0, A, C, L, eps, groups, first channel, channels, add to dw, add to db,
# room for two rows of float64 and two of x's type]. Where a sample is one row of one place a channel, 512 of them are
# added up in their own type, as in COLUMNS.
BLOCK = 512
ROWS_WEIGHTS = """
def kernel(block):
    x, dy, mean, variance = pointer(block[0]), pointer(block[1]), pointer(block[2]), pointer(block[3])
    dw, db, A, C, L, G = pointer(block[4]), pointer(block[5]), block[6], block[7], block[8], block[10]
    eps, channels, first, per = double(block[9])[0], block[12], block[11], block[7] // block[10]
    along, whole = double(block[15]), double(block[15] + 8 * channels)
    product, total = pointer(block[15] + 16 * channels), pointer(block[15] + 24 * channels)
    for c in range(channels):
        along[c] = 0.0
        whole[c] = 0.0
    if L == 1 and G == 1:
        for begin in range(0, A, 512):
            for c in range(channels):
                product[c] = zero
                total[c] = zero
            for a in range(begin, min(begin + 512, A)):
                at, middle = a * C + first, mean[a]
                factor = element(1.0 / root(double_of(variance[a]) + eps))
                for c in range(channels):
                    total[c] += dy[at + c]
                    product[c] += dy[at + c] * ((x[at + c] - middle) * factor)
            for c in range(channels):
                along[c] += double_of(product[c])
                whole[c] += double_of(total[c])
    else:
        for a in range(A):
            for c in range(channels):
                r, at = a * G + (first + c) // per, (a * C + first + c) * L
                one_total, one_product, middle = zero, zero, mean[r]
                for k in range(at, at + L):
                    one_total += dy[k]
                    one_product += dy[k] * (x[k] - middle)
                whole[c] += double_of(one_total)
                along[c] += double_of(one_product) / root(double_of(variance[r]) + eps)
    for c in range(channels):
        if block[4] != 0:
            dw[first + c] = element(along[c] + double_of(dw[first + c])) if block[13] != 0 else element(along[c])
        if block[5] != 0:
            db[first + c] = element(whole[c] + double_of(db[first + c])) if block[14] != 0 else element(whole[c])
"""

# Block: [dw or 0, db or 0, channels, parts, room, add to dw, add to db]: what ``ROWS_WEIGHTS`` left in a room for each
# part of the samples, added up.
ROWS_WEIGHTS_END = """
def kernel(block):
    dw, db, channels = pointer(block[0]), pointer(block[1]), block[2]
    for c in range(channels):
        along, whole = 0.0, 0.0
        for part in range(block[3]):
            room = double(block[4] + 32 * channels * part)
            along += room[c]
            whole += room[channels + c]
        if block[0] != 0:
            dw[c] = element(along + double_of(dw[c])) if block[5] != 0 else element(along)
        if block[1] != 0:
            db[c] = element(whole + double_of(db[c])) if block[6] != 0 else element(whole)
"""

TEXTS = {
    "channels": CHANNELS, "channels_grad": CHANNELS_GRAD, "columns": COLUMNS, "columns_grad": COLUMNS_GRAD,
    "rows": ROWS, "rows_grad": ROWS_GRAD,
    "rows_weights": ROWS_WEIGHTS, "rows_weights_end": ROWS_WEIGHTS_END,
}  # fmt: skip


@functools.cache
def normalize_kernel(name: str, dtype: str) -> Kernel:
    """One of ``TEXTS``."""
    return load(Source(f"normalize_{name}_{dtype}", TEXTS[name], _words, (dtype,), reassociate=True))


def _words(dtype: str) -> dict[str, Any]:
    import math

    kind = np.dtype(dtype).type
    return memory_words(dtype) | {"zero": kind(0), "one": kind(1), "double_of": np.float64, "root": math.sqrt}
