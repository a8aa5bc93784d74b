"""CUDA kernels that move values: fill, rows at a distance, rows by number, the next random key."""

from __future__ import annotations

import functools

from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.texts import computed, pointer, read, write

THREADS = 256
WARP = 32
#: What a row is copied in: a byte, four bytes, or sixteen where pointers and rows are multiples of that.
UNITS = {"byte": "uint8", "word": "uint32", "quad": "uint32"}
#: Warps that add rows: more than any GPU runs at once.
MOST_WARPS = 16384

FILL = """
def kernel(value, y, n):
    i = grid_thread()
    if i < n:
        y[i] = {value}
"""

# Four elements a thread, then one a thread for what is left over.
FILL_WIDE = """
def kernel(value, y, n):
    i = grid_thread()
    v = {value}
    if i < n >> 2:
        store4(y, i, v, v, v, v)
    else:
        i += (n >> 2) * 3
        if i < n:
            y[i] = v
"""

# One unit of a row a thread, here and below. Distances of rows are in units.
COPY_ROWS = """
def kernel(x, from_row, y, to_row, M, width):
    i = grid_thread()
    if i < M * width:
        row = to_int64(to_uint32(to_uint32(i) // to_uint32(width)))
        column = i - row * width
        source = row * from_row + column
        target = row * to_row + column
        {copy}
"""

# Places are found in 32 bits, because dividing longer numbers is slow.
# The caller has checked the indices where it could; the clamp keeps a wrong one from reading elsewhere.
TAKE_ROWS = """
def kernel(x, index, y, M, width, N):
    target = grid_thread()
    if target < M * width:
        row = to_int64(to_uint32(to_uint32(target) // to_uint32(width)))
        source = min(max(index[row], 0), N - 1) * width + (target - row * width)
        {copy}
"""

TAKE_BATCH = """
def kernel(x, order, cursor, y, M, width):
    target = grid_thread()
    if target < M * width:
        row = to_int64(to_uint32(to_uint32(target) // to_uint32(width)))
        source = order[cursor[0] + row] * width + (target - row * width)
        {copy}
"""

COPIES = {
    "byte": "y[target] = x[source]",
    "word": "y[target] = x[source]",
    "quad": "a, b, c, d = load4(x, source)\n        store4(y, target, a, b, c, d)",
}

# A warp owns ``span`` rows of the output and 32 of its columns. It goes through all indices, 32 at a time, in order,
# so that every element is summed in one order, without atomics.
ADD_ROWS = """
def kernel(y, index, out, M, width, N, span):
    tiles = (width + 31) >> 5
    warp = grid_thread() >> 5
    slab = to_int64(to_uint32(to_uint32(warp) // to_uint32(tiles)))
    column = (warp - slab * tiles) * 32 + lane()
    first = slab * span
    last = min(first + span, N)
    start = 0
    while start < M:
        place = min(start + lane(), M - 1)
        row = min(max(index[place], 0), N - 1)
        hits = ballot(start + lane() < M and first <= row and row < last)
        while hits != 0:
            source = start + lowest_bit(hits)
            hits = hits & (hits - 1)
            if column < width:
                target = min(max(index[source], 0), N - 1) * width + column
                total = {out} + {y}
                out[target] = {total}
        start += 32
"""

# One element of the result a thread: x (A, N, B), index and y (A, K, B).
GATHER = """
def kernel(x, index, y, A, N, K, B):
    i = grid_thread()
    if i < A * K * B:
        outer = to_int64(to_uint32(to_uint32(i) // to_uint32(K * B)))
        inner = i - to_int64(to_uint32(to_uint32(i) // to_uint32(B))) * B
        source = (outer * N + min(max(index[i], 0), N - 1)) * B + inner
        y[i] = x[source]
"""

# One line along the axis a thread, in order, so that every element is summed in one order, without atomics:
# y and index (A, K, B), out (A, N, B).
SCATTER = """
def kernel(y, index, out, A, N, K, B):
    i = grid_thread()
    if i < A * B:
        outer = to_int64(to_uint32(to_uint32(i) // to_uint32(B)))
        inner = i - outer * B
        for k in range(K):
            source = (outer * K + k) * B + inner
            target = (outer * N + min(max(index[source], 0), N - 1)) * B + inner
            {becomes}
"""

NEXT_KEY = """
def kernel(state, key):
    if grid_thread() == 0:
        key[0] = state[0]
        key[1] = state[1]
        state[1] = state[1] + 1
"""


@functools.cache
def fill_kernel(stored: str, wide: bool = False) -> Source:
    """Every element becomes one value. Arguments: value (a float; an int for int64 and bool), y, n.

    Where ``wide``, y is aligned to four elements.
    """
    whole = stored in ("int64", "bool")
    value = f"to_{UNITS['byte'] if stored == 'bool' else stored}(value)"
    if computed(stored) == "float32":
        value = write(stored, "to_float32(value)")
    text = (FILL_WIDE if wide else FILL).format(value=value)
    parameters = ("int64" if whole else "float64", pointer(stored), "int64")
    name = f"fill_{stored}{'_wide' * wide}"
    return Source(name, text, parameters, "int64" if whole else computed(stored), THREADS)


def fill_grid(n: int, wide: bool = False) -> int:
    """How many blocks fill n elements."""
    return -(-(n // 4 + n % 4 if wide else n) // THREADS)


@functools.cache
def copy_rows_kernel(unit: str) -> Source:
    """Rows that lie at a distance. Arguments: x, its distance, out, its distance, rows, units a row.

    ``unit`` is one of ``UNITS``, of which widths and distances are multiples; rows times units are below 2**32.
    """
    parameters = (pointer(UNITS[unit]), "int64", pointer(UNITS[unit]), "int64", "int64", "int64")
    return Source(f"copy_rows_{unit}", COPY_ROWS.format(copy=COPIES[unit]), parameters, "int64", THREADS)


@functools.cache
def take_rows_kernel(unit: str) -> Source:
    """out[i] = x[index[i]]. Arguments: x, index (M,), out, M, units a row, N the rows of x; M times units below 2**32.

    x and out are seen as memory of ``unit``s: "byte", "word" (4 bytes), or "quad" (16 bytes, aligned so).
    """
    return _copying(f"take_rows_{unit}", TAKE_ROWS, unit, ("int64*",), 3)


@functools.cache
def take_batch_kernel(unit: str) -> Source:
    """As ``take_rows``, with row order[cursor + i]. Arguments: x, order, cursor (1,), out, M, units a row."""
    return _copying(f"take_batch_{unit}", TAKE_BATCH, unit, ("int64*", "int64*"), 2)


def _copying(name: str, text: str, unit: str, numbers: tuple[str, ...], sizes: int) -> Source:
    memory = f"{UNITS[unit]}*"
    parameters = (memory, *numbers, memory, *("int64",) * sizes)
    return Source(name, text.format(copy=COPIES[unit]), parameters, "int64", THREADS)


def take_grid(M: int, width: int) -> int:
    """How many blocks copy M rows of ``width`` units."""
    return -(-M * width // THREADS)


@functools.cache
def add_rows_kernel(stored: str) -> Source:
    """out[index[i]] += y[i], in the order of i. Arguments: y, index (M,), out, M, elements a row, N, rows a warp."""
    total = write(stored, "total") if computed(stored) != stored else f"to_{stored}(total)"
    text = ADD_ROWS.format(out=read(stored, "out[target]"), y=read(stored, "y[source * width + column]"), total=total)
    parameters = (pointer(stored), "int64*", pointer(stored), *("int64",) * 4)
    return Source(f"add_rows_{stored}", text, parameters, computed(stored), THREADS)


def add_rows_grid(N: int, width: int) -> tuple[int, int]:
    """How many blocks, and how many rows each warp owns, for out (N, width).

    >>> add_rows_grid(10, 64), add_rows_grid(50_000, 512)
    ((3, 1), (2042, 49))
    """
    tiles = -(-width // WARP)
    span = -(-N // max(MOST_WARPS // tiles, 1))
    return -(-tiles * -(-N // span) * WARP // THREADS), span


@functools.cache
def gather_kernel(unit: str) -> Source:
    """Elements by number along an axis. Arguments: x, index, y, A, N, K, B; A K B below 2**32.

    ``unit`` is the memory type of an element, of which x and y are: "uint32" or "int64".
    """
    return Source(f"gather_{unit}", GATHER, (f"{unit}*", "int64*", f"{unit}*", *("int64",) * 4), "int64", THREADS)


@functools.cache
def scatter_kernel(stored: str, add: bool) -> Source:
    """Elements written, or added, at places by number. Arguments: y, index, out, A, N, K, B; A B below 2**32."""
    becomes = "out[target] = y[source]"
    if add:
        total = f"{read(stored, 'out[target]')} + {read(stored, 'y[source]')}"
        becomes = f"out[target] = {write(stored, total)}"
    parameters = (pointer(stored), "int64*", pointer(stored), *("int64",) * 4)
    name = f"scatter_{'add' if add else 'set'}_{stored}"
    return Source(name, SCATTER.format(becomes=becomes), parameters, computed(stored), THREADS)


@functools.cache
def next_key_kernel() -> Source:
    """The key of the next random draw. Arguments: state (2,), key (2,)."""
    return Source("next_key", NEXT_KEY, ("int64*", "int64*"), "int64", WARP)
