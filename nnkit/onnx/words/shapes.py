"""Operators on shapes, parts and places."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.nn import functional as F
from nnkit.onnx.call import Call
from nnkit.onnx.reading import LIMIT
from nnkit.tensors.tensor import Tensor


def _shape(call: Call) -> Any:
    sizes = tuple(call.given(0).shape)
    start, end = int(call.get("start", 0)), call.get("end")
    return np.array(sizes[start:] if end is None else sizes[start : int(end)], np.int64)


def _reshape(call: Call) -> Any:
    x, target = call.tensor(0), call.integers(1) or []
    if not call.get("allowzero", 0):
        if any(n == 0 and place >= x.ndim for place, n in enumerate(target)):
            raise call.wrong(f"reshapes {x.shape} to {tuple(target)}, whose 0 stands for no axis")
        target = [x.shape[place] if n == 0 else n for place, n in enumerate(target)]
    return ops.reshape(x, target)


def _flatten(call: Call) -> Any:
    x, axis = call.tensor(0), int(call.get("axis", 1))
    axis = axis + x.ndim if axis < 0 else axis
    return ops.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


def _transpose(call: Call) -> Any:
    x = call.tensor(0)
    return ops.permute(x, call.get("perm") or tuple(reversed(range(x.ndim))))


def _squeeze(call: Call) -> Any:
    x, axes = call.tensor(0), call.integers(1)
    if axes is None:
        return ops.squeeze(x)
    if any(x.shape[axis] != 1 for axis in axes):
        raise call.wrong(f"squeezes the axes {axes} of {x.shape}")
    return ops.squeeze(x, tuple(axes))


def _unsqueeze(call: Call) -> Any:
    x, axes = call.tensor(0), call.integers(1) or []
    rank = x.ndim + len(axes)
    for axis in sorted(a % rank for a in axes):
        x = ops.unsqueeze(x, axis)
    return x


def _expand(call: Call) -> Any:
    x, target = call.tensor(0), call.integers(1) or []
    shape = np.broadcast_shapes(x.shape, tuple(target))
    call.room(shape)
    return ops.expand(x, shape)


def _concat(call: Call) -> Any:
    parts = call.tensors()
    call.room([sum(math.prod(part.shape) for part in parts)])
    return ops.cat(parts, int(call.get("axis")))


def _split(call: Call) -> Any:
    x, axis, sizes = call.tensor(0), int(call.get("axis", 0)), call.integers(1)
    if sizes is None:
        count = int(call.get("num_outputs", call.outputs))
        each = -(-x.shape[axis] // count)
        sizes = [min(each, max(x.shape[axis] - each * i, 0)) for i in range(count)]
    return list(ops.split(x, sizes, axis))


def _slice(call: Call) -> Any:
    x, starts, ends = call.tensor(0), call.integers(1) or [], call.integers(2) or []
    axes, steps = call.integers(3), call.integers(4)
    axes = list(range(len(starts))) if axes is None else axes
    items: list[Any] = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps or [1] * len(starts), strict=True):
        if step == 0:
            raise call.wrong("has a step of 0")
        first, stop, _ = slice(start, end, step).indices(x.shape[axis])
        items[axis] = slice(first, None if stop < 0 else stop, step) if x.shape[axis] else slice(None)
    return x[tuple(items)]


def _places(call: Call, place: int) -> Any:
    """Whole numbers, of which negative ones count from the end."""
    return call.tensor(place)


def _gather(call: Call) -> Any:
    x, places, axis = call.tensor(0), call.tensor(1), int(call.get("axis", 0))
    axis = axis + x.ndim if axis < 0 else axis
    if axis == 0:
        return ops.take_rows(x, places)
    first = ops.movedim(x, axis, 0)
    found = ops.take_rows(first, places)
    lead = list(range(places.ndim, places.ndim + axis))
    order = [*lead, *range(places.ndim), *range(places.ndim + axis, found.ndim)]
    return ops.permute(found, order)


def _gather_elements(call: Call) -> Any:
    x, places, axis = call.tensor(0), call.tensor(1).long(), int(call.get("axis", 0))
    return ops.gather(x, axis, ops.where(places < 0, places + x.shape[axis], places))


def _gather_nd(call: Call) -> Any:
    if call.get("batch_dims", 0):
        raise call.wrong("has batch_dims, which nnkit.onnx does not know")
    x, places = call.tensor(0), call.tensor(1).long()
    rows = _flat_rows(places, x.shape)
    deep = places.shape[-1]
    flat = ops.reshape(x, (math.prod(x.shape[:deep]), *x.shape[deep:]))
    return ops.take_rows(flat, rows)


def _flat_rows(places: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """The number of the row that each last axis of ``places`` names."""
    total: Any = 0
    for column in range(places.shape[-1]):
        one = places[..., column]
        one = ops.where(one < 0, one + sizes[column], one)
        total = total * sizes[column] + one
    return total


def _scatter_elements(call: Call) -> Any:
    x, places, new = call.tensor(0), call.tensor(1).long(), call.tensor(2)
    axis, kind = int(call.get("axis", 0)), call.get("reduction", "none")
    places = ops.where(places < 0, places + x.shape[axis], places)
    if kind == "none":
        return ops.scatter(x, axis, places, new)
    if kind == "add":
        return ops.scatter_add(x, axis, places, new)
    return ops.scatter_reduce(x, axis, places, new, {"mul": "prod", "max": "amax", "min": "amin"}[kind])


def _scatter_nd(call: Call) -> Any:
    call.only("reduction", "none", "add")
    x, places, new = call.tensor(0), call.tensor(1).long(), call.tensor(2)
    deep = places.shape[-1]
    flat = ops.reshape(x, (math.prod(x.shape[:deep]), -1))
    rows = ops.reshape(_flat_rows(places, x.shape), (-1, 1))
    new = ops.reshape(new, (rows.shape[0], flat.shape[1]))
    rows = ops.expand(rows, new.shape)
    put = ops.scatter_add if call.get("reduction", "none") == "add" else ops.scatter
    return ops.reshape(put(flat, 0, rows, new), x.shape)


def _tile(call: Call) -> Any:
    x, times = call.tensor(0), call.integers(1) or []
    call.room([n * t for n, t in zip(x.shape, times, strict=True)])
    return ops.tile(x, tuple(times))


def _pad(call: Call) -> Any:
    x, pads = call.tensor(0), call.integers(1) or []
    axes = call.integers(3) or list(range(x.ndim))
    mode, number = call.get("mode", "constant"), call.host(2)
    half = len(axes)
    pairs = [(0, 0)] * x.ndim
    for place, axis in enumerate(axes):
        pairs[axis] = pads[place], pads[half + place]
    cut = tuple(slice(max(-b, 0), n - max(-e, 0)) for n, (b, e) in zip(x.shape, pairs, strict=True))
    x = x[cut] if any(b < 0 or e < 0 for b, e in pairs) else x
    pairs = [(max(b, 0), max(e, 0)) for b, e in pairs]
    call.room([n + b + e for n, (b, e) in zip(x.shape, pairs, strict=True)])
    if mode == "constant":
        return ops.pad_with(x, pairs, 0.0 if number is None else float(np.ravel(number)[0]))
    for axis, (before, behind) in enumerate(pairs):
        if before or behind:
            x = _padded(call, x, axis, before, behind, mode)
    return x


def _padded(call: Call, x: Tensor, axis: int, before: int, behind: int, mode: str) -> Tensor:
    """One axis, by the numbers of the places that its new ones repeat."""
    kinds: dict[str, Any] = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}
    if mode not in kinds:
        raise call.wrong(f"has mode={mode!r}; known are constant, {', '.join(kinds)}")
    numbers = np.pad(np.arange(x.shape[axis]), (before, behind), mode=kinds[mode])
    places = Tensor(call.backend.asarray(numbers.astype(np.int64)), call.backend)
    return ops.index_select(x, axis, places)


def _constant(call: Call) -> Any:
    for name, dtype in (("value_float", np.float32), ("value_int", np.int64)):
        if name in call.attributes:
            return np.array(call.attributes[name], dtype)
    for name, dtype in (("value_floats", np.float32), ("value_ints", np.int64)):
        if name in call.attributes:
            return np.array(call.attributes[name], dtype)
    for name in ("value_string", "value_strings"):
        if name in call.attributes:
            return np.array(call.attributes[name], object)
    return call.attributes["value"]


def _constant_of_shape(call: Call) -> Any:
    shape = tuple(call.integers(0) or [])
    call.room(shape)
    value = call.get("value", np.zeros(1, np.float32))
    return np.full(shape, value.ravel()[0], value.dtype)


def _range(call: Call) -> Any:
    start, limit, step = (call.numbers(place)[0] for place in range(3))
    if step == 0 or not (limit - start) / step <= LIMIT:
        raise call.wrong(f"counts from {start} to {limit} by {step}")
    return np.arange(start, limit, step, dtype=np.asarray(start).dtype)


def _one_hot(call: Call) -> Any:
    places, (depth,), values = call.tensor(0).long(), call.integers(1) or [0], call.tensor(2)
    axis = int(call.get("axis", -1))
    call.room([*places.shape, depth])
    places = ops.where(places < 0, places + depth, places)
    numbers = Tensor(call.backend.asarray(np.arange(depth)), call.backend)
    hot = ops.eq(ops.unsqueeze(places, -1), numbers)
    found = ops.where(hot, values[1], values[0])
    return found if axis in (-1, places.ndim) else ops.movedim(found, -1, axis)


def _trilu(call: Call) -> Any:
    (by,) = call.integers(1) or [0]
    return (ops.triu if call.get("upper", 1) else ops.tril)(call.tensor(0), by)


def _depth_to_space(call: Call) -> Any:
    call.only("mode", "CRD", "DCR")
    x, size = call.tensor(0), int(call.get("blocksize"))
    if call.get("mode", "DCR") == "CRD":
        return F.pixel_shuffle(x, size)
    B, C, H, W = x.shape
    parts = ops.reshape(x, (B, size, size, C // size**2, H, W))
    return ops.reshape(ops.permute(parts, (0, 3, 4, 1, 5, 2)), (B, C // size**2, H * size, W * size))


def _space_to_depth(call: Call) -> Any:
    x, size = call.tensor(0), int(call.get("blocksize"))
    B, C, H, W = x.shape
    parts = ops.reshape(x, (B, C, H // size, size, W // size, size))
    return ops.reshape(ops.permute(parts, (0, 3, 5, 1, 2, 4)), (B, C * size**2, H // size, W // size))


def _dropout(call: Call) -> Any:
    x = call.tensor(0)
    return [x, ops.isfinite(x) | True][: call.outputs] if call.outputs > 1 else x


WORDS: dict[str, Callable[[Call], Any]] = {
    "Shape": _shape, "Size": lambda call: np.array(math.prod(call.given(0).shape), np.int64), "Reshape": _reshape,
    "Flatten": _flatten, "Transpose": _transpose, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze, "Expand": _expand,
    "Concat": _concat, "Split": _split, "Slice": _slice, "Gather": _gather, "GatherElements": _gather_elements,
    "GatherND": _gather_nd, "ScatterElements": _scatter_elements, "ScatterND": _scatter_nd, "Tile": _tile, "Pad": _pad,
    "Constant": _constant, "ConstantOfShape": _constant_of_shape, "Range": _range, "OneHot": _one_hot,
    "Trilu": _trilu, "DepthToSpace": _depth_to_space, "SpaceToDepth": _space_to_depth, "Dropout": _dropout,
    "Identity": lambda call: call.given(0),
}  # fmt: skip
