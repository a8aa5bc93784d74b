"""Texts that kernels of normalization have in common: what a thread keeps of values, its row, and what is made of both.

Means and sums of squares of differences from them are kept up to date (Welford, Note on a method for calculating
corrected sums of squares and products, 1962) and put together (Chan, Golub and LeVeque, Algorithms for computing the
sample variance, 1983), so that a mean far from 0 costs no digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.texts import (
    computed,
    exchange,
    indented,
    inside,
    pointer,
    power_of_two_from,
    read,
    write,
)

THREADS = 256
WARP_ROW = 256  # the longest row that a warp takes
SHARE = 4  # elements of a lane, where a warp is more than a row needs
UNROLL = 4  # elements that a thread has under way at a time

#: What a thread keeps: of values, how many, their mean and the sum of squares of differences; or two sums.
MOMENTS = ("count", "first", "second")
SUMS = ("first", "second")


class Types(NamedTuple):
    """Element types: of x, dy and the result; of w and b, or of dw and db, which there need not be; of statistics."""

    x: str
    w: str | None
    b: str | None
    statistics: str

    def name(self) -> str:
        return "_".join([self.x, self.w or "none", self.b or "none", self.statistics])


def starts(state: Sequence[str], T: str) -> list[str]:
    """Lines that begin a state with nothing."""
    return [f"{value} = to_{T}(0)" for value in state]


def updated(state: Sequence[str], centred: bool, T: str, value: str, made: str) -> list[str]:
    """Lines that take a value into a state; of sums, the second is that of its products with ``made``."""
    if state == SUMS:
        return [f"first = first + {value}", f"second = second + {value} * {made}"]
    if not centred:
        return [f"count = count + to_{T}(1)", f"second = second + {value} * {value}"]
    return [
        f"count = count + to_{T}(1)",
        f"delta = {value} - first",
        "first = first + delta / count",
        f"second = second + delta * ({value} - first)",
    ]


def together(state: Sequence[str], T: str) -> list[str]:
    """Lines that put another state, other_count, other_first, …, into this one; either may be of nothing."""
    if state == SUMS:
        return ["first = first + other_first", "second = second + other_second"]
    return [
        "both = count + other_count",
        f"share = other_count / max(both, to_{T}(1))",
        "delta = other_first - first",
        "first = first + delta * share",
        "second = second + other_second + delta * (delta * (count * share))",
        "count = both",
    ]


def _fold_lanes(state: Sequence[str], T: str, lanes: int) -> list[str]:
    lines, mask = [], lanes // 2
    while mask:
        lines += [f"other_{value} = shuffle_xor({value}, {mask})" for value in state]
        lines += together(state, T)
        mask //= 2
    return lines


def fold(state: Sequence[str], T: str, lanes: int) -> list[str]:
    """Lines after which every thread of a row has the state of all of it."""
    if lanes <= 32:
        return _fold_lanes(state, T, lanes)
    warps = lanes // 32
    return [*_fold_lanes(state, T, 32), *exchange(list(state), lanes, T), *_fold_lanes(state, T, warps)]


def fold_columns(state: Sequence[str], T: str, width: int) -> list[str]:
    """Lines after which the first ``width`` threads have the states of their columns."""
    lines = [f"{value}_of = shared({THREADS}, {T})" for value in state]
    half = THREADS // 2
    while half >= width:
        lines += [*(f"{value}_of[thread()] = {value}" for value in state), "barrier()", f"if thread() < {half}:"]
        lines += inside([f"other_{value} = {value}_of[thread() + {half}]" for value in state])
        lines += inside(together(state, T))
        lines.append("barrier()")
        half //= 2
    return lines


def quotient(a: str, b: str) -> str:
    """Places are found in 32 bits, because dividing longer numbers is slow."""
    return f"to_int64(to_uint32(to_uint32({a}) // to_uint32({b})))"


def kernel_of(
    name: str, arrays: Sequence[tuple[str, str]], sizes: Sequence[str], lines: list[str], T: str, eps: bool = True
) -> Source:
    """A kernel over arrays, eps where it takes one, and sizes."""
    scalars = ["eps"] * eps
    text = f"def kernel({', '.join([*(array for array, _ in arrays), *scalars, *sizes])}):\n{indented(lines)}\n"
    parameters = (*(pointer(stored) for _, stored in arrays), *["float64"] * eps, *["int64"] * len(sizes))
    return Source(name, text, parameters, T, THREADS)


def lanes_for(N: int) -> int:
    """How many threads take a row of N elements."""
    return THREADS if N > WARP_ROW else min(power_of_two_from(-(-N // SHARE)), 32)


def row_grid(R: int, N: int) -> int:
    """How many blocks take R rows of N elements."""
    return -(-R // (THREADS // lanes_for(N)))


def own_row(lanes: int) -> list[str]:
    """Lines after which a thread knows its row of R, and its place there. Threads behind the last row read that one."""
    own = f"block() * {THREADS // lanes} + (thread() >> {lanes.bit_length() - 1})"
    return [f"row = {own}", f"place = thread() & {lanes - 1}", "mine = row < R", "row = min(row, R - 1)"]


def factor_text(T: str) -> str:
    """What differences from the mean are multiplied by."""
    return f"to_{T}(1) / square_root(variance + number(eps))"


def statistics_of(types: Types, index: str) -> list[str]:
    """Lines that read the mean and variance of that number."""
    return [
        f"mean = element({read(types.statistics, f'means[{index}]')})",
        f"variance = element({read(types.statistics, f'variances[{index}]')})",
        f"factor = {factor_text(computed(types.x))}",
    ]


def cast(stored: str, value: str, T: str) -> str:
    """The text that stores a value of type T."""
    return write(stored, value if computed(stored) == T else f"to_{computed(stored)}({value})")


def affine(types: Types, values: list[str], channel: str) -> list[str]:
    """Lines that multiply by w and add b."""
    lines = []
    if types.w:
        lines.append(f"scale = element({read(types.w, f'w[{channel}]')})")
        lines += [f"{value} = {value} * scale" for value in values]
    if types.b:
        lines.append(f"shift = element({read(types.b, f'b[{channel}]')})")
        lines += [f"{value} = {value} + shift" for value in values]
    return lines


def given(types: Types) -> list[tuple[str, str]]:
    """w and b, where there are such."""
    return [(letter, stored) for letter, stored in (("w", types.w), ("b", types.b)) if stored]
