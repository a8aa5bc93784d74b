"""What a linear layer does besides its matrix products, on CUDA: bias and activation after them, and their gradients.

The matrix product leaves its result in memory, and these kernels go over it once. A block takes a tile of rows and
columns; a thread stays in its column (or in four neighbours), so that it reads the bias once and adds up the bias's
gradient on its way down. Of a long column, blocks add up parts, and the sums of a reduction's kernel finish it.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.reductions import column_plan
from nnkit.kernels.cuda.texts import (
    Plan,
    Step,
    computed,
    fold_columns,
    indented,
    load,
    pointer,
    power_of_two_from,
    read,
    rounds,
    store,
    write,
)  # fmt: skip
from nnkit.kernels.formulas import ACTIVATIONS
from nnkit.kernels.registered import FORMULAS
from nnkit.kernels.vocabulary import scalar_names

THREADS = 256
UNROLL = {"float32": 8, "float64": 2}  # elements that a thread has under way at a time, where there are many
GRADIENT_UNROLL = {"float32": 8, "float64": 1}  # of each of the gradient's two inputs
MOST_THREADS = {"float32": 1024, "float64": 512}  # of a block, by the registers that each of them takes
LARGE = 1 << 20  # elements from which on memory's speed counts, and not the time to the first of them
SHORT = 512  # rows whose bias gradient one block adds up, in a smaller matrix
PARTS = 512  # of a column whose bias gradient several blocks add up, at most: what one block of a reduction takes
BLOCKS = 4096  # that keep a GPU busy


class Tile(NamedTuple):
    """How a block's threads stand over a matrix: ``lanes`` side by side, each over ``width`` neighbouring columns."""

    threads: int
    lanes: int
    width: int  # 1, or 4 in one access

    @property
    def rows(self) -> int:
        """Threads that stand below one another."""
        return self.threads // self.lanes

    def across(self, O: int) -> int:
        """How many tiles lie side by side."""
        return -(-O // (self.lanes * self.width))


def tile_for(M: int, O: int, wide: bool, dtype: str) -> Tile:
    """The tile for a matrix (M, O) whose elements are there to be read, computed in ``dtype`` and written."""
    if M * O < LARGE:
        return Tile(THREADS, min(power_of_two_from(O), 32), 1)
    width = 4 if wide and dtype == "float32" else 1
    return Tile(THREADS, lanes_for(O // width), width)


def lanes_for(columns: int) -> int:
    """How many threads stand side by side: as many as a block has, unless more than an eighth had nothing to do."""
    if columns <= 32:
        return power_of_two_from(columns)
    return next((n for n in (256, 128, 64) if -columns % n * 8 <= columns), 32)


# Counted in accesses: a row has ``columns``, a thread's next row lies ``step`` behind.
WALK = """def kernel({arguments}):
    columns = O // {width}
    tiles = (columns + {last}) // {lanes}
    column = block() % tiles * {lanes} + (thread() & {last})
    part = block() // tiles
    end = min(part * span + span, M) * columns
    j = (part * span + (thread() >> {shift})) * columns + column
    step = {rows} * columns
{body}
"""


def walk(arguments: str, tile: Tile, body: list[str]) -> str:
    """The text of a kernel whose threads go down their columns."""
    last = tile.lanes - 1
    return WALK.format(
        arguments=arguments, width=tile.width, last=last, lanes=tile.lanes, shift=last.bit_length(), rows=tile.rows,
        body=indented(body),
    )  # fmt: skip


def neighbours(letter: str, places: list[str], width: int) -> list[list[str]]:
    """Names for the elements at each place."""
    return [[f"{letter}{k * width + c}" for c in range(width)] for k in range(len(places))]


def scalars_of(activation: str) -> list[str]:
    """The activation's scalars, as a kernel's parameters are named."""
    formula = FORMULAS[ACTIVATIONS[activation]]
    return [f"s{k}" for k in range(len(scalar_names(formula)))]


# ---- forward -----------------------------------------------------------------------------------------------------


def linear_step(
    activation: str, dtype: str, bias: str | None, keeps: bool, wide: bool, M: int, O: int, half: str | None = None
) -> Step:
    """y = activation(y + b) in place: y (M, O) is the matrix product.

    Where ``keeps``, the product lies in z instead, and z becomes the value before the activation. Where ``half`` is a
    type, y of float32 is also written rounded to it, as an operand of the next product. Arguments: z where ``keeps``,
    y, the rounded y where there is one, b (O,) where ``bias`` is its type, M, O, the step's last size, then the
    activation's scalars as float64. y and z are contiguous, of ``dtype``: float32, float64, float16 or bfloat16.
    ``wide``: O is a multiple of 4, and all arrays begin at multiples of 16 bytes. Without bias and activation there is
    nothing to do.
    """
    tile = tile_for(M, O, wide, computed(dtype))
    unroll = UNROLL[computed(dtype)] // tile.width if M * O >= LARGE else 1
    span = tile.rows * unroll * (2 if M * O >= LARGE else 1)
    source = _linear_source(activation, dtype, bias, keeps, half, tile, unroll)
    return Step(source, tile.across(O) * -(-M // span), (M, O, span))


@functools.cache
def _linear_source(
    activation: str, dtype: str, bias: str | None, keeps: bool, half: str | None, tile: Tile, unroll: int
) -> Source:
    scalars, formula = scalars_of(activation), ACTIVATIONS[activation]
    arrays = [*[("z", dtype)] * keeps, ("y", dtype), *([("rounded", half)] if half else [])]
    arrays += [("b", bias)] if bias else []
    biases = [f"b{c}" for c in range(tile.width)]

    def body(places: list[str]) -> list[str]:
        products = list(zip(places, neighbours("t", places, tile.width), strict=True))
        lines = [line for place, some in products for line in load(dtype, some, "z" if keeps else "y", place)]
        for place, some in products:
            if bias:
                lines += [f"{t} = {t} + {b}" for t, b in zip(some, biases, strict=True)]
                lines += store(dtype, some, "z", place) if keeps else []
            lines += [f"{t} = {formula}({', '.join([t, *scalars])})" for t in some]
            lines += store(dtype, some, "y", place) + (store(half, some, "rounded", place) if half else [])
        return lines

    inner = [*(load(bias, biases, "b", "column") if bias else []), *rounds(body, unroll, "step")]
    lines = [*(f"{s} = number({s})" for s in scalars), "if column < columns:", *(f"    {line}" for line in inner)]
    types = f"{f'_{bias}' if bias else ''}{f'_to_{half}' if half else ''}"
    return _source(f"linear_{activation}{'_keeping' * keeps}{types}_{unroll}", arrays, scalars, tile, lines)


def _source(
    name: str, arrays: list[tuple[str, str]], scalars: list[str], tile: Tile, lines: list[str], blocks: int = 1
) -> Source:
    sizes = ["M", "O", "span"]
    text = walk(", ".join([*(array for array, _ in arrays), *sizes, *scalars]), tile, lines)
    parameters = (*(pointer(stored) for _, stored in arrays), *["int64"] * len(sizes), *["float64"] * len(scalars))
    dtype = arrays[0][1]
    full = f"{name}_{tile.rows}x{tile.lanes}x{tile.width}_{dtype}"
    return Source(full, text, parameters, computed(dtype), tile.threads, blocks)


# ---- gradient ----------------------------------------------------------------------------------------------------


class Gradients(NamedTuple):
    """The types of the arrays: float32, float64, float16 or bfloat16 each."""

    dy: str  # and of what is kept; what is computed in follows from it
    dz: str
    db: str


def linear_grad_plan(activation: str, types: Gradients, add: bool, wide: bool, M: int, O: int) -> Plan:
    """dz = activation_grad(dy, kept), and db (O,) the sum of dz's rows; ``add``: db grows by it instead.

    dy, kept (what the activation's gradient reads: z or y) and dz are (M, O), contiguous. Arguments of the first step:
    dy, kept, dz, db or the partial results, ``*step.sizes``, then the activation's scalars as float64. For "identity"
    there is no kept, and no dz where it would be a copy of dy. Of a second step: the partial results, db,
    ``*step.sizes``. ``wide``: O is a multiple of 4, and dy, kept and dz begin at multiples of 16 bytes. A dz of sixteen
    bits is added up before it is rounded. Where there is no db, ``map`` of the gradient's formula does the rest.
    """
    if activation == "identity" and types.dz == types.dy:
        return column_plan("sum", types.dy, types.db, (1, M, O), add)
    between = computed(types.dy)
    tile, parts = sum_tile_for(M, O, wide, between)
    span = -(-M // parts)
    parts = -(-M // span)
    unroll = GRADIENT_UNROLL[between] // tile.width if M * O >= LARGE else UNROLL[between] // 2
    while unroll * tile.rows > span and unroll > 1:
        unroll //= 2
    if parts == 1:
        source = _linear_grad_source(activation, types, add, tile, unroll)
        return Plan((Step(source, tile.across(O), (M, O, span)),), 0, between)
    source = _linear_grad_source(activation, types._replace(db=between), False, tile, unroll)
    rest = column_plan("sum", between, types.db, (1, parts, O), add)
    return Plan((Step(source, tile.across(O) * parts, (M, O, span)), *rest.steps), parts * O, between)


def sum_tile_for(M: int, O: int, wide: bool, dtype: str) -> tuple[Tile, int]:
    """The tile for columns that are added up, and in how many parts: in one where they are short, in a large block."""
    if M <= SHORT and M * O < LARGE:
        lanes = min(power_of_two_from(O), 32)
        rows = min(power_of_two_from(M), MOST_THREADS[dtype] // lanes)
        return Tile(max(rows * lanes, 32), lanes, 1), 1
    tile = tile_for(M, O, wide, dtype)
    return tile, max(1, min(M // (4 * tile.rows), PARTS, BLOCKS // tile.across(O)))


@functools.cache
def _linear_grad_source(activation: str, types: Gradients, add: bool, tile: Tile, unroll: int) -> Source:
    T, width, formula = computed(types.dy), tile.width, f"{ACTIVATIONS[activation]}_grad"
    scalars, totals = scalars_of(activation), [f"total{c}" for c in range(width)]
    kept = [] if activation == "identity" else [("kept", types.dy)]
    arrays = [("dy", types.dy), *kept, ("dz", types.dz), ("sums", types.db)]

    def body(places: list[str]) -> list[str]:
        gradients, inputs = (neighbours(letter, places, width) for letter in "gk")
        lines = []
        for place, some, others in zip(places, gradients, inputs, strict=True):
            lines += [*load(types.dy, some, "dy", place), *(load(types.dy, others, "kept", place) if kept else [])]
        for place, some, others in zip(places, gradients, inputs, strict=True):
            for g, k, total in zip(some, others, totals, strict=True):
                if kept:
                    lines.append(f"{g} = {formula}({', '.join([g, k, *scalars])})")
                lines.append(f"{total} = {total} + {g}")
            lines += store(types.dz, some, "dz", place)
        return lines

    lines = [*(f"{s} = number({s})" for s in scalars), *(f"{total} = to_{T}(0)" for total in totals)]
    lines += ["if column < columns:", *(f"    {line}" for line in rounds(body, unroll, "step"))]
    for total in totals:
        lines += fold_columns(total, "{a} + {b}", tile.threads, tile.lanes, T)
    lines.append(f"if thread() < {tile.lanes} and column < columns:")
    for c, total in enumerate(totals):
        place = f"sums[part * O + column * {width} + {c}]"
        value = f"{read(types.db, place)} + {total}" if add else total
        lines.append(f"    {place} = {write(types.db, value)}")
    name = f"{'add_' * add}linear_{activation}_grad_{types.dz}_{types.db}_{unroll}"
    # Left to itself, the assembler takes a few registers more than let a multiprocessor run 1024 threads.
    return _source(name, arrays, scalars, tile, lines, MOST_THREADS[T] // max(tile.threads, THREADS))
