"""Sums, products, extremes and their positions on CUDA, over memory seen as A by K by B, where K is what is reduced.

A row (B is 1) belongs to a few lanes of a warp or to a block, by its length. Columns (B over 1) are read in tiles as
wide as a warp, so that neighbouring threads read neighbouring elements. What is too long for one block is reduced in
two passes over an array of partial results. The order of the additions depends on the sizes alone: the same numbers
give the same sum, bit for bit, on every run and every GPU.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.texts import (
    Plan,
    Step,
    computed,
    fold_block,
    fold_columns,
    fold_lanes,
    indented,
    pointer,
    power_of_two_from,
    read,
    write,
)  # fmt: skip

#: kind -> (what a sum of nothing is, or None: begin with an element that is there; how two values become one).
KINDS = {
    "sum": ("0", "{a} + {b}"),
    "prod": ("1", "{a} * {b}"),
    "max": (None, "larger({a}, {b})"),
    "min": (None, "smaller({a}, {b})"),
    "any": ("0", "{a} | {b}"),
    "all": ("-1", "{a} & {b}"),
}
#: Of a word, which is eight booleans side by side: whether any of them holds, and whether all do.
OF_WORD = {"any": "to_uint8({0} != 0)", "all": f"to_uint8({{0}} == {0x0101010101010101})"}
THREADS = 256
UNROLL = 4  # elements that a thread has under way at a time
WARP_ROW = 256  # the longest row that a warp takes
LONG_COLUMN = 512  # the longest column that one block takes
PART = 16384  # elements of a row that a block takes, at least
MOST_BLOCKS = 4096  # that splitting makes: several for each place on every GPU, so that few places are idle at the end

# ---- kernels -----------------------------------------------------------------------------------------------------

# Neighbouring lanes share a row. Every lane of a warp takes part in every shuffle: those behind the last row read
# that row, and do not write.
SHORT_ROWS = """
def kernel(x, y, A, K):
    row = block() * {rows} + (thread() >> {shift})
    place = thread() & {mask}
    at = min(row, A - 1) * K
    total = {start}
    for k in range(place, K, {lanes}):
        total = {step}
{fold}
    if place == 0 and row < A:
        y[row] = {result}
"""

# A block takes a part of a row: the elements from part * span on.
LONG_ROWS = """
def kernel(x, y, K, parts, span):
    at = block() // parts * K
    begin = block() % parts * span
    end = min(begin + span, K)
    k = begin + thread()
{starts}
    while k + {reach} < end:
{steps}
        k += {stride}
    while k < end:
        total = {step}
        k += {threads}
    total = {sum}
{fold}
    if thread() == 0:
        y[block()] = {result}
"""

# A block takes a tile of columns and a part of their K rows. Its threads take the rows in turns, and what they have
# found meets in shared memory. y is (A, parts, B).
COLUMNS = """
def kernel(x, y, K, B, parts, span):
    tiles = (B + {last}) // {width}
    column = block() % tiles * {width} + (thread() & {last})
    slab = block() // tiles
    at = slab // parts * K * B + min(column, B - 1)
    begin = slab % parts * span
    end = min(begin + span, K)
    k = begin + (thread() >> {shift})
{starts}
    while k + {reach} < end:
{steps}
        k += {stride}
    while k < end:
        total = {step}
        k += {rows}
    total = {sum}
{fold}
    if thread() < {width} and column < B:
        {finish}
"""


@functools.lru_cache(1024)
def reduce_plan(kind: str, dtype: str, A: int, K: int, B: int) -> Plan:
    """How to reduce x (A, K, B) over K into y (A, B), both contiguous: ``kind`` is a key of ``KINDS``.

    dtype is that of x and y: float32, float64, float16 or bfloat16 (computed in float32), or int64; for any and all
    it is bool, or words, which are eight booleans side by side: then sizes count words, of x and, where B is over 1,
    of y. The sizes are at least 1. Arguments of each step: its input, its output, ``*step.sizes``.

    >>> [step.grid for step in reduce_plan("sum", "float32", 1, 1 << 20, 1).steps]
    [64, 1]
    """
    if B > 1:
        return column_plan(kind, dtype, dtype, (A, K, B))
    return row_plan(kind, dtype, "bool" if dtype == "words" else dtype, A, K)


def row_plan(kind: str, x: str, y: str, A: int, K: int) -> Plan:
    """``reduce_plan`` of rows, for types of x and y of their own."""
    between = computed(x)
    parts = parts_of(K, PART, max(MOST_BLOCKS // A, 1))
    if parts == 1:
        return Plan((_rows(kind, x, y, A, K),), 0, between)
    first = Step(_long_row_kernel(kind, x, between), A * parts, (K, parts, -(-K // parts)))
    again = x if x == "words" else between
    return Plan((first, _rows(kind, again, y, A, parts)), A * parts, between)


def _rows(kind: str, x: str, y: str, A: int, K: int) -> Step:
    if K > WARP_ROW:
        return Step(_long_row_kernel(kind, x, y), A, (K, 1, K))
    lanes = min(power_of_two_from(K), 32)
    return Step(_short_row_kernel(kind, x, y, lanes), -(-A // (THREADS // lanes)), (A, K))


def column_plan(kind: str, x: str, y: str, sizes: tuple[int, int, int], add: bool = False) -> Plan:
    """``reduce_plan`` by tiles of columns for any B, for types of x and y of their own; ``add``: added to y instead."""
    A, K, B = sizes
    tile = column_tile(A, K, B)
    tiles = A * -(-B // tile.width)
    if tile.parts == 1:
        return Plan(
            (Step(_column_kernel(kind, x, y, tile.threads, tile.width, add), tiles, (K, B, 1, K)),), 0, computed(x)
        )
    between = computed(x)
    first = Step(
        _column_kernel(kind, x, between, tile.threads, tile.width, False),
        tiles * tile.parts,
        (K, B, tile.parts, tile.span),
    )
    second = column_plan(kind, between, y, (A, tile.parts, B), add).steps
    return Plan((first, *second), A * tile.parts * B, between)


class Tile(NamedTuple):
    """How columns are shared out: ``width`` columns a block, and each of ``parts`` parts of ``span`` rows."""

    threads: int
    width: int
    parts: int
    span: int


def column_tile(A: int, K: int, B: int) -> Tile:
    """The tile for A times K rows of B columns: up to ``LONG_COLUMN`` rows are one part, in one large block."""
    width = min(power_of_two_from(B), 32)
    if K <= LONG_COLUMN:
        rows = min(power_of_two_from(K), 1024 // width)
        return Tile(max(rows * width, THREADS), max(rows * width, THREADS) // rows, 1, K)
    parts = parts_of(K, UNROLL * THREADS // width, min(max(MOST_BLOCKS // (A * -(-B // width)), 1), LONG_COLUMN))
    return Tile(THREADS, width, parts, -(-K // parts))


def parts_of(K: int, least: int, most: int) -> int:
    """In how many equal parts to split K: up to ``most``, of at least ``least`` elements each, none of them empty."""
    span = -(-K // max(min(K // least, most), 1))
    return -(-K // span)


@functools.cache
def _short_row_kernel(kind: str, x: str, y: str, lanes: int) -> Source:
    combine = KINDS[kind][1]
    text = SHORT_ROWS.format(
        rows=THREADS // lanes, shift=lanes.bit_length() - 1, mask=lanes - 1, lanes=lanes, start=start_of(kind, x),
        step=combine.format(a="total", b=read(x, "x[at + k]")),
        fold=indented(fold_lanes("total", combine, lanes)), result=result_of(kind, x, y),
    )  # fmt: skip
    return _source(f"{kind}_rows{lanes}", text, (x, y), 2, THREADS)


@functools.cache
def _long_row_kernel(kind: str, x: str, y: str) -> Source:
    text = LONG_ROWS.format(
        **unrolled(kind, x, [f"x[at + k + {n * THREADS}]" for n in range(UNROLL)]), reach=(UNROLL - 1) * THREADS,
        stride=UNROLL * THREADS, threads=THREADS,
        fold=indented(fold_block("total", KINDS[kind][1], THREADS, computed(x))), result=result_of(kind, x, y),
    )  # fmt: skip
    return _source(f"{kind}_long_rows", text, (x, y), 3, THREADS)


@functools.cache
def _column_kernel(kind: str, x: str, y: str, threads: int, width: int, add: bool) -> Source:
    rows, combine, place = threads // width, KINDS[kind][1], "y[slab * B + column]"
    total = combine.format(a=read(y, place), b="total") if add else "total"
    text = COLUMNS.format(
        **unrolled(kind, x, [f"x[at + (k + {n * rows}) * B]" for n in range(UNROLL)]), reach=(UNROLL - 1) * rows,
        stride=UNROLL * rows, rows=rows, width=width, last=width - 1, shift=width.bit_length() - 1,
        fold=indented(fold_columns("total", combine, threads, width, computed(x))),
        finish=f"{place} = {write(y, total)}",
    )  # fmt: skip
    return _source(f"{'add_' if add else ''}{kind}_columns{rows}x{width}", text, (x, y), 4, threads)


def start_of(kind: str, stored: str) -> str:
    """What a thread's total begins with: nothing, or an element of what it reduces (which then counts twice)."""
    start = KINDS[kind][0]
    return read(stored, "x[at]") if start is None else f"to_{computed(stored)}({start})"


def result_of(kind: str, x: str, y: str) -> str:
    """What is stored of a row's total."""
    return OF_WORD[kind].format("total") if (x, y) == ("words", "bool") else write(y, "total")


def unrolled(kind: str, stored: str, places: list[str]) -> dict[str, str]:
    """Parts of a text that reduces with totals side by side, one for each of the places of a round."""
    combine = KINDS[kind][1]
    names = ["total", *(f"total{n}" for n in range(1, len(places)))]
    values = [read(stored, place) for place in places]
    steps = [f"{name} = {combine.format(a=name, b=value)}" for name, value in zip(names, values, strict=True)]
    starts = [f"{name} = {start_of(kind, stored)}" for name in names]
    whole = functools.reduce(lambda a, b: combine.format(a=a, b=b), names)
    return {"starts": indented(starts), "steps": indented(steps, 2), "step": steps[0], "sum": whole}


def _source(name: str, text: str, arrays: tuple[str, str], sizes: int, threads: int) -> Source:
    parameters = (*map(pointer, arrays), *["int64"] * sizes)
    return Source(f"{name}_{'_'.join(arrays)}", text, parameters, computed(arrays[0]), threads)


# ---- positions ---------------------------------------------------------------------------------------------------

# NaN counts as greatest and as least, and of equals the first counts, as in NumPy. Every lane begins with the row's
# first element at a place behind the row, so that any lane that has read it wins.
POSITIONS = """
def kernel(x, y, A, K):
    row = block() * {rows} + (thread() >> {shift})
    place = thread() & {last}
    at = min(row, A - 1) * K
    best = {first}
    found = K
    for k in range(place, K, {lanes}):
        v = {element}
        if {better}:
            best = v
            found = k
{fold}
    if place == 0 and row < A:
        y[row] = found
"""
BETTER = "v {sign} best or (v != v and best == best) or (k < found and (v == best or (v != v and best != best)))"


def position_step(kind: str, dtype: str, A: int, K: int) -> Step:
    """argmax or argmin (``kind``) of the rows of x (A, K), contiguous, into int64 y (A,). Arguments: x, y, A, K.

    dtype is float32, float64, float16, bfloat16 or int64. A warp or less takes a row, a block one over 256 elements.
    """
    lanes = THREADS if K > WARP_ROW else min(power_of_two_from(K), 32)
    return Step(_position_kernel(kind, dtype, lanes), -(-A // (THREADS // lanes)), (A, K))


@functools.cache
def _position_kernel(kind: str, dtype: str, lanes: int) -> Source:
    better = BETTER.format(sign=">" if kind == "argmax" else "<")
    take = [f"if {better}:", "    best = v", "    found = k"]
    lines = []
    for mask in (16, 8, 4, 2, 1):
        if mask < lanes:
            lines += [f"v = shuffle_xor(best, {mask})", f"k = shuffle_xor(found, {mask})", *take]
    if lanes > 32:
        warps = lanes // 32
        lines += [
            f"best_of = shared({warps}, {computed(dtype)})", f"found_of = shared({warps}, int64)",
            "if lane() == 0:", "    best_of[thread() >> 5] = best", "    found_of[thread() >> 5] = found",
            "barrier()", f"for warp in range({warps}):", "    v = best_of[warp]", "    k = found_of[warp]",
            *(f"    {line}" for line in take),
        ]  # fmt: skip
    text = POSITIONS.format(
        rows=THREADS // lanes, shift=lanes.bit_length() - 1, last=lanes - 1, lanes=lanes, better=better,
        first=read(dtype, "x[at]"), element=read(dtype, "x[at + k]"), fold=indented(lines),
    )  # fmt: skip
    return _source(f"{kind}_rows{lanes}", text, (dtype, "int64"), 2, THREADS)
