"""Launches of recurrent layers: the weights into panels, then all steps of a share of the batch's rows."""

from __future__ import annotations

import numpy as np

from nnkit.backends.cpu.launch import (
    Call,
    Launch,
    address,
    address_or_0,
    common_type,
    new_call,
    shares,
    why_not,
)  # fmt: skip
from nnkit.backends.cpu.products import SHARED
from nnkit.backends.cpu.rooms import Rooms
from nnkit.backends.threads import get_num_threads
from nnkit.kernels.cpu import recurrent

Pair = tuple[np.ndarray, np.ndarray]
TALLEST = 32  # rows of a share: what its steps make stays in the first caches


def _rows(B: int, T: int, N: int, H: int) -> list[tuple[int, int]]:
    """The shares of a batch: first row, rows."""
    threads = get_num_threads()
    if T * B * N * H < SHARED:
        threads = 1
    pieces = max(threads, -(-B // (TALLEST * threads)) * threads)
    tile = recurrent.tile_rows()
    return list(shares(B, tile if B >= tile * threads else 1, pieces))


def _refused(half: str | None, *arrays: np.ndarray | None) -> str | None:
    """Why no kernel fits, or None."""
    given = [a for a in arrays if a is not None]
    if half is not None:
        return "the operands of its products are rounded"
    if common_type(*given) != "float32":
        return why_not(*given) if common_type(*given) is None else "element types float64"
    return None if all(a.size for a in given) else "an array is empty"


def recurrence(
    kind: str, gates: np.ndarray, w: np.ndarray, b: np.ndarray | None, start: Pair, y: np.ndarray,
    before: np.ndarray | None, kept: np.ndarray, end: Pair, keep: np.ndarray | None, reverse: bool,
    half: str | None = None,
) -> Launch | str:  # fmt: skip
    """Every array contiguous and of float32."""
    refused = _refused(half, gates, w, b, *start, y, before, kept, *end, keep)
    if refused is not None:
        return refused
    (B, T, N), H, rooms = gates.shape, w.shape[1], Rooms()
    packed, pack = _pack(w, (N, H), True, rooms)
    fixed = [address(gates), packed, address_or_0(b), *map(address, start), address(y), address_or_0(before)]
    fixed += [address(kept), *map(address, end), address_or_0(keep), T, H]
    kernel, product, calls = recurrent.steps_kernel(kind), recurrent.product_kernel().address, []
    for first, rows in _rows(B, T, N, H):
        room = rooms.take(recurrent.steps_room(rows, N, H))
        calls.append(new_call(kernel, [*fixed, first, rows, int(reverse), product, room]))
    return Launch(kernel.name, [[pack], calls])


def recurrence_grad(
    kind: str, gates: np.ndarray, w: np.ndarray, c0: np.ndarray, y: np.ndarray, before: np.ndarray, kept: np.ndarray,
    keep: np.ndarray | None, reverse: bool, dy: np.ndarray, dh: np.ndarray, dc: np.ndarray, dx: np.ndarray,
    dz: np.ndarray, half: str | None = None,
) -> Launch | str:  # fmt: skip
    """Every array contiguous and of float32; dy in any order of rows and steps."""
    refused = _refused(half, gates, w, c0, y, before, kept, keep, dh, dc, dx, dz)
    if refused is not None:
        return refused
    (B, T, N), H, rooms = gates.shape, w.shape[1], Rooms()
    if dy.dtype != gates.dtype or (H > 1 and dy.strides[2] != dy.itemsize):
        return why_not(gates, dy)
    packed, pack = _pack(w, (H, N), False, rooms)
    fixed = [address(a) for a in (gates, c0, y, before, kept)]
    fixed = [fixed[0], packed, *fixed[1:], address_or_0(keep)]
    fixed += [*(address(a) for a in (dy, dh, dc, dx, dz)), T, H]
    kernel, product, calls = recurrent.back_kernel(kind), recurrent.product_kernel().address, []
    for first, rows in _rows(B, T, N, H):
        room = rooms.take(recurrent.back_room(rows, N, H))
        calls.append(new_call(kernel, [*fixed, first, rows, int(reverse), product, room, *dy.strides[:2]]))
    return Launch(kernel.name, [[pack], calls])


def _pack(w: np.ndarray, sizes: tuple[int, int], transposed: bool, rooms: Rooms) -> tuple[int, Call]:
    """The address of the panels of weights with so many columns and terms, and the call that fills them."""
    packed = rooms.take(recurrent.panel_bytes(*sizes))
    return packed, new_call(recurrent.pack_kernel(), [address(w), packed, *sizes, int(transposed)])
