"""Sums, means, extremes and orders along axes, and running sums."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.keras.ops.comparing import truth
from nnkit.keras.ops.types import axes_of, convert_to_tensor, floats, of_type, together
from nnkit.tensors import dtypes
from nnkit.tensors.creation import full
from nnkit.tensors.dtypes import get_default_dtype, is_float
from nnkit.tensors.tensor import Tensor


def _summed(dtype: np.dtype) -> np.dtype:
    """The type of a sum: that of its elements, but at least of 32 bits."""
    if dtype.kind in "bi" and dtype.itemsize < 4:
        return dtypes.int32
    return np.dtype(np.uint32) if dtype.kind == "u" and dtype.itemsize < 4 else dtype


def _kept(x: Tensor, axis: Any, keepdims: bool) -> Any:
    """Axes, as ops take them: of no axes at all there is nothing to reduce."""
    return None if axis is None else axes_of(axis, x.ndim)


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The sum along one axis, several or all; of booleans and small whole numbers as int32.

    >>> sum([[1, 2], [3, 4]], axis=0).tolist(), sum([True, True]).dtype
    ([4, 6], dtype('int32'))
    """
    x = convert_to_tensor(x)
    dtype = _summed(x.dtype)
    return ops.to(ops.sum(x, _kept(x, axis, keepdims), keepdims), dtype=dtype)


def prod(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    """The product along one axis, several or all."""
    x = convert_to_tensor(x)
    kind = of_type(dtype) if dtype is not None else _summed(x.dtype)
    x = ops.to(x, dtype=kind)
    return ops.to(ops.prod(x, _kept(x, axis, keepdims), keepdims), dtype=kind)


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The mean along one axis, several or all; of whole numbers as ``floatx``."""
    x = floats(x)
    return ops.mean(x, _kept(x, axis, keepdims), keepdims)


def var(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The mean square of the distance from the mean."""
    x = floats(x)
    return ops.var(x, _kept(x, axis, keepdims), 0, keepdims)


def std(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The root of :func:`var`."""
    x = floats(x)
    return ops.std(x, _kept(x, axis, keepdims), 0, keepdims)


def average(x: Any, axis: Any = None, weights: Any = None) -> Tensor:
    """The mean along an axis, weighted where ``weights``, of x's shape or of the axis, are given.

    >>> average([1.0, 2.0], weights=[3.0, 1.0]).item()
    1.25
    """
    x = floats(x)
    if weights is None:
        return mean(x, axis)
    x, weights = together(x, convert_to_tensor(weights))
    if weights.ndim == 1 and x.ndim > 1:
        if axis is None:
            raise ValueError("average: weights of another shape than x need an axis")
        place = axes_of(axis, x.ndim)[0]
        weights = ops.reshape(weights, [weights.shape[0] if k == place else 1 for k in range(x.ndim)])
    whole = ops.broadcast_to(weights, x.shape)
    return sum(x * whole, axis) / sum(whole, axis)


def _extreme(x: Any, axis: Any, keepdims: bool, initial: Any, greatest: bool) -> Tensor:
    x = convert_to_tensor(x)
    as_bool = x.dtype == dtypes.bool_
    if x.numel() == 0 and initial is None:
        raise ValueError(f"{'max' if greatest else 'min'}: x of shape {tuple(x.shape)} has no elements; give initial=")
    if as_bool:
        x = ops.to(x, dtype=dtypes.int32)
    if x.numel() == 0:
        found = sum(x, axis, keepdims) * 0 + initial
    else:
        found = (ops.amax if greatest else ops.amin)(x, _kept(x, axis, keepdims), keepdims)
        if initial is not None:
            found = (ops.maximum if greatest else ops.minimum)(found, initial)
    return ops.to(found, dtype=dtypes.bool_) if as_bool else found


def max(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Tensor:
    """The greatest along one axis, several or all, and not below ``initial``."""
    return _extreme(x, axis, keepdims, initial, True)


def min(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Tensor:
    """The least along one axis, several or all, and not above ``initial``."""
    return _extreme(x, axis, keepdims, initial, False)


def amax(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The greatest along one axis, several or all."""
    return max(x, axis, keepdims)


def amin(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The least along one axis, several or all."""
    return min(x, axis, keepdims)


def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The greatest minus the least."""
    return max(x, axis, keepdims) - min(x, axis, keepdims)


def all(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether all elements along the axes are true (not 0)."""
    x = truth(x)
    return ops.all(x, _kept(x, axis, keepdims), keepdims)


def any(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Whether one element along the axes is true (not 0)."""
    x = truth(x)
    return ops.any(x, _kept(x, axis, keepdims), keepdims)


def count_nonzero(x: Any, axis: Any = None) -> Tensor:
    """How many elements along the axes are not 0, as int32."""
    return sum(truth(x), axis)


def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The place of the greatest along an axis, or of all in their order, as int32; the first of several.

    >>> argmax([[1, 5], [7, 2]], axis=1).tolist(), argmax([[1, 5], [7, 2]]).item()
    ([1, 0], 2)
    """
    return _place(x, axis, keepdims, ops.argmax)


def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The place of the least along an axis, or of all in their order, as int32; the first of several."""
    return _place(x, axis, keepdims, ops.argmin)


def _place(x: Any, axis: int | None, keepdims: bool, op: Any) -> Tensor:
    x = convert_to_tensor(x)
    x = ops.to(x, dtype=dtypes.int32) if x.dtype == dtypes.bool_ else x
    if axis is None:
        found = op(ops.reshape(x, (-1,)), 0)
        found = ops.reshape(found, (1,) * x.ndim) if keepdims else found
    else:
        found = op(x, axes_of(axis, x.ndim)[0], keepdims)
    return ops.to(found, dtype=dtypes.int32)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """log of the sum of exp, without overflow."""
    x = floats(x)
    return ops.logsumexp(x, axes_of(axis, x.ndim), keepdims)


def moments(x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False) -> tuple[Tensor, Tensor]:
    """Mean and variance; of half types computed in float32."""
    if synchronized:
        raise ValueError("moments: synchronized=True is for several devices, and nnkit trains on one; leave it out")
    x = convert_to_tensor(x)
    half = is_float(x.dtype) and x.dtype.itemsize == 2
    wide = ops.to(x, dtype=dtypes.float32) if half else floats(x)
    found = mean(wide, axes, keepdims), var(wide, axes, keepdims)
    return tuple(ops.to(part, dtype=x.dtype) for part in found) if half else found  # type: ignore[return-value]


# ---- in order -------------------------------------------------------------------------------------------------------


def sort(x: Any, axis: int | None = -1) -> Tensor:
    """From the least to the greatest along an axis; with None, of all elements."""
    x = convert_to_tensor(x)
    x, axis = (ops.reshape(x, (-1,)), 0) if axis is None else (x, axis)
    if x.dtype == dtypes.bool_:
        return ops.to(ops.sort(ops.to(x, dtype=dtypes.int32), axis)[0], dtype=dtypes.bool_)
    return ops.sort(x, axis)[0]


def argsort(x: Any, axis: int | None = -1) -> Tensor:
    """The places of the elements in order along an axis, as int32; equal ones in the order in which they stand."""
    x = convert_to_tensor(x)
    x = ops.to(x, dtype=dtypes.int32) if x.dtype == dtypes.bool_ else x
    x, axis = (ops.reshape(x, (-1,)), 0) if axis is None else (x, axis)
    return ops.to(ops.argsort(x, axis), dtype=dtypes.int32)


def argpartition(x: Any, kth: int, axis: int = -1) -> Tensor:
    """Places such that the k-th is where it is in order, before it none greater: those of :func:`argsort`."""
    return argsort(x, axis)


def quantile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """What a share q of the elements is not above, along one axis, several or all; q is a number or a vector."""
    return _quantile(x, q, axis, method, keepdims, ops.quantile)


def nanquantile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """:func:`quantile` of what is not NaN."""
    return _quantile(x, q, axis, method, keepdims, ops.nanquantile)


def _quantile(x: Any, q: Any, axis: Any, method: str, keepdims: bool, op: Any) -> Tensor:
    x = floats(x)
    axes = axes_of(axis, x.ndim)
    rest = [k for k in range(x.ndim) if k not in axes]
    flat = ops.reshape(
        ops.permute(x, (*rest, *axes)), (*(x.shape[k] for k in rest), math.prod(x.shape[k] for k in axes))
    )
    shares = ops.to(convert_to_tensor(q), dtype=x.dtype)
    found = op(flat, shares, -1, interpolation=method)
    if not keepdims:
        return found
    kept = [1 if k in axes else n for k, n in enumerate(x.shape)]
    return ops.reshape(found, (*shares.shape, *kept))


def percentile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """:func:`quantile`, with q from 0 to 100."""
    return quantile(x, floats(q) / 100.0, axis, method, keepdims)


def nanpercentile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """:func:`percentile` of what is not NaN."""
    return nanquantile(x, floats(q) / 100.0, axis, method, keepdims)


def median(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The element in the middle, or the mean of the two there."""
    return quantile(x, 0.5, axis, keepdims=keepdims)


def nanmedian(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """:func:`median` of what is not NaN."""
    return nanquantile(x, 0.5, axis, keepdims=keepdims)


# ---- running --------------------------------------------------------------------------------------------------------


def cumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """The sum so far, along an axis; with None, of all elements in their order."""
    return _running(x, axis, dtype, ops.cumsum)


def cumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """The product so far, along an axis; with None, of all elements in their order."""
    return _running(x, axis, dtype, ops.cumprod)


def _running(x: Any, axis: int | None, dtype: Any, op: Any) -> Tensor:
    x = convert_to_tensor(x)
    kind = of_type(dtype) if dtype is not None else dtypes.int32 if x.dtype == dtypes.bool_ else x.dtype
    x, axis = (ops.reshape(x, (-1,)), 0) if axis is None else (x, axis)
    return ops.to(op(ops.to(x, dtype=kind), axis), dtype=kind)


def diff(a: Any, n: int = 1, axis: int = -1) -> Tensor:
    """Each element minus the one before, ``n`` times over."""
    return ops.diff(convert_to_tensor(a), n, axis)


def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Tensor:
    """The integral along an axis by trapezoids, at the places x or ``dx`` apart."""
    y = floats(y)
    if x is None:
        return ops.trapezoid(y, dx=dx, dim=axis)
    return ops.trapezoid(y, ops.to(convert_to_tensor(x), dtype=y.dtype), dim=axis)


# ---- without NaN ----------------------------------------------------------------------------------------------------


def _instead(x: Any, value: float) -> Tensor:
    """A number in the place of NaN."""
    x = convert_to_tensor(x)
    return ops.where(ops.isnan(x), value, x) if is_float(x.dtype) else x


def _known(x: Tensor) -> Tensor:
    """1 where an element is not NaN, else 0."""
    if not is_float(x.dtype):
        return full(x.shape, 1.0, dtype=get_default_dtype(), device=x.device)
    return ops.to(ops.logical_not(ops.isnan(x)), dtype=x.dtype)


def nansum(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The sum of what is not NaN."""
    return sum(_instead(x, 0.0), axis, keepdims)


def nanprod(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The product of what is not NaN."""
    return prod(_instead(x, 1.0), axis, keepdims)


def nancumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """:func:`cumsum` with NaN as 0."""
    return cumsum(_instead(x, 0.0), axis, dtype)


def nancumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """:func:`cumprod` with NaN as 1."""
    return cumprod(_instead(x, 1.0), axis, dtype)


def nanmean(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The mean of what is not NaN."""
    x = convert_to_tensor(x)
    return floats(nansum(x, axis, keepdims)) / sum(_known(x), axis, keepdims)


def nanvar(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The variance of what is not NaN."""
    x = convert_to_tensor(x)
    apart = floats(x) - nanmean(x, axis, keepdims=True)
    known = _known(x)
    return sum(ops.where(known > 0, apart * apart, 0.0), axis, keepdims) / sum(known, axis, keepdims)


def nanstd(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The root of :func:`nanvar`."""
    return ops.sqrt(nanvar(x, axis, keepdims))


def _nan_extreme(x: Any, axis: Any, keepdims: bool, sign: float) -> Tensor:
    x = convert_to_tensor(x)
    op = max if sign > 0 else min
    if not is_float(x.dtype):
        return op(x, axis, keepdims)
    found = op(_instead(x, -sign * math.inf), axis, keepdims)
    return ops.where(sum(_known(x), axis, keepdims) == 0, math.nan, found)


def nanmax(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The greatest of what is not NaN."""
    return _nan_extreme(x, axis, keepdims, 1.0)


def nanmin(x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The least of what is not NaN."""
    return _nan_extreme(x, axis, keepdims, -1.0)


def _nan_place(x: Any, axis: int | None, keepdims: bool, sign: float) -> Tensor:
    x = convert_to_tensor(x)
    found = (argmax if sign > 0 else argmin)(_instead(x, -sign * math.inf), axis, keepdims)
    if not is_float(x.dtype):
        return found
    return ops.where(sum(_known(x), axis, keepdims) == 0, convert_to_tensor(-1), found)


def nanargmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The place of the greatest of what is not NaN; -1 where all is."""
    return _nan_place(x, axis, keepdims, 1.0)


def nanargmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The place of the least of what is not NaN; -1 where all is."""
    return _nan_place(x, axis, keepdims, -1.0)
