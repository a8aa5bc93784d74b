"""Running sums, products and extremes along an axis, and differences of neighbours. PyTorch's names and rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nnkit.errors import ShapeError
from nnkit.ops import shape
from nnkit.ops.choice import where
from nnkit.ops.elementary import logaddexp
from nnkit.ops.elementwise import check_float
from nnkit.ops.gathering import axis_of, gather, places_along
from nnkit.ops.indexing import getitem
from nnkit.ops.reductions import Extreme
from nnkit.tensors import dtypes
from nnkit.tensors.creation import zeros_like
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import op
from nnkit.tensors.results import Asked, result
from nnkit.tensors.tensor import Tensor

EVERY = slice(None)


def _as_summed(x: Tensor, dtype: Any) -> Tensor:
    """Whole numbers and booleans are added and multiplied as int64, unless a type is given."""
    if dtype is not None:
        return x.to(dtype=dtype)
    return x if x.is_floating_point() else x.to(dtypes.int64)


@op
def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Of each element and all before it along an axis, the sum; of whole numbers and booleans in int64.

    >>> from nnkit import tensor
    >>> cumsum(tensor([1.0, 2.0, 3.0]), 0)
    tensor([1., 3., 6.])
    """
    x = _as_summed(input, dtype)
    axis = axis_of(x, dim, "cumsum")
    if x.ndim == 0:
        return shape.clone(x)
    backend = x.backend
    back = (*(EVERY,) * axis, slice(None, None, -1), Ellipsis)
    out = backend.empty(x.shape, x.dtype)
    backend.scan("sum", x.array, axis, out)

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> tuple[Any]:
        dx = backend.empty(x.shape, x.dtype)
        backend.scan("sum", dy[back], axis, dx[back])
        return (dx,)

    def rule(dy: Tensor, asked: Asked) -> tuple[Tensor]:
        return (getitem(cumsum(getitem(dy, back), axis), back),)

    return result("cumsum", out, backend, (x,), pullback, (), rule)


def _doubling(x: Tensor, axis: int, fold: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The running fold along an axis: in each round, twice as many elements are looked back on."""
    back, size, lead = 1, x.shape[axis], (EVERY,) * axis
    while back < size:
        later, earlier = getitem(x, (*lead, slice(back, None))), getitem(x, (*lead, slice(None, -back)))
        x = shape.cat([getitem(x, (*lead, slice(None, back))), fold(earlier, later)], axis)
        back *= 2
    return x


@op
def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Of each element and all before it along an axis, the product; its gradient is exact at zeros."""
    x = _as_summed(input, dtype)
    axis = axis_of(x, dim, "cumprod")
    return shape.clone(x) if x.ndim == 0 or x.shape[axis] < 2 else _doubling(x, axis, lambda a, b: a * b)


@op
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """log(cumsum(exp(input))), without overflow."""
    check_float("logcumsumexp", input)
    axis = axis_of(input, dim, "logcumsumexp")
    return shape.clone(input) if input.ndim == 0 or input.shape[axis] < 2 else _doubling(input, axis, _log_of_sum)


def _log_of_sum(x: Tensor, y: Tensor) -> Tensor:
    """``logaddexp``, also of two that are minus infinity, which has no slope."""
    nothing = (x == -float("inf")) & (y == -float("inf"))
    return where(nothing, -float("inf"), logaddexp(where(nothing, 0.0, x), where(nothing, 0.0, y)))


def _extremes(kind: str, input: Tensor, dim: int) -> Extreme:
    axis = axis_of(input, dim, f"cum{kind}")
    x, backend = input.detach(), input.backend
    if x.ndim == 0:
        return Extreme(shape.clone(input), zeros_like(input.detach(), dtype=dtypes.int64))
    if x.dtype == dtypes.bool_:
        x = x.to(dtypes.uint8)
    best = backend.empty(x.shape, x.dtype)
    backend.scan(kind, x.array, axis, best)
    extreme = Tensor(best, backend)
    hit = (x == extreme) | ((x != x) & (extreme != extreme))
    places = places_along(x, axis)
    latest = where(hit, places, 0)
    indices = backend.empty(x.shape, dtypes.int64)
    backend.scan("max", latest.array, axis, indices)
    found = Tensor(indices, backend)
    return Extreme(gather(input, axis, found, checked=True), found)


@op
def cummax(input: Tensor, dim: int) -> Extreme:
    """Of each element and all before it, the greatest and where it is (the last place of equal ones)."""
    return _extremes("max", input, dim)


@op
def cummin(input: Tensor, dim: int) -> Extreme:
    """Of each element and all before it, the least and where it is (the last place of equal ones)."""
    return _extremes("min", input, dim)


@op
def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """The differences of neighbours along an axis, n times over; of booleans, whether they differ.

    >>> from nnkit import tensor
    >>> diff(tensor([1, 4, 9]))
    tensor([3, 5])
    """
    if input.ndim == 0:
        raise ShapeError("diff: expected a tensor of at least one axis, got shape ()")
    axis = axis_of(input, dim, "diff")
    parts = [part for part in (prepend, input, append) if part is not None]
    x = shape.cat(parts, axis) if len(parts) > 1 else input
    lead = (EVERY,) * axis
    for _ in range(n):
        later, earlier = getitem(x, (*lead, slice(1, None))), getitem(x, (*lead, slice(None, -1)))
        x = later != earlier if x.dtype == dtypes.bool_ else later - earlier
    return x


@op
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The area under a line through points of heights y along an axis, a distance dx apart, or at the places x."""
    axis = axis_of(y, dim, "trapezoid")
    lead = (EVERY,) * axis
    middles = (getitem(y, (*lead, slice(1, None))) + getitem(y, (*lead, slice(None, -1)))) / 2
    if x is None:
        return (middles * dx).sum(axis)
    if x.shape[dim if x.ndim > 1 else -1] != y.shape[axis]:
        raise ShapeError(f"trapezoid: expected an x for each of the {y.shape[axis]} points, got shape {tuple(x.shape)}")
    if x.ndim == 1:
        steps = shape.reshape(diff(x), (-1, *(1 for _ in y.shape[axis + 1 :])))
    else:
        steps = diff(x, dim=dim)
    return (middles * steps).sum(axis)


trapz = trapezoid
