"""Matrix products: a tile of the result at a time, which stays in vector registers while its sums grow.

Two ways to fill a tile (``panels`` has a third, for large products). ``dot``: both factors are read along their rows, a
register holds partial sums of one element of the result. ``outer``: an element of the left factor, spread over a
register, times neighbouring elements of a row of the right one. With weights w (O, I) a linear layer needs x w^T (dot),
dz^T x and dz w (outer), so no factor has to be laid out anew; small products are up to twice as fast as by BLAS, which
copies both factors first (``bench/lab/products.py``). A sum's order does not depend on the place of its tile: the
result may be split among threads in any way, and one row gives the same numbers alone and in a batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.vectors import Vectors, lanes, registers, tile_word
from nnkit.kernels.cpu.words import control_words, memory_words

LONG = 4096  # bytes of a row: a longer sum of ``dot`` is made in parts, so that the rows stay in the first cache
SMALL = 128  # terms of the longest sums that ``outer`` makes over transposed rows of w
LARGE = 1 << 20  # bytes of the right factor of ``outer``, from which on its columns are copied
DEEP = 256  # rows that are copied at a time
ROOM = 96  # rows of w that are transposed at a time
#: What the sums of ``outer`` begin with; those of ADDED with zero, and the result is added to them in the end.
ZERO, RESULT, BIAS, ADDED = 0, 1, 2, 3
#: How the last register of a tile is filled: all of it, at most half of it, some of it; or any number of all of them.
FULL, HALF, PART, ANY = "", "h", "p", "a"
FEW = 2  # rows that are left over, or all there are, have a tile of their own


Build = Callable[..., None]


class Tile(NamedTuple):
    """Rows of the left factor by columns of the result (``dot``), or by registers of columns (``outer``)."""

    rows: int
    columns: int


#: For one row, where every element of w is read once: on Zen 5, more columns take up to a third longer.
ROW = Tile(1, 2)
#: For a column or two that are left over, or all there are.
COLUMN = Tile(8, 1)


def depth(dtype: str) -> int:
    """Terms of a sum that are made at a time by ``panels`` and in long sums; measured."""
    return 2048 // np.dtype(dtype).itemsize


def dot_tile() -> Tile:
    """As many sums as there are registers for."""
    return Tile(4, 6) if registers().number >= 32 else Tile(2, 4)


def outer_tile() -> Tile:
    """As many sums as there are registers for."""
    return Tile(8, 3) if registers().number >= 32 else Tile(6, 2)


def turned(N: int, K: int) -> bool:
    """Whether products with weights (N, K) are made by ``outer``, over transposed rows of them, rather than by ``dot``.

    Adding up what is in a register takes ``dot`` as long as some 50 terms do. With registers of 64 bytes transposing
    pays up to SMALL terms, where a register of columns is full; with narrower ones a single row would lose by it.
    """
    return (K <= 32 and N >= 4) or (registers().nbytes >= 64 and K <= SMALL and N >= 32)


def turned_rows() -> int:
    """Rows from which on transposed weights are kept for the next ones; fewer are multiplied by ``thin``."""
    return 16 if registers().nbytes >= 64 else outer_tile().rows


def _dot(tile: Tile) -> Build:
    """y[i…, j…] (+)= the sums over k of x[i…, k] w[j…, k] (+ b[j…]). Rows and columns beyond the last repeat it."""
    R, C = range(tile.rows), range(tile.columns)

    def build(v: Vectors, x: Any, w: Any, y: Any, b: Any, *numbers: Any) -> None:
        i, j, M, N, K, ldx, ldw, ldy, add, biased = numbers
        rows = [v.at_most(v.plus(i, r), v.plus(M, -1)) for r in R]
        columns = [v.at_most(v.plus(j, c), v.plus(N, -1)) for c in C]
        starts = [v.times(row, ldx) for row in rows], [v.times(column, ldw) for column in columns]
        sums = [[v.variable(v.zero) for _ in C] for _ in R]

        def step(k: Any, count: Any = None) -> None:
            right = [v.load(w, v.plus(starts[1][c], k), count) for c in C]
            for r in R:
                left = v.load(x, v.plus(starts[0][r], k), count)
                for c in C:
                    v.builder.store(v.multiply_add(left, right[c], v.builder.load(sums[r][c])), sums[r][c])

        rest = v.builder.srem(K, v.integer(v.lanes))
        whole = v.builder.sub(K, rest)
        with v.loop(whole, v.lanes) as k:
            step(k)
        with v.when(v.builder.icmp_signed(">", rest, v.integer(0))):
            step(whole, rest)
        totals = [v.variable(total) for total in v.sums([v.builder.load(sums[r][c]) for r in R for c in C])]
        places = [v.element(y, v.plus(v.times(row, ldy), column)) for row in rows for column in columns]
        # All reads come before all writes: a repeated element must not be added twice.
        for wanted, terms in ((add, places), (biased, [v.element(b, column) for column in columns] * len(R))):
            with v.when(v.builder.icmp_signed("!=", wanted, v.integer(0))):
                for total, term in zip(totals, terms, strict=True):
                    v.builder.store(v.add(v.builder.load(total), v.builder.load(term)), total)
        for total, place in zip(totals, places, strict=True):
            v.builder.store(v.builder.load(total), place)

    return build


def _tiles(tile: Tile) -> list[tuple[int, str]]:
    """Registers of columns, and how the last is filled. Half a register of 64 bytes takes Zen 4 half the time.

    What is rare has no tile of its own, because LLVM takes a tenth of a second for one.
    """
    narrow = [(columns, HALF) for columns in (2, 1)] if registers().nbytes >= 64 else []
    full = [(columns, FULL) for columns in range(tile.columns, 0, -1)]
    return full + narrow + [(columns, PART) for columns in range(tile.columns, 0, -1)]


def _outer(tile: Tile, tail: str) -> Build:
    """y[i…, j…] = what it begins with, plus the sums over k of a[i…, k] b[k, …], b at its column j."""
    R, C = range(tile.rows), range(tile.columns)

    def build(v: Vectors, a: Any, b: Any, y: Any, bias: Any, *numbers: Any) -> None:
        i, j, M, N, K, row, step, ldb, ldy, begin = numbers
        rows = [v.at_most(v.plus(i, r), v.plus(M, -1)) for r in R]
        starts = [v.times(one, row) for one in rows]
        cut = {FULL: (), ANY: C}.get(tail, (tile.columns - 1,))
        counts = [v.builder.sub(N, v.plus(j, c * v.lanes)) if c in cut else None for c in C]
        kinds = [v.halved() if tail == HALF and c in cut else v for c in C]
        sums = [[v.variable(kind.zero) for kind in kinds] for _ in R]
        places = [[v.plus(v.plus(v.times(one, ldy), j), c * v.lanes) for c in C] for one in rows]
        columns = [[v.plus(j, c * v.lanes) for c in C]] * len(R)
        for kind, memory, terms in ((RESULT, y, places), (BIAS, bias, columns)):
            with v.when(v.builder.icmp_signed("==", begin, v.integer(kind))):
                for r in R:
                    for c in C:
                        v.builder.store(kinds[c].load(memory, terms[r][c], counts[c]), sums[r][c])
        with v.loop(K) as k:
            at = v.times(k, ldb)
            right = [kinds[c].load(b, v.plus(at, c * v.lanes), counts[c]) for c in C]
            for r in R:
                factor = v.builder.load(v.element(a, v.plus(starts[r], v.times(k, step))))
                for lanes_of, column, total in zip(kinds, right, sums[r], strict=True):
                    spread = lanes_of.spread(factor)
                    v.builder.store(lanes_of.multiply_add(spread, column, v.builder.load(total)), total)
        with v.when(v.builder.icmp_signed("==", begin, v.integer(ADDED))):
            for r in R:
                for c in C:
                    before = kinds[c].load(y, places[r][c], counts[c])
                    v.builder.store(v.add(before, v.builder.load(sums[r][c])), sums[r][c])
        for r in R:
            for c in C:
                kinds[c].store(y, places[r][c], v.builder.load(sums[r][c]), counts[c])

    return build


def _transpose(v: Vectors, w: Any, b: Any, j: Any, N: Any, k: Any, K: Any, *steps: Any) -> None:
    """b[k…, n…] = w[j…, k…]^T: as many rows as a register has lanes; rows of w beyond the last repeat it."""
    ldw, ldb, n = steps
    rows = [v.at_most(v.plus(j, r), v.plus(N, -1)) for r in range(v.lanes)]
    count = v.builder.sub(K, k)
    columns = v.transposed([v.load(w, v.plus(v.times(row, ldw), k), count) for row in rows])
    for c, column in enumerate(columns):
        v.store(b, v.plus(v.times(v.plus(k, c), ldb), n), column)


# Block: [x, w, y, M, N, K, ldx, ldw, ldy, b or 0, 0, add]: y (M, N) (+)= x w^T + b, x (M, K), w (N, K), b (N,).
DOT = """
def kernel(block):
    x, w, y, b = pointer(block[0]), pointer(block[1]), pointer(block[2]), pointer(block[9])
    M, N, K, ldx, ldw, ldy = block[3], block[4], block[5], block[6], block[7], block[8]
    length = K
    if K > {long} * 3 // 2:
        length = {long}
    for k in range(0, K, length):
        count, add, biased = min(length, K - k), int(k > 0 or block[11] != 0), int(k == 0 and block[9] != 0)
        whole = N
        if M > 1 and N % {columns} <= {narrow}:
            whole = N - N % {columns}
        for j in range(0, whole, {columns}):
            for i in range(0, M - 1, {rows}):
                tile(x, w, y, b, i, j, M, N, count, ldx, ldw, ldy, add, biased)
        for j in range(whole, N):
            for i in range(0, M, {tall}):
                column(x, w, y, b, i, j, M, N, count, ldx, ldw, ldy, add, biased)
        if M % {rows} == 1:
            for j in range(0, whole, {few}):
                row(x, w, y, b, M - 1, j, M, N, count, ldx, ldw, ldy, add, biased)
        x, w = pointer(block[0] + (k + length) * {size}), pointer(block[1] + (k + length) * {size})
"""

# Block: [a, b, y, M, N, K, row, step, ldb, ldy, add, bias or 0]: y (M, N) = a b + bias, or y + a b, b (K, N),
# bias (N,); an element of a lies at i * row + k * step. Registers of columns come in threes (or twos), evenly: 4 are 2
# and 2. Rows of a large b are far apart in memory; the columns at hand of so many rows are copied, side by side, before
# they are read again and again.
OUTER = """
def kernel(block):
    M, N, K, row, step, ldb, ldy = block[3], block[4], block[5], block[6], block[7], block[8], block[9]
    y, bias, space = pointer(block[2]), pointer(block[11]), stack({widest} * {W} * {deep} * {size})
    copied = M > 2 * {rows} and K * ldb > {large} and block[10] != {added}
    depth = K
    if copied:
        depth = {deep}
    for first in range(0, K, depth):
        count, begin = min(depth, K - first), {result}
        if block[10] == {added}:
            begin = {added}
        elif first == 0 and block[10] == 0:
            begin = {bias} if block[11] != 0 else {zero}
        a = pointer(block[0] + first * step * {size})
        j = 0
        while j < N:
            left = (N - j + {W} - 1) // {W}
            wide = min(left, {widest})
            if left == {widest} + 1:
                wide = (left + 1) // 2
            last = N - j - (wide - 1) * {W}
            b, skip = pointer(block[1] + (first * ldb + j) * {size}), ldb
            if copied:
                b, skip = copy_columns(b, ldb, pointer(space), count, min(wide * {W}, N - j)), {widest} * {W}
            wide_end = j + wide * {W}
            for i in range(0, M, {rows}):
                if M - i <= {few}:
                    few_rows(a, b, y, bias, i, j, M, min(N, wide_end), count, row, step, skip, ldy, begin)
                    continue
                {choice}
            j = wide_end
"""

COPY_COLUMNS = """
def copy_columns(b, ldb, out, count, width):
    for k in range(count):
        for c in range(width):
            out[k * {widest} * {W} + c] = b[k * ldb + c]
    return out
"""

# Block: as DOT, K at most SMALL, but in place of the 0 the address of the kernel ``outer``, which is given rows of w
# transposed: as many at a time as there is room for on the stack. It adds nothing.
SMALL_DOT = """
def kernel(block):
    M, N, K, ldx, ldw, ldy = block[3], block[4], block[5], block[6], block[7], block[8]
    space, next_block = stack({room} * {small} * {size}), stack(12 * 8)
    w, b, arguments = pointer(block[1]), pointer(space), labels(next_block)
    for j in range(0, N, {room}):
        count = min({room}, N - j)
        for n in range(0, count, {W}):
            for k in range(0, K, {W}):
                transpose(w, b, j + n, N, k, K, ldw, {room}, n)
        arguments[0], arguments[1], arguments[2] = block[0], space, block[2] + j * {size}
        arguments[3], arguments[4], arguments[5] = M, count, K
        arguments[6], arguments[7], arguments[8], arguments[9], arguments[10] = ldx, 1, {room}, ldy, 0
        arguments[11] = block[9]
        if block[9] != 0:
            arguments[11] += j * {size}
        call(block[10], next_block)
"""


def _choice(tile: Tile, W: int) -> str:
    """Which tile is called: by its width and by how its last register is filled."""
    arguments = "a, b, y, bias, i, j, M, N, count, row, step, skip, ldy, begin"
    fits = {FULL: f"last >= {W}", HALF: f"last <= {W // 2}", PART: "last > 0"}
    lines: list[str] = []
    for columns, tail in _tiles(tile):
        lines.append(f"{'elif' if lines else 'if'} wide == {columns} and {fits[tail]}:")
        lines.append(f"    tile{columns}{tail}({arguments})")
    return "\n                ".join(lines)


def _outer_words(dtype: str) -> dict[str, object]:
    from numba import njit

    tile = outer_tile()
    words = memory_words(dtype) | control_words()
    for columns, tail in _tiles(tile):
        words[f"tile{columns}{tail}"] = tile_word(dtype, 4, 10, _outer(Tile(tile.rows, columns), tail))
    words["few_rows"] = tile_word(dtype, 4, 10, _outer(Tile(FEW, tile.columns), ANY))
    exec(COPY_COLUMNS.format(W=lanes(dtype), widest=tile.columns), words)
    return words | {"copy_columns": njit(error_model="numpy", forceinline=True)(words["copy_columns"])}


def _dot_words(dtype: str) -> dict[str, object]:
    tiles = {"tile": dot_tile(), "row": ROW, "column": COLUMN}
    return memory_words(dtype) | {name: tile_word(dtype, 4, 10, _dot(tile)) for name, tile in tiles.items()}


@functools.cache
def dot_kernel(dtype: str) -> Kernel:
    """y = x w^T, whose sums are made in parts: those of neighbouring elements of a row."""
    tile, size = dot_tile(), np.dtype(dtype).itemsize
    sizes = {"rows": tile.rows, "columns": tile.columns, "few": ROW.columns, "tall": COLUMN.rows, "size": size}
    text = DOT.format(**sizes, long=LONG // size, narrow=2)
    return load(Source(f"dot_{dtype}_{lanes(dtype)}", text, _dot_words, (dtype,)))


@functools.cache
def small_dot_kernel(dtype: str) -> Kernel:
    """y = x w^T for sums that are no longer than SMALL."""
    text = SMALL_DOT.format(room=ROOM, small=SMALL, W=lanes(dtype), size=np.dtype(dtype).itemsize)
    return load(Source(f"small_dot_{dtype}_{lanes(dtype)}", text, _small_dot_words, (dtype,)))


def transpose_word(dtype: str) -> Any:
    """``transpose(w, b, j, N, k, K, ldw, ldb, n)``: a square of w (N, K), at row j and column k, transposed into b."""
    return tile_word(dtype, 2, 7, _transpose)


def row_tile(dtype: str) -> Any:
    """One row by one register of columns, which need not be full: y = a b, or y + a b; as the tiles of ``outer``."""
    return tile_word(dtype, 4, 10, _outer(Tile(1, 1), PART))


def _small_dot_words(dtype: str) -> dict[str, object]:
    return memory_words(dtype) | control_words() | {"transpose": transpose_word(dtype)}


@functools.cache
def outer_kernel(dtype: str) -> Kernel:
    """y = a b, or y + a b."""
    tile = outer_tile()
    sizes = {"W": lanes(dtype), "widest": tile.columns, "rows": tile.rows, "size": np.dtype(dtype).itemsize}
    sizes |= {"zero": ZERO, "result": RESULT, "bias": BIAS, "added": ADDED, "few": FEW, "deep": DEEP}
    text = OUTER.format(**sizes, large=LARGE // sizes["size"], choice=_choice(tile, sizes["W"]))
    return load(Source(f"outer_{dtype}_{lanes(dtype)}", text, _outer_words, (dtype,)))
