"""Recurrent layers: all steps of some rows of a batch in one call, so that threads share a batch and never wait.

A step is a product of the hidden state with the weights, and the gates. The weights are copied once into panels as wide
as a tile (``pack``), which all steps read in order; what a step makes stays in the first cache until its gates are
computed, in vector registers, from the formulas of ``recurrences``. A sum grows from its first term to its last in one
register, so neither the threads nor the other rows change it.

Arrays: gates (B, T, G H), states (B, T, H), G gates in PyTorch's order: what one thread writes lies apart from what
another does, or processors would fetch each other's lines ahead (with the steps first, twice the time). ``keep`` is
(B, T), 0 where a row's states stay as they are in this step. Every kernel here is for float32.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit.kernels.cpu.compiler import Kernel, Source, load
from nnkit.kernels.cpu.products import transpose_word
from nnkit.kernels.cpu.vector_formulas import Lanes, vector_formula
from nnkit.kernels.cpu.vectors import Vectors, lanes, registers, tile_word
from nnkit.kernels.cpu.words import control_words, memory_words
from nnkit.kernels.recurrences import GATES, STATELESS

DTYPE, SIZE = "float32", 4
COLUMNS = 2  # registers of a tile, and of a panel
LINE = 16  # elements of a cache line
Build = Callable[..., None]


def tile_rows() -> int:
    """Rows of a tile; with few rows left, half as many."""
    return 8 if registers().number >= 32 else 4


def width() -> int:
    """Columns of a panel."""
    return COLUMNS * lanes(DTYPE)


def panel_bytes(N: int, K: int) -> int:
    """The memory of the panels of weights with N columns and sums of K terms; a square reaches beyond the last."""
    return (-(-N // width()) * width() * K + lanes(DTYPE) * width()) * SIZE


# ---- panels -------------------------------------------------------------------------------------------------------

# Block: [w, out, N, K, transposed]: the panels of w^T (w (N, K)) where transposed, else of w (K, N).
PACK = """
def kernel(block):
    w, N, K = pointer(block[0]), block[2], block[3]
    for j in range(0, N, {wide}):
        out = pointer(block[1] + j * K * {size})
        if block[4] != 0:
            for n in range(0, min({wide}, N - j), {W}):
                for k in range(0, K, {W}):
                    transpose(w, out, j + n, N, k, K, K, {wide}, n)
        else:
            count = min({wide}, N - j)
            for k in range(K):
                for n in range(count):
                    out[k * {wide} + n] = w[k * N + j + n]
"""

# ---- the product of a step ------------------------------------------------------------------------------------------

# Block: [a, panels, y, M, N, K, lda, ldy, init or 0, ldi]: y (M, N) = init + a b; y has room for whole panels.
PRODUCT = """
def kernel(block):
    a, y, init = pointer(block[0]), pointer(block[2]), pointer(block[8])
    M, N, K, lda, ldy, ldi, begun = block[3], block[4], block[5], block[6], block[7], block[9], int(block[8] != 0)
    for j in range(0, N, {wide}):
        b, i = pointer(block[1] + j * K * {size}), 0
        {choice}
"""


def _tile(R: int) -> Build:
    """y[i…, j…] = init + the sums over k of a[i…, k] b[k, …], R rows and a panel's columns."""

    def build(v: Vectors, a: Any, b: Any, y: Any, init: Any, *numbers: Any) -> None:
        i, j, N, K, lda, ldy, ldi, begun = numbers
        rows = [v.plus(i, r) for r in range(R)]
        starts = [v.times(row, lda) for row in rows]
        columns = [v.plus(j, c * v.lanes) for c in range(COLUMNS)]
        sums = [[v.variable(v.zero) for _ in columns] for _ in rows]
        with v.when(v.builder.icmp_signed("!=", begun, v.integer(0))):
            for row, made in zip(rows, sums, strict=True):
                for column, total in zip(columns, made, strict=True):
                    left = v.builder.sub(N, column)
                    v.builder.store(v.load(init, v.plus(v.times(row, ldi), column), left), total)
        with v.loop(K) as k:
            at = v.times(k, v.integer(COLUMNS * v.lanes))
            right = [v.load(b, v.plus(at, c * v.lanes)) for c in range(COLUMNS)]
            for start, made in zip(starts, sums, strict=True):
                factor = v.spread(v.builder.load(v.element(a, v.plus(start, k))))
                for those, total in zip(right, made, strict=True):
                    v.builder.store(v.multiply_add(factor, those, v.builder.load(total)), total)
        for row, made in zip(rows, sums, strict=True):
            for column, total in zip(columns, made, strict=True):
                v.store(y, v.plus(v.times(row, ldy), column), v.builder.load(total))

    return build


def _tiles() -> list[int]:
    R = tile_rows()
    return [R >> n for n in range(R.bit_length())]


def _choice(indent: int) -> str:
    lines = []
    for R in _tiles():
        lines += [
            f"while M - i >= {R}:",
            f"    tile{R}(a, b, y, init, i, j, N, K, lda, ldy, ldi, begun)",
            f"    i += {R}",
        ]
    return f"\n{' ' * indent}".join(lines)


# ---- the gates of a step ------------------------------------------------------------------------------------------

# Of one row, the hidden units from j on; where ``part``, those that are left. Pointers are to the row's first.


def _gates(kind: str, part: bool) -> Build:
    """Forward: z is what the products made, x the gates' place, which holds the input's products; h and c change."""

    def build(v: Vectors, z: Any, x: Any, h: Any, c: Any, y: Any, kept: Any, j: Any, H: Any) -> None:
        get, put = _access(v, j, H, part)
        gates, products = range(GATES[kind]), [get(z, g) for g in range(GATES[kind])]
        if kind in STATELESS:
            after = vector_formula(v, STATELESS[kind])(*products)
        elif kind == "lstm":
            *made, cell, after = vector_formula(v, "lstm_step")(*products, get(c, 0))
            put(c, 0, cell)
            put(kept, 0, cell)
        else:
            *made, after = vector_formula(v, "gru_step")(*(get(x, g) for g in gates), *products, get(h, 0))
            put(kept, 0, products[2])
        if kind not in STATELESS:
            for g in gates:
                put(x, g, made[g])
        put(h, 0, after)
        put(y, 0, after)

    return build


def _gates_back(kind: str, part: bool) -> Build:
    """Backward: dh is the gradient from later steps, dy the one of this output; turn is dz, or what is multiplied."""

    def build(v: Vectors, dh: Any, dc: Any, dy: Any, x: Any, h: Any, c: Any, y: Any, kept: Any, dx: Any, dz: Any,
              turn: Any, j: Any, H: Any) -> None:  # fmt: skip
        get, put = _access(v, j, H, part)
        whole, gates = get(dh, 0) + get(dy, 0), range(GATES[kind])
        if kind in STATELESS:
            made = turned = [vector_formula(v, f"{STATELESS[kind]}_grad")(whole, get(y, 0))]
        elif kind == "lstm":
            values = [*(get(x, g) for g in gates), get(c, 0), get(kept, 0)]
            *made, cell = vector_formula(v, "lstm_step_back")(whole, get(dc, 0), *values)
            turned = made
            put(dc, 0, cell)
        else:
            *made, inner, passing = vector_formula(v, "gru_step_back")(
                whole, *(get(x, g) for g in gates), get(kept, 0), get(h, 0)
            )
            turned = [*made[:2], inner]
            put(dh, 0, passing)
        for g in gates:
            put(dx, g, made[g])
            put(turn, g, turned[g])
            if kind == "gru":
                put(dz, g, turned[g])

    return build


def _access(v: Vectors, j: Any, H: Any, part: bool) -> tuple[Callable[..., Lanes], Callable[..., None]]:
    """Read and write the hidden units from j on of gate ``g`` of a row."""
    count = v.builder.sub(H, j) if part else None

    def place(g: int) -> Any:
        return v.plus(v.times(H, v.integer(g)), j)

    def get(memory: Any, g: int) -> Lanes:
        return Lanes(v, v.load(memory, place(g), count))

    def put(memory: Any, g: int, value: Lanes) -> None:
        v.store(memory, place(g), value.value, count)

    return get, put


# ---- all steps ----------------------------------------------------------------------------------------------------

# Block: [gates, panels of w^T, b or 0, h0, c0, y, before or 0, kept, hn, cn, keep or 0, T, H, first row, rows, reverse,
# product, room]. ``gates`` hold the input's products and then the gates; ``before`` gets the hidden state that a step
# began with. The states at hand, and what a step's products make, are in ``room``: see ``steps_room``.
STEPS = """
def kernel(block):
    gates, y, earlier, kept = block[0], block[5], block[6], block[7]
    keep, T, H = pointer(block[10]), block[11], block[12]
    first, rows, room, next_block = block[13], block[14], block[17], stack(10 * 8)
    N, arguments = {G} * H, labels(next_block)
    ldz, whole = (N + {wide} - 1) // {wide} * {wide}, H - H % {W}
    hs, cs, zs = room, room + rows * H * {size}, room + 2 * rows * H * {size}
    arguments[0], arguments[1], arguments[2], arguments[3], arguments[4] = hs, block[1], zs, rows, N
    arguments[5], arguments[6], arguments[7], arguments[8], arguments[9] = H, H, ldz, block[2], 0
    copy(pointer(block[3] + first * H * {size}), pointer(hs), rows * H)
    copy(pointer(block[4] + first * H * {size}), pointer(cs), rows * H)
    for s in range(T):
        t = s
        if block[15] != 0:
            t = T - 1 - s
        if {initial}:
            arguments[8], arguments[9] = gates + (first * T + t) * N * {size}, T * N
        call(block[16], next_block)
        for i in range(rows):
            row = (first + i) * T + t
            z, x = pointer(zs + i * ldz * {size}), pointer(gates + row * N * {size})
            h, c = pointer(hs + i * H * {size}), pointer(cs + i * H * {size})
            a, b = pointer(y + row * H * {size}), pointer(kept + row * H * {size})
            if earlier != 0:
                copy(h, pointer(earlier + row * H * {size}), H)
            if block[10] != 0 and keep[row] == zero:
                copy(h, a, H)
                if {cell}:
                    copy(c, b, H)
                continue
            for j in range(0, whole, {W}):
                gates_of(z, x, h, c, a, b, j, H)
            if whole < H:
                part_gates_of(z, x, h, c, a, b, whole, H)
    copy(pointer(hs), pointer(block[8] + first * H * {size}), rows * H)
    if {cell}:
        copy(pointer(cs), pointer(block[9] + first * H * {size}), rows * H)
"""

# Block: [gates, panels of w, c0, y, before, kept, keep or 0, dy, dh, dc, dx, dz, T, H, first row, rows, reverse,
# product, room, dy's bytes from row to row and from step to step]. ``dh`` and ``dc`` (B, H) hold the gradients of the
# last states, and in the end those of the first. ``dx`` gets the gradients of the input's products, ``dz`` those of the
# hidden state's (of a GRU another). What is multiplied, and the gradient of the state at hand, are in ``room``. The
# next step's gradients are fetched ahead: where another thread has read them in the last run, writing would wait.
BACK = """
def kernel(block):
    gates, y, before, kept, keep = block[0], block[3], block[4], block[5], pointer(block[6])
    dy, dc, dx, dz, T, H = block[7], block[9], block[10], block[11], block[12], block[13]
    first, rows, room, next_block = block[14], block[15], block[18], stack(10 * 8)
    N, arguments = {G} * H, labels(next_block)
    ldh, whole = (H + {wide} - 1) // {wide} * {wide}, H - H % {W}
    turns, dhs = room, room + rows * N * {size}
    arguments[0], arguments[1], arguments[2], arguments[3], arguments[4] = turns, block[1], dhs, rows, H
    arguments[5], arguments[6], arguments[7], arguments[8], arguments[9] = N, N, ldh, 0, ldh
    if {carried} or block[6] != 0:
        arguments[8] = dhs
    for i in range(rows):
        copy(pointer(block[8] + (first + i) * H * {size}), pointer(dhs + i * ldh * {size}), H)
    for s in range(T - 1, -1, -1):
        t, earlier = s, -1
        if block[16] != 0:
            t, earlier = T - 1 - s, 1
        for i in range(rows):
            row = (first + i) * T + t
            at, place = row * H * {size}, row * N * {size}
            dh, d = pointer(dhs + i * ldh * {size}), pointer(dy + (first + i) * block[19] + t * block[20])
            into, turn = pointer(dx + place), pointer(turns + i * N * {size})
            for j in range(0, N, {line}):
                prefetch_to_write(into, earlier * N + j)
                if {apart}:
                    prefetch_to_write(pointer(dz + place), earlier * N + j)
            if block[6] != 0 and keep[row] == zero:
                for j in range(H):
                    dh[j] += d[j]
                for j in range(N):
                    into[j] = zero
                    turn[j] = zero
                if {apart}:
                    copy(turn, pointer(dz + place), N)
                continue
            x, h, c = pointer(gates + place), pointer(before + at), pointer(kept + at + earlier * H * {size})
            if s == 0:
                c = pointer(block[2] + (first + i) * H * {size})
            a, b, cell = pointer(y + at), pointer(kept + at), pointer(dc + (first + i) * H * {size})
            for j in range(0, whole, {W}):
                gates_back(dh, cell, d, x, h, c, a, b, into, pointer(dz + place), turn, j, H)
            if whole < H:
                part_gates_back(dh, cell, d, x, h, c, a, b, into, pointer(dz + place), turn, whole, H)
            if block[6] != 0 and not {carried}:
                for j in range(H):
                    dh[j] = zero
        call(block[17], next_block)
    for i in range(rows):
        copy(pointer(dhs + i * ldh * {size}), pointer(block[8] + (first + i) * H * {size}), H)
"""
COPY = """
def copy(x, y, count):
    for j in range(count):
        y[j] = x[j]
"""


def _whole_panels(N: int) -> int:
    return -(-N // width()) * width()


def steps_room(rows: int, N: int, H: int) -> int:
    """Bytes: the hidden states, the cell states, and the products in whole panels."""
    return rows * (2 * H + _whole_panels(N)) * SIZE


def back_room(rows: int, N: int, H: int) -> int:
    """Bytes: the gradients that are multiplied, and their products in whole panels."""
    return rows * (N + _whole_panels(H)) * SIZE


def _sizes() -> dict[str, int]:
    return {"W": lanes(DTYPE), "wide": width(), "size": SIZE, "line": LINE}


@functools.cache
def pack_kernel() -> Kernel:
    """Weights into panels."""
    return load(Source(f"recurrent_pack_{lanes(DTYPE)}", PACK.format(**_sizes()), _pack_words))


@functools.cache
def product_kernel() -> Kernel:
    """The product of one step."""
    return load(
        Source(f"recurrent_product_{lanes(DTYPE)}", PRODUCT.format(**_sizes(), choice=_choice(8)), _product_words)
    )


@functools.cache
def steps_kernel(kind: str) -> Kernel:
    """All steps forward."""
    text = STEPS.format(**_sizes(), G=GATES[kind], initial=kind != "gru", cell=kind == "lstm")
    return load(Source(f"recurrent_{kind}_{lanes(DTYPE)}", text, _steps_words, (kind,)))


@functools.cache
def back_kernel(kind: str) -> Kernel:
    """All steps back."""
    text = BACK.format(**_sizes(), G=GATES[kind], carried=kind == "gru", apart=kind == "gru")
    return load(Source(f"recurrent_{kind}_back_{lanes(DTYPE)}", text, _back_words, (kind,)))


def _pack_words() -> dict[str, Any]:
    return memory_words(DTYPE) | {"transpose": transpose_word(DTYPE)}


def _product_words() -> dict[str, Any]:
    return memory_words(DTYPE) | {f"tile{R}": tile_word(DTYPE, 4, 8, _tile(R)) for R in _tiles()}


def _steps_words(kind: str) -> dict[str, Any]:
    return _common() | {
        "gates_of": tile_word(DTYPE, 6, 2, _gates(kind, False)),
        "part_gates_of": tile_word(DTYPE, 6, 2, _gates(kind, True)),
    }


def _back_words(kind: str) -> dict[str, Any]:
    return _common() | {
        "gates_back": tile_word(DTYPE, 11, 2, _gates_back(kind, False)),
        "part_gates_back": tile_word(DTYPE, 11, 2, _gates_back(kind, True)),
    }


def _common() -> dict[str, Any]:
    from numba import njit

    words: dict[str, Any] = memory_words(DTYPE) | control_words() | {"zero": np.float32(0)}
    exec(COPY, words)
    return words | {"copy": njit(error_model="numpy", forceinline=True)(words["copy"])}
