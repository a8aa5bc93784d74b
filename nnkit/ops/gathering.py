"""Elements by number: gathered along an axis, scattered to their places. PyTorch's names and rules.

``index`` are whole numbers, from 0 to the size of the axis less one; IndexError says which is not. A recorded step
tests those that come from outside before it runs, and those that it computes while it runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit.backends.recording import recorder
from nnkit.errors import DtypeError, ShapeError
from nnkit.ops import shape
from nnkit.ops.choice import where
from nnkit.ops.elementwise import mul
from nnkit.ops.indexing import getitem, take_rows
from nnkit.ops.promotion import Number, operand
from nnkit.ops.reductions import axes_of
from nnkit.tensors import dtypes
from nnkit.tensors.creation import arange, full_like, ones_like, zeros_like
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import OPS, op
from nnkit.tensors.results import Asked, result, same_backend
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

#: What ``reduce=`` of ``scatter_reduce`` and ``scatter`` is called by the primitive.
FOLDS = {"sum": "add", "add": "add", "prod": "mul", "multiply": "mul", "amax": "max", "amin": "min", "mean": "add"}


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


def _part(x: Tensor, index: tuple[int, ...], axis: int | None) -> Tensor:
    """The first elements of x along every axis but one, as many as ``index`` has."""
    items = tuple(
        slice(None) if i == axis or have == want else slice(want)
        for i, (have, want) in enumerate(zip(x.shape, index, strict=True))
    )
    return x if all(item == slice(None) for item in items) else getitem(x, items)


def _check_sizes(name: str, index: Tensor, whole: tuple[int, ...], axis: int | None, what: str) -> None:
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
    _check_sizes("gather", index, input.shape, axis, "input")
    places = index.detach() if checked else numbers("gather", index, input.shape[axis])
    if not places.numel():
        return shape.reshape(shape.expand(_nothing(input), (0,)), index.shape)
    x = _part(input, index.shape, axis)
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
        return (_scattered("scatter_add", "add", zeros_like(x.detach()), axis, places, dy),)

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
    places = _vector("index_select", index, input.shape[axis])
    if axis == 0:
        return take_rows(input, places, checked=True)
    return shape.transpose(take_rows(shape.transpose(input, 0, axis), places, checked=True), 0, axis)


def _vector(name: str, index: Tensor, count: int) -> Tensor:
    if index.ndim > 1:
        raise ShapeError(f"{name}: expected an index of one axis, got shape {index.shape}")
    return shape.reshape(numbers(name, index, count), (-1,))


# ---- scattering -----------------------------------------------------------------------------------------------------


def _scattered(name: str, kind: str, input: Tensor, axis: int, places: Tensor, src: Tensor) -> Tensor:
    """input with the elements of src, of the index's shape, set or added at their places."""
    backend = same_backend(name, input, places, src)
    if src.dtype != input.dtype:
        raise DtypeError(f"{name}: expected src of {input.dtype} like input, got {src.dtype}")
    out = shape.clone(input.detach())
    there = _part(out, places.shape, axis)
    backend.scatter(kind, src.array, places.array, axis, there.array)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any, Any]:
        dx, ds = dy, None
        come = _part(Tensor(dy, backend), places.shape, axis).array
        if into[1] is not None:
            ds = backend.empty(places.shape, src.dtype)
            backend.gather(come, places.array, axis, ds)
        if into[0] is not None and kind == "set":
            dx = backend.empty(input.shape, input.dtype)
            backend.copy(dy, dx)
            left = _part(Tensor(dx, backend), places.shape, axis).array
            backend.scatter("set", backend.zeros(places.shape, src.dtype), places.array, axis, left)
        return dx, ds

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor | None, Tensor | None]:
        ds = _gathered(_part(dy, places.shape, axis), axis, places, backend) if asked.wanted[1] else None
        if not asked.wanted[0] or kind == "add":
            return dy, ds
        return _scattered(name, "set", dy, axis, places, zeros_like(src.detach())), ds

    return result(name, out.array, backend, (input, src), pullback, ((places,), (places,)), rule)


def _prepared(name: str, input: Tensor, dim: int, index: Tensor, src: Any) -> tuple[Tensor, int, Tensor, Tensor]:
    """Operands of at least one axis, the axis, the places, and the part of src that is meant."""
    if input.ndim == 0:
        input = shape.reshape(input, (1,))
    axis = axis_of(input, dim, name)
    index = shape.reshape(index, (-1,)) if index.ndim == 0 else index
    places = numbers(name, index, input.shape[axis])
    if isinstance(src, Number):
        from_number = operand(src, input, name).to(input.dtype)
        return input, axis, places, shape.clone(shape.expand(from_number, index.shape))
    src = shape.reshape(src, (-1,)) if src.ndim == 0 else src
    _check_sizes(name, index, input.shape, axis, "input")
    _check_sizes(name, index, src.shape, None, "src")
    return input, axis, places, _part(src, index.shape, None) if index.numel() else src


@op
def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, reduce: str | None = None, value: Any = None
) -> Tensor:
    """out[i][index[i][j]] = src[i][j] for dim 1, and so along other axes; the other elements are input's.

    src is a tensor or a number (also called ``value``). ``reduce`` is "add" or "multiply" to combine with what is
    there. Where an index comes twice, the last one counts.

    >>> from nnkit import tensor, zeros
    >>> scatter(zeros(2, 3), 1, tensor([[2], [0]]), 1.0)
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    src = value if src is None else src
    if src is None:
        raise TypeError("scatter: expected src, a Tensor or a number, got none")
    if reduce not in (None, "add", "multiply"):
        raise ShapeError(f"reduce: expected 'add', 'multiply' or None, got {reduce!r}")
    x, axis, places, come = _prepared("scatter", input, dim, index, src)
    if not places.numel():
        return shape.clone(input)
    if reduce == "multiply":
        return shape.reshape(_folded(x, axis, places, come, "prod", True), input.shape)
    kind = "set" if reduce is None else "add"
    return shape.reshape(_scattered("scatter", kind, x, axis, places, come), input.shape)


@op
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """out[i][index[i][j]] += src[i][j] for dim 1, and so along other axes, beginning with input; summed in order."""
    x, axis, places, come = _prepared("scatter_add", input, dim, index, src)
    if not places.numel():
        return shape.clone(input)
    return shape.reshape(_scattered("scatter_add", "add", x, axis, places, come), input.shape)


@op
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """``scatter`` that folds what meets at a place: reduce is sum, prod, mean, amax or amin.

    input counts among them where ``include_self``, and else only where nothing comes.
    """
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise ShapeError(f"reduce: expected 'sum', 'prod', 'mean', 'amax' or 'amin', got {reduce!r}")
    x, axis, places, come = _prepared("scatter_reduce", input, dim, index, src)
    if not places.numel():
        return shape.clone(input)
    return shape.reshape(_folded(x, axis, places, come, reduce, include_self), input.shape)


def _folded(x: Tensor, axis: int, places: Tensor, come: Tensor, reduce: str, include_self: bool) -> Tensor:
    nothing = {"prod": 1, "amax": -math.inf, "amin": math.inf}.get(reduce, 0)
    if not include_self:
        if math.isinf(nothing) and not x.is_floating_point():
            limits = np.iinfo(x.dtype)
            nothing = limits.min if reduce == "amax" else limits.max
        touched = _scattered("scatter", "set", zeros_like(x.detach()), axis, places, ones_like(come))
        x = where(touched.bool(), full_like(x.detach(), nothing), x)
    if reduce in ("sum", "mean"):
        total = _scattered("scatter_reduce", "add", x, axis, places, come)
        return total if reduce == "sum" else _averaged(total, axis, places, come, include_self)
    return _folded_otherwise(x, axis, places, come, reduce)


def _averaged(total: Tensor, axis: int, places: Tensor, come: Tensor, include_self: bool) -> Tensor:
    there = full_like(total.detach(), int(include_self))
    count = _scattered("scatter_add", "add", there, axis, places, ones_like(come.detach()))
    count = OPS["clamp"](count, min=1)
    return total / count if total.is_floating_point() else total // count


def _folded_otherwise(x: Tensor, axis: int, places: Tensor, come: Tensor, reduce: str) -> Tensor:
    """Products, and extremes, of which equal ones share the gradient."""
    backend = same_backend("scatter_reduce", x, places, come)
    out = shape.clone(x.detach())
    backend.scatter(FOLDS[reduce], come.array, places.array, axis, _part(out, places.shape, axis).array)

    def pulled(dy: Tensor, y: Tensor, x: Tensor, come: Tensor) -> tuple[Tensor, Tensor]:
        there = lambda t: gather(t, axis, places, checked=True)  # noqa: E731
        if reduce == "prod":
            return dy * y / x, there(dy * y) / come
        own, hit = (x == y).to(x.dtype), (come == there(y)).to(x.dtype)
        share = dy / _scattered("scatter_add", "add", own, axis, places, hit)
        return own * share, hit * there(share)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any, Any]:
        with no_grad():
            kept, added = pulled(Tensor(dy, backend), Tensor(out.array, backend), x.detach(), come.detach())
        return kept.array, added.array

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor, Tensor]:
        return pulled(dy, asked.output(out.array), x, come)

    reads = x, come, places
    return result("scatter_reduce", out.array, backend, (x, come), pullback, (reads, reads), rule)


# ---- along a vector of places ---------------------------------------------------------------------------------------


def _spread_index(name: str, input: Tensor, dim: int, index: Tensor, source: Tensor | None) -> tuple[int, Tensor]:
    """The axis, and a vector of places repeated to the shape that is written."""
    axis = axis_of(input, dim, name)
    places = _vector(name, index, input.shape[axis])
    wanted = (*input.shape[:axis], places.numel(), *input.shape[axis + 1 :])
    if source is not None and source.shape != wanted:
        raise ShapeError(f"{name}: expected source of shape {wanted}, got {source.shape}")
    column = shape.reshape(places, (-1, *(1 for _ in input.shape[axis + 1 :])))
    return axis, shape.clone(shape.expand(column, wanted))


@op
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """input, with alpha times the parts of source added at the places of ``index`` along ``dim``, in order.

    >>> from nnkit import ones, tensor
    >>> index_add(ones(3), 0, tensor([2, 2]), tensor([1.0, 10.0]))
    tensor([ 1.,  1., 12.])
    """
    if input.ndim == 0:
        source = shape.reshape(source, (-1,))
        return shape.reshape(index_add(shape.reshape(input, (1,)), dim, index, source, alpha=alpha), ())
    axis, places = _spread_index("index_add", input, dim, index, source)
    come = source if alpha == 1 else mul(source, alpha)
    return _scattered("index_add", "add", input, axis, places, come) if places.numel() else shape.clone(input)


@op
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """input, with the parts of source in the places of ``index`` along ``dim``."""
    axis, places = _spread_index("index_copy", input, dim, index, source)
    return _scattered("index_copy", "set", input, axis, places, source) if places.numel() else shape.clone(input)


@op
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """input, with one value in the places of ``index`` along ``dim``."""
    axis, places = _spread_index("index_fill", input, dim, index, None)
    one = operand(value, input, "index_fill").to(input.dtype)
    come = shape.clone(shape.expand(one, places.shape))
    return _scattered("index_fill", "set", input, axis, places, come) if places.numel() else shape.clone(input)


@op
def index_put(input: Tensor, indices: Sequence[Tensor | None], values: Any, accumulate: bool = False) -> Tensor:
    """input, with ``values`` at an index of several tensors: ``x[indices] = values``, or += for repeated places too.

    input is of any shape and dtype, and so is the result; an index is int64 or bool. Raises IndexError for an index out
    of range, DtypeError for one of floats, ShapeError for values that do not broadcast. As ``torch.index_put``.
    """
    chosen = tuple(slice(None) if i is None else i for i in indices)
    if not accumulate:
        out = shape.clone(input)
        out[chosen] = values
        return out
    places = arange(input.numel(), device=input.device).reshape(input.shape)[chosen]
    come = shape.expand(operand(values, input, "index_put").to(input.dtype), places.shape)
    flat = shape.reshape(input, (-1,))
    return shape.reshape(scatter_add(flat, 0, places.reshape(-1), come.reshape(-1)), input.shape)


@op
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """input, with the elements of source at places of the flattened tensor."""
    flat, places = shape.reshape(input, (-1,)), shape.reshape(index, (-1,))
    write = scatter_add if accumulate else scatter
    return shape.reshape(write(flat, 0, places, shape.reshape(source, (-1,))), input.shape)
