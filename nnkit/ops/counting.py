"""Counts and statistics: sums without NaN, bins, different elements, covariances. PyTorch's names and rules."""

from __future__ import annotations

from typing import Any

from nnkit.errors import DtypeError, ShapeError
from nnkit.ops import elementwise as e
from nnkit.ops import reductions, shape
from nnkit.ops.choice import where
from nnkit.ops.contracting import outer
from nnkit.ops.elementary import isnan
from nnkit.ops.gathering import axis_of, index_select
from nnkit.ops.indexing import getitem
from nnkit.ops.masking import nonzero
from nnkit.ops.products import matmul
from nnkit.ops.scanning import cumsum
from nnkit.ops.scattering import scatter_add, scatter_reduce
from nnkit.tensors import dtypes
from nnkit.tensors.creation import arange, zeros
from nnkit.tensors.methods import Dims, op
from nnkit.tensors.tensor import Tensor


@op
def nansum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum of the elements that are not NaN.

    >>> from nnkit import tensor
    >>> nansum(tensor([1.0, float("nan"), 2.0]))
    tensor(3.)
    """
    return reductions.sum(
        where(isnan(input), 0.0, input) if input.is_floating_point() else input, dim, keepdim, dtype=dtype
    )


@op
def nanmean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean of the elements that are not NaN; NaN where there are none.

    Raises DtypeError for whole numbers.
    """
    e.check_float("nanmean", input)
    count = reductions.sum(~isnan(input.detach()), dim, keepdim)
    return nansum(input, dim, keepdim, dtype=dtype) / count


def std_mean(input: Tensor, dim: Any = None, **options: Any) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean: see ``std``."""
    return reductions.std(input, dim, **options), _mean_beside(input, dim, options)


def var_mean(input: Tensor, dim: Any = None, **options: Any) -> tuple[Tensor, Tensor]:
    """The variance and the mean: see ``var``."""
    return reductions.var(input, dim, **options), _mean_beside(input, dim, options)


def _mean_beside(x: Tensor, dim: Any, options: dict[str, Any]) -> Tensor:
    return reductions.mean(x, None if isinstance(dim, bool) else dim, options.get("keepdim", False))


# ---- bins -----------------------------------------------------------------------------------------------------------


@op
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each whole number from 0 on occurs, or the sum of the weights of those; how many is read on the host.

    Raises DtypeError for floats, ShapeError for more than one axis or numbers below 0. Source: ``torch.bincount``.

    >>> from nnkit import tensor
    >>> bincount(tensor([1, 1, 3]))
    tensor([0, 2, 0, 1])
    """
    if input.ndim != 1:
        raise ShapeError(f"bincount: expected a vector, got {tuple(input.shape)}")
    if input.is_floating_point() or input.dtype == dtypes.bool_:
        raise DtypeError(f"bincount: expected whole numbers, got {input.dtype}")
    if weights is not None and weights.shape != input.shape:
        raise ShapeError(f"weights: expected shape {input.shape} like input's, got {weights.shape}")
    least, most = (int(input.min()), int(input.max())) if input.numel() else (0, -1)
    if least < 0:
        raise ShapeError(f"bincount: expected numbers of 0 or more, got {least}")
    share = input.new_ones(input.shape, dtype=dtypes.int64) if weights is None else weights.detach()
    if weights is not None and share.dtype != dtypes.float32:
        share = share.double()
    empty = zeros(max(most + 1, minlength), dtype=share.dtype, device=input.device)
    return scatter_add(empty, 0, input.detach().long(), share)


@op
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements lie in each of ``bins`` equal parts from min to max; of the whole range if both are 0.

    Elements outside do not count, those at max are of the last part. Raises DtypeError for whole numbers.
    """
    e.check_float("histc", input)
    if bins < 1:
        raise ShapeError(f"bins: expected at least 1, got {bins}")
    x = shape.reshape(input.detach(), (-1,))
    counts = x.new_zeros((bins,))
    if not x.numel():
        return counts
    low, high = (x.min(), x.max()) if min == max == 0 else (x.new_tensor(float(min)), x.new_tensor(float(max)))
    flat = low == high
    low, high = where(flat, low - 1, low), where(flat, high + 1, high)
    inside = (x >= low) & (x <= high)
    place = where(inside, (x - low) / (high - low) * bins, 0.0).floor().long().clamp(0, bins - 1)
    return scatter_add(counts, 0, place, inside.to(x.dtype))


def histogram(
    input: Tensor, bins: Any, *, range: Any = None, weight: Tensor | None = None, density: bool = False
) -> Any:
    """The counts of ``histc``, and the edges of the parts."""
    if isinstance(bins, Tensor) or weight is not None or density:
        raise ShapeError("histogram: only a number of bins is known here, without weight and density; see bucketize")
    low, high = (float(input.min()), float(input.max())) if range is None else range
    edges = arange(bins + 1, dtype=input.dtype, device=input.device) * ((high - low) / bins) + low
    return histc(input, bins, low, high), edges


# ---- different elements ---------------------------------------------------------------------------------------------


@op
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements, or parts along ``dim``, in ascending order; how many these are is read on the host.

    Then, as asked for, the number of each element among them, and how often each occurs, both int64. The elements have
    input's dtype. Raises ShapeError for an axis that it does not have, TypeError for what is no Tensor. Source:
    ``torch.unique``.

    >>> from nnkit import tensor
    >>> unique(tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    x = input.detach()
    if dim is None:
        values, inverse, counts = _numbered(x)
    else:
        values, inverse, counts = _numbered_parts(x, axis_of(x, dim, "unique"))
    found = [values, *([inverse] if return_inverse else []), *([counts] if return_counts else [])]
    return found[0] if len(found) == 1 else tuple(found)


def _numbered(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    backend = x.backend
    source = x.to(dtypes.uint8) if x.dtype == dtypes.bool_ else x
    values, inverse, counts = (Tensor(array, backend) for array in backend.unique(source.array))
    return values.to(x.dtype), shape.reshape(inverse.long(), x.shape), counts.long()


def _numbered_parts(x: Tensor, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """Parts are compared element by element: the number so far, then the next element's."""
    rows = shape.reshape(shape.transpose(x, 0, axis), (x.shape[axis], -1))
    numbers = rows.new_zeros((rows.shape[0],), dtype=dtypes.int64)
    for column in range(rows.shape[1]):
        values, inverse, _ = _numbered(getitem(rows, (slice(None), column)))
        _, numbers, _ = _numbered(numbers * values.numel() + inverse)
    values, numbers, counts = _numbered(numbers)
    places = arange(rows.shape[0], device=x.device)
    first = scatter_reduce(values * 0 + rows.shape[0], 0, numbers, places, "amin")
    return index_select(x, axis, first), numbers, counts


@op
def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements, or parts along ``dim``, without those that equal the one before; other results as ``unique``.

    A Tensor of any shape and dtype. Raises ShapeError for an axis that it does not have, TypeError for what is no
    Tensor. As ``torch.unique_consecutive``.
    """
    x = shape.reshape(input.detach(), (-1,)) if dim is None else input.detach()
    axis = axis_of(x, 0 if dim is None else dim, "unique_consecutive")
    rows = shape.reshape(shape.transpose(x, 0, axis), (x.shape[axis], -1))
    new = rows.new_ones((rows.shape[0],), dtype=dtypes.bool_)
    if rows.shape[0] > 1:
        changed = (getitem(rows, slice(1, None)) != getitem(rows, slice(None, -1))).any(1)
        new = shape.cat([getitem(new, slice(0, 1)), changed])
    places = shape.reshape(nonzero(new), (-1,))
    inverse = cumsum(new, 0) - 1
    ends = shape.cat([getitem(places, slice(1, None)), places.new_full((min(1, rows.shape[0]),), rows.shape[0])])
    found = [index_select(x, axis, places)]
    if return_inverse:
        found.append(shape.reshape(inverse, input.shape) if dim is None else inverse)
    if return_counts:
        found.append(ends - places)
    return found[0] if len(found) == 1 else tuple(found)


# ---- statistics of rows ---------------------------------------------------------------------------------------------


@op
def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """The covariances of the rows of a matrix, whose columns are observations; of a vector its variance."""
    if fweights is not None or aweights is not None:
        raise ShapeError("cov: weights are not known here; repeat or scale the observations")
    if input.ndim > 2:
        raise ShapeError(f"cov: expected a vector, or a matrix of variables and observations, got shape {input.shape}")
    x = input if input.ndim == 2 else shape.reshape(input, (1, -1))
    centred = x - reductions.mean(x, 1, True)
    found = matmul(centred, shape.transpose(centred, 0, 1)) / max(x.shape[1] - correction, 0)
    return found if input.ndim == 2 else shape.reshape(found, ())


@op
def corrcoef(input: Tensor) -> Tensor:
    """The correlations of the rows of a matrix, from -1 to 1; of a vector 1."""
    found = cov(input)
    if found.ndim == 0:
        return found / found
    deviation = e.sqrt(_variances(found))
    return (found / outer(deviation, deviation)).clamp(-1, 1)


def _variances(covariances: Tensor) -> Tensor:
    size = covariances.shape[0]
    return getitem(shape.reshape(covariances, (-1,)), slice(None, None, size + 1))


@op
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """The parts along ``dim`` whose p-norm is above maxnorm, scaled down to that.

    A Tensor of floats, whose shape and dtype the result has. Raises ShapeError for an axis that it does not have,
    TypeError for what is no Tensor. As ``torch.renorm``.
    """
    axis = axis_of(input, dim, "renorm")
    others = tuple(i for i in range(input.ndim) if i != axis)
    norms = reductions.norm(input, p, others, True)
    return input * where(norms > maxnorm, maxnorm / (norms + 1e-7), 1.0)
