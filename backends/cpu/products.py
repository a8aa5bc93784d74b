"""Launches of matrix products and of the linear layer: products, and around them loops over their rows.

A large product is cut into pieces of the result, for several threads: along the rows where there are enough, else along
the columns. A layer's products are cut along its units where the weights are the larger factor: then every thread reads
the weights that it has updated itself, and the same ones again for their gradient.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from nnkit.backends.cpu import elementwise
from nnkit.backends.cpu.launch import (
    FLOATS,
    LARGE,
    Call,
    Launch,
    address,
    address_or_0,
    common_type,
    new_call,
    shares,
    why_not,
)  # fmt: skip
from nnkit.backends.cpu.rooms import Rooms
from nnkit.backends.threads import get_num_threads
from nnkit.kernels.cpu import deep, memory, panels, products, thin
from nnkit.kernels.cpu import linear as linear_kernels
from nnkit.kernels.formulas import ACTIVATIONS

#: Multiplications of a product from which on it is shared among threads: some 5 microseconds' worth.
SHARED = 1 << 18
#: Multiplications of a product that is cut into more pieces than there are threads, so that a slow one takes fewer.
UNEVEN = 1 << 26
FEW = 12  # rows that ``thin`` multiplies faster than panels are packed
SMALL_RESULT = 1 << 18  # bytes of a result of which every thread may make one of its own, to be added up
MOST_PARTS = 16  # such results at once
STEP = 16  # a piece begins at a multiple of so many rows or columns


#: An address, how sums run through the factor, and the elements from one row in memory to the next.
Factor = tuple[int, str, int]


def _pieces(M: int, N: int, K: int, by_units: bool = False) -> list[tuple[int, int, int, int]]:
    """The result's pieces: first row, rows, first column, columns; ``by_units``: rather along the columns."""
    threads = get_num_threads()
    if threads < 2 or M * max(N, 8) * max(K, 16) < SHARED:  # narrow results and short sums cost as if they were not
        return [(0, M, 0, N)]
    count = threads if M * N * K < UNEVEN else 4 * threads
    if by_units and N >= threads * STEP and count == threads:
        return [(0, M, j, columns) for j, columns in shares(N, STEP, count)]
    if M >= max(threads * STEP, N // 4) or (M >= threads * STEP and count == threads):
        return [(i, rows, 0, N) for i, rows in shares(M, STEP, count)]
    return [(0, M, j, columns) for j, columns in shares(N, 3 * STEP if N >= 3 * STEP * count else STEP, count)]


def _evenly(size: int, step: int, pieces: int) -> list[tuple[int, int]]:
    """(first, count) of pieces that differ by a step at most: of 50 rows 24 and 26, where ``shares`` has 32 and 18."""
    steps = -(-size // step)
    starts = [piece * steps // pieces * step for piece in range(pieces)]
    return [(start, end - start) for start, end in itertools.pairwise([*starts, size]) if end > start]


def _dot(x: int, w: int, y: int, sizes: tuple[int, int, int], dtype: str, rooms: Rooms, b: int = 0) -> list[Call]:
    """y (M, N) = x (M, K) w (N, K)^T (+ b), contiguous, by addresses.

    Which kernel makes it depends on w alone, but for kernels that make a sum in the same order: one row gives the same
    numbers alone and in a batch.
    """
    M, N, K = sizes
    size = np.dtype(dtype).itemsize
    if panels.large_weights(dtype, N, K):
        if M > FEW:
            return _panels((x, "along", K), (w, "along", K), y, sizes, dtype, rooms, False, b)
        kernel = thin.thin_kernel(dtype)
    elif products.turned(N, K):
        kernel = products.small_dot_kernel(dtype) if M >= products.turned_rows() else thin.thin_kernel(dtype)
    else:
        kernel = products.dot_kernel(dtype)
    outer = products.outer_kernel(dtype).address
    calls = []
    for i, rows, j, columns in _pieces(M, N, K, by_units=M < K):
        places = [x + i * K * size, w + j * K * size, y + (i * N + j) * size]
        bias = b + j * size if b else 0
        calls.append(new_call(kernel, [*places, rows, columns, K, K, K, N, bias, outer, 0]))
    return calls


def _outer(a: int, b: int, y: int, sizes: tuple[int, int, int], dtype: str, rooms: Rooms) -> list[Call]:
    """y (M, N) = a (M, K) b (K, N), contiguous, by addresses."""
    M, N, K = sizes
    size = np.dtype(dtype).itemsize
    if panels.large_product(M, N, K):
        return _panels((a, "along", K), (b, "across", N), y, sizes, dtype, rooms, False)
    kernel, calls = products.outer_kernel(dtype), []
    for i, rows, j, columns in _pieces(M, N, K):
        places = [a + i * K * size, b + j * size, y + (i * N + j) * size]
        calls.append(new_call(kernel, [*places, rows, columns, K, K, 1, N, N, 0, 0]))
    return calls


def _deep(
    a: int, b: int, y: int, sizes: tuple[int, int, int], dtype: str, rooms: Rooms, add: bool = False
) -> tuple[list[Call], list[Call]]:
    """y (M, N) (+)= a^T b, a (K, M), b (K, N), contiguous, by addresses; and what adds up blocks of the sums, if any.

    A thread multiplies the rows that it has made, where the result is small; else it makes a part of the result.
    """
    M, N, K = sizes
    size, block = np.dtype(dtype).itemsize, deep.block(dtype, M, N, K)
    if panels.large_product(M, N, K):
        return _panels((a, "across", M), (b, "across", N), y, sizes, dtype, rooms, add), []
    others = [products.outer_kernel(dtype).address, block, deep.deep_kernel(dtype).address]
    kernel = deep.narrow_kernel(dtype) if N <= deep.NARROW and M >= 2 * STEP else deep.deep_kernel(dtype)

    def made(k: int, terms: int, i: int, rows: int, j: int, columns: int, to: int, begun: bool) -> Call:
        places = [a + (k * M + i) * size, b + (k * N + j) * size, to + (i * N + j) * size]
        return new_call(kernel, [*places, rows, columns, terms, 1, M, N, N, int(begun), 0, *others])

    pieces = _pieces(M, N, K)
    if pieces[0][1] < M:
        pieces = [(i, rows, 0, N) for i, rows in _evenly(M, products.outer_tile().rows, len(pieces))]
    parts, each = -(-K // block), M * N * size
    if len(pieces) == 1 or not _in_parts(parts, each):
        return [made(0, K, *piece, y, add) for piece in pieces], []
    room = rooms.take(parts * each)
    rows = _evenly(M, products.outer_tile().rows, -(-len(pieces) // parts))
    calls = [
        made(part * block, min(block, K - part * block), i, count, 0, N, room + part * each, False)
        for part in range(parts) for i, count in rows
    ]  # fmt: skip
    sums = shares(M * N, STEP, get_num_threads() if each >= LARGE // 8 else 1)
    adding = deep.sum_kernel(dtype)
    return calls, [new_call(adding, [room + i * size, y + i * size, parts, n, M * N, int(add)]) for i, n in sums]


def _in_parts(parts: int, each: int) -> bool:
    """Whether every thread may make its own of so many results of so many bytes."""
    return 1 < parts <= MOST_PARTS and each <= SMALL_RESULT


def _bias(
    dz: int, db: int, sizes: tuple[int, int, int], dtype: str, rooms: Rooms, add: bool
) -> tuple[list[Call], list[Call]]:
    """db (O,) (+)= the sums of dz (M, O) over its rows, and what adds up blocks of them: those of weights (O, I)."""
    M, O, I = sizes
    size, block, sums = np.dtype(dtype).itemsize, deep.block(dtype, O, I, M), linear_kernels.bias_grad_kernel(dtype)
    parts = -(-M // block)
    if not _in_parts(parts, O * I * size):
        return [new_call(sums, [dz, db, M, O, int(add)])], []
    room = rooms.take(parts * O * size)
    calls = [
        new_call(sums, [dz + k * O * size, room + k // block * O * size, min(block, M - k), O, 0])
        for k in range(0, M, block)
    ]
    return calls, [new_call(deep.sum_kernel(dtype), [room, db, parts, O, O, int(add)])]


def _panels(
    left: Factor, right: Factor, y: int, sizes: tuple[int, int, int], dtype: str, rooms: Rooms, add: bool, b: int = 0
) -> list[Call]:
    """y (M, N) (+)= left right (+ b): each piece of columns packs its own panels."""
    M, N, K = sizes
    (x, x_order, ldx), (w, w_order, ldw) = left, right
    size, wide, threads = np.dtype(dtype).itemsize, panels.width(dtype), get_num_threads()
    kernel, tall = panels.panels_kernel(dtype, x_order, w_order), panels.tall(dtype, M)
    many = 2 * threads if N >= 1024 * threads else threads  # each piece packs the left factor anew
    by_columns = threads == 1 or N >= 2 * wide * threads
    parts = shares(N, wide, many) if by_columns else shares(M, panels.tile_rows(), threads)
    calls = []
    for first, count in parts:
        i, rows, j, columns = (0, M, first, count) if by_columns else (first, count, 0, N)
        from_x = x + i * (K if x_order == "along" else 1) * size
        from_w = w + j * (K if w_order == "along" else 1) * size
        room = rooms.take(panels.room_bytes(dtype, columns)) if rows > tall else 0
        bias = b + j * size if b else 0
        arguments = [from_x, from_w, y + (i * N + j) * size, rows, columns, K, ldx, ldw, N, int(add), bias, tall, room]
        calls.append(new_call(kernel, arguments))
    return calls


def _together(*products: list[Call]) -> list[list[Call]]:
    """The stages of independent products: one stage where they are large, else one after the other.

    In one stage every thread's share begins with its share of each product.
    """
    if any(len(calls) > 1 for calls in products):
        places = [(k / len(calls), call) for calls in products for k, call in enumerate(calls)]
        return [[call for _, call in sorted(places, key=lambda place: place[0])]]
    return [calls for calls in products if calls]


def _matrix(x: np.ndarray) -> tuple[np.ndarray, bool] | None:
    """A matrix as the kernels take it: the contiguous array, and whether it is to be read transposed."""
    if x.ndim != 2 or x.dtype not in FLOATS:
        return None
    if x.flags.c_contiguous:
        return x, False
    return (x.T, True) if x.flags.f_contiguous else None


def matmul(x: np.ndarray, y: np.ndarray, out: np.ndarray) -> Launch | str:
    """Two matrices, contiguous or one of them transposed; batches are for NumPy."""
    left, right, rooms = _matrix(x), _matrix(y), Rooms()
    if left is None or right is None or common_type(left[0], right[0], out) is None:
        return "not two matrices of one float type, contiguous or transposed"
    if left[1] and right[1]:
        return "both matrices are transposed"
    (M, N), K = out.shape, x.shape[1]
    if 0 in (M, N, K):
        return "an array is empty"
    dtype, places = FLOATS[out.dtype], (address(left[0]), address(right[0]), address(out))
    if right[1]:
        return Launch(f"dot_{dtype}", [_dot(*places, (M, N, K), dtype, rooms)])
    if left[1]:
        return Launch(f"deep_{dtype}", [stage for stage in _deep(*places, (M, N, K), dtype, rooms) if stage])
    return Launch(f"outer_{dtype}", [_outer(*places, (M, N, K), dtype, rooms)])


def _side_by_side(x: np.ndarray, dtype: str | None, rooms: Rooms) -> tuple[int, list[list[Call]]] | None:
    """The address of a matrix with its rows side by side, and the stages that copy rows which lie apart; or None."""
    if dtype is None or x.ndim != 2 or FLOATS.get(x.dtype) != dtype:
        return None
    if x.flags.c_contiguous:
        return address(x), []
    (M, I), size = x.shape, x.itemsize
    if I > 1 and x.strides[1] != size:
        return None
    room, words = rooms.take(M * I * size), size // 4
    steps = [0, x.strides[0] // size * words, 0, I * words]
    return room, [[new_call(memory.copy_rows_kernel(), [address(x), room, 1, M, I * words, *steps])]]


def linear(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, activation: str, z: np.ndarray | None, out: np.ndarray,
    scalars: Sequence[float] = (),
) -> Launch | str:  # fmt: skip
    """Every array of one type and contiguous, but the rows of x, which may lie apart."""
    dtype, rooms = common_type(*(a for a in (w, b, z, out) if a is not None)), Rooms()
    rows = _side_by_side(x, dtype, rooms) if out.size and w.shape[1] else None
    if dtype is None or rows is None:
        return why_not(*(a for a in (x, w, b, z, out) if a is not None))
    (M, I), O = x.shape, w.shape[0]
    target = out if z is None else z
    stages = [*rows[1], _dot(rows[0], address(w), address(target), (M, O, I), dtype, rooms, address_or_0(b))]
    if activation == "identity" and target is out:
        return Launch(f"linear_{dtype}", stages)
    end = elementwise.map(ACTIVATIONS[activation], (target,), (out,), scalars)
    assert isinstance(end, Launch)
    return Launch(f"linear_{activation}_{dtype}", [*stages, *end.stages], end)


def linear_grad(
    x: np.ndarray, w: np.ndarray, kept: np.ndarray, dy: np.ndarray, activation: str, dz: np.ndarray,
    dx: np.ndarray | None, dw: np.ndarray | None, db: np.ndarray | None, add: tuple[bool, bool],
    scalars: Sequence[float] = (),
) -> Launch | str:  # fmt: skip
    """Every array of one type and contiguous, but the rows of x, which may lie apart."""
    dtype, rooms = common_type(*(a for a in (w, kept, dy, dz, dx, dw, db) if a is not None)), Rooms()
    rows = _side_by_side(x, dtype, rooms) if dz.size and w.shape[1] else None
    if dtype is None or rows is None:
        return why_not(*(a for a in (x, w, kept, dy, dz, dx, dw, db) if a is not None))
    (M, I), O = x.shape, w.shape[0]
    stages, alive = list[Sequence[Call]](rows[1] if dw is not None else []), list[Launch]()
    if activation != "identity":
        start = elementwise.map(f"{ACTIVATIONS[activation]}_grad", (dy, kept), (dz,), scalars)
        assert isinstance(start, Launch)
        stages, alive = [*stages, *start.stages], [start]
    weights, inputs, biases, added, adding = list[Call](), list[Call](), list[Call](), list[Call](), list[Call]()
    if dw is not None:
        weights, added = _deep(address(dz), rows[0], address(dw), (O, I, M), dtype, rooms, add[0])
    if dx is not None:
        inputs = _outer(address(dz), address(w), address(dx), (M, I, O), dtype, rooms)
    if db is not None:
        biases, adding = _bias(address(dz), address(db), (M, O, I), dtype, rooms, add[1])
    stages += [*_together(weights, inputs, biases), *_together(added, adding)]
    return Launch(f"linear_grad_{activation}_{dtype}", stages, *alive)
