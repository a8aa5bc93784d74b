"""Other shapes of the same elements: reshaping, permuting, repeating, joining; other types and devices."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit.errors import ShapeError
from nnkit.ops.axes import axes_of
from nnkit.ops.mapped import sum_to, unbroadcast
from nnkit.tensors import dtypes
from nnkit.tensors.default_device import resolve
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import op
from nnkit.tensors.results import Asked, result, same_backend, view_result
from nnkit.tensors.tape import is_grad_enabled
from nnkit.tensors.tensor import Tensor


@op
def reshape(x: Tensor, shape: Sequence[int]) -> Tensor:
    """The same elements in row-major order; one size may be -1.

    A view, or where elements would have to move, a copy. Raises ShapeError when the counts differ.

    >>> import nnkit
    >>> reshape(nnkit.arange(6), (2, -1)).shape
    (2, 3)
    """
    target = tuple(operator.index(size) for size in shape)
    if target == x.shape:
        return x
    known = math.prod(size for size in target if size != -1)
    if target.count(-1) > 1 or any(size < -1 for size in target):
        raise ShapeError(f"reshape: expected sizes of 0 or more and at most one -1, got {target}")
    if -1 in target and known and x.numel() % known == 0:
        target = tuple(x.numel() // known if size == -1 else size for size in target)
    if -1 in target or math.prod(target) != x.numel():
        raise ShapeError(f"reshape: a tensor of shape {x.shape} has {x.numel()} elements, not those of {target}")
    part = x.backend.view(x.array, target)
    return _viewed(x, part, target) if part is not None else reshape(clone(x), target)


def _viewed(x: Tensor, part: Any, target: tuple[int, ...]) -> Tensor:
    backend, before = x.backend, x.shape

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        return (backend.reshape(dy, before),)

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor]:
        return (reshape(dy, before),)

    return view_result("reshape", part, x, pullback, lambda whole: reshape(whole, target), rule)


@op
def view(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Like ``reshape``, and surely in the same memory. Raises ShapeError where the elements would have to move.

    >>> import nnkit
    >>> x = nnkit.zeros(4); view(x, (2, 2))[0] = 1.0; x
    tensor([1., 1., 0., 0.])
    """
    out = reshape(x, shape)
    if out.version is not x.version:
        raise ShapeError(
            f"view: the elements of this tensor of shape {x.shape} do not lie in order, so that a view of shape "
            f"{tuple(shape)} cannot be had; use reshape, which copies them"
        )
    return out


@op
def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes from start_dim to end_dim as one."""
    if x.ndim == 0:
        return reshape(x, (1,))
    (start,), (end,) = axes_of(x, start_dim, "flatten"), axes_of(x, end_dim, "flatten")
    if start > end:
        raise ShapeError(f"flatten: expected start_dim before end_dim, got {start_dim} and {end_dim}")
    return reshape(x, (*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))


@op
def squeeze(x: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Without its axes of size 1, or without those of ``dim`` that have size 1."""
    axes = axes_of(x, dim, "squeeze")
    return reshape(x, tuple(size for i, size in enumerate(x.shape) if i not in axes or size != 1))


@op
def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """With a new axis of size 1 before axis ``dim``."""
    if not -x.ndim - 1 <= dim <= x.ndim:
        raise ShapeError(f"unsqueeze: dim {dim} is out of range for a tensor of shape {x.shape}")
    at = dim % (x.ndim + 1)
    return reshape(x, (*x.shape[:at], 1, *x.shape[at:]))


@op
def permute(x: Tensor, dims: Sequence[int]) -> Tensor:
    """The axes in another order; a view."""
    order = tuple(d + x.ndim if d < 0 else d for d in dims)
    if sorted(order) != list(range(x.ndim)):
        raise ShapeError(f"permute: expected each of {x.ndim} axes once, got {tuple(dims)}")
    undo = tuple(order.index(i) for i in range(x.ndim))
    backend = x.backend

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        return (backend.permute(dy, undo),)

    part = backend.permute(x.array, order)
    return view_result(
        "permute", part, x, pullback, lambda whole: permute(whole, order), lambda dy, asked: (permute(dy, undo),)
    )


@op
def transpose(x: Tensor, dim0: int = -2, dim1: int = -1) -> Tensor:
    """Two axes exchanged; a view."""
    (a,), (b,) = axes_of(x, dim0, "transpose"), axes_of(x, dim1, "transpose")
    order = list(range(x.ndim))
    order[a], order[b] = order[b], order[a]
    return permute(x, order)


@op
def expand(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Axes of size 1 and new leading axes repeated to ``shape``; -1 keeps a size; a view.

    A Tensor of any dtype, which the result has. Raises ShapeError where an axis of another size than 1 would change,
    and for fewer axes. Source: ``torch.Tensor.expand``.

    >>> import nnkit
    >>> expand(nnkit.tensor([[1], [2]]), (-1, 3))
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    lead = len(shape) - x.ndim
    sizes = [operator.index(size) for size in shape]
    target = tuple(x.shape[i - lead] if size == -1 and i >= lead else size for i, size in enumerate(sizes))
    fits = lead >= 0 and all(old in (1, new) for old, new in zip(x.shape, target[max(lead, 0) :], strict=False))
    if not fits or any(size < 0 for size in target):
        raise ShapeError(f"expand: a tensor of shape {x.shape} cannot be repeated to {tuple(shape)}")
    backend, before = x.backend, x.shape

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        return (unbroadcast(backend, dy, before),)

    part = backend.broadcast_to(x.array, target)
    return view_result(
        "expand", part, x, pullback, lambda whole: expand(whole, target), lambda dy, asked: (sum_to(dy, before),)
    )


@op
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors joined along an axis; their other sizes must be equal.

    >>> import nnkit
    >>> cat([nnkit.ones(1), nnkit.zeros(2)])
    tensor([1., 0., 0.])
    """
    tensors = _tensors("cat", tensors)
    if not tensors:
        raise ShapeError("cat: expected at least one tensor, got none")
    backend, first = same_backend("cat", *tensors), tensors[0]
    if first.ndim == 0:
        raise ShapeError("cat: expected tensors of at least one axis, got shape (); use stack")
    (axis,) = axes_of(first, dim, "cat")
    for number, t in enumerate(tensors):
        if t.ndim != first.ndim or _without(t.shape, axis) != _without(first.shape, axis):
            raise ShapeError(
                f"cat: tensors[{number}] has shape {t.shape}, which differs from {first.shape} outside dim {axis}"
            )
    dtype = first.dtype
    for t in tensors:
        dtype = dtypes.promote(dtype, t.dtype)
    sources = [t.to(dtype) for t in tensors]
    ends = np.cumsum([t.shape[axis] for t in sources]).tolist()
    parts = [
        (*(slice(None),) * axis, slice(end - t.shape[axis], end), Ellipsis)
        for t, end in zip(sources, ends, strict=True)
    ]
    out = backend.empty((*first.shape[:axis], ends[-1], *first.shape[axis + 1 :]), dtype)
    for t, part in zip(sources, parts, strict=True):
        backend.copy(t.array, out[part])

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> list[Any]:
        return [dy[part] if place is not None else None for part, place in zip(parts, into, strict=True)]

    def rule(dy: Tensor, asked: Asked) -> list[Tensor | None]:
        return [dy[part] if wanted else None for part, wanted in zip(parts, asked.wanted, strict=True)]

    return result("cat", out, backend, sources, pullback, (), rule)


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])


@op
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis."""
    tensors = _tensors("stack", tensors)
    if not tensors or any(t.shape != tensors[0].shape for t in tensors):
        got = " and ".join(str(t.shape) for t in tensors) or "none"
        raise ShapeError(f"stack: expected tensors of one shape, got {got}")
    return cat([unsqueeze(t, dim) for t in tensors], dim)


def _tensors(name: str, given: Sequence[Tensor]) -> list[Tensor]:
    """The tensors to be joined. Raises TypeError for what is none."""
    tensors = list(given)
    for number, one in enumerate(tensors):
        if not isinstance(one, Tensor):
            raise TypeError(
                f"{name}: tensors[{number}] must be a Tensor, got {type(one).__name__}: make it one with nnkit.tensor"
            )
    return tensors


@op
def split(x: Tensor, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of one size along an axis (the last may be smaller), or of the given sizes; views."""
    size = split_size
    (axis,) = axes_of(x, dim, "split")
    total = x.shape[axis]
    if isinstance(size, int) and size < 1:
        raise ShapeError(f"split: expected a size of 1 or more, got {size}")
    sizes = [min(size, total - at) for at in range(0, total, size)] if isinstance(size, int) else list(size)
    if sum(sizes) != total:
        raise ShapeError(f"split: sizes {tuple(sizes)} do not sum to {total}, the size of dim {axis}")
    if min(sizes, default=0) < 0:
        raise ShapeError(f"split: sizes {tuple(sizes)}: expected sizes of 0 or more")
    ends = np.cumsum(sizes).tolist()
    return tuple(x[(slice(None),) * axis + (slice(end - s, end),)] for s, end in zip(sizes, ends, strict=True))


@op
def clone(x: Tensor) -> Tensor:
    """A copy in memory of its own; the gradient passes."""
    out = x.backend.empty(x.shape, x.dtype)
    x.backend.copy(x.array, out)
    return result("clone", out, x.backend, (x,), lambda dy, into: (dy,), (), lambda dy, asked: (dy,))


@op
def contiguous(x: Tensor) -> Tensor:
    """With its elements in order in memory: the tensor itself where they are, else a copy."""
    return x if x.backend.is_contiguous(x.array) else clone(x)


@op
def to(x: Tensor, device: Any = None, dtype: Any = None) -> Tensor:
    """On another device and/or of another element type; x itself where nothing changes.

    The gradient goes back. x is of any shape. Raises DtypeError for an unknown type, ValueError for an unknown device.
    Source: ``torch.Tensor.to``.

    >>> import nnkit
    >>> to(nnkit.tensor([1, 2]), dtype="float32")
    tensor([1., 2.])
    """
    backend = x.backend if device is None else resolve(device)
    target = x.dtype if dtype is None else dtypes.as_dtype(dtype)
    source, before = x.backend, x.dtype
    if backend is source and target == before:
        return x
    if backend is source:
        out = backend.empty(x.shape, target)
        backend.copy(x.array, out)
    else:
        out = backend.asarray(source.to_numpy(x.array), target)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        if backend is not source:
            return (source.asarray(backend.to_numpy(dy), before),)
        dx = source.empty(tuple(dy.shape), before)
        source.copy(dy, dx)
        return (dx,)

    if not dtypes.is_float(target) or not is_grad_enabled():
        return Tensor(out, backend)
    return result("to", out, backend, (x,), pullback, (), lambda dy, asked: (to(dy, source.device, before),))
