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

from nnkit import dtypes
from nnkit.errors import ShapeError
from nnkit.methods import Dims, op
from nnkit.ops import elementwise as e
from nnkit.ops.choice import where
from nnkit.tape import Gradient
from nnkit.tensor import OUTPUT, Tensor, result


class Extreme(NamedTuple):
    """The greatest or least elements along an axis, and where they are."""

    values: Tensor
    indices: Tensor


def axes_of(x: Tensor, dim: Dims, name: str) -> tuple[int, ...]:
    """``dim`` as sorted axes from 0. Raises ShapeError when one is out of range or comes twice."""
    if dim is None:
        return tuple(range(x.ndim))
    given = (dim,) if isinstance(dim, int) else tuple(dim)
    rank = builtins.max(x.ndim, 1)
    for axis in given:
        if not -rank <= axis < rank:
            raise ShapeError(f"{name}: dim {axis} is out of range for a tensor of shape {x.shape}")
    axes = tuple(sorted(axis % rank for axis in given))
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: dim {given} names an axis twice")
    return axes if x.ndim else ()


def _kept(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if i in axes else size for i, size in enumerate(shape))


def _dropped(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for i, size in enumerate(shape) if i not in axes)


def _reduced(kind: str, x: Tensor, axes: tuple[int, ...], keepdim: bool, dtype: np.dtype) -> Any:
    out = x.backend.empty((_kept if keepdim else _dropped)(x.shape, axes), dtype)
    x.backend.reduce(kind, x.array, axes, out)
    return out


def _spread(x: Tensor, dy: Any, axes: tuple[int, ...]) -> Any:
    """A gradient of a reduced tensor, repeated over the axes that were reduced; a view."""
    return x.backend.broadcast_to(x.backend.reshape(dy, _kept(x.shape, axes)), x.shape)


@op
def sum(x: Tensor, dim: Dims = None, keepdim: bool = False, axis: Dims = None) -> Tensor:
    """The sum; integers and booleans are summed as int64.

    >>> import nnkit
    >>> sum(nnkit.ones(2, 3), dim=1)
    tensor([3., 3.])
    """
    axes = axes_of(x, dim if axis is None else axis, "sum")
    if not x.is_floating_point():
        x = x.to(dtypes.int64)
    y = _reduced("sum", x, axes, keepdim, x.dtype)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = x.backend.empty(x.shape, x.dtype)
        x.backend.copy(_spread(x, dy, axes), dx)
        return (dx,)

    return result("sum", y, x.backend, (x,), pullback)


@op
def mean(x: Tensor, dim: Dims = None, keepdim: bool = False, axis: Dims = None) -> Tensor:
    """The arithmetic mean; NaN of no elements."""
    if not x.is_floating_point():
        x = x.to(dtypes.get_default_dtype())
    axes = axes_of(x, dim if axis is None else axis, "mean")
    count = math.prod(x.shape[i] for i in axes)
    y = _reduced("sum", x, axes, keepdim, x.dtype)
    x.backend.map("divide_by", (y,), (y,), (float(count),))

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        share = x.backend.empty(tuple(dy.shape), x.dtype)
        x.backend.map("divide_by", (dy,), (share,), (float(count),))
        dx = x.backend.empty(x.shape, x.dtype)
        x.backend.copy(_spread(x, share, axes), dx)
        return (dx,)

    return result("mean", y, x.backend, (x,), pullback)


@op
def var(x: Tensor, dim: Dims = None, correction: float = 1, keepdim: bool = False, axis: Dims = None) -> Tensor:
    """The variance: the sum of squared differences from the mean over (count - correction)."""
    axes = axes_of(x, dim if axis is None else axis, "var")
    count = math.prod(x.shape[i] for i in axes)
    difference = x - mean(x, axes, keepdim=True)
    return sum(e.square(difference), axes, keepdim) / builtins.max(count - correction, 0.0)


@op
def std(x: Tensor, dim: Dims = None, correction: float = 1, keepdim: bool = False, axis: Dims = None) -> Tensor:
    """The standard deviation: the root of ``var``."""
    return e.sqrt(var(x, dim, correction, keepdim, axis))


@op
def norm(x: Tensor, p: float = 2, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The p-norm of the elements: (sum |x|**p)**(1/p), the greatest |x| for p = infinity; p is positive."""
    if not p > 0:
        raise ShapeError(f"p: expected a positive number or infinity, got {p}")
    if not x.is_floating_point():
        x = x.to(dtypes.get_default_dtype())
    if p == math.inf:
        return _extreme_value("max", e.abs(x), axes_of(x, dim, "norm"), keepdim)
    if p == 1:
        return sum(e.abs(x), dim, keepdim)
    if p == 2:
        return _norm2(x, axes_of(x, dim, "norm"), keepdim)
    return e.pow(sum(e.pow(e.abs(x), p), dim, keepdim), 1.0 / p)


def _norm2(x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    """The root of the sum of squares; its gradient is 0 where the norm is 0."""
    backend, values = x.backend, x.array
    squares = backend.empty(x.shape, x.dtype)
    backend.map("square", (values,), (squares,))
    y = _reduced("sum", Tensor(squares, backend), axes, keepdim, x.dtype)
    backend.map("square_root", (y,), (y,))

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = backend.empty(x.shape, x.dtype)
        backend.map("norm_grad", (_spread(x, dy, axes), values, _spread(x, y, axes)), (dx,))
        return (dx,)

    return result("norm", y, backend, (x,), pullback, ((x, OUTPUT),))


@op
def logsumexp(x: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """log(sum(exp(x))), without overflow."""
    axes = axes_of(x, dim, "logsumexp")
    top = _extreme_value("max", x.detach(), axes, True)
    top = where(e.abs(top) == math.inf, 0.0, top)
    total = e.log(sum(e.exp(x - top), axes, True)) + top
    return total if keepdim else total.reshape(_dropped(x.shape, axes))


@op
def prod(x: Tensor, dim: Dims = None, keepdim: bool = False, axis: Dims = None) -> Tensor:
    """The product. Its gradient is exact at zeros: each element's is the product of the others."""
    axes = axes_of(x, dim if axis is None else axis, "prod")
    if not x.is_floating_point():
        x = x.to(dtypes.int64)
    backend, y = x.backend, _reduced("prod", x, axes, keepdim, x.dtype)
    values = x.array

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        parts = []
        for formula, kind in (("nonzero", "prod"), ("is_zero", "sum")):
            each, whole = backend.empty(x.shape, x.dtype), backend.empty(_kept(x.shape, axes), x.dtype)
            backend.map(formula, (values,), (each,))
            backend.reduce(kind, each, axes, whole)
            parts.append(_spread(x, whole, axes))
        dx = backend.empty(x.shape, x.dtype)
        backend.map("prod_grad", (_spread(x, dy, axes), values, *parts), (dx,))
        return (dx,)

    return result("prod", y, backend, (x,), pullback, ((x,),))


def _extreme_value(kind: str, x: Tensor, axes: tuple[int, ...], keepdim: bool) -> Tensor:
    """max or min over axes; equal extremes share the gradient."""
    if math.prod(x.shape[i] for i in axes) == 0:
        raise ShapeError(f"{kind}: expected at least one element along the reduced axes, got shape {x.shape}")
    if x.dtype == dtypes.bool_:
        return Tensor(_reduced({"max": "any", "min": "all"}[kind], x, axes, keepdim, x.dtype), x.backend)
    backend, y = x.backend, _reduced(kind, x, axes, keepdim, x.dtype)
    values = x.array

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        hit = backend.empty(x.shape, dtypes.bool_)
        backend.map("equal", (values, _spread(x, y, axes)), (hit,))
        share = backend.empty(x.shape, x.dtype)
        backend.copy(hit, share)
        count = backend.empty(_kept(x.shape, axes), x.dtype)
        backend.reduce("sum", share, axes, count)
        backend.map("div", (share, count), (share,))
        backend.map("mul", (share, _spread(x, dy, axes)), (share,))
        return (share,)

    return result(kind, y, backend, (x,), pullback, ((x, OUTPUT),))


@op
def extreme(x: Tensor, kind: str, dim: Any = None, keepdim: bool = False) -> Any:
    """max or min: over all elements; along one axis, with the indices; or, with a tensor, elementwise."""
    if isinstance(dim, Tensor):
        return e.maximum(x, dim) if kind == "max" else e.minimum(x, dim)
    if dim is None:
        return _extreme_value(kind, x, tuple(range(x.ndim)), keepdim)
    axes = axes_of(x, dim, kind)
    values = _extreme_value(kind, x, axes, keepdim)
    return Extreme(values, _where_extreme(f"arg{kind}", x, axes[0] if axes else None, keepdim))


def max(x: Tensor, dim: Any = None, keepdim: bool = False, axis: Any = None) -> Any:
    """The greatest element; along ``dim``, a pair (values, indices). Equal extremes share the gradient."""
    return extreme(x, "max", dim if axis is None else axis, keepdim)


def min(x: Tensor, dim: Any = None, keepdim: bool = False, axis: Any = None) -> Any:
    """The least element; along ``dim``, a pair (values, indices). Equal extremes share the gradient."""
    return extreme(x, "min", dim if axis is None else axis, keepdim)


def amax(x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The greatest elements over one or several axes."""
    return _extreme_value("max", x, axes_of(x, dim, "amax"), keepdim)


def amin(x: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The least elements over one or several axes."""
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
    shape = _kept(source.shape, (axis,)) if keepdim else _dropped(source.shape, (axis,))
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
    return Tensor(_reduced("any", x.bool(), axes, keepdim, dtypes.bool_), x.backend)


@op
def all(x: Tensor, dim: Dims = None, keepdim: bool = False, axis: Dims = None) -> Tensor:
    """Whether every element is not 0."""
    axes = axes_of(x, dim if axis is None else axis, "all")
    return Tensor(_reduced("all", x.bool(), axes, keepdim, dtypes.bool_), x.backend)
