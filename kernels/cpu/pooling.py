"""Pools: what a tap of the window meets, for a row of neighbouring windows at a time."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.vectors import Vectors, lanes, tile_word
from nnkit.kernels.cpu.words import memory_words

Taps = tuple[int, int, int]

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
    if xc == 1 and yc == 1 and block[4] > 1:
        for b in range(block[3]):
            {before_image}
            for p in range(P0 * P1 * P2):
                p0, p1, p2 = p // (P1 * P2), p // P2 % P1, p % P2
                row = b * yb + p0 * y0 + p1 * y1 + p2 * y2
                {before_channels}
                for k in range(K0 * K1 * K2):
                    i0, i1 = p0 * s0 + k // (K1 * K2) * d0 - b0, p1 * s1 + k // K2 % K1 * d1 - b1
                    i2 = p2 * s2 + k % K2 * d2 - b2
                    if i0 >= 0 and i0 < S0 and i1 >= 0 and i1 < S1 and i2 >= 0 and i2 < S2:
                        at = b * xb + i0 * x0 + i1 * x1 + i2 * x2
                        for c in range(block[4]):
                            {channel}
                {after_channels}
        return
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


#: A pool -> what it does before a plane and a row, at each tap, and after a row; and where channels lie last, before an
#: image and a window, for each channel at each tap, and after a window.
PARTS: dict[str, tuple[list[str], ...]] = {
    "sum": (
        ["pass"],
        ["for j in range(P2):", "    y[row + j * y2] = zero"],
        _row("y[{y}] += x[{x}]", "first", "last"),
        ["for j in range(P2):", "    y[row + j * y2] *= factor"],
        ["pass"],
        ["for c in range(block[4]):", "    y[row + c] = zero"],
        ["y[row + c] += x[at + c]"],
        ["for c in range(block[4]):", "    y[row + c] *= factor"],
    ),
    "sum_grad": (
        ["for i0 in range(S0):", "    for i1 in range(S1):", "        for i2 in range(S2):",
         "            x[from_x + i0 * x0 + i1 * x1 + i2 * x2] = zero"],
        ["pass"],
        _row("x[{x}] += factor * y[{y}]", "first", "last"),
        ["pass"],
        ["for i in range(S0 * S1 * S2):", "    for c in range(block[4]):",
         "        x[b * xb + i // (S1 * S2) * x0 + i // S2 % S1 * x1 + i % S2 * x2 + c] = zero"],
        ["pass"],
        ["x[at + c] += factor * y[row + c]"],
        ["pass"],
    ),
}  # fmt: skip

# Block as above. Of what lies outside nothing is seen; the first element is taken whatever it is, and NaN before all
# others. Windows that lie inside are looked through side by side. Without places, those of the text are dropped.
MAX = """
def kernel(block):
    x, y, places = pointer(block[0]), pointer(block[1]), labels(block[2])
    xb, xc, x0, x1, x2 = block[5], block[6], block[7], block[8], block[9]
    yb, yc, y0, y1, y2 = block[10], block[11], block[12], block[13], block[14]
    S0, S1, S2, P0, P1, P2 = block[15], block[16], block[17], block[18], block[19], block[20]
    s0, s1, b0, b1, b2, d0, d1 = block[24], block[25], block[27], block[28], block[29], block[30], block[31]
    if xc == 1 and yc == 1 and block[4] > 1:
        for n in range(block[3] * P0 * P1 * P2):
            p0, p1, p2 = n // (P1 * P2) % P0, n // P2 % P1, n % P2
            u0, u1, u2 = p0 * s0 - b0, p1 * s1 - b1, p2 * {s2} - b2
            k0, k1, k2 = max(0, (d0 - 1 - u0) // d0), max(0, (d1 - 1 - u1) // d1), max(0, ({d2} - 1 - u2) // {d2})
            n0, n1 = min({K0}, (S0 - 1 - u0) // d0 + 1) - k0, min({K1}, (S1 - 1 - u1) // d1 + 1) - k1
            n2 = min({K2}, (S2 - 1 - u2) // {d2} + 1) - k2
            i0, i1, i2 = u0 + k0 * d0, u1 + k1 * d1, u2 + k2 * {d2}
            b = n // (P0 * P1 * P2)
            at, row = b * xb + i0 * x0 + i1 * x1 + i2 * x2, b * yb + p0 * y0 + p1 * y1 + p2 * y2
            number = (i0 * S1 + i1) * S2 + i2
            for c in range(0, block[4], {W}):
                across(
                    x, y, block[2], at + c, row + c, number, block[4] - c, n0, n1, n2, d0 * x0, d1 * x1, {d2} * x2,
                    d0 * S1 * S2, d1 * S2,
                )
        return
    begin, end = min(P2, (b2 + {s2} - 1) // {s2}), min(P2, (S2 - 1 - {reach} + b2) // {s2} + 1)
    top, bottom = min(P1, (b1 + s1 - 1) // s1), min(P1, (S1 - 1 - {last1} * d1 + b1) // s1 + 1)
    fits = {fits} and x2 == 1 and y2 == 1 and begin < end and top < bottom
    for n in range(block[3] * block[4]):
        from_x, from_y = n // block[4] * xb + n % block[4] * xc, n // block[4] * yb + n % block[4] * yc
        for p0 in range(P0):
            i0 = p0 * s0 - b0
            inside = fits and i0 >= 0 and i0 + {last0} * d0 < S0
            if inside:
                i1 = top * s1 - b1
                at, number = from_x + i0 * x0 + i1 * x1 - b2 + begin * {s2}, (i0 * S1 + i1) * S2 - b2 + begin * {s2}
                greatest(
                    x, y, block[2], at, from_y + p0 * y0 + top * y1 + begin, number, bottom - top, end - begin,
                    d0 * x0, d1 * x1, d0 * S1 * S2, d1 * S2, s1 * x1, y1, s1 * S2,
                )
                if top == 0 and bottom == P1 and begin == 0 and end == P2:
                    continue
            for p1 in range(P1):
                row, i1 = from_y + p0 * y0 + p1 * y1, p1 * s1 - b1
                between = inside and top <= p1 and p1 < bottom
                for j in range(P2):
                    if between and begin <= j and j < end:
                        continue
                    best, place = zero, -1
                    for k0 in range({K0}):
                        for k1 in range({K1}):
                            for k2 in range({K2}):
                                u0, u1, u2 = i0 + k0 * d0, i1 + k1 * d1, j * {s2} + k2 * {d2} - b2
                                if u0 >= 0 and u0 < S0 and u1 >= 0 and u1 < S1 and u2 >= 0 and u2 < S2:
                                    v = x[from_x + u0 * x0 + u1 * x1 + u2 * x2]
                                    if place < 0 or v > best or v != v:
                                        best, place = v, (u0 * S1 + u1) * S2 + u2
                    y[row + j * y2] = best
                    {place}
"""


def greatest(v: Vectors, values: Sequence[Any]) -> Any:
    """The greatest of some vectors, lane by lane: the first of equals, and NaN where there is one."""
    best, others = values[0], values[1:]
    for value in others:  # NaN is not greater, and nothing is greater than NaN
        best = v.builder.select(v.builder.fcmp_ordered(">", value, best), value, best)
    for k in range(0, len(others), 2):
        one, other = others[k], others[min(k + 1, len(others) - 1)]
        unknown = v.builder.fcmp_unordered("uno", one, other)
        best = v.builder.select(unknown, one if one is other else v.add(one, other), best)
    return best


def _better(v: Vectors, best: Any, place: Any, value: Any, here: Any) -> tuple[Any, Any]:
    """The greatest so far and its place, when one more is seen."""
    above, unknown = v.builder.fcmp_ordered(">", value, best), v.builder.fcmp_unordered("uno", value, value)
    chosen = v.builder.or_(above, unknown)
    return v.builder.select(chosen, value, best), v.builder.select(chosen, here, place)


def seen(v: Vectors, x: Any, first: Any, K: int, stride: int, dilation: int, left: Any = None) -> list[Any]:
    """What the K taps of an axis see from an element on: a register of windows each, or as many as are left."""
    found: list[Any] = []
    while len(found) < K:
        at = v.plus(first, len(found) * dilation)
        if stride == 2 and dilation == 1 and K - len(found) > 1:
            found += v.pairs(x, at, left)
        else:
            found.append(v.every(x, at, stride, left))
    return found


def _greatest(taps: Taps, stride: int, dilation: int, placed: bool) -> Callable[..., None]:
    """y, and where ``placed`` places, of rows of neighbouring windows that lie inside."""

    def build(v: Vectors, x: Any, y: Any, places: Any, *numbers: Any) -> None:
        at, to, number, rows, windows, step0, step1, number0, number1, next_x, next_y, next_number = numbers
        steps = [
            v.plus(v.times(v.integer(k0), step0), v.times(v.integer(k1), step1))
            for k0, k1 in itertools.product(*map(range, taps[:2]))
        ]
        counted = [
            v.plus(v.plus(v.times(v.integer(k0), number0), v.times(v.integer(k1), number1)), k2 * dilation)
            for k0, k1, k2 in itertools.product(*map(range, taps))
        ]

        def one(i: Any, j: Any, left: Any = None) -> None:
            first, target = v.plus(at, v.times(i, next_x)), v.plus(v.plus(to, v.times(i, next_y)), j)
            first = v.plus(first, v.times(j, v.integer(stride)))
            values = [
                value for step in steps for value in seen(v, x, v.plus(first, step), taps[2], stride, dilation, left)
            ]
            if placed:
                _place(i, j, target, values, left)
            else:
                _put(target, greatest(v, values), left)

        def _put(target: Any, best: Any, left: Any) -> None:
            if left is None:
                v.store(y, target, best)
            else:
                v.store_first(y, target, best, left)

        def _place(i: Any, j: Any, target: Any, values: list[Any], left: Any) -> None:
            i32, i64 = v.ir.IntType(32), v.ir.IntType(64)
            here = [v.spread(v.builder.trunc(count, i32)) for count in counted]
            best, place = values[0], here[0]
            for value, own in zip(values[1:], here[1:], strict=True):
                best, place = _better(v, best, place, value, own)
            _put(target, best, left)
            many = v.ir.VectorType(i32, v.lanes)
            apart = v.ir.Constant(many, [v.ir.Constant(i32, stride * k) for k in range(v.lanes)])
            start = v.plus(v.plus(number, v.times(i, next_number)), v.times(j, v.integer(stride)))
            wide = v.builder.sext(v.builder.add(place, apart), v.ir.VectorType(i64, v.lanes))
            v.store_integers(places, target, v.builder.add(wide, v.spread(start)), left)

        last = v.plus(windows, -v.lanes)
        with v.builder.if_else(v.builder.icmp_signed(">=", last, v.integer(0))) as (wide, narrow):
            with wide, v.loop(rows) as i, v.loop(windows, v.lanes) as j:
                one(i, v.at_most(j, last))  # the last register may lie over the one before
            with narrow, v.loop(rows) as i:
                one(i, v.integer(0), windows)

    return build


def _across(dilation: int, placed: bool) -> Callable[..., None]:
    """y and places of one window for neighbouring channels; of the taps n0, n1 and n2 are there."""

    def build(v: Vectors, x: Any, y: Any, places: Any, *numbers: Any) -> None:
        at, row, number, channels, n0, n1, n2, step0, step1, step2, number0, number1 = numbers
        ir, i32 = v.ir, v.ir.IntType(32)
        best = v.variable(v.load(x, at, channels))
        place = v.variable(v.spread(v.builder.trunc(number, i32)))
        with v.loop(n0) as k0, v.loop(n1) as k1, v.loop(n2) as k2:
            steps = v.plus(v.plus(v.times(k0, step0), v.times(k1, step1)), v.times(k2, step2))
            value = v.load(x, v.plus(at, steps), channels)
            counted = v.plus(v.plus(v.times(k0, number0), v.times(k1, number1)), v.times(k2, v.integer(dilation)))
            here = v.spread(v.builder.trunc(v.plus(number, counted), i32))
            better, found = _better(v, v.builder.load(best), v.builder.load(place), value, here)
            v.builder.store(better, best)
            v.builder.store(found, place)
        v.store_first(y, row, v.builder.load(best), channels)
        if placed:
            wide = v.builder.sext(v.builder.load(place), ir.VectorType(ir.IntType(64), v.lanes))
            v.store_integers(places, row, wide, channels)

    return build


@functools.cache
def max_kernel(dtype: str, taps: Taps, stride: int, dilation: int, placed: bool) -> Kernel:
    """The greatest elements in windows of so many taps on three axes, and where ``placed`` their places; stride and
    dilation are those of the last axis.
    """
    (K0, K1, K2), s2, d2 = taps, stride, dilation
    text = MAX.format(
        K0=K0, K1=K1, K2=K2, s2=s2, d2=d2, reach=(K2 - 1) * d2, last0=K0 - 1, last1=K1 - 1, W=lanes(dtype),
        fits=s2 <= 2, place="places[row + j * y2] = place" if placed else "pass",
    )  # fmt: skip
    name = f"pool_max_{K0}x{K1}x{K2}_{s2}_{d2}_{dtype}_{lanes(dtype)}{'_placed' * placed}"
    return load(Source(name, text, _max_words, (dtype, *map(str, (*taps, s2, d2, int(placed))))))


def _max_words(dtype: str, *numbers: str) -> dict[str, Any]:
    K0, K1, K2, stride, dilation, placed = map(int, numbers)
    words = memory_words(dtype) | {"zero": np.dtype(dtype).type(0)}
    words["across"] = tile_word(dtype, 2, 13, _across(dilation, bool(placed)))
    if stride <= 2:
        words["greatest"] = tile_word(dtype, 2, 13, _greatest((K0, K1, K2), stride, dilation, bool(placed)))
    return words


# Block as above; the places of a sample's channel in x lie x2 apart.
MAX_GRAD = """
def kernel(block):
    x, y, places = pointer(block[0]), pointer(block[1]), labels(block[2])
    xb, xc, x2, yb, yc, y0, y1, y2 = block[5], block[6], block[9], block[10], block[11], block[12], block[13], block[14]
    if xc == 1 and yc == 1 and block[4] > 1:
        for b in range(block[3]):
            for i in range(block[15] * block[16] * block[17]):
                for c in range(block[4]):
                    x[b * xb + i * x2 + c] = zero
            for p0 in range(block[18]):
                for p1 in range(block[19]):
                    for j in range(block[20]):
                        row = b * yb + p0 * y0 + p1 * y1 + j * y2
                        for c in range(block[4]):
                            x[b * xb + places[row + c] * x2 + c] += y[row + c]
        return
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
        depths = {
            "before_plane": 8, "before_row": 16, "tap": 28, "after_row": 16, "before_image": 12, "before_channels": 16,
            "channel": 28, "after_channels": 16,
        }  # fmt: skip
        lines = {
            name: f"\n{' ' * depth}".join(part) for (name, depth), part in zip(depths.items(), PARTS[kind], strict=True)
        }
        text = WALK.format(**lines)
    return load(Source(f"pool_{kind}_{dtype}", text, _words, (dtype,)))


def _words(dtype: str) -> dict[str, Any]:
    return memory_words(dtype) | {"zero": np.dtype(dtype).type(0)}
