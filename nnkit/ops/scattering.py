"""Elements put, added or folded into places of a tensor, by number: along an axis, or along a vector of places.

PyTorch's names and rules; ``gathering`` says what the numbers may be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit.errors import ShapeError
from nnkit.ops import shape
from nnkit.ops.choice import where
from nnkit.ops.elementwise import mul
from nnkit.ops.gathering import axis_of, check_sizes, gather, numbers, part_at, scattered, vector_of
from nnkit.ops.promotion import Number, operand
from nnkit.tensors.creation import arange, full_like, ones_like, zeros_like
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import OPS, op
from nnkit.tensors.results import Asked, result, same_backend
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

#: What ``reduce=`` of ``scatter_reduce`` and ``scatter`` is called by the primitive.
FOLDS = {"sum": "add", "add": "add", "prod": "mul", "multiply": "mul", "amax": "max", "amin": "min", "mean": "add"}


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
    check_sizes(name, index, input.shape, axis, "input")
    check_sizes(name, index, src.shape, None, "src")
    return input, axis, places, part_at(src, index.shape, None) if index.numel() else src


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
    return shape.reshape(scattered("scatter", kind, x, axis, places, come), input.shape)


@op
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """out[i][index[i][j]] += src[i][j] for dim 1, and so along other axes, beginning with input; summed in order."""
    x, axis, places, come = _prepared("scatter_add", input, dim, index, src)
    if not places.numel():
        return shape.clone(input)
    return shape.reshape(scattered("scatter_add", "add", x, axis, places, come), input.shape)


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
        touched = scattered("scatter", "set", zeros_like(x.detach()), axis, places, ones_like(come))
        x = where(touched.bool(), full_like(x.detach(), nothing), x)
    if reduce in ("sum", "mean"):
        total = scattered("scatter_reduce", "add", x, axis, places, come)
        return total if reduce == "sum" else _averaged(total, axis, places, come, include_self)
    return _folded_otherwise(x, axis, places, come, reduce)


def _averaged(total: Tensor, axis: int, places: Tensor, come: Tensor, include_self: bool) -> Tensor:
    there = full_like(total.detach(), int(include_self))
    count = scattered("scatter_add", "add", there, axis, places, ones_like(come.detach()))
    count = OPS["clamp"](count, min=1)
    return total / count if total.is_floating_point() else total // count


def _folded_otherwise(x: Tensor, axis: int, places: Tensor, come: Tensor, reduce: str) -> Tensor:
    """Products, and extremes, of which equal ones share the gradient."""
    backend = same_backend("scatter_reduce", x, places, come)
    out = shape.clone(x.detach())
    backend.scatter(FOLDS[reduce], come.array, places.array, axis, part_at(out, places.shape, axis).array)

    def pulled(dy: Tensor, y: Tensor, x: Tensor, come: Tensor) -> tuple[Tensor, Tensor]:
        there = lambda t: gather(t, axis, places, checked=True)  # noqa: E731
        if reduce == "prod":
            return dy * y / x, there(dy * y) / come
        own, hit = (x == y).to(x.dtype), (come == there(y)).to(x.dtype)
        share = dy / scattered("scatter_add", "add", own, axis, places, hit)
        return own * share, hit * there(share)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any, Any]:
        with no_grad():
            kept, added = pulled(Tensor(dy, backend), Tensor(out.array, backend), x.detach(), come.detach())
        return kept.array, added.array

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor, Tensor]:
        return pulled(dy, asked.output(out.array), x, come)

    reads = x, come, places
    return result("scatter_reduce", out.array, backend, (x, come), pullback, (reads, reads), rule)


def _spread_index(name: str, input: Tensor, dim: int, index: Tensor, source: Tensor | None) -> tuple[int, Tensor]:
    """The axis, and a vector of places repeated to the shape that is written."""
    axis = axis_of(input, dim, name)
    places = vector_of(name, index, input.shape[axis])
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
    return scattered("index_add", "add", input, axis, places, come) if places.numel() else shape.clone(input)


@op
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """input, with the parts of source in the places of ``index`` along ``dim``."""
    axis, places = _spread_index("index_copy", input, dim, index, source)
    return scattered("index_copy", "set", input, axis, places, source) if places.numel() else shape.clone(input)


@op
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """input, with one value in the places of ``index`` along ``dim``."""
    axis, places = _spread_index("index_fill", input, dim, index, None)
    one = operand(value, input, "index_fill").to(input.dtype)
    come = shape.clone(shape.expand(one, places.shape))
    return scattered("index_fill", "set", input, axis, places, come) if places.numel() else shape.clone(input)


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
