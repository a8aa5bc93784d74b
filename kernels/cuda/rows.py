"""How CUDA kernels that work row by row share out the rows, and the lines in which a thread reads and writes its share.

A short row belongs to a warp or a part of one, a longer row to a block. Each thread holds its share of the row in
registers, so that memory is read once. Of a row that the registers of a block do not hold, the end is read twice, the
second time from a cache.
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
    read,
    rounds,
    store,
    write,
)

WARP_ROW = 256  # the longest row that a warp takes
SMALL = 256  # threads of a block that holds several rows
SHARE = 4  # elements of a thread there, where there are as many: shuffles cost more than reading some in turn
BLOCKS = (128, 256, 512, 1024)  # threads of a block that holds one
FEW_ROWS = 512  # up to which a row gets many threads, to be done soon; more of them keep a GPU busy with fewer
FEW_ELEMENTS = 8  # of a thread, then
#: Threads of a block that holds most in registers: two of the first run on a multiprocessor, the second holds more.
HOLDING = (256, 512)
SUM = "{a} + {b}"


class Held(NamedTuple):
    """The most elements that a thread holds of each array."""

    few: int  # in 64 registers, or 128 for float64
    many: int  # in 128 registers, which up to 512 threads of a multiprocessor may have
    threads: int  # that a multiprocessor is to run of those that hold few


HELD = {"float32": Held(32, 88, 1024), "float64": Held(16, 40, 512)}
HELD_OF_TWO = {"float32": Held(16, 40, 1024), "float64": Held(8, 20, 512)}


class Frame(NamedTuple):
    """``lanes`` threads for each row, each holding ``accesses`` of ``width`` neighbours."""

    threads: int
    lanes: int
    width: int
    accesses: int
    blocks: int = 1  # that a multiprocessor is to run at a time
    more: bool = False  # the row goes on after what is held
    edges: bool = False  # rows begin and end between accesses: up to 6 threads take one element more

    @property
    def rows(self) -> int:
        """Rows of a block."""
        return self.threads // self.lanes

    @property
    def held(self) -> int:
        """Elements that a thread holds."""
        return self.accesses * self.width

    def __str__(self) -> str:
        return f"{self.rows}x{self.lanes}_{self.accesses}x{self.width}{'_more' * self.more}{'_edges' * self.edges}"


def frame(B: int, C: int, wide: bool, held: Held) -> Frame:
    """The frame for B rows of C elements; ``wide``: the arrays begin where four neighbours may be one access."""
    if C <= WARP_ROW:
        width = 4 if wide and C % 4 == 0 else 1
        lanes = min(power_of_two_from(-(-C // SHARE)), 32)
        return Frame(SMALL, lanes, width, -(-C // (lanes * width)), held.threads // SMALL)
    threads, most, blocks = _block(B, C, held)
    width = 4 if wide else 1
    edges = C % width > 0
    accesses = -(-(C // width) // threads)
    if accesses * width <= most:
        return Frame(threads, threads, width, accesses, blocks, False, edges)
    sure = (C - 3 * edges) // width  # accesses of a row, wherever it begins
    return Frame(threads, threads, width, min(most // width, sure // threads), blocks, True, edges)


def _block(B: int, C: int, held: Held) -> tuple[int, int, int]:
    """Threads of a block that takes a row, elements that each of them may hold, and blocks of a multiprocessor."""
    if B > FEW_ROWS and C > BLOCKS[-2] * held.few:
        threads = HOLDING[C > BLOCKS[-1] * held.few]
        return threads, held.many, HOLDING[-1] // threads
    share = held.few if B > FEW_ROWS else min(FEW_ELEMENTS, held.few)
    threads = next((n for n in BLOCKS if C <= n * share), BLOCKS[-1])
    return threads, share if C <= threads * share else held.few, max(held.threads // threads, 1)


def text_of(arrays: list[str], shape: Frame, body: list[str]) -> str:
    """The text of a kernel over arrays, B and C, whose threads know their ``row`` and their ``place`` in it.

    The row begins at element ``at``. ``here`` and ``end``, its begin and length, count accesses. Every lane of a warp
    takes part in every shuffle, so lanes behind the last row read that row, and do not write. With edges, ``lead``
    elements come before the first access; a thread whose place is below ``edge_end`` has the element ``edge`` too.
    """
    last = shape.lanes - 1
    lines = ["row = block()", "place = thread()"]
    if shape.rows > 1:
        own = f"block() * {shape.rows} + (thread() >> {last.bit_length()})"
        lines = [f"row = {own}", f"place = thread() & {last}", "mine = row < B", "row = min(row, B - 1)"]
    lines.append("at = row * C")
    if shape.edges:
        lines += ["lead = -at & 3", "end = (C - lead) >> 2", "here = (at + lead) >> 2", "edge_end = C - 4 * end"]
        lines.append("edge = at + place if place < lead else at + place + 4 * end")
    else:
        lines += [f"end = C // {shape.width}", "here = row * end"]
    return f"def kernel({', '.join(arrays)}, B, C):\n{indented([*lines, *body])}\n"


def if_mine(shape: Frame, lines: list[str]) -> list[str]:
    """The lines, for those threads that have a row."""
    return ["if mine:", *(f"    {line}" for line in lines)] if lines and shape.rows > 1 else lines


def fold(value: str, combine: str, shape: Frame, dtype: str) -> list[str]:
    """Lines after which every thread of a row has the values of all of them combined."""
    if shape.lanes <= 32:
        return fold_lanes(value, combine, shape.lanes)
    return fold_block(value, combine, shape.threads, computed(dtype))


def place_of(element: str, shape: Frame) -> list[str]:
    """Lines after which ``owner`` is the place of the thread that has this element of the row."""
    lines = [f"owner = {element} // {shape.width} & {shape.lanes - 1}"]
    if shape.edges:
        lines = [
            f"owner = ({element} - lead) >> 2 & {shape.lanes - 1}",
            f"if {element} < lead:",
            f"    owner = {element}",
            f"if {element} >= lead + 4 * end:",
            f"    owner = {element} - 4 * end",
        ]
    return lines


# ---- what is held in registers -----------------------------------------------------------------------------------


def names(letter: str, count: int) -> list[str]:
    return [f"{letter}{k}" for k in range(count)]


def held_names(letter: str, shape: Frame) -> list[str]:
    """Names of what a thread holds: its accesses' elements, then that of an edge."""
    return [*names(letter, shape.held), *[f"{letter}_edge"] * shape.edges]


def load_held(dtype: str, letter: str, array: str, shape: Frame, nothing: str) -> list[str]:
    """Lines that read a thread's share of a row, and ``nothing`` where it has no element of an edge.

    Where the row has ended, the last access repeats its end.
    """
    lines = []
    for k, group in enumerate(_grouped(names(letter, shape.held), shape)):
        place = f"place + {k * shape.lanes}"
        if _is_final(k, shape):
            lines.append(f"final = {place}")
            place = "min(final, end - 1)"
        lines += load(dtype, group, array, f"here + {place}")
    if shape.edges:
        lines += [f"{letter}_edge = {nothing}", "if place < edge_end:"]
        lines.append(f"    {letter}_edge = {read(dtype, f'{array}[edge]')}")
    return lines


def store_held(dtype: str, values: list[str], array: str, shape: Frame) -> list[str]:
    """Lines that write a thread's share of a row; the value of an edge is the last."""
    lines = []
    for k, group in enumerate(_grouped(values[: shape.held], shape)):
        final = _is_final(k, shape)
        stores = store(dtype, group, array, "here + final" if final else f"here + place + {k * shape.lanes}")
        lines += ["if final < end:", *(f"    {line}" for line in stores)] if final else stores
    if shape.edges:
        lines += ["if place < edge_end:", f"    {array}[edge] = {write(dtype, values[-1])}"]
    return lines


def sum_held(terms: list[str], shape: Frame) -> list[str]:
    """Lines that add all terms to ``total``, without those of what the last access repeats."""
    lines = []
    for k, group in enumerate(_grouped(terms[: shape.held], shape)):
        added = f"total = total + ({' + '.join(group)})"
        lines += ["if final < end:", f"    {added}"] if _is_final(k, shape) else [added]
    return [*lines, *[f"total = total + {terms[-1]}"] * shape.edges]


def _is_final(k: int, shape: Frame) -> bool:
    """Whether some threads may not have this access."""
    return k == shape.accesses - 1 and not shape.more


def _grouped(values: list[str], shape: Frame) -> list[list[str]]:
    return [values[k : k + shape.width] for k in range(0, len(values), shape.width)]


# ---- what is read again ------------------------------------------------------------------------------------------


def forward(body: Callable[[list[str]], list[str]], unroll: int, shape: Frame) -> list[str]:
    """Lines in which a thread goes through its share of what is not held: body(places) for some places at a time."""
    return [f"j = place + {shape.accesses * shape.lanes}", *rounds(body, unroll, str(shape.lanes))]


def backward(body: Callable[[list[str]], list[str]], unroll: int, shape: Frame) -> list[str]:
    """As ``forward``, from the row's end: what was read last is the likeliest to be in the cache."""
    last = f"j = place + (end - 1 - place) // {shape.lanes} * {shape.lanes}"
    return [last, *rounds(body, unroll, str(shape.lanes), down=True, first=shape.accesses * shape.lanes)]


def load_at(dtype: str, values: list[str], array: str, places: list[str], shape: Frame) -> list[str]:
    """Lines that read the row's accesses at these places."""
    pairs = zip(_grouped(values, shape), places, strict=True)
    return [line for group, place in pairs for line in load(dtype, group, array, f"here + {place}")]


def store_at(dtype: str, values: list[str], array: str, places: list[str], shape: Frame) -> list[str]:
    """Lines that write there."""
    pairs = zip(_grouped(values, shape), places, strict=True)
    return [line for group, place in pairs for line in store(dtype, group, array, f"here + {place}")]
