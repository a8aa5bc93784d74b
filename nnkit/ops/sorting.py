"""Elements by their order: sorted, ranked, counted, searched. PyTorch's names and rules; NaN is the greatest number."""

from __future__ import annotations

from typing import Any, NamedTuple

from nnkit.errors import DtypeError, ShapeError
from nnkit.ops import shape
from nnkit.ops.choice import where
from nnkit.ops.elementary import isnan
from nnkit.ops.gathering import axis_of, gather, places_along
from nnkit.ops.indexing import getitem
from nnkit.ops.promotion import Number, as_operand
from nnkit.ops.reductions import Extreme
from nnkit.tensors import dtypes
from nnkit.tensors.creation import full, tensor
from nnkit.tensors.methods import op
from nnkit.tensors.results import same_backend
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

EVERY = slice(None)


class Sorted(NamedTuple):
    """The elements in order, and where each was."""

    values: Tensor
    indices: Tensor


def _order(x: Tensor, axis: int, descending: bool) -> tuple[Tensor, Tensor]:
    """The elements in order, off the tape, and where each was, int64."""
    backend, source = x.backend, x.detach()
    if source.dtype == dtypes.bool_:
        source = source.to(dtypes.uint8)
    values, places = backend.empty(x.shape, source.dtype), backend.empty(x.shape, dtypes.int64)
    backend.sort(source.array, axis, descending, values, places)
    return Tensor(values, backend).to(x.dtype), Tensor(places, backend)


@op
def sort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = True) -> Sorted:
    """The elements along an axis in order, and where each was; equal ones stay in order, whatever ``stable`` says.

    >>> from nnkit import tensor
    >>> sort(tensor([3.0, 1.0, 2.0])).indices
    tensor([1, 2, 0])
    """
    if isinstance(dim, bool):  # sort(x, descending), as PyTorch does not have it, would pass for an axis
        raise TypeError("sort: dim must be a whole number; write descending=True")
    axis = axis_of(input, dim, "sort")
    if input.ndim == 0:
        return Sorted(shape.clone(input), full((), 0, dtypes.int64, input.device))
    values, places = _order(input, axis, descending)
    return Sorted(gather(input, axis, places, checked=True) if input.requires_grad else values, places)


@op
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Where each of the sorted elements was, int64: see ``sort``."""
    return sort(input.detach(), dim, descending, stable=stable).indices


@op
def msort(input: Tensor) -> Tensor:
    """The elements along the first axis in order.

    A Tensor of any shape and dtype; the result has both. Raises TypeError for what is no Tensor. As ``torch.msort``.
    """
    return sort(input, 0).values


@op
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Sorted:
    """The k greatest (or least) elements along an axis, in order, and where they are; of equal ones the first.

    Raises ShapeError for more than there are.

    >>> from nnkit import tensor
    >>> topk(tensor([3.0, 1.0, 2.0]), 2)
    Sorted(values=tensor([3., 2.]), indices=tensor([0, 2]))
    """
    axis = axis_of(input, dim, "topk")
    size = input.shape[axis] if input.ndim else 1
    if not 0 <= k <= size:
        raise ShapeError(f"k: expected 0 to {size}, the size of dim {dim}, got {k}")
    whole = sort(input, dim, descending=largest)
    if input.ndim == 0:
        return whole
    first = (*(EVERY,) * axis, slice(0, k))
    indices = shape.clone(getitem(whole.indices, first))
    return Sorted(gather(input, axis, indices, checked=True), indices)


def _at(x: Tensor, axis: int, rank: Any, keepdim: bool) -> Extreme:
    """The element of a rank in ascending order, and where it is; rank is a number or a tensor that keeps the axis."""
    _, places = _order(x, axis, False)
    shorter = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    rank = rank if isinstance(rank, Tensor) else full(shorter, rank, dtypes.int64, x.device)
    found = gather(places, axis, rank, checked=True)
    values = gather(x, axis, found, checked=True)
    if keepdim:
        return Extreme(values, found)
    return Extreme(shape.squeeze(values, axis), shape.squeeze(found, axis))


def _ranked(x: Tensor, name: str, dim: int) -> int:
    axis = axis_of(x, dim, name)
    if x.shape[axis] == 0:
        raise ShapeError(f"{name}: expected at least one element along dim {dim}, got shape {x.shape}")
    return axis


@op
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Extreme:
    """The k-th least element along an axis, from 1 on, and where it is.

    Raises ShapeError for no such element.
    """
    if input.ndim == 0:
        return Extreme(shape.clone(input), full((), 0, dtypes.int64, input.device))
    axis = _ranked(input, "kthvalue", dim)
    if not 1 <= k <= input.shape[axis]:
        raise ShapeError(f"k: expected 1 to {input.shape[axis]}, the size of dim {dim}, got {k}")
    return _at(input, axis, k - 1, keepdim)


def _missing(x: Tensor, axis: int) -> Tensor:
    """How many elements along an axis are NaN; the axis stays."""
    return isnan(x.detach()).sum(axis, keepdim=True)


def _median(x: Tensor, name: str, dim: int | None, keepdim: bool, without_nan: bool) -> Any:
    if dim is None:
        if x.numel() == 0:
            return full((), float("nan"), x.dtype, x.device)
        return _shared(x, _median(shape.reshape(x.detach(), (-1,)), name, 0, False, without_nan).values)
    if x.ndim == 0:
        return Extreme(shape.clone(x), full((), 0, dtypes.int64, x.device))
    axis = _ranked(x, name, dim)
    size, missing = x.shape[axis], _missing(x, axis)
    if without_nan:
        rank = ((size - missing - 1) // 2).clamp(min=0)
    else:
        rank = where(missing > 0, size - 1, (size - 1) // 2)
    return _at(x, axis, rank, keepdim)


def _shared(x: Tensor, value: Tensor) -> Tensor:
    """One of the elements of x, whose equals share the gradient."""
    if not x.requires_grad:
        return value
    with no_grad():
        equal = (x == value) | (isnan(x) & isnan(value))
        share = equal.to(x.dtype) / equal.sum()
    return value + ((x - x.detach()).nan_to_num(0.0, 0.0, 0.0) * share).sum()


@op
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element in order, the lower of two; along ``dim``, a pair (values, indices).

    NaN where one is NaN.

    >>> from nnkit import tensor
    >>> median(tensor([5.0, 1.0, 4.0, 2.0]))
    tensor(2.)
    """
    return _median(input, "median", dim, keepdim, False)


@op
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """``median`` of the elements that are not NaN."""
    return _median(input, "nanmedian", dim, keepdim, True)


@op
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Extreme:
    """The most frequent element along an axis, the least of several, and the last place where it is."""
    if input.ndim == 0:
        return Extreme(shape.clone(input), full((), 0, dtypes.int64, input.device))
    axis = _ranked(input, "mode", dim)
    last = shape.transpose(input.detach(), axis, -1)
    equal = shape.unsqueeze(last, -1) == shape.unsqueeze(last, -2)
    counts = equal.sum(-1)
    top = counts == counts.amax(-1, keepdim=True)
    ordered, places = _order(shape.contiguous(last), last.ndim - 1, False)
    first = gather(top, -1, places, checked=True).to(dtypes.uint8).argmax(-1, keepdim=True)
    value = gather(ordered, -1, first, checked=True)
    spot = where(last == value, places_along(last, last.ndim - 1), -1).amax(-1, keepdim=True)
    spot = shape.contiguous(shape.transpose(spot, axis, -1))
    values = gather(input, axis, spot, checked=True)
    if keepdim:
        return Extreme(values, spot)
    return Extreme(shape.squeeze(values, axis), shape.squeeze(spot, axis))


# ---- quantiles ------------------------------------------------------------------------------------------------------

INTERPOLATIONS = ("linear", "lower", "higher", "nearest", "midpoint")


@op
def quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """The number below which a share q of the elements lies, between the two nearest; NaN where one is NaN.

    q is a number or a vector, which makes a first axis of the result. Raises ShapeError for q outside of 0 to 1.

    >>> from nnkit import tensor
    >>> quantile(tensor([0.0, 1.0, 2.0, 3.0]), 0.5)
    tensor(1.5)
    """
    return _quantile(input, q, dim, keepdim, interpolation, False)


@op
def nanquantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """``quantile`` of the elements that are not NaN."""
    return _quantile(input, q, dim, keepdim, interpolation, True)


def _quantile(input: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str, without_nan: bool) -> Tensor:
    if interpolation not in INTERPOLATIONS:
        raise ShapeError(f"interpolation: expected one of {', '.join(INTERPOLATIONS)}, got {interpolation!r}")
    if not input.is_floating_point():
        raise DtypeError(f"quantile: expected a float tensor, got {input.dtype}; convert it with .float()")
    if isinstance(q, Number) and not 0 <= float(q) <= 1:
        raise ShapeError(f"q: expected 0 to 1, got {q}")
    if input.numel() == 0:
        raise ShapeError(f"quantile: expected at least one element, got shape {input.shape}")
    shares = tensor(q, dtype=input.dtype, device=input.device) if isinstance(q, Number) else q
    flat = shape.reshape(input, (-1,)) if dim is None else input
    axis = axis_of(flat, 0 if dim is None else dim, "quantile")
    x = shape.transpose(flat, axis, -1) if flat.ndim else shape.reshape(flat, (1,))
    found = _interpolated(x, shape.reshape(shares.detach(), (-1,)), interpolation, without_nan)  # (..., shares)
    kept = shape.unsqueeze(shape.permute(found, (found.ndim - 1, *range(found.ndim - 1))), -1)
    if flat.ndim:
        kept = shape.transpose(kept, axis + 1, -1)
    if dim is None:
        kept = shape.reshape(kept, (kept.shape[0], *(1,) * input.ndim))
    if not keepdim:
        kept = shape.reshape(kept, (kept.shape[0],)) if dim is None else shape.squeeze(kept, axis + 1)
    return kept if shares.ndim else shape.reshape(kept, kept.shape[1:])


def _interpolated(x: Tensor, shares: Tensor, interpolation: str, without_nan: bool) -> Tensor:
    """For the last axis of x, the values at so many shares."""
    size, last = x.shape[-1], x.ndim - 1
    missing = _missing(x, last).to(x.dtype)
    rank = shares * ((size - 1 - missing).clamp(min=0) if without_nan else shares.new_tensor(float(size - 1)))
    if not without_nan:
        rank = where(missing > 0, float(size - 1), rank)
    rank = shape.expand(rank, (*x.shape[:-1], shares.numel()))
    rank = {"lower": rank.floor, "higher": rank.ceil, "nearest": rank.round}.get(interpolation, lambda: rank)()
    ordered = sort(x, -1).values
    below = rank.floor().long()
    low = gather(ordered, -1, below, checked=True)
    if interpolation in ("lower", "higher", "nearest"):
        return low
    high = gather(ordered, -1, rank.ceil().long(), checked=True)
    weight = rank - rank.floor() if interpolation == "linear" else shares.new_full((), 0.5)
    return where(low == high, low, low + (high - low) * weight)


# ---- places among sorted numbers ------------------------------------------------------------------------------------


def _searched(edges: Tensor, input: Any, out_int32: bool, right: bool) -> Tensor:
    x = as_operand(input, edges.device, "searchsorted")
    x = x if isinstance(x, Tensor) else tensor(x, device=edges.device)
    backend = same_backend("searchsorted", edges, x)
    common = dtypes.promote(edges.dtype, x.dtype)
    edges, x = shape.contiguous(edges.detach().to(common)), shape.contiguous(x.detach().to(common))
    out = backend.empty(x.shape, dtypes.int64)
    if x.numel():
        backend.search(edges.array, x.array, right, out)
    return Tensor(out, backend).to(dtypes.int32) if out_int32 else Tensor(out, backend)


@op
def searchsorted(
    sorted_sequence: Tensor, input: Any, *, out_int32: bool = False, right: bool = False, side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Where each of input would stand in a sequence that ascends along the last axis: int64 in input's shape.

    Before equal elements, or behind them where ``right`` (or side is "right"). The sequence is a vector, or has input's
    other axes. ``sorter`` is the order of a sequence that is not sorted.

    >>> from nnkit import tensor
    >>> searchsorted(tensor([1, 3, 5]), tensor([0, 3, 9]))
    tensor([0, 1, 3])
    """
    if side not in (None, "left", "right") or (side == "left" and right):
        raise ShapeError(f"side: expected 'left' or 'right', not against right, got {side!r}")
    edges = sorted_sequence if sorter is None else gather(sorted_sequence, -1, sorter)
    if edges.ndim != 1 and (not isinstance(input, Tensor) or edges.shape[:-1] != input.shape[:-1]):
        raise ShapeError(
            f"searchsorted: expected a sequence of one axis, or of the axes of input, got shape {edges.shape}"
        )
    return _searched(edges, input, out_int32, right or side == "right")


@op
def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """The number of the bucket between ascending boundaries in which each element lies, int64."""
    if boundaries.ndim != 1:
        raise ShapeError(f"boundaries: expected one axis, got shape {boundaries.shape}")
    return _searched(boundaries, input, out_int32, right)
