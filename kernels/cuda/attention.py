"""Attention on CUDA: a block of threads goes over the keys for 16 queries, tile by tile, in shared memory.

The scheme of FlashAttention (Dao et al., 2022; ``backends.attention`` has the mathematics). Eight lanes share a row:
each has some columns of a tile of scores, and some of the row's results in registers. The gradient takes two kernels,
one that goes over the keys for queries, one that goes over the queries for keys: so every sum has one owner and one
order, and no scores reach memory. Rows of arrays lie in order, at any distance from each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nnkit.kernels.cuda.compiler import Source
from nnkit.kernels.cuda.random import NUMBER, PHILOX
from nnkit.kernels.cuda.texts import computed, indented, inside, pointer, read, write
from nnkit.kernels.philox import PURPOSES

THREADS, ROWS, LANES = 128, 16, 8
SHARED = 48 << 10  # bytes of shared memory that a block may have
BYTES = {"float32": 4, "float64": 8}


class Shape(NamedTuple):
    """What a kernel is made for: stored types of what is given and made, widths, and what is shut out or dropped."""

    given: str  # queries, keys and values
    made: str  # the result, or the gradients
    E: int
    F: int
    causal: bool = False
    mask: str | None = None
    past: bool = False
    dropout: bool = False
    gradient: str = ""  # of dy, in the kernels of the gradient
    columns: int = 32  # of a tile

    @property
    def computed(self) -> str:
        return computed(self.given)

    def __str__(self) -> str:
        flags = "causal" * self.causal + "past" * self.past + "dropout" * self.dropout
        return f"{self.given}_{self.made}_{self.gradient}_{self.E}_{self.F}_{self.mask}_{flags}_{self.columns}"


def columns_for(dtype: str, E: int, F: int) -> int:
    """Columns of a tile, so that what all kernels hold fits into shared memory; 0 where it does not."""
    for columns in (32, 16):
        elements = (ROWS + columns) * (E + F + 2) + 2 * ROWS * columns + 2 * columns
        if elements * BYTES[dtype] <= SHARED:
            return columns
    return 0


def grid(batches: int, rows: int) -> int:
    """Blocks for so many heads of all batches, and rows of each."""
    return batches * -(-rows // ROWS)


# ---- lines ----------------------------------------------------------------------------------------------------------


def _steps(*names: str) -> list[str]:
    return [f"{name}_{axis}" for name in names for axis in ("batch", "head", "row")]


def _loaded(
    to: str, array: str, stored: str, width: int, rows: int, first: str, limit: str, head: str, times: str = ""
) -> list[str]:
    """Lines that bring rows of a head into shared memory, each an element longer; 0 beyond the last."""
    place = f"b * {array}_batch + {head} * {array}_head + ({first} + r) * {array}_row + n - r * {width}"
    return [
        "n = thread()",
        f"while n < {rows * width}:",
        f"    r = n // {width}",
        f"    {to}[n + r] = {read(stored, f'{array}[{place}]')}{times} if {first} + r < {limit} else element(0)",
        f"    n += {THREADS}",
    ]


def _numbers(count: int) -> range:
    return range(-(-count // LANES))


def _column(k: int) -> str:
    return f"place + {LANES * k}" if k else "place"


def _dots(names: Sequence[str], left: str, right: str, width: int) -> list[str]:
    """Lines for the products of this thread's row of ``left`` with its columns' rows of ``right``."""
    lines = [f"{name} = element(0)" for name in names]
    lines += ["n = 0", f"while n < {width}:", f"    x = {left}[row * {width + 1} + n]"]
    lines += [
        f"    {name} = {name} + x * {right}[({_column(k)}) * {width + 1} + n]" for k, name in enumerate(names)
    ]  # fmt: skip
    return [*lines, "    n += 1"]


def _added(names: Sequence[str], weights: str, rows: str, width: int, columns: int, fade: str = "") -> list[str]:
    """Lines that add a tile's weights times rows of shared memory to this thread's part of a row."""
    lines = [f"{name} = {name} * {fade}" for name in names] if fade else []
    lines += ["n = 0", f"while n < {columns}:", f"    x = {weights}[row * {columns} + n]"]
    for m, name in enumerate(names):
        term = f"    {name} = {name} + x * {rows}[n * {width + 1} + {_column(m)}]"
        inner = LANES * (m + 1) <= width
        lines += [term] if inner else [f"    if {_column(m)} < {width}:", f"    {term}"]
    return [*lines, "    n += 1"]


def _stored(
    array: str, stored: str, names: Sequence[str], width: int, head: str, row: str, times: str = ""
) -> list[str]:
    lines = []
    for m, name in enumerate(names):
        place = f"b * {array}_batch + {head} * {array}_head + {row} * {array}_row + {_column(m)}"
        lines += [f"if {_column(m)} < {width}:", f"    {array}[{place}] = {write(stored, name + times)}"]
    return lines


def _folded(name: str, both: str) -> list[str]:
    """Lines in which the lanes of a row combine what they have."""
    return [f"{name} = {both.format(a=name, b=f'shuffle_xor({name}, {lane})')}" for lane in (1, 2, 4)]


def _seen(shape: Shape, score: str, i: str, j: str) -> list[str]:
    """Lines that add a mask to the score of query i and key j, and make it minus infinity where that is not seen."""
    place = f"b * mask_batch + h * mask_head + ({i}) * mask_row + ({j}) * mask_step"
    lines = [f"seen = {j} < stop and {i} < L"]
    if shape.causal:
        lines.append(f"seen = seen and {j} <= before + {i}")
    if shape.mask is not None:
        inner = f"seen = mask[{place}] != 0"
        if shape.mask != "bool":
            inner = f"{score} = {score} + {read(shape.mask, f'mask[{place}]')}"
        lines += ["if seen:", f"    {inner}"]
    return [*lines, "if not seen:", f"    {score} = nothing"]


def _luck(to: str, row: str, j: str) -> list[str]:
    """Lines after which ``to`` is what the weight of a row and key j counts: the numbers of a row begin at a four."""
    words = [f"word = c{e}" if e == 0 else f"if {j} & 3 == {e}:\n    word = c{e}" for e in range(4)]
    lines = [f"q = ({row}) * per_row + (({j}) >> 2)", *PHILOX, *"\n".join(words).split("\n")]
    number = NUMBER.format(e=0).replace("c0", "word")
    return [*lines, f"{to} = element(keep) if {number} >= element(chance) else element(0)"]


def _kernel(name: str, shape: Shape, arrays: Sequence[tuple[str, str]], lines: list[str]) -> Source:
    """A kernel over arrays and what all kernels take; strided ones are those whose name has no underscore."""
    optional = [("mask", shape.mask)] * (shape.mask is not None) + [("past", "int64")] * shape.past
    optional += [("key", "int64")] * shape.dropout
    given = [*arrays, *[(array, str(stored)) for array, stored in optional]]
    sizes = ["H", "R", "L", "S", *_steps(*(array for array, _ in arrays if "_" not in array))]
    sizes += ["mask_batch", "mask_head", "mask_row", "mask_step"] * (shape.mask is not None)
    scalars = ["scale", "lowest", *["chance", "keep"] * shape.dropout]
    begin = ["nothing", "before = 0", "stop = S", f"purpose = {PURPOSES['dropout']}", "per_row = (S + 3) >> 2"]
    begin[0] = "nothing = element(lowest)"
    if shape.past:
        begin += ["before = past[0]", "stop = min(S, before + L)"]
    begin += ["row, place = thread() >> 3, thread() & 7"]
    text = f"def kernel({', '.join([*(a for a, _ in given), *scalars, *sizes])}):\n{indented([*begin, *lines])}\n"
    parameters = [pointer(stored) for _, stored in given] + ["float64"] * len(scalars) + ["int64"] * len(sizes)
    return Source(f"{name}_{shape}", text, tuple(parameters), shape.computed, THREADS)


# ---- kernels --------------------------------------------------------------------------------------------------------


def forward_kernel(shape: Shape) -> Source:
    """Arguments: q, k, v, out, sums (lse), then mask, past and key where there are, scale, minus infinity, p and what
    is kept where there is dropout, sizes and steps. A block for 16 queries of a head.
    """
    E, F, C, T = shape.E, shape.F, shape.columns, shape.computed
    scores, means = [f"s{k}" for k in _numbers(C)], [f"y{m}" for m in _numbers(F)]
    lines = [
        f"tiles = (L + {ROWS - 1}) // {ROWS}", "head = block() // tiles", f"i0 = (block() - head * tiles) * {ROWS}",
        "b = head // H", "h = head - b * H", "g = h // R", "i = i0 + row", "last = stop",
        f"qs, ks = shared({ROWS * (E + 1)}, {T}), shared({C * (E + 1)}, {T})",
        f"vs, ps = shared({C * (F + 1)}, {T}), shared({ROWS * C}, {T})",
        *[f"last = min(stop, before + i0 + {ROWS})"] * shape.causal,
        *_loaded("qs", "xq", shape.given, E, ROWS, "i0", "L", "h", " * element(scale)"),
        "top, total = nothing, element(0)", *(f"{name} = element(0)" for name in means), "j0 = 0",
    ]  # fmt: skip
    tile = [
        "barrier()",
        *_loaded("ks", "xk", shape.given, E, C, "j0", "S", "g"),
        *_loaded("vs", "xv", shape.given, F, C, "j0", "S", "g"),
        "barrier()",
        *_dots(scores, "qs", "ks", E),
        "high = top",
    ]
    for k, score in enumerate(scores):
        tile += [f"j = j0 + {_column(k)}", *_seen(shape, score, "i", "j"), f"high = larger(high, {score})"]
    tile += [*_folded("high", "larger({a}, {b})"), "base = high if high != nothing else element(0)"]
    tile += ["fade = exponential(top - base)", "top = high", "total = total * fade"]
    for k, score in enumerate(scores):
        tile += [f"{score} = exponential({score} - base)", f"total = total + {score}"]
        if shape.dropout:
            tile += [*_luck("luck", "head * L + i", f"(j0 + {_column(k)})"), f"{score} = {score} * luck"]
        tile.append(f"ps[row * {C} + {_column(k)}] = {score}")
    tile += ["barrier()", *_added(means, "ps", "vs", F, C, "fade"), f"j0 += {C}"]
    end = [
        *_folded("total", "{a} + {b}"), "seen = total != element(0)", "share = element(0)", "if seen:",
        "    share = element(1) / total", "if i < L:",
        *inside(_stored("out", shape.made, means, F, "h", "i", " * share")), "    if place == 0:",
        "        sums_of[head * L + i] = top + logarithm(total) if seen else -nothing",
    ]  # fmt: skip
    arrays = [("xq", shape.given), ("xk", shape.given), ("xv", shape.given), ("out", shape.made), ("sums_of", T)]
    return _kernel("attention", shape, arrays, [*lines, "while j0 < last:", *inside(tile), *end])


def queries_grad_kernel(shape: Shape) -> Source:
    """Arguments: q, k, v, dy, out, dq, sums (lse), deltas (written: the sums of dy times out), then as forward."""
    E, F, C, T = shape.E, shape.F, shape.columns, shape.computed
    scores, changes = [f"s{k}" for k in _numbers(C)], [f"d{k}" for k in _numbers(C)]
    sums = [f"y{m}" for m in _numbers(E)]
    of_out = read(shape.made, "out[b * out_batch + h * out_head + i * out_row + n]")
    lines = [
        f"tiles = (L + {ROWS - 1}) // {ROWS}", "head = block() // tiles", f"i0 = (block() - head * tiles) * {ROWS}",
        "b = head // H", "h = head - b * H", "g = h // R", "i = i0 + row", "last = stop",
        f"qs, ks = shared({ROWS * (E + 1)}, {T}), shared({C * (E + 1)}, {T})",
        f"vs, ps = shared({C * (F + 1)}, {T}), shared({ROWS * C}, {T})", f"zs = shared({ROWS * (F + 1)}, {T})",
        *[f"last = min(stop, before + i0 + {ROWS})"] * shape.causal,
        *_loaded("qs", "xq", shape.given, E, ROWS, "i0", "L", "h", " * element(scale)"),
        *_loaded("zs", "dy", shape.gradient, F, ROWS, "i0", "L", "h"), "barrier()",
        "delta, logs = element(0), element(0)", "if i < L:", "    logs = sums_of[head * L + i]", "    n = place",
        f"    while n < {F}:", f"        delta = delta + zs[row * {F + 1} + n] * {of_out}",
        f"        n += {LANES}", *_folded("delta", "{a} + {b}"), "if i < L and place == 0:",
        "    deltas_of[head * L + i] = delta", *(f"{name} = element(0)" for name in sums), "j0 = 0",
    ]  # fmt: skip
    tile = [
        "barrier()",
        *_loaded("ks", "xk", shape.given, E, C, "j0", "S", "g"),
        *_loaded("vs", "xv", shape.given, F, C, "j0", "S", "g"),
        "barrier()",
        *_dots(scores, "qs", "ks", E),
        *_dots(changes, "zs", "vs", F),
    ]
    for k, (score, change) in enumerate(zip(scores, changes, strict=True)):
        tile += [f"j = j0 + {_column(k)}", *_seen(shape, score, "i", "j")]
        if shape.dropout:
            tile += [*_luck("luck", "head * L + i", "j"), f"{change} = {change} * luck"]
        tile.append(f"ps[row * {C} + {_column(k)}] = exponential({score} - logs) * ({change} - delta)")
    tile += ["barrier()", *_added(sums, "ps", "ks", E, C), f"j0 += {C}"]
    end = ["if i < L:", *inside(_stored("dq", shape.made, sums, E, "h", "i", " * element(scale)"))]
    given = [(name, shape.given) for name in ("xq", "xk", "xv")] + [("dy", shape.gradient)]
    arrays = [*given, ("out", shape.made), ("dq", shape.made), ("sums_of", T), ("deltas_of", T)]
    return _kernel("attention_queries_grad", shape, arrays, [*lines, "while j0 < last:", *inside(tile), *end])


def keys_grad_kernel(shape: Shape) -> Source:
    """Arguments: q, k, v, dy, dk, dv, sums (lse), deltas, then as forward. A block for 16 keys of a head of keys, which
    goes over the queries of all heads that share it.
    """
    E, F, C, T = shape.E, shape.F, shape.columns, shape.computed
    scores, changes = [f"s{k}" for k in _numbers(C)], [f"d{k}" for k in _numbers(C)]
    to_k, to_v = [f"x{m}" for m in _numbers(E)], [f"y{m}" for m in _numbers(F)]
    lines = [
        f"tiles, G = (S + {ROWS - 1}) // {ROWS}, H // R", "unit = block() // tiles",
        f"first = (block() - unit * tiles) * {ROWS}", "b = unit // G", "g = unit - b * G", "j = first + row",
        f"ks, vs = shared({ROWS * (E + 1)}, {T}), shared({ROWS * (F + 1)}, {T})",
        f"qs, zs = shared({C * (E + 1)}, {T}), shared({C * (F + 1)}, {T})",
        f"ps, ds = shared({ROWS * C}, {T}), shared({ROWS * C}, {T})",
        f"logs, deltas = shared({C}, {T}), shared({C}, {T})",
        *_loaded("ks", "xk", shape.given, E, ROWS, "first", "S", "g"),
        *_loaded("vs", "xv", shape.given, F, ROWS, "first", "S", "g"),
        *(f"{name} = element(0)" for name in (*to_k, *to_v)), "h = g * R", "begin = 0",
        *[f"begin = max(first - before, 0) // {C} * {C}"] * shape.causal,
    ]  # fmt: skip
    tile = [
        "head = b * H + h",
        "barrier()",
        *_loaded("qs", "xq", shape.given, E, C, "i0", "L", "h", " * element(scale)"),
        *_loaded("zs", "dy", shape.gradient, F, C, "i0", "L", "h"),
        f"if thread() < {C}:",
        "    logs[thread()] = sums_of[head * L + i0 + thread()] if i0 + thread() < L else element(0)",
        "    deltas[thread()] = deltas_of[head * L + i0 + thread()] if i0 + thread() < L else element(0)",
        "barrier()",
        *_dots(scores, "ks", "qs", E),
        *_dots(changes, "vs", "zs", F),
    ]
    for k, (score, change) in enumerate(zip(scores, changes, strict=True)):
        at, column = f"row * {C} + {_column(k)}", _column(k)
        tile += [
            f"i = i0 + {column}",
            *_seen(shape, score, "i", "j"),
            f"{score} = exponential({score} - logs[{column}])",
        ]
        kept = score
        if shape.dropout:
            tile += [*_luck("luck", "head * L + i", "j"), f"{change} = {change} * luck"]
            kept = f"{score} * luck"
        tile += [f"ps[{at}] = {kept}", f"ds[{at}] = {score} * ({change} - deltas[{column}])"]
    tile += ["barrier()", *_added(to_k, "ds", "qs", E, C), *_added(to_v, "ps", "zs", F, C), f"i0 += {C}"]
    loops = ["while h < g * R + R:", "    i0 = begin", "    while i0 < L:", *inside(inside(tile)), "    h += 1"]
    end = ["if j < S:", *inside(_stored("dk", shape.made, to_k, E, "g", "j"))]
    end += inside(_stored("dv", shape.made, to_v, F, "g", "j"))
    given = [(name, shape.given) for name in ("xq", "xk", "xv")] + [("dy", shape.gradient)]
    arrays = [*given, ("dk", shape.made), ("dv", shape.made), ("sums_of", T), ("deltas_of", T)]
    return _kernel("attention_keys_grad", shape, arrays, [*lines, *loops, *end])
