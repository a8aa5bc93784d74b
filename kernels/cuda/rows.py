"""How CUDA kernels that work row by row share out the rows, and the lines in which a thread reads and writes its share.

A short row belongs to a warp or a part of one, a longer row to a block. Each thread keeps its share of the row in
registers, so that memory is read once. A row that the registers of a block do not hold is read again and again instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from nnkit.kernels.cuda.texts import (
    computed,
    fold_block,
    fold_lanes,
    indented,
    load,
    power_of_two_from,
    rounds,
    store,
)

WARP_ROW = 256  # the longest row that a warp takes
SMALL = 256  # threads of a block that holds several rows
BLOCKS = (128, 256, 512, 1024)  # threads of a block that holds one
FEW_ROWS = 512  # up to which a row gets many threads, to be done soon; more of them keep a GPU busy with fewer
FEW_ELEMENTS = 8  # of a thread, then
LONG = 512  # threads of a block that does not hold its row
#: The most elements that a thread of 1024 holds in its 64 registers.
HELD = {"float32": 32, "float64": 16}
SUM, LARGER = "{a} + {b}", "larger({a}, {b})"


class Frame(NamedTuple):
    """``lanes`` threads for each row, each with ``accesses`` of ``width`` neighbours: 0 where a row is not held."""

    threads: int
    lanes: int
    width: int
    accesses: int

    @property
    def rows(self) -> int:
        """Rows of a block."""
        return self.threads // self.lanes

    @property
    def held(self) -> int:
        """Elements that a thread holds."""
        return self.accesses * self.width

    def __str__(self) -> str:
        return f"{self.rows}x{self.lanes}_{self.accesses}x{self.width}"


def frame(B: int, C: int, width: int, most: int) -> Frame:
    """The frame for B rows of C elements, a multiple of ``width``, of which a thread may hold ``most``."""
    if C <= WARP_ROW:
        threads, lanes = SMALL, min(power_of_two_from(C // width), 32)
    elif C <= BLOCKS[-1] * most:
        share = most if B > FEW_ROWS else min(FEW_ELEMENTS, most)
        threads = lanes = next((n for n in BLOCKS if C <= n * share), BLOCKS[-1])
    else:
        return Frame(LONG, LONG, width, 0)
    return Frame(threads, lanes, width, -(-C // (lanes * width)))


def text_of(arrays: list[str], shape: Frame, body: list[str]) -> str:
    """The text of a kernel over arrays, B and C, whose threads know their ``row`` and their ``place`` in it.

    The row begins at element ``at``. ``here`` and ``end``, its begin and length, count accesses. Every lane of a warp
    takes part in every shuffle, so lanes behind the last row read that row, and do not write.
    """
    last = shape.lanes - 1
    lines = ["row = block()", "place = thread()"]
    if shape.rows > 1:
        own = f"block() * {shape.rows} + (thread() >> {last.bit_length()})"
        lines = [f"row = {own}", f"place = thread() & {last}", "mine = row < B", "row = min(row, B - 1)"]
    lines += ["at = row * C", f"end = C // {shape.width}", "here = row * end", *body]
    return f"def kernel({', '.join(arrays)}, B, C):\n{indented(lines)}\n"


def if_mine(shape: Frame, lines: list[str]) -> list[str]:
    """The lines, for those threads that have a row."""
    return ["if mine:", *(f"    {line}" for line in lines)] if lines and shape.rows > 1 else lines


def fold(value: str, combine: str, shape: Frame, dtype: str) -> list[str]:
    """Lines after which every thread of a row has the values of all of them combined."""
    if shape.lanes <= 32:
        return fold_lanes(value, combine, shape.lanes)
    return fold_block(value, combine, shape.threads, computed(dtype))


# ---- rows in registers -------------------------------------------------------------------------------------------


def names(letter: str, count: int) -> list[str]:
    return [f"{letter}{k}" for k in range(count)]


def load_held(dtype: str, letter: str, array: str, shape: Frame) -> list[str]:
    """Lines that read a thread's share of a row; where the row has ended, the last access repeats its end."""
    *full, (final, place) = zip(_grouped(names(letter, shape.held), shape), _places(shape), strict=True)
    lines = [line for group, index in full for line in load(dtype, group, array, f"here + {index}")]
    return [*lines, f"final = {place}", *load(dtype, final, array, "here + min(final, end - 1)")]


def store_held(dtype: str, values: list[str], array: str, shape: Frame) -> list[str]:
    """Lines that write a thread's share of a row."""
    *full, (final, _) = zip(_grouped(values, shape), _places(shape), strict=True)
    lines = [line for group, index in full for line in store(dtype, group, array, f"here + {index}")]
    return [*lines, "if final < end:", *(f"    {line}" for line in store(dtype, final, array, "here + final"))]


def sum_held(terms: list[str], shape: Frame, dtype: str) -> list[str]:
    """Lines after which ``total`` is the sum of all terms, without those of what the last access repeats."""
    full, last = terms[: -shape.width], terms[-shape.width :]
    lines = [f"total = {' + '.join(full) or f'to_{computed(dtype)}(0)'}"]
    return [*lines, "if final < end:", f"    total = {' + '.join(['total', *last])}"]


def _places(shape: Frame) -> list[str]:
    """Where a thread's accesses are."""
    return ["place", *(f"place + {k * shape.lanes}" for k in range(1, shape.accesses))]


def _grouped(values: list[str], shape: Frame) -> list[list[str]]:
    return [values[k : k + shape.width] for k in range(0, len(values), shape.width)]


# ---- rows that are read as often as they are needed ----------------------------------------------------------------


def forward(body: Callable[[list[str]], list[str]], unroll: int, shape: Frame) -> list[str]:
    """Lines in which a thread goes through its share of a row: body(places) for some places at a time."""
    return ["j = place", *rounds(body, unroll, str(shape.lanes))]


def backward(body: Callable[[list[str]], list[str]], unroll: int, shape: Frame) -> list[str]:
    """As ``forward``, from the row's end: what was read last is the likeliest to be in the cache."""
    last = f"j = place + (end - 1 - place) // {shape.lanes} * {shape.lanes}"
    return [last, *rounds(body, unroll, str(shape.lanes), down=True)]


def load_at(dtype: str, values: list[str], array: str, places: list[str], shape: Frame) -> list[str]:
    """Lines that read the row's accesses at these places."""
    pairs = zip(_grouped(values, shape), places, strict=True)
    return [line for group, place in pairs for line in load(dtype, group, array, f"here + {place}")]


def store_at(dtype: str, values: list[str], array: str, places: list[str], shape: Frame) -> list[str]:
    """Lines that write there."""
    pairs = zip(_grouped(values, shape), places, strict=True)
    return [line for group, place in pairs for line in store(dtype, group, array, f"here + {place}")]
