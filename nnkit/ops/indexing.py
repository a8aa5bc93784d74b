"""Parts of tensors: slices, rows by number, any numpy index; and writing in place.

Slices and whole numbers give views. Whatever else numpy allows as an index is turned, on the host, into the
positions of the chosen elements, and those are gathered as rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit import dtypes
from nnkit.backends.recording import recorder
from nnkit.creation import tensor
from nnkit.errors import DtypeError, GradientError, ShapeError
from nnkit.methods import OPS, op
from nnkit.ops import shape
from nnkit.ops.choice import lt, where
from nnkit.ops.elementwise import operand
from nnkit.tape import Gradient, is_grad_enabled
from nnkit.tensor import Tensor, result, same_backend


def _is_basic(item: Any) -> bool:
    if isinstance(item, (Tensor, np.ndarray, list)):
        return False
    return item is None or item is Ellipsis or isinstance(item, (int, np.integer, slice))


@op
def getitem(x: Tensor, index: Any) -> Tensor:
    """The part of x at a numpy index. Raises IndexError when it is out of range.

    >>> import nnkit
    >>> getitem(nnkit.arange(5), slice(1, 3))
    tensor([1, 2])
    """
    items = index if isinstance(index, tuple) else (index,)
    if all(_is_basic(item) for item in items) and not any(isinstance(item, bool) for item in items):
        return _slice(x, items)
    if len(items) == 1 and isinstance(items[0], Tensor) and items[0].dtype.kind in "iu" and x.ndim:
        return take_rows(x, items[0])
    positions = _positions(x.shape, items)
    flat = shape.reshape(x, (-1,))
    return shape.reshape(take_rows(flat, tensor(positions.reshape(-1), device=x.device)), positions.shape)


def _slice(x: Tensor, items: tuple[Any, ...]) -> Tensor:
    backend = x.backend
    items = _standard(x.shape, items)
    try:
        part = x.array[items]
    except IndexError as error:
        raise IndexError(f"index {items[:-1]} does not fit a tensor of shape {x.shape}: {error}") from None
    part = part if hasattr(part, "__array_namespace__") or hasattr(part, "shape") else backend.asarray(part)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = backend.zeros(x.shape, x.dtype)
        backend.copy(dy, dx[items])
        return (dx,)

    return result("getitem", part, backend, (x,), pullback)


def _standard(sizes: tuple[int, ...], items: tuple[Any, ...]) -> tuple[Any, ...]:
    """A basic index as the array-API standard wants it: with an ellipsis, and no slice beyond the end."""
    if Ellipsis not in items:
        items = (*items, Ellipsis)
    named = len([item for item in items if item is not None and item is not Ellipsis])
    left, standard = list(sizes), []
    for item in items:
        if item is Ellipsis:
            left = left[max(len(left) - named, 0) :]
        elif item is not None:
            size = left.pop(0) if left else 0
            named -= 1
            item = _within(item, size) if isinstance(item, slice) else item
        standard.append(item)
    return tuple(standard)


def _within(part: slice, size: int) -> slice:
    if part.step is not None and part.step < 0:
        return part
    start, stop, step = part.indices(size)
    return slice(start, max(start, stop), step)


def _positions(sizes: tuple[int, ...], items: tuple[Any, ...]) -> np.ndarray:
    """The flat positions of the elements that a numpy index chooses."""
    host = tuple(item.detach().numpy() if isinstance(item, Tensor) else item for item in items)
    for item in host:
        if isinstance(item, np.ndarray) and item.dtype.kind not in "iub":
            raise DtypeError(f"index: expected integers or booleans, got {item.dtype}")
    return np.arange(math.prod(sizes), dtype=np.int64).reshape(sizes)[host]


@op
def take_rows(x: Tensor, indices: Tensor, checked: bool = False) -> Tensor:
    """x[indices] along the first axis: x (N, ...), indices of integers (any shape), result indices.shape + (...).

    Negative indices count from the end. Raises IndexError for one out of range, unless ``checked`` says that the
    caller knows them to lie from 0 to N - 1.

    >>> import nnkit
    >>> take_rows(nnkit.tensor([10.0, 20.0]), nnkit.tensor([1, 1, 0]))
    tensor([20., 20., 10.])
    """
    backend = same_backend("take_rows", x, indices)
    if not checked:
        indices = _checked(indices, x.shape[0])
    rows = shape.reshape(indices, (-1,)).array
    out = backend.empty((*indices.shape, *x.shape[1:]), x.dtype)
    flat = (math.prod(indices.shape), *x.shape[1:])
    backend.take_rows(x.array, rows, backend.reshape(out, flat))

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = backend.zeros(x.shape, x.dtype)
        backend.add_rows(backend.reshape(dy, flat), rows, dx)
        return (dx,)

    return result("take_rows", out, backend, (x,), pullback)


def take_batch(x: Tensor, order: Tensor, cursor: Tensor, rows: int) -> Tensor:
    """x[order[cursor : cursor + rows]], off the tape: x (N, ...), order int64, cursor int64 (1,), result (rows, ...).

    The cursor is read on the device. The caller knows that everything lies in range.
    """
    backend = same_backend("take_batch", x, order, cursor)
    out = backend.empty((rows, *x.shape[1:]), x.dtype)
    backend.take_batch(x.array, order.array, cursor.array, out)
    at_work = recorder()
    if at_work is not None:
        at_work.part_of(out, x.array)
    return Tensor(out, backend)


def _checked(indices: Tensor, count: int) -> Tensor:
    """Indices from 0 to count - 1 as int64."""
    if indices.dtype.kind not in "iu":
        raise DtypeError(f"indices: expected integers, got {indices.dtype}")
    backend, at_work = indices.backend, recorder()
    test: Callable[[Any], bool] = lambda array: _some_from_the_end(backend.to_numpy(array), count)  # noqa: E731
    from_the_end = test(indices.array) if at_work is None else at_work.check(indices.array, test)
    indices = indices.to(dtypes.int64)
    return where(lt(indices, 0), indices + count, indices) if from_the_end else indices


def _some_from_the_end(host: np.ndarray, count: int) -> bool:
    if not host.size:
        return False
    if host.min() < -count or host.max() >= count:
        wrong = host[(host < -count) | (host >= count)][0]
        raise IndexError(f"indices: {wrong} is out of range for {count} rows")
    return bool(host.min() < 0)


# ---- in place ---------------------------------------------------------------------------------------------------


def _writable(x: Tensor, value: Any = None) -> None:
    """Refuse to change x in place, or to write ``value`` into it, where a gradient would be wrong or lost."""
    at_work = recorder()
    if at_work is not None:
        at_work.touch(x)
        at_work.write(x)
    if x.node is not None:
        raise GradientError("a tensor on the tape cannot be changed in place: compute a new one, or use .detach()")
    if x.requires_grad and is_grad_enabled():
        raise GradientError(
            "a leaf that requires grad cannot be changed in place on the tape: do it under nnkit.no_grad()"
        )
    if isinstance(value, Tensor) and value.requires_grad and is_grad_enabled():
        raise GradientError(
            "a tensor that requires grad cannot be written into another, its gradient would be lost: "
            "compute a new tensor, e.g. x = x + y, or write y.detach()"
        )


@op
def assign(x: Tensor, name: str, other: Any) -> Tensor:
    """x becomes the op ``name`` of x and other; the shape must stay. Returns x."""
    _writable(x, other)
    value = OPS[name](x.detach(), other.detach() if isinstance(other, Tensor) else other)
    return copy_into(x, value)


@op
def copy_into(x: Tensor, source: Any) -> Tensor:
    """x takes the values of ``source``, broadcast and cast, from any device. Returns x."""
    _writable(x, source)
    source = operand(source, x).detach() if not isinstance(source, Tensor) else source.detach()
    if source.backend is not x.backend:
        source = source.to(x.device)
    if source.shape != x.shape:
        source = shape.expand(source, x.shape)
    x.backend.copy(source.array, x.array)
    return x


@op
def fill_in(x: Tensor, value: float) -> Tensor:
    """Every element of x becomes ``value``. Returns x."""
    _writable(x)
    x.backend.fill(value, x.array)
    return x


@op
def setitem(x: Tensor, index: Any, value: Any) -> None:
    """The part of x at a numpy index takes the values of ``value``, broadcast and cast."""
    _writable(x, value)
    items = index if isinstance(index, tuple) else (index,)
    if all(_is_basic(item) for item in items) and not any(isinstance(item, bool) for item in items):
        part = x.array[(*items, Ellipsis)] if Ellipsis not in items else x.array[items]
        source = operand(value, x).detach().to(x.device, x.dtype)
        if isinstance(value, Tensor):  # it may be a part of x, which the copy would overwrite while reading it
            source = shape.clone(source)
        if source.shape != tuple(part.shape):
            source = shape.expand(source, tuple(part.shape))
        x.backend.copy(source.array, part)
        return
    positions = _positions(x.shape, items)
    host = np.array(x.detach().numpy()).reshape(-1)
    try:
        values = np.broadcast_to(operand(value, x).detach().numpy(), positions.shape)
    except ValueError:
        raise ShapeError(f"value: expected a shape that broadcasts to {positions.shape}") from None
    host[positions] = values
    x.backend.copy(x.backend.asarray(host.reshape(x.shape)), x.array)
