"""Sums, means, extremes and the like over some or all axes.

``dim`` is an axis, several, or None for all; ``axis`` is accepted as another name for it; ``keepdim`` keeps the
axes with size 1.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit.backends.precision import is_half
from nnkit.errors import ShapeError
from nnkit.ops import elementwise as e
from nnkit.ops.axes import axes_of, dropped_shape, floats, in_float32, kept_shape, reduced, spread, spread_tensor
from nnkit.ops.choice import ne, where
from nnkit.ops.mapped import mapped
from nnkit.tensors import dtypes
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import Dims, op
from nnkit.tensors.results import OUTPUT, Asked, result
from nnkit.tensors.tensor import Tensor


class Extreme(NamedTuple):
    """The greatest or least elements along an axis, and where they are."""

    values: Tensor
    indices: Tensor


class MinMax(NamedTuple):
    """The least and the greatest elements."""

    min: Tensor
    max: Tensor


@op
def sum(x: Tensor, dim: Dims = None, keepdim: bool = False, axis: Dims = None, dtype: Any = None) -> Tensor:
    """The sum, of the elements as ``dtype`` where given; else integers and booleans are summed as int64.

    >>> import nnkit
    >>> sum(nnkit.ones(2, 3), dim=1)
    tensor([3., 3.])
    """
    axes = axes_of(x, dim if axis is None else axis, "sum")
    x = x.to(dtype=dtype) if dtype is not None else x if x.is_floating_point() else x.to(dtypes.int64)
    y = reduced("sum", x, axes, keepdim, x.dtype)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = x.backend.empty(x.shape, x.dtype)
        x.backend.copy(spread(x, dy, axes), dx)
        return (dx,)

    return result("sum", y, x.backend, (x,), pullback, (), lambda dy, asked: (spread_tensor(x, dy, axes),))


@op
def mean(x: Tensor, dim: Dims = None, keepdim: bool = False, axis: Dims = None, dtype: Any = None) -> Tensor:
    """The arithmetic mean, of the elements as ``dtype`` where given; NaN of no elements.

    Integers and booleans are averaged as the default float type; PyTorch refuses them.
    """
    x = floats(x if dtype is None else x.to(dtype=dtype))
    return _mean(x, axes_of(x, dim if axis is None else axis, "mean"), keepdim)


@in_float32
def _mean(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    count = math.prod(x.shape[i] for i in axes)
    y = reduced("sum", x, axes, keepdim, x.dtype)
    x.backend.map("divide_by", (y,), (y,), (float(count),))

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = x.backend.empty(x.shape, x.dtype)
        x.backend.map("divide_by_grad", (spread(x, dy, axes),), (dx,), (float(count),))
        return (dx,)

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor]:
        return (spread_tensor(x, mapped("divide_by_grad", (dy,), (float(count),)), axes),)

    return result("mean", y, x.backend, (x,), pullback, (), rule)


@op
def var(
    x: Tensor, dim: Dims | bool = None, correction: float = 1, keepdim: bool = False, axis: Dims = None,
    unbiased: bool | None = None,
) -> Tensor:  # fmt: skip
    """The variance: the sum of squared differences from the mean over (count - correction).

    ``unbiased`` is another word for ``correction``: True for 1, False for 0.
    """
    return _variance(x, "var", dim if axis is None else axis, correction, keepdim, unbiased)


@op
def std(
    x: Tensor, dim: Dims | bool = None, correction: float = 1, keepdim: bool = False, axis: Dims = None,
    unbiased: bool | None = None,
) -> Tensor:  # fmt: skip
    """The standard deviation: the root of ``var``.

    Its gradient is 0 where the variance is.
    """
    return _variance(x, "std", dim if axis is None else axis, correction, keepdim, unbiased)


@in_float32
def _variance(
    x: Tensor, kind: str, dim: Dims | bool, correction: float, keepdim: bool, unbiased: bool | None
) -> Tensor:
    if isinstance(dim, bool):  # x.var(False), as PyTorch allows
        dim, unbiased = None, dim
    correction = correction if unbiased is None else int(unbiased)
    axes = axes_of(x, dim, kind)
    count = math.prod(x.shape[i] for i in axes)
    difference = x - mean(x, axes, keepdim=True)
    variance = sum(e.square(difference), axes, keepdim) / builtins.max(count - correction, 0.0)
    return variance if kind == "var" else e.elementwise("std", "root_of_variance", variance)


@op
def norm(x: Tensor, p: float | str | None = 2, dim: Dims = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
    """The p-norm of the elements: (sum |x|**p)**(1/p); "fro" is 2.

    The greatest |x| for p = infinity, the least for minus infinity, for p = 0 how many are not 0. Its gradient is 0
    where x or the norm is 0, as PyTorch has it. Integers are converted to the default float type; PyTorch refuses them.
    """
    order = 2.0 if p is None or p == "fro" else p
    if isinstance(order, str) or order != order:
        raise ShapeError(f"p: expected a number, infinity or 'fro', got {p!r}")
    x = floats(x if dtype is None else x.to(dtype=dtype))
    return _norm(x, float(order), axes_of(x, dim, "norm"), keepdim)


@in_float32
def _norm(x: Tensor, order: float, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    if math.isinf(order):
        return _extreme_value("max" if order > 0 else "min", e.abs(x), axes, keepdim)
    if order == 1.0:
        return sum(e.abs(x), axes, keepdim)
    if order == 0.0:
        return sum(ne(x, 0), axes, keepdim, dtype=x.dtype)
    backend, values = x.backend, x.array
    powers = backend.empty(x.shape, x.dtype)
    if order == 2.0:
        backend.map("square", (values,), (powers,))
    else:
        backend.map("magnitude_power", (values,), (powers,), (order,))
    y = reduced("sum", Tensor(powers, backend), axes, keepdim, x.dtype)
    if order == 2.0:
        backend.map("square_root", (y,), (y,))
    else:
        backend.map("norm_root", (y,), (y,), (order,))

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = backend.empty(x.shape, x.dtype)
        formula, scalars = ("norm_grad", ()) if order == 2.0 else ("norm_of_order_grad", (order,))
        backend.map(formula, (spread(x, dy, axes), values, spread(x, y, axes)), (dx,), scalars)
        return (dx,)

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor]:
        formula, scalars = ("norm_grad", ()) if order == 2.0 else ("norm_of_order_grad", (order,))
        own = spread_tensor(x, asked.output(y), axes)
        return (mapped(formula, (spread_tensor(x, dy, axes), x, own), scalars),)

    return result("norm", y, backend, (x,), pullback, ((x, OUTPUT),), rule)


@op
def logsumexp(x: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """log(sum(exp(x))), without overflow."""
    return _logsumexp(floats(x), axes_of(x, dim, "logsumexp"), keepdim)


@in_float32
def _logsumexp(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    top = _extreme_value("max", x.detach(), axes, True)
    top = where(e.abs(top) == math.inf, 0.0, top)
    total = e.log(sum(e.exp(x - top), axes, True)) + top
    return total if keepdim else total.reshape(dropped_shape(x.shape, axes))


@op
def prod(x: Tensor, dim: Dims = None, keepdim: bool = False, axis: Dims = None, dtype: Any = None) -> Tensor:
    """The product, of the elements as ``dtype`` where given; else integers and booleans are multiplied as int64.

    Its gradient is exact at zeros: each element's is the product of the others."""
    axes = axes_of(x, dim if axis is None else axis, "prod")
    x = x.to(dtype=dtype) if dtype is not None else x if x.is_floating_point() else x.to(dtypes.int64)
    backend, y = x.backend, reduced("prod", x, axes, keepdim, x.dtype)
    values = x.array

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        parts = []
        for formula, kind in (("nonzero", "prod"), ("is_zero", "sum")):
            each, whole = backend.empty(x.shape, x.dtype), backend.empty(kept_shape(x.shape, axes), x.dtype)
            backend.map(formula, (values,), (each,))
            backend.reduce(kind, each, axes, whole)
            parts.append(spread(x, whole, axes))
        dx = backend.empty(x.shape, x.dtype)
        backend.map("prod_grad", (spread(x, dy, axes), values, *parts), (dx,))
        return (dx,)

    return result("prod", y, backend, (x,), pullback, ((x,),), lambda dy, asked: (_others(x, dy, axes),))


def _others(x: Tensor, dy: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The gradient of ``prod`` by the products of the others, one row of them for each: exact at zeros, any order."""
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    order = (*kept, *axes)
    count = math.prod(x.shape[i] for i in axes)
    rows = x.permute(order).reshape(-1, 1, count)
    own = Tensor(x.backend.asarray(np.eye(count, dtype=np.bool_)), x.backend)
    others = prod(where(own, 1.0, rows), -1).reshape([x.shape[i] for i in order])
    return others.permute([order.index(i) for i in range(x.ndim)]) * spread_tensor(x, dy, axes)


def _extreme_value(kind: str, x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    """max or min over axes; equal extremes share the gradient, and so do those that are NaN."""
    y = _extreme_array(kind, x, axes, keepdim)
    backend, values = x.backend, x.array

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        hit = backend.empty(x.shape, dtypes.bool_)
        backend.map("at_extreme", (values, spread(x, y, axes)), (hit,))
        # The sum of a half type must count more than it holds.
        count = backend.empty(kept_shape(x.shape, axes), dtypes.float32 if is_half(x.dtype) else x.dtype)
        ones = backend.empty(x.shape, backend.dtype_of(count))
        backend.copy(hit, ones)
        backend.reduce("sum", ones, axes, count)
        share = backend.empty(kept_shape(x.shape, axes), x.dtype)
        backend.map("div", (backend.reshape(dy, share.shape), count), (share,))
        return (_where_hit(x, hit, backend.broadcast_to(share, x.shape)),)

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor]:
        hit = backend.empty(x.shape, dtypes.bool_)
        backend.map("at_extreme", (values, spread(x, y, axes)), (hit,))
        hits = Tensor(hit, backend)
        count = sum(hits.to(dtypes.float32 if is_half(x.dtype) else x.dtype), axes, True).to(x.dtype)
        return (where(hits, spread_tensor(x, dy, axes) / count, 0.0),)

    return result(kind, y, backend, (x,), pullback, ((x, OUTPUT),), rule)


def _extreme_array(kind: str, x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Any:
    if math.prod(x.shape[i] for i in axes) == 0:
        raise ShapeError(f"{kind}: expected at least one element along the reduced axes, got shape {x.shape}")
    if x.dtype == dtypes.bool_:
        kind = {"max": "any", "min": "all"}[kind]
    return reduced(kind, x, axes, keepdim, x.dtype)


def _where_hit(x: Tensor, hit: Any, dy: Any) -> Any:
    """A gradient of x: dy where hit, else 0."""
    dx = x.backend.empty(x.shape, x.dtype)
    x.backend.map("select", (hit, dy, x.backend.zeros((), x.dtype)), (dx,))
    return dx


def _extreme_along(kind: str, x: Tensor, dim: int, keepdim: bool) -> Extreme:
    """max or min along one axis, and where it is; the gradient goes to that one element."""
    axes, backend = axes_of(x, dim, kind), x.backend
    y = _extreme_array(kind, x, axes, keepdim)
    indices = _where_extreme(f"arg{kind}", x, axes[0] if axes else None, keepdim)
    where_it_is = indices.array

    def found() -> Any:
        size, behind = x.shape[axes[0]], (1,) * (x.ndim - axes[0] - 1)
        places = backend.reshape(backend.asarray(np.arange(size, dtype=np.int64)), (size, *behind))
        hit = backend.empty(x.shape, dtypes.bool_)
        backend.map("equal", (places, spread(x, where_it_is, axes)), (hit,))
        return hit

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        return (_where_hit(x, found(), spread(x, dy, axes)) if axes else dy,)

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor]:
        return (where(Tensor(found(), backend), spread_tensor(x, dy, axes), 0.0) if axes else dy,)

    return Extreme(result(kind, y, backend, (x,), pullback, ((indices,),), rule), indices)


@op
def extreme(x: Tensor, kind: str, dim: Any = None, keepdim: bool = False) -> Any:
    """max or min: over all elements; along one axis, with the indices; or, with a tensor, elementwise."""
    if isinstance(dim, Tensor):
        return e.maximum(x, dim) if kind == "max" else e.minimum(x, dim)
    if dim is None:
        return _extreme_value(kind, x, tuple(range(x.ndim)), keepdim)
    if not isinstance(dim, int):
        raise ShapeError(f"{kind}: expected one dim, got {dim!r}; a{kind} takes several")
    return _extreme_along(kind, x, dim, keepdim)


def max(x: Tensor, dim: Any = None, keepdim: bool = False, axis: Any = None) -> Any:
    """The greatest element; along ``dim``, a pair (values, indices).

    NaN counts as greatest. Of all elements, equal extremes share the gradient; along ``dim`` the first has it, whose
    index is returned.
    """
    return extreme(x, "max", dim if axis is None else axis, keepdim)


def min(x: Tensor, dim: Any = None, keepdim: bool = False, axis: Any = None) -> Any:
    """The least element; along ``dim``, a pair (values, indices).

    NaN counts as least. Of all elements, equal extremes share the gradient; along ``dim`` the first has it, whose index
    is returned.
    """
    return extreme(x, "min", dim if axis is None else axis, keepdim)


@op
def amax(x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The greatest elements over one or several axes; equal ones share the gradient."""
    return _extreme_value("max", x, axes_of(x, dim, "amax"), keepdim)


@op
def amin(x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The least elements over one or several axes; equal ones share the gradient."""
    return _extreme_value("min", x, axes_of(x, dim, "amin"), keepdim)


def _where_extreme(kind: str, x: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    source, backend = (x.reshape(-1) if dim is None else x).detach(), x.backend
    (axis,) = axes_of(source, 0 if dim is None else dim, kind) or (0,)
    if source.ndim == 0:
        source = source.reshape(1)
    if source.dtype == dtypes.bool_:
        source = source.to(dtypes.uint8)
    if source.shape[axis] == 0:
        raise ShapeError(f"{kind}: expected at least one element along the axis, got shape {x.shape}")
    shape = kept_shape(source.shape, (axis,)) if keepdim else dropped_shape(source.shape, (axis,))
    shape = ((1,) * x.ndim if keepdim else ()) if dim is None else shape
    out = backend.empty(shape, dtypes.int64)
    backend.arg_reduce(kind, source.array, axis, out)
    return Tensor(out, backend)


@op
def argmax(x: Tensor, dim: int | None = None, keepdim: bool = False, axis: int | None = None) -> Tensor:
    """The index of the first greatest element, int64; without ``dim``, of the flattened tensor."""
    return _where_extreme("argmax", x, dim if axis is None else axis, keepdim)


@op
def argmin(x: Tensor, dim: int | None = None, keepdim: bool = False, axis: int | None = None) -> Tensor:
    """The index of the first least element, int64; without ``dim``, of the flattened tensor."""
    return _where_extreme("argmin", x, dim if axis is None else axis, keepdim)


@op
def any(x: Tensor, dim: Dims = None, keepdim: bool = False, axis: Dims = None) -> Tensor:
    """Whether some element is not 0."""
    axes = axes_of(x, dim if axis is None else axis, "any")
    return Tensor(reduced("any", x.bool(), axes, keepdim, dtypes.bool_), x.backend)


@op
def all(x: Tensor, dim: Dims = None, keepdim: bool = False, axis: Dims = None) -> Tensor:
    """Whether every element is not 0."""
    axes = axes_of(x, dim if axis is None else axis, "all")
    return Tensor(reduced("all", x.bool(), axes, keepdim, dtypes.bool_), x.backend)
