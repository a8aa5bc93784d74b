"""Launches of attention: units of work shared among threads, each a block of queries, or a head of keys."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np

from nnkit.backends.attention import Rule
from nnkit.backends.cpu.launch import FLOATS, Call, Launch, address, address_or_0, new_call, shares
from nnkit.backends.cpu.products import SHARED, UNEVEN
from nnkit.backends.cpu.rooms import Rooms
from nnkit.backends.threads import get_num_threads
from nnkit.kernels.cpu import attention as kernels
from nnkit.kernels.cpu.attention_parts import (
    BACKWARD_FIELDS,
    BOOLEANS,
    FORWARD_FIELDS,
    NUMBERS,
    SMALL,
    TALL,
    WIDE,
    part_kernel,
)
from nnkit.kernels.cpu.compiler import Kernel
from nnkit.kernels.cpu.products import outer_kernel
from nnkit.kernels.cpu.thin import thin_kernel
from nnkit.kernels.cpu.vectors import lanes

Fields = dict[str, int]


def attention(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None, past: np.ndarray | None,
    key: np.ndarray | None, rule: Rule, out: np.ndarray, lse: np.ndarray,
) -> Launch | str:  # fmt: skip
    """Floats of one type whose rows lie in order, at any distance; a mask of booleans or of that type."""
    unfit = _unfit(mask, lse, q, k, v, out)
    if unfit:
        return unfit
    fields, boxes = _fields(q, k, v, mask, past, key, rule, out, lse)
    rooms, dtype = Rooms(), FLOATS[q.dtype]
    kernel, calls = kernels.forward_kernel(dtype), []
    B, H, L, E = q.shape
    F = v.shape[3]
    for first, count in shares(B * H * -(-L // TALL), 1, _pieces(B * H * L * k.shape[2] * (E + F))):
        fields |= {"FIRST": first, "COUNT": count, "ROOM": rooms.take(_room(dtype, E))}
        calls.append(_call(kernel, fields, FORWARD_FIELDS))
    return Launch(kernel.name, [calls], boxes, rooms)


def attention_grad(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None, past: np.ndarray | None,
    key: np.ndarray | None, rule: Rule, out: np.ndarray, lse: np.ndarray, dy: np.ndarray, dq: np.ndarray,
    dk: np.ndarray, dv: np.ndarray,
) -> Launch | str:  # fmt: skip
    """As ``attention``, and so the gradients."""
    unfit = _unfit(mask, lse, q, k, v, out, dy, dq, dk, dv)
    if unfit:
        return unfit
    fields, boxes = _fields(q, k, v, mask, past, key, rule, out, lse)
    fields |= _places("DY", dy) | _places("DQ", dq) | _places("DK", dk) | _places("DV", dv)
    rooms, dtype = Rooms(), FLOATS[q.dtype]
    kernel, calls = kernels.backward_kernel(dtype), []
    B, H, L, E = q.shape
    F, S = v.shape[3], k.shape[2]
    threads = _pieces(3 * B * H * L * S * (E + F))
    for part in _parts(B * k.shape[1], L, S, threads):
        room = rooms.take(_room(dtype, E) + _room(dtype, F))
        calls.append(_call(kernel, fields | {"ROOM": room} | part, BACKWARD_FIELDS))
    return Launch(kernel.name, [calls], boxes, rooms)


def _parts(units: int, L: int, S: int, pieces: int) -> Iterator[Fields]:
    """What each call does: some heads; or, where there are fewer than threads, queries of one, or its keys."""
    whole = {"Q_FIRST": 0, "Q_END": L, "K_FIRST": 0, "K_END": S}
    if pieces == 1 or units >= get_num_threads():
        for first, count in shares(units, 1, pieces):
            yield whole | {"FIRST": first, "COUNT": count}
        return
    whole |= {"FIRST": 0, "COUNT": units}
    for i, rows in shares(L, TALL, pieces):
        yield whole | {"Q_FIRST": i, "Q_END": i + rows, "DK": 0, "DV": 0}
    for j, columns in shares(S, WIDE, pieces):
        yield whole | {"K_FIRST": j, "K_END": j + columns, "DQ": 0}


def _pieces(products: int) -> int:
    """Into how many calls so many multiplications are cut."""
    threads = get_num_threads()
    if threads < 2 or products < SHARED:
        return 1
    return threads if products < UNEVEN else 4 * threads


def _room(dtype: str, width: int) -> int:
    """Bytes of a block of keys transposed, whose last register may reach beyond it."""
    return (width + lanes(dtype)) * WIDE * np.dtype(dtype).itemsize


def _unfit(mask: np.ndarray | None, lse: np.ndarray, *arrays: np.ndarray) -> str | None:
    """Why no kernel takes these, if none does."""
    dtype, size = arrays[0].dtype, arrays[0].itemsize
    if dtype not in FLOATS or lse.dtype != dtype or any(a.dtype != dtype for a in arrays):
        return "arrays of several types, or of none that kernels take"
    if not all(a.size for a in arrays):
        return "an array is empty"
    if any(a.strides[3] != size and a.shape[3] > 1 for a in arrays) or not lse.flags.c_contiguous:
        return "a row does not lie in order"
    if mask is not None and (
        mask.dtype not in (dtype, np.bool_) or (mask.shape[3] > 1 and mask.strides[3] != mask.itemsize)
    ):
        return "a mask of another type, or whose rows do not lie in order"
    return None


def _places(name: str, x: np.ndarray) -> Fields:
    """An array's address and steps; axes that are repeated have none."""
    steps = (0 if n == 1 else step // x.itemsize for n, step in zip(x.shape, x.strides, strict=True))
    parts = ("_BATCH", "_HEAD", "_ROW", "_STEP")
    return {name: address(x)} | {f"{name}{part}": step for part, step in zip(parts, steps, strict=True)}


def _fields(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None, past: np.ndarray | None,
    key: np.ndarray | None, rule: Rule, out: np.ndarray, lse: np.ndarray,
) -> tuple[Fields, Any]:  # fmt: skip
    """The numbers of a block that all its calls share, and the boxes of those that are floats."""
    dtype, (_, H, L, E), (_, G, S, F) = FLOATS[q.dtype], q.shape, v.shape
    boxes = (ctypes.c_double * 3)(rule.scale, rule.dropout, rule.keep)
    at = ctypes.addressof(boxes)
    fields = {"HEADS": H, "GROUP": H // G, "QUERIES": L, "KEYS": S, "WIDTH": E, "VALUES": F, "LSE": address(lse)}
    fields |= {"SCALE": at, "DROPOUT": at + 8, "KEEP": at + 16, "CAUSAL": int(rule.causal)}
    fields |= {"OUTER": outer_kernel(dtype).address, "THIN": thin_kernel(dtype).address if L <= SMALL else 0}
    parts = ("turn", "shut", "soften", "weigh") + ("few",) * (L <= SMALL) + ("draw",) * (key is not None)
    fields |= {"FEW": 0, "DRAW": 0} | {name.upper(): part_kernel(name, dtype).address for name in parts}
    fields |= {"PAST": address_or_0(past), "KEY": address_or_0(key)}
    fields |= _places("Q", q) | _places("K", k) | _places("V", v) | _places("OUT", out)
    fields |= dict.fromkeys(("MASK", "MASK_BATCH", "MASK_HEAD", "MASK_ROW", "MASK_STEP", "MASK_KIND"), 0)
    if mask is not None:
        fields |= _places("MASK", mask)
        fields["MASK_KIND"] = BOOLEANS if mask.dtype == np.bool_ else NUMBERS
    return fields, boxes


def _call(kernel: Kernel, fields: Fields, order: tuple[str, ...]) -> Call:
    return new_call(kernel, [fields[name] for name in order])
