"""Other shapes of the same elements, parts of tensors, rows by number, and what is written in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnkit.onnx.graph import INT64_MAX, INT64_MIN, Graph, Value
from nnkit.onnx.sizes import Dims, Ref, Size


def reshape(g: Graph, outs: list[Any], x: Any, shape: Any) -> Any:
    return g.reshape(g.value(x), outs[0].shape)


def permute(g: Graph, outs: list[Any], x: Any, dims: Any) -> Any:
    value = g.value(x)
    return g.transpose(value, [d % len(value.shape) for d in dims])


def expand(g: Graph, outs: list[Any], x: Any, shape: Any) -> Any:
    return g.expand(g.value(x), outs[0].shape)


def cat(g: Graph, outs: list[Any], tensors: Any, dim: int) -> Any:
    parts = [g.cast(g.value(t), outs[0].dtype) for t in tensors]
    return parts[0] if len(parts) == 1 else g.node("Concat", parts, axis=dim % len(outs[0].shape))


def same(g: Graph, outs: list[Any], x: Any) -> Any:
    return g.value(x)


def to(g: Graph, outs: list[Any], x: Any, device: Any, dtype: Any) -> Any:
    return g.cast(g.value(x), outs[0].dtype)


def copy(g: Graph, outs: list[Any], x: Any) -> Any:
    return g.expand(g.cast(g.value(x), outs[0].dtype), outs[0].shape)


# ---- parts ----------------------------------------------------------------------------------------------------------


def sliced(g: Graph, outs: list[Any], x: Any, items: Any) -> Any:
    return cut(g, g.value(x), items)


def cut(g: Graph, value: Value, items: Any) -> Value:
    """The part at whole numbers, slices, new axes and an ellipsis."""
    items = _spelled_out(items, len(value.shape))
    kept: list[Any] = []
    dropped, new, bounds, axis = [], [], [], 0
    for item in items:
        if item is None:
            new.append(len(kept))
            kept.append(1)
            continue
        size = value.shape[axis]
        if isinstance(item, slice):
            if (found := _bounds(item, size)) is not None:
                bounds.append((axis, *found))
            kept.append(None)
        else:
            bounds.append((axis, item, INT64_MAX if item == -1 else _plus(item, 1), 1))
            dropped.append(axis)
        axis += 1
    if bounds:
        columns = [g.integers(list(column)) for column in zip(*bounds, strict=True)]
        axes, starts, ends, steps = columns
        value = g.node("Slice", [value, starts, ends, axes, steps])
    if dropped:
        value = g.node("Squeeze", [value, g.integers(dropped)])
    return g.node("Unsqueeze", [value, g.integers(new)]) if new else value


def _items(index: Any) -> tuple[Any, ...]:
    """The parts of an index; a Ref and a Size, which are tuples too, are one."""
    return index if type(index) is tuple else (index,)


def _plus(size: Any, more: int) -> Any:
    return Size(size.factor, size.more + more) if isinstance(size, Size) else size + more


def _spelled_out(items: Any, ndim: int) -> list[Any]:
    named = len([item for item in items if item is not None and item is not Ellipsis])
    items = items if any(item is Ellipsis for item in items) else (*items, Ellipsis)
    spelled: list[Any] = []
    for item in items:
        spelled += [slice(None)] * (ndim - named) if item is Ellipsis else [item]
    return spelled


def _bounds(item: slice, size: Any) -> tuple[Any, Any, int] | None:
    """Start, end and step; None for all of an axis."""
    step = 1 if item.step is None else item.step
    if step > 0:
        start = 0 if item.start is None else item.start
        end = INT64_MAX if item.stop is None else item.stop
        whole = start == 0 and step == 1 and (end == INT64_MAX or end == size)
        return None if whole else (start, end, step)
    start = INT64_MAX if item.start is None else item.start
    return start, INT64_MIN if item.stop is None else item.stop, step


def getitem(g: Graph, outs: list[Any], x: Any, index: Any) -> Any:
    """Arrays of whole numbers among slices: one axis by Gather, the first axes together by GatherND."""
    items = _spelled_out(_items(index), len(x.shape))
    arrays = [place for place, item in enumerate(items) if isinstance(item, (Ref, list))]
    if any(isinstance(items[p], Ref) and items[p].dtype == np.bool_ for p in arrays):
        raise g.refuse("an index by a mask has as many elements as hold, which a file cannot shape: use nnkit.where")
    plain = tuple(slice(None) if place in arrays else item for place, item in enumerate(items))
    if any(item is None or isinstance(item, int) for item in items):
        raise g.refuse("an index of arrays beside whole numbers or new axes: write it as two, e.g. x[:, 0][rows]")
    value = cut(g, g.value(x), plain)._replace(shape=x.shape)
    places = [_places(g, items[place]) for place in arrays]
    if len(arrays) == 1:
        return g.node("Gather", [value, places[0]], axis=arrays[0])
    if arrays != list(range(len(arrays))):
        raise g.refuse("an index of several arrays that are not the first axes: permute the axes first")
    lead = outs[0].shape[: len(outs[0].shape) - (len(x.shape) - len(arrays))]
    columns = [g.reshape(g.expand(p, lead), (*lead, 1)) for p in places]
    return g.node("GatherND", [value, g.node("Concat", columns, axis=len(lead))])


def _places(g: Graph, item: Any) -> Value:
    return g.cast(g.value(item), np.int64) if isinstance(item, Ref) else g.constant(item, np.int64)


def take_rows(g: Graph, outs: list[Any], x: Any, indices: Any, checked: bool) -> Any:
    return g.node("Gather", [g.value(x), _places(g, indices)], axis=0)


def embedding(g: Graph, outs: list[Any], weight: Any, indices: Any, padding_idx: Any, checked: bool) -> Any:
    return g.node("Gather", [g.value(weight), g.cast(g.value(indices), np.int64)], axis=0)


def one_hot(g: Graph, outs: list[Any], tensor: Any, num_classes: int) -> Any:
    if num_classes < 0:
        raise g.refuse("one_hot takes one class more than the largest label, which no file can shape: give num_classes")
    value, classes = g.cast(g.value(tensor), np.int64), g.constant(np.arange(num_classes), np.int64)
    wide = g.reshape(value, (*tensor.shape, 1))
    return g.cast(g.node("Equal", [wide, classes], bool), np.int64)


def gather(g: Graph, outs: list[Any], x: Any, indices: Any, axis: int) -> Any:
    return g.node("GatherElements", [g.value(x), _places(g, indices)], axis=axis)


def scattered(g: Graph, outs: list[Any], name: str, kind: str, input: Any, axis: int, places: Any, src: Any) -> Any:
    values = [g.value(input), _places(g, places), g.value(src)]
    return g.node("ScatterElements", values, axis=axis, reduction="add" if kind == "add" else None)


def folded(g: Graph, outs: list[Any], x: Any, axis: int, places: Any, come: Any, reduce: str) -> Any:
    kind = {"prod": "mul", "amax": "max", "amin": "min"}[reduce]
    if g.opset < 18 and kind != "mul":
        raise g.refuse(f"scatter_reduce with {reduce!r} needs opset=18 or later")
    values = [g.value(x), _places(g, places), g.value(come)]
    return g.node("ScatterElements", values, axis=axis, reduction=kind)


# ---- in place -------------------------------------------------------------------------------------------------------


def setitem(g: Graph, outs: list[Any], x: Any, index: Any, value: Any) -> Any:
    """The elements before, the new ones, and those behind, along the one axis that the index cuts."""
    whole = g.value(x)
    items = _spelled_out(_items(index), len(whole.shape))
    if any(not isinstance(item, (int, slice)) for item in items):
        raise g.refuse("setting elements by an array, a mask or a new axis: use nnkit.where or scatter")
    cuts = [
        place for place, item in enumerate(items) if not isinstance(item, slice) or _bounds(item, whole.shape[place])
    ]
    new = g.cast(g.value(value) if isinstance(value, Ref) else g.constant(value, whole.dtype), whole.dtype)
    if not cuts:
        return g.expand(new, whole.shape)
    if len(cuts) > 1:
        raise g.refuse("setting a part that is cut along several axes: set it along one axis at a time")
    (axis,) = cuts
    item, size = items[axis], g.fixed(whole.shape[axis], "the axis along which a part is set")
    start, stop, step = (item % size, item % size + 1, 1) if isinstance(item, int) else item.indices(size)
    if step != 1:
        raise g.refuse("setting every other element: use nnkit.where")
    part: Dims = tuple(max(stop - start, 0) if i == axis else n for i, n in enumerate(whole.shape))
    without = tuple(n for i, n in enumerate(part) if i != axis)
    if isinstance(item, int):
        new = g.reshape(g.expand(new, without), part)
    else:
        new = g.expand(new, part)
    parts = [g.cut(whole, axis, 0, start)] if start else []
    parts += [new, *([g.cut(whole, axis, stop, INT64_MAX)] if stop < size else [])]
    return parts[0] if len(parts) == 1 else g.node("Concat", parts, axis=axis)


RULES: dict[str, Callable[..., Any]] = {
    "reshape": reshape, "permute": permute, "expand": expand, "cat": cat, "clone": same, "to": to,
    "primitive copy": copy, "slice": sliced, "getitem": getitem, "take_rows": take_rows, "embedding": embedding,
    "primitive gather": gather, "scattered": scattered, "folded_otherwise": folded, "setitem": setitem,
    "one_hot": one_hot,
}  # fmt: skip
