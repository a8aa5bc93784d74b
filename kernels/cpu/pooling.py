"""Pools: what a tap of the window meets, for a row of neighbouring windows at a time."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.words import memory_words

# Every block: [x, y, places or 0, B, C, and in elements the steps of x along samples, channels and 3 axes, those of y,
# 3 sizes of x, 3 of y, 3 of the window, 3 strides, 3 paddings before, 3 dilations, factor]. y is what has one element
# for each window, in the gradient too; places lie as y does.
WALK = """
def kernel(block):
    x, y, places = pointer(block[0]), pointer(block[1]), labels(block[2])
    xb, xc, x0, x1, x2 = block[5], block[6], block[7], block[8], block[9]
    yb, yc, y0, y1, y2 = block[10], block[11], block[12], block[13], block[14]
    S0, S1, S2, P0, P1, P2 = block[15], block[16], block[17], block[18], block[19], block[20]
    K0, K1, K2, s0, s1, s2 = block[21], block[22], block[23], block[24], block[25], block[26]
    b0, b1, b2, d0, d1, d2 = block[27], block[28], block[29], block[30], block[31], block[32]
    factor = scalar(block[33])
    for n in range(block[3] * block[4]):
        from_x, from_y = n // block[4] * xb + n % block[4] * xc, n // block[4] * yb + n % block[4] * yc
        {before_plane}
        for p0 in range(P0):
            for p1 in range(P1):
                row = from_y + p0 * y0 + p1 * y1
                {before_row}
                for k0 in range(K0):
                    i0 = p0 * s0 + k0 * d0 - b0
                    if i0 < 0 or i0 >= S0:
                        continue
                    for k1 in range(K1):
                        i1 = p1 * s1 + k1 * d1 - b1
                        if i1 < 0 or i1 >= S1:
                            continue
                        for k2 in range(K2):
                            shift = k2 * d2 - b2
                            first = max(0, (s2 - 1 - shift) // s2)
                            last = min(P2, (S2 - 1 - shift) // s2 + 1)
                            at, number = from_x + i0 * x0 + i1 * x1 + shift * x2, (i0 * S1 + i1) * S2 + shift
                            {tap}
                {after_row}
"""


def _row(line: str, first: str, last: str) -> list[str]:
    """A loop over windows j of a row, by itself where neighbours lie side by side."""
    return [
        "if y2 == 1 and x2 == 1:",
        f"    for j in range({first}, {last}):",
        *(f"        {part}" for part in line.format(y="row + j", x="at + j * s2").split("\n")),
        "else:",
        f"    for j in range({first}, {last}):",
        *(f"        {part}" for part in line.format(y="row + j * y2", x="at + j * s2 * x2").split("\n")),
    ]


#: A pool -> what it does before a plane and a row, at each tap, and after a row.
PARTS: dict[str, tuple[list[str], list[str], list[str], list[str]]] = {
    "sum": (
        ["pass"],
        ["for j in range(P2):", "    y[row + j * y2] = zero"],
        _row("y[{y}] += x[{x}]", "first", "last"),
        ["for j in range(P2):", "    y[row + j * y2] *= factor"],
    ),
    "sum_grad": (
        ["for i0 in range(S0):", "    for i1 in range(S1):", "        for i2 in range(S2):",
         "            x[from_x + i0 * x0 + i1 * x1 + i2 * x2] = zero"],
        ["pass"],
        _row("x[{x}] += factor * y[{y}]", "first", "last"),
        ["pass"],
    ),
}  # fmt: skip

# Block as above. Of what lies outside nothing is seen; the first element is taken whatever it is, and NaN before all
# others. Windows that lie inside are looked through side by side.
MAX = """
def kernel(block):
    x, y, places = pointer(block[0]), pointer(block[1]), labels(block[2])
    xb, xc, x0, x1, x2 = block[5], block[6], block[7], block[8], block[9]
    yb, yc, y0, y1, y2 = block[10], block[11], block[12], block[13], block[14]
    S0, S1, S2, P0, P1, P2 = block[15], block[16], block[17], block[18], block[19], block[20]
    s0, s1, b0, b1, b2, d0, d1 = block[24], block[25], block[27], block[28], block[29], block[30], block[31]
    begin = (b2 + {s2} - 1) // {s2}
    end = min(P2, (S2 - 1 - {reach} + b2) // {s2} + 1)
    for n in range(block[3] * block[4]):
        from_x, from_y = n // block[4] * xb + n % block[4] * xc, n // block[4] * yb + n % block[4] * yc
        for p0 in range(P0):
            i0 = p0 * s0 - b0
            for p1 in range(P1):
                row, i1 = from_y + p0 * y0 + p1 * y1, p1 * s1 - b1
                inside = i0 >= 0 and i0 + {last0} * d0 < S0 and i1 >= 0 and i1 + {last1} * d1 < S1
                first, last = P2, P2
                if inside and x2 == 1 and y2 == 1 and begin < end:
                    first, last = begin, end
                    at, number = from_x + i0 * x0 + i1 * x1 - b2, (i0 * S1 + i1) * S2 - b2
                    for j in range(first, last):
                        best, place = x[at + j * {s2}], number + j * {s2}
{taps}
                        y[row + j], places[row + j] = best, place
                for part in range(2):
                    for j in range(last * part, P2 * part + first * (1 - part)):
                        best, place = zero, -1
                        for k0 in range({K0}):
                            for k1 in range({K1}):
                                for k2 in range({K2}):
                                    u0, u1, u2 = i0 + k0 * d0, i1 + k1 * d1, j * {s2} + k2 * {d2} - b2
                                    if u0 >= 0 and u0 < S0 and u1 >= 0 and u1 < S1 and u2 >= 0 and u2 < S2:
                                        v = x[from_x + u0 * x0 + u1 * x1 + u2 * x2]
                                        if place < 0 or v > best or v != v:
                                            best, place = v, (u0 * S1 + u1) * S2 + u2
                        y[row + j * y2], places[row + j * y2] = best, place
"""


@functools.cache
def max_kernel(dtype: str, taps: tuple[int, int, int], stride: int, dilation: int) -> Kernel:
    """The greatest elements in windows of so many taps on three axes; stride and dilation are those of the last."""
    (K0, K1, K2), s2, d2 = taps, stride, dilation
    lines = []
    for k0, k1, k2 in itertools.product(range(K0), range(K1), range(K2)):
        shift = f"j * {s2} + {k2 * d2}"
        if k0 or k1 or k2:
            lines += [
                f"v = x[at + {k0} * d0 * x0 + {k1} * d1 * x1 + {shift}]",
                "better = (v > best) | (v != v)",
                "best = v if better else best",
                f"place = number + ({k0} * d0 * S1 + {k1} * d1) * S2 + {shift} if better else place",
            ]
    text = MAX.format(
        K0=K0, K1=K1, K2=K2, s2=s2, d2=d2, reach=(K2 - 1) * d2, last0=K0 - 1, last1=K1 - 1,
        taps="\n".join(f"{' ' * 24}{line}" for line in lines or ["pass"]),
    )  # fmt: skip
    name = f"pool_max_{K0}x{K1}x{K2}_{s2}_{d2}_{dtype}"
    return load(Source(name, text, _words, (dtype,)))


# Block as above; the places of a sample's channel in x lie x2 apart.
MAX_GRAD = """
def kernel(block):
    x, y, places = pointer(block[0]), pointer(block[1]), labels(block[2])
    xb, xc, x2, yb, yc, y0, y1, y2 = block[5], block[6], block[9], block[10], block[11], block[12], block[13], block[14]
    for n in range(block[3] * block[4]):
        from_x, from_y = n // block[4] * xb + n % block[4] * xc, n // block[4] * yb + n % block[4] * yc
        for i in range(block[15] * block[16] * block[17]):
            x[from_x + i * x2] = zero
        for p0 in range(block[18]):
            for p1 in range(block[19]):
                row = from_y + p0 * y0 + p1 * y1
                for j in range(block[20]):
                    x[from_x + places[row + j * y2] * x2] += y[row + j * y2]
"""


@functools.cache
def pool_kernel(kind: str, dtype: str) -> Kernel:
    """The pool "sum", its gradient "sum_grad", or the gradient of "max"."""
    if kind == "max_grad":
        text = MAX_GRAD
    else:
        depths = {"before_plane": 8, "before_row": 16, "tap": 28, "after_row": 16}
        lines = {
            name: f"\n{' ' * depth}".join(part) for (name, depth), part in zip(depths.items(), PARTS[kind], strict=True)
        }
        text = WALK.format(**lines)
    return load(Source(f"pool_{kind}_{dtype}", text, _words, (dtype,)))


def _words(dtype: str) -> dict[str, Any]:
    return memory_words(dtype) | {"zero": np.dtype(dtype).type(0)}
