"""Parts of tensors: slices, rows by number, any index; and writing in place.

Slices and whole numbers give views. Whatever else is an index is turned, on the host, into the
positions of the chosen elements, and those are gathered as rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit.backends.recording import recorder
from nnkit.errors import DtypeError, ShapeError
from nnkit.ops import shape
from nnkit.ops.choice import lt, where
from nnkit.ops.in_place import alias, copy_into, open_to_change, put
from nnkit.ops.mapped import sum_to, unbroadcast
from nnkit.ops.promotion import operand
from nnkit.tensors import dtypes
from nnkit.tensors.creation import tensor
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import op
from nnkit.tensors.results import Asked, result, same_backend, view_result
from nnkit.tensors.tensor import Tensor


def _is_basic(item: Any) -> bool:
    if isinstance(item, (Tensor, np.ndarray, list, bool)):
        return False
    return item is None or item is Ellipsis or isinstance(item, (int, np.integer, slice))


@op
def getitem(x: Tensor, index: Any) -> Tensor:
    """The part of x at an index: numbers, slices, new axes, arrays of positions, masks.

    Shapes are PyTorch's. Slices may step backwards, which PyTorch's may not; nested lists are arrays, as in NumPy.
    Raises IndexError when it is out of range, DtypeError for floats and for uint8, which other libraries take for masks
    or for positions.

    >>> import nnkit
    >>> getitem(nnkit.arange(5), slice(1, 3))
    tensor([1, 2])
    """
    items = index if isinstance(index, tuple) else (index,)
    if all(_is_basic(item) for item in items):
        return _slice(x, items)
    if len(items) == 1 and isinstance(items[0], Tensor) and items[0].dtype.kind == "i" and x.ndim:
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

    sizes = x.shape
    return view_result(
        "getitem", part, x, pullback, lambda whole: _slice(whole, items), lambda dy, asked: (_placed(dy, sizes, items),)
    )


def _placed(x: Tensor, sizes: tuple[int, ...], items: tuple[Any, ...]) -> Tensor:
    """Zeros of a shape whose part at a basic index is x: the gradient of that part, as an op."""
    out = x.backend.zeros(sizes, x.dtype)
    x.backend.copy(x.array, out[items])

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        return (dy[items],)

    return result("getitem_grad", out, x.backend, (x,), pullback, (), lambda dy, asked: (_slice(dy, items),))


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
    """The flat positions of the elements that an index chooses, as PyTorch has it.

    A whole number chooses first, like a slice; NumPy counts it among the arrays, where there is one.
    """
    host = _spelled_out([_host_index(item) for item in items], len(sizes))
    basic: list[Any] = []  # numbers, slices and new axes; all of an axis that an array chooses from
    arrays: list[Any] = []  # for each axis that is left after those, what chooses from it
    for item in host:
        if not isinstance(item, np.ndarray):
            basic.append(item)
            arrays += [] if isinstance(item, int) else [slice(None)]
        elif item.dtype.kind == "b" and item.ndim == 0:  # chooses all or nothing of a new axis
            basic.append(None)
            arrays.append(item.reshape(1))
        else:
            basic += [slice(None)] * (item.ndim if item.dtype.kind == "b" else 1)
            arrays.append(item)
    places = np.arange(math.prod(sizes), dtype=np.int64).reshape(sizes)[tuple(basic)]
    return places[tuple(arrays)]


def _spelled_out(host: list[Any], ndim: int) -> list[Any]:
    """An index with as many slices as its ellipsis stands for, which may be none."""
    named = [item for item in host if item is not None and item is not Ellipsis]
    axes = sum(item.ndim if isinstance(item, np.ndarray) and item.dtype.kind == "b" else 1 for item in named)
    if axes > ndim:
        raise IndexError(f"index: it names {axes} axes, the tensor has {ndim}")
    spelled = []
    for item in host:
        spelled += [slice(None)] * (ndim - axes) if item is Ellipsis else [item]
    return spelled


def _host_index(item: Any) -> Any:
    """A part of an index as a slice, an ellipsis, None or an int, or else an array of whole numbers or booleans."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, (int, np.integer)) and not isinstance(item, bool):
        return int(item)
    values = item.detach().numpy() if isinstance(item, Tensor) else np.asarray(item)
    if isinstance(item, (list, tuple, range)) and not values.size:
        values = values.astype(np.int64)
    if values.dtype.kind not in "iub":
        raise DtypeError(f"index: expected integers or booleans, got {values.dtype}")
    if values.dtype == np.uint8:
        raise DtypeError(
            "index: uint8 is a mask to PyTorch and positions to NumPy; convert it with .bool() or with .long()"
        )
    return int(values) if values.ndim == 0 and values.dtype.kind != "b" else values


@op
def take_rows(x: Tensor, indices: Tensor, checked: bool = False) -> Tensor:
    """x[indices] along the first axis: x (N, ...), indices of integers (any shape), result indices.shape + (...).

    Negative indices count from the end. Raises IndexError for one out of range, unless ``checked`` says that the caller
    knows them to lie from 0 to N - 1, DtypeError for indices of floats. Source: nnkit's own, as PyTorch's
    ``x[indices]``.

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

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor]:
        return (add_rows(shape.reshape(dy, flat), shape.reshape(indices, (-1,)), x.shape),)

    return result("take_rows", out, backend, (x,), pullback, ((indices,),), rule)


def add_rows(y: Tensor, rows: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Zeros of a shape (N, ...) to which y (M, ...) is added at rows (M,), from 0 to N - 1; a row may come twice."""
    out = y.backend.zeros(sizes, y.dtype)
    y.backend.add_rows(y.array, rows.array, out)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = y.backend.empty(y.shape, y.dtype)
        y.backend.take_rows(dy, rows.array, dx)
        return (dx,)

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor]:
        return (take_rows(dy, rows, checked=True),)

    return result("add_rows", out, y.backend, (y,), pullback, ((rows,),), rule)


def take_batch(x: Tensor, order: Tensor, cursor: Tensor, rows: int) -> Tensor:
    """x[order[cursor : cursor + rows]], off the tape: x (N, ...), order int64, cursor int64 (1,), result (rows, ...).

    The cursor is read on the device. The caller knows that everything lies in range. Raises DeviceError for Tensors of
    several devices. Source: nnkit's own, for ``fit``.

    >>> import nnkit
    >>> take_batch(nnkit.tensor([10.0, 20.0, 30.0]), nnkit.tensor([2, 0, 1]), nnkit.tensor([1]), 2)
    tensor([10., 20.])
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


@op
def setitem(x: Tensor, index: Any, value: Any) -> None:
    """The part of x at an index (see ``getitem``) takes the values of ``value``, broadcast and cast.

    A Tensor of any shape and dtype. Raises IndexError for an index out of range, ShapeError where the value does not
    broadcast, DtypeError for an index that is none, GradientError for a leaf that requires a gradient. Source:
    ``torch.Tensor.__setitem__``.

    >>> import nnkit
    >>> x = nnkit.zeros(3); setitem(x, slice(1, 3), 2.0); x
    tensor([0., 2., 2.])
    """
    items = index if isinstance(index, tuple) else (index,)
    if all(_is_basic(item) for item in items):
        # A copy of a tensor: it may be a part of x, which would be overwritten while it is read.
        part = _slice(x, items)
        value = shape.clone(value) if isinstance(value, Tensor) else operand(value, x, "value")
        copy_into(part, _without_lead(value, part.ndim))
        return
    value = operand(value, x, "value").to(x.device, x.dtype)
    on_tape = open_to_change(x, value)
    positions = _positions(x.shape, items)
    value = _without_lead(value, positions.ndim)
    put(x, _with_elements(x, positions, value), on_tape)


def _without_lead(value: Tensor, ndim: int) -> Tensor:
    """A value without the leading axes of size 1 that what it is written into lacks."""
    lead = max(value.ndim - ndim, 0)
    return shape.reshape(value, value.shape[lead:]) if lead and set(value.shape[:lead]) == {1} else value


def _with_elements(x: Tensor, positions: np.ndarray, value: Tensor) -> Tensor:
    """x with other values at flat positions, in memory of its own."""
    backend, before = x.backend, value.shape
    host = np.array(x.detach().numpy()).reshape(-1)
    try:
        host[positions] = np.broadcast_to(value.detach().numpy(), positions.shape)
    except ValueError:
        raise ShapeError(f"value: expected a shape that broadcasts to {positions.shape}, got {before}") from None

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any, Any]:
        others = np.ones(host.shape, bool)
        others[positions] = False
        dx, chosen = backend.empty(tuple(dy.shape), backend.dtype_of(dy)), backend.asarray(others.reshape(dy.shape))
        backend.map("select", (chosen, dy, backend.zeros((), backend.dtype_of(dy))), (dx,))
        dv = backend.empty((positions.size,), backend.dtype_of(dy))
        backend.take_rows(backend.reshape(dy, (-1,)), backend.asarray(positions.reshape(-1)), dv)
        return dx, unbroadcast(backend, backend.reshape(dv, positions.shape), before)

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor | None, ...]:
        others = np.ones(host.shape, bool)
        others[positions] = False
        dx = where(Tensor(backend.asarray(others.reshape(dy.shape)), backend), dy, 0.0)
        places = Tensor(backend.asarray(positions.reshape(-1)), backend)
        chosen = take_rows(shape.reshape(dy, (-1,)), places, checked=True)
        return dx, sum_to(shape.reshape(chosen, positions.shape), before)

    written = backend.asarray(host.reshape(x.shape))
    return result("setitem", written, backend, (alias(x), value), pullback, (), rule)
