"""Elements by number, gathered along an axis; ``scattering`` puts them. PyTorch's names and rules.

``index`` are whole numbers, from 0 to the size of the axis less one; IndexError says which is not. A recorded step
tests those that come from outside before it runs, and those that it computes while it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit.backends.recording import recorder
from nnkit.errors import DtypeError, ShapeError
from nnkit.ops import shape
from nnkit.ops.axes import axes_of
from nnkit.ops.indexing import getitem, take_rows
from nnkit.tensors import dtypes
from nnkit.tensors.creation import arange, zeros_like
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import op
from nnkit.tensors.results import Asked, result, same_backend
from nnkit.tensors.tensor import Tensor


def axis_of(x: Tensor, dim: int, name: str) -> int:
    """One axis, from 0; that of a tensor without axes is 0."""
    return (axes_of(x, dim, name) or (0,))[0]


def places_along(x: Tensor, axis: int) -> Tensor:
    """0, 1, … along an axis, int64, in a shape that broadcasts with x's."""
    return shape.reshape(arange(x.shape[axis], device=x.device), (-1, *(1 for _ in x.shape[axis + 1 :])))


def numbers(name: str, index: Tensor, count: int) -> Tensor:
    """Indices from 0 to count - 1, as int64 off the tape."""
    if not isinstance(index, Tensor):
        raise TypeError(f"index: expected a Tensor, got {type(index).__name__}")
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise DtypeError(f"{name}: expected an index of int64, got {index.dtype}; convert it with .long()")
    backend, at_work = index.backend, recorder()
    test: Callable[[Any], bool] = lambda array: _all_within(name, backend.to_numpy(array), count)  # noqa: E731
    if at_work is None:
        test(index.array)
    else:
        at_work.check(index.array, test)
    return index.detach().to(dtypes.int64)


def _all_within(name: str, host: np.ndarray, count: int) -> bool:
    if host.size and (host.min() < 0 or host.max() >= count):
        wrong = host[(host < 0) | (host >= count)][0]
        raise IndexError(f"{name}: index {wrong} is out of range for an axis of size {count}")
    return True


def part_at(x: Tensor, index: tuple[int, ...], axis: int | None) -> Tensor:
    """The first elements of x along every axis but one, as many as ``index`` has."""
    items = tuple(
        slice(None) if i == axis or have == want else slice(want)
        for i, (have, want) in enumerate(zip(x.shape, index, strict=True))
    )
    return x if all(item == slice(None) for item in items) else getitem(x, items)


def check_sizes(name: str, index: Tensor, whole: tuple[int, ...], axis: int | None, what: str) -> None:
    fits = len(whole) == index.ndim and all(
        i == axis or want <= have for i, (want, have) in enumerate(zip(index.shape, whole, strict=False))
    )
    if not fits and index.numel():
        besides = "" if axis is None else f" but along dim {axis}"
        raise ShapeError(
            f"{name}: expected an index with as many axes as {what} of shape {whole}, and nowhere larger{besides}, "
            f"got shape {index.shape}"
        )


# ---- gathering ------------------------------------------------------------------------------------------------------


@op
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, checked: bool = False) -> Tensor:
    """out[i][j] = input[i][index[i][j]] for dim 1, and so along other axes; the result has the index's shape.

    The index has as many axes as input, and beside ``dim`` at most its sizes. ``checked`` says that the caller knows it
    to be in range. Raises ShapeError, IndexError, DtypeError for an index that is not int64.

    >>> from nnkit import tensor
    >>> gather(tensor([[1.0, 2.0], [3.0, 4.0]]), 1, tensor([[1], [0]]))
    tensor([[2.],
            [3.]])
    """
    if input.ndim == 0 or index.ndim == 0:
        flat = gather(shape.reshape(input, (-1,)), dim, shape.reshape(index, (-1,)), checked=checked)
        return shape.reshape(flat, index.shape)
    axis = axis_of(input, dim, "gather")
    backend = same_backend("gather", input, index)
    check_sizes("gather", index, input.shape, axis, "input")
    places = index.detach() if checked else numbers("gather", index, input.shape[axis])
    if not places.numel():
        return shape.reshape(shape.expand(_nothing(input), (0,)), index.shape)
    x = part_at(input, index.shape, axis)
    return _gathered(x, axis, places, backend)


def _nothing(x: Tensor) -> Tensor:
    """No elements of x."""
    return getitem(shape.reshape(x, (-1,)), slice(0, 0))


def _gathered(x: Tensor, axis: int, places: Tensor, backend: Any) -> Tensor:
    out = backend.empty(places.shape, x.dtype)
    backend.gather(x.array, places.array, axis, out)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = backend.zeros(x.shape, x.dtype)
        backend.scatter("add", dy, places.array, axis, dx)
        return (dx,)

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor]:
        return (scattered("scatter_add", "add", zeros_like(x.detach()), axis, places, dy),)

    return result("gather", out, backend, (x,), pullback, ((places,),), rule)


@op
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """``gather`` with the other axes broadcast; without ``dim``, from the flattened tensor.

    input is of any dtype, which the result has; indices are int64. Raises ShapeError for different numbers of axes,
    IndexError for an index out of range, DtypeError for one that is not int64. As ``torch.take_along_dim``.
    """
    if dim is None:
        return gather(shape.reshape(input, (-1,)), 0, shape.reshape(indices, (-1,)))
    if input.ndim != indices.ndim:
        raise ShapeError(f"take_along_dim: expected as many axes, got {input.shape} and {indices.shape}")
    axis = axis_of(input, dim, "take_along_dim")
    sizes = [1 if i == axis else (n if m == 1 else m)
             for i, (n, m) in enumerate(zip(input.shape, indices.shape, strict=True))]  # fmt: skip
    x, index = (shape.expand(t, (*sizes[:axis], t.shape[axis], *sizes[axis + 1 :])) for t in (input, indices))
    return gather(x, axis, index)


@op
def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements of the flattened tensor at the given places; negative ones count from the end."""
    return take_rows(shape.reshape(input, (-1,)), index)


@op
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The parts of input along ``dim`` whose numbers are in ``index``, a vector.

    >>> from nnkit import tensor
    >>> index_select(tensor([[1, 2], [3, 4]]), 1, tensor([1]))
    tensor([[2],
            [4]])
    """
    if input.ndim == 0:
        return shape.reshape(index_select(shape.reshape(input, (1,)), dim, index), ())
    axis = axis_of(input, dim, "index_select")
    places = vector_of("index_select", index, input.shape[axis])
    if axis == 0:
        return take_rows(input, places, checked=True)
    return shape.transpose(take_rows(shape.transpose(input, 0, axis), places, checked=True), 0, axis)


def vector_of(name: str, index: Tensor, count: int) -> Tensor:
    if index.ndim > 1:
        raise ShapeError(f"{name}: expected an index of one axis, got shape {index.shape}")
    return shape.reshape(numbers(name, index, count), (-1,))


# ---- what the gradient of gathering and all scattering are made of --------------------------------------------------


def scattered(name: str, kind: str, input: Tensor, axis: int, places: Tensor, src: Tensor) -> Tensor:
    """input with the elements of src, of the index's shape, set or added at their places."""
    backend = same_backend(name, input, places, src)
    if src.dtype != input.dtype:
        raise DtypeError(f"{name}: expected src of {input.dtype} like input, got {src.dtype}")
    out = shape.clone(input.detach())
    there = part_at(out, places.shape, axis)
    backend.scatter(kind, src.array, places.array, axis, there.array)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any, Any]:
        dx, ds = dy, None
        come = part_at(Tensor(dy, backend), places.shape, axis).array
        if into[1] is not None:
            ds = backend.empty(places.shape, src.dtype)
            backend.gather(come, places.array, axis, ds)
        if into[0] is not None and kind == "set":
            dx = backend.empty(input.shape, input.dtype)
            backend.copy(dy, dx)
            left = part_at(Tensor(dx, backend), places.shape, axis).array
            backend.scatter("set", backend.zeros(places.shape, src.dtype), places.array, axis, left)
        return dx, ds

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor | None, Tensor | None]:
        ds = _gathered(part_at(dy, places.shape, axis), axis, places, backend) if asked.wanted[1] else None
        if not asked.wanted[0] or kind == "add":
            return dy, ds
        return scattered(name, "set", dy, axis, places, zeros_like(src.detach())), ds

    return result(name, out.array, backend, (input, src), pullback, ((places,), (places,)), rule)


# ---- along a vector of places ---------------------------------------------------------------------------------------
