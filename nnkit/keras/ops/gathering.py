"""Elements by their places: take, scatter, slices; the best of each row, segments, bins, what is there once."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.keras.ops.elementwise import as_tensors
from nnkit.keras.ops.shaping import ravel, reshape
from nnkit.keras.ops.types import axes_of, convert_to_tensor, of_type, to_list
from nnkit.tensors import creation, dtypes
from nnkit.tensors.dtypes import get_default_dtype, is_float
from nnkit.tensors.tensor import Tensor


def _indices(x: Any) -> Tensor:
    """Whole numbers, int64."""
    x = convert_to_tensor(x)
    if is_float(x.dtype):
        raise ValueError(f"indices must be whole numbers; got {x.dtype}: cast them with ops.cast(x, 'int32')")
    return ops.to(x, dtype=dtypes.int64)


def _from_front(indices: Tensor, size: int) -> Tensor:
    """Indices below 0 count from the end."""
    return ops.where(indices < 0, indices + size, indices)


def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """Parts of x along an axis by their numbers; with None, elements of all in one row.

    >>> take([[1, 2], [3, 4]], [1, 0, 1], axis=1).tolist()
    [[2, 1, 2], [4, 3, 4]]
    """
    x, indices = convert_to_tensor(x), _indices(indices)
    x, axis = (ravel(x), 0) if axis is None else (x, axes_of(axis, x.ndim)[0])
    flat = _from_front(ravel(indices), x.shape[axis])
    if axis == 0:
        found = ops.take_rows(x, flat) if x.ndim == 2 and is_float(x.dtype) else ops.index_select(x, 0, flat)
    else:
        found = ops.index_select(x, axis, flat)
    return ops.reshape(found, (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """Of each row along an axis the elements at that row's indices."""
    x, indices = convert_to_tensor(x), _indices(indices)
    if axis is None:
        x, indices, axis = ravel(x), ravel(indices), 0
    axis = axes_of(axis, x.ndim)[0]
    return ops.take_along_dim(x, _from_front(indices, x.shape[axis]), axis)


def get_item(x: Any, key: Any) -> Tensor:
    """``x[key]``."""
    return convert_to_tensor(x)[key]


def _flat_places(indices: Tensor, shape: Sequence[int]) -> Tensor:
    """Rows of indices, one for each of the first axes, as numbers in the order of the elements."""
    strides = [math.prod(shape[k + 1 : indices.shape[-1]]) for k in range(indices.shape[-1])]
    parts = [_from_front(indices[..., k], shape[k]) * stride for k, stride in enumerate(strides)]
    found = parts[0]
    for part in parts[1:]:
        found = found + part
    return ravel(found)


def scatter(indices: Any, values: Any, shape: Any) -> Tensor:
    """Zeros, with values added at these places: indices (..., k), values (..., *shape[k:]).

    >>> scatter([[0], [2], [0]], [1, 2, 3], (4,)).tolist()
    [4, 0, 2, 0]
    """
    values, sizes = convert_to_tensor(values), [int(n) for n in to_list(shape)]
    zeros = creation.zeros(*sizes, dtype=values.dtype, device=values.device)
    return scatter_update(zeros, indices, values, "add")


REDUCTIONS = {None: "", "add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def scatter_update(inputs: Any, indices: Any, updates: Any, reduction: str | None = None) -> Tensor:
    """inputs with updates at these places: indices (..., k), updates (..., *inputs.shape[k:]).

    ``reduction``: None replaces, "add", "mul", "max" and "min" combine with what is there.

    >>> scatter_update([1, 2, 3], [[0], [2]], [7, 8]).tolist()
    [7, 2, 8]
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"scatter_update: reduction must be None, 'add', 'mul', 'max' or 'min'; got {reduction!r}")
    x, places = convert_to_tensor(inputs), _indices(indices)
    updates = convert_to_tensor(updates, x.dtype)
    depth = places.shape[-1]
    rows = ops.reshape(x, (math.prod(x.shape[:depth]), math.prod(x.shape[depth:])))
    flat = _flat_places(places, x.shape)
    new = ops.reshape(updates, (flat.shape[0], rows.shape[1]))
    if reduction is None:
        found = ops.index_copy(rows, 0, flat, new)
    elif reduction == "add":
        found = ops.index_add(rows, 0, flat, new)
    else:
        index = ops.broadcast_to(ops.unsqueeze(flat, 1), new.shape)
        found = ops.scatter_reduce(rows, 0, index, new, REDUCTIONS[reduction])
    return ops.reshape(found, x.shape)


def _starts(start_indices: Any, shape: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """Where a window begins along each axis: it stays inside."""
    starts = [int(n) for n in to_list(start_indices)]
    return [builtins.max(builtins.min(s, n - size), 0) for s, n, size in zip(starts, shape, sizes, strict=True)]


def slice(inputs: Any, start_indices: Any, shape: Any) -> Tensor:
    """The part of this shape that begins at these indices.

    >>> slice([[1, 2, 3], [4, 5, 6]], (0, 1), (2, 2)).tolist()
    [[2, 3], [5, 6]]
    """
    x, sizes = convert_to_tensor(inputs), [int(n) for n in to_list(shape)]
    starts = [int(n) for n in to_list(start_indices)]
    sizes = [n - start if size == -1 else size for n, start, size in zip(x.shape, starts, sizes, strict=True)]
    starts = _starts(starts, x.shape, sizes)
    return x[tuple(builtins.slice(start, start + size) for start, size in zip(starts, sizes, strict=True))]


def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Tensor:
    """inputs, with updates in the place of the part that begins at these indices.

    >>> slice_update([1, 2, 3, 4], (1,), [8, 9]).tolist()
    [1, 8, 9, 4]
    """
    x = convert_to_tensor(inputs)
    updates = convert_to_tensor(updates, x.dtype)
    starts = _starts(start_indices, x.shape, updates.shape)
    found = ops.clone(x)
    found[tuple(builtins.slice(s, s + size) for s, size in zip(starts, updates.shape, strict=True))] = updates
    return found


# ---- the best of each row -------------------------------------------------------------------------------------------


def top_k(x: Any, k: int, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """The k greatest along the last axis, the greatest first, and their places as int32.

    >>> values, places = top_k([5, 2, 7, 1, 9, 3], 3)
    >>> values.tolist(), places.tolist()
    ([9, 7, 5], [4, 2, 0])
    """
    values, places = ops.topk(convert_to_tensor(x), k, -1)
    return values, ops.to(places, dtype=dtypes.int32)


def in_top_k(targets: Any, predictions: Any, k: int) -> Tensor:
    """Whether fewer than k predictions of a row are greater than that of its target: (n,) and (n, classes) -> (n,)."""
    predictions, targets = convert_to_tensor(predictions), _indices(targets)
    own = ops.take_along_dim(predictions, ops.unsqueeze(targets, -1), -1)
    above = ops.sum(ops.to(predictions > own, dtype=dtypes.int32), -1)
    return ops.logical_and(above < k, ops.isfinite(ops.reshape(own, targets.shape)))


def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> Tensor:
    """Where values would go into a sequence in order: before equal ones, or behind them with side="right"; int32."""
    if side not in ("left", "right"):
        raise ValueError(f"searchsorted: side must be 'left' or 'right'; got {side!r}")
    row, values = as_tensors(sorted_sequence, values)
    if row.ndim != 1:
        raise ValueError(f"searchsorted: sorted_sequence must have one axis; got shape {tuple(row.shape)}")
    return ops.to(ops.searchsorted(row, values, side=side), dtype=dtypes.int32)


def digitize(x: Any, bins: Any) -> Tensor:
    """The number of the bin that each element is in: how many of the edges are not above it; int32."""
    x, edges = as_tensors(x, bins)
    return ops.to(ops.searchsorted(edges, x, right=True), dtype=dtypes.int32)


# ---- segments and counts --------------------------------------------------------------------------------------------


def _segments(data: Any, segment_ids: Any, num_segments: int | None, reduce: str, start: Any) -> Tensor:
    x, ids = convert_to_tensor(data), _indices(segment_ids)
    if ids.ndim != 1:
        raise ValueError(f"segment_ids must have one axis; got shape {tuple(ids.shape)}")
    count = int(ops.max(ids).item()) + 1 if num_segments is None else int(num_segments)
    rows = ops.reshape(x, (x.shape[0], math.prod(x.shape[1:])))
    # Numbers that are none of a segment go to one more, which is left out.
    ids = ops.where(ops.logical_or(ids < 0, ids >= count), count, ids)
    begin = ops.to(convert_to_tensor(start), dtype=x.dtype)
    empty = ops.clone(ops.broadcast_to(begin, (count + 1, rows.shape[1])))
    if reduce == "sum":
        found = ops.index_add(empty, 0, ids, rows)
    else:
        found = ops.scatter_reduce(empty, 0, ops.broadcast_to(ops.unsqueeze(ids, 1), rows.shape), rows, reduce)
    return ops.reshape(found[:count], (count, *x.shape[1:]))


def segment_sum(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Tensor:
    """The sum of the rows of each segment: data (n, ...), segment_ids (n,) -> (num_segments, ...).

    >>> segment_sum([1, 2, 3], [0, 0, 2], 3).tolist()
    [3, 0, 3]
    """
    return _segments(data, segment_ids, num_segments, "sum", 0)


def segment_prod(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Tensor:
    """The product of the rows of each segment; 1 of none."""
    return _segments(data, segment_ids, num_segments, "prod", 1)


def _ends(data: Any) -> tuple[Any, Any]:
    x = convert_to_tensor(data)
    if is_float(x.dtype):
        return -math.inf, math.inf
    found = np.iinfo(x.dtype)
    return found.min, found.max


def segment_max(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Tensor:
    """The greatest of the rows of each segment; the least number there is, of none."""
    return _segments(data, segment_ids, num_segments, "amax", _ends(data)[0])


def segment_min(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Tensor:
    """The least of the rows of each segment; the greatest number there is, of none."""
    return _segments(data, segment_ids, num_segments, "amin", _ends(data)[1])


def bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Tensor:
    """How often each whole number is there, or the sum of its weights: of (n,), or of each row of (b, n); int32.

    >>> bincount([1, 2, 2]).tolist()
    [0, 1, 2]
    """
    if sparse:
        raise ValueError("bincount: nnkit has no sparse tensors; leave sparse out")
    x = _indices(x)
    length = builtins.max(int(ops.max(x).item()) + 1 if x.numel() else 0, minlength or 0)
    rows = x if x.ndim == 2 else ops.reshape(x, (1, -1))
    counted = creation.ones(*rows.shape, dtype=dtypes.int32) if weights is None else convert_to_tensor(weights)
    counted = ops.to(counted, dtype=dtypes.int32) if counted.dtype == dtypes.bool_ else counted
    empty = creation.zeros(rows.shape[0], length, dtype=counted.dtype, device=x.device)
    found = ops.scatter_add(empty, 1, rows, ops.reshape(counted, rows.shape))
    return found if x.ndim == 2 else ops.reshape(found, (length,))


def histogram(x: Any, bins: int = 10, range: Any = None) -> tuple[Tensor, Tensor]:
    """How many elements are in each of ``bins`` bins of equal width over a range, and the bins' edges."""
    if not isinstance(bins, int) or bins < 1:
        raise ValueError(f"histogram: bins must be a whole number of at least 1; got {bins!r}")
    if range is not None and (len(range) != 2 or range[0] > range[1]):
        raise ValueError(f"histogram: range must be a pair, the lesser first; got {range!r}")
    x = convert_to_tensor(x)
    kind = x.dtype if is_float(x.dtype) else get_default_dtype()
    found, edges = np.histogram(np.asarray(x.detach().cpu()), bins, range or None)
    return creation.tensor(found, dtype=kind), creation.tensor(edges, dtype=kind)


def unique(
    x: Any, sorted: bool = True, return_index: bool = False, return_inverse: bool = False,
    return_counts: bool = False, axis: int | None = None, size: int | None = None, fill_value: Any = None,
) -> Any:  # fmt: skip
    """What is there, once each and in order; and where it was first, which each is, how often each is, as int32.

    ``size`` cuts, or fills up with ``fill_value`` (the least there is where None).
    """
    x = convert_to_tensor(x)
    host = np.asarray(x.detach().cpu())
    parts = list(np.unique(host, True, True, True, axis=axis))
    parts[2] = parts[2].reshape(host.shape if axis is None else -1)
    if size is not None:
        parts = _of_size(parts, size, fill_value, axis or 0)
    asked = (True, return_index, return_inverse, return_counts)
    found = [creation.tensor(part if k == 0 else part.astype(np.int32)) for k, part in enumerate(parts) if asked[k]]
    return found[0] if len(found) == 1 else tuple(found)


def _of_size(parts: list[np.ndarray], size: int, fill_value: Any, axis: int) -> list[np.ndarray]:
    values, index, inverse, counts = parts
    kept = np.take(values, np.arange(builtins.min(size, values.shape[axis])), axis)
    missing = size - kept.shape[axis]
    filling = np.take(values, [0] * missing, axis) if fill_value is None else None
    if filling is None:
        shape = [missing if k == axis else n for k, n in enumerate(values.shape)]
        filling = np.full(shape, fill_value, values.dtype)
    values = np.concatenate([kept, filling], axis)
    index = np.concatenate([index[:size], np.full(missing, index[0])])
    return [values, index, inverse, np.concatenate([counts[:size], np.zeros(missing, counts.dtype)])]


def unravel_index(indices: Any, shape: Any) -> tuple[Tensor, ...]:
    """Numbers in the order of the elements as indices along each axis of a shape."""
    x, sizes = convert_to_tensor(indices), [int(n) for n in to_list(shape)]
    rest = ops.where(x < 0, x + math.prod(sizes), x)
    found = []
    for n in reversed(sizes):
        found.append(ops.to(ops.remainder(rest, n), dtype=x.dtype))
        rest = ops.floor_divide(rest, n)
    return tuple(reversed(found))


# ---- classes as vectors ---------------------------------------------------------------------------------------------


def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Tensor:
    """1 at the place of each class, else 0; of a number that is no class, zeros.

    >>> one_hot([0, 2], 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if sparse:
        raise ValueError("one_hot: nnkit has no sparse tensors; leave sparse out")
    x = convert_to_tensor(x)
    axis = axes_of(axis, x.ndim + 1)[0]
    classes = creation.arange(num_classes, dtype=x.dtype, device=x.device)
    shape = [num_classes if k == axis else 1 for k in builtins.range(x.ndim + 1)]
    return ops.to(ops.eq(ops.unsqueeze(x, axis), reshape(classes, shape)), dtype=of_type(dtype))


def multi_hot(
    inputs: Any, num_classes: int | None = None, axis: int = -1, dtype: Any = None, sparse: bool = False,
    num_tokens: int | None = None,
) -> Tensor:  # fmt: skip
    """1 at the places of all classes of a sample: (n,) -> (num_classes,), (b, n) -> (b, num_classes).

    >>> multi_hot([0, 2], 4).tolist()
    [1.0, 0.0, 1.0, 0.0]
    """
    count = num_tokens if num_classes is None else num_classes
    if count is None:
        raise ValueError("multi_hot: num_classes must be given")
    x = convert_to_tensor(inputs)
    return ops.amax(one_hot(ops.to(x, dtype=dtypes.int32), count, axis, dtype, sparse), 1 if x.ndim > 1 else 0)
