"""Norms of vectors and matrices, pseudo-inverses, ranks and least squares: what is made of ``linear_algebra``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from nnkit.backends.recording import recorder
from nnkit.errors import ShapeError
from nnkit.ops import elementwise as e
from nnkit.ops import reductions, shape
from nnkit.ops.choice import where
from nnkit.ops.gathering import axis_of
from nnkit.ops.linear_algebra import inv, mT, on_tape, require_floats, svd_factors, svdvals
from nnkit.ops.products import matmul
from nnkit.ops.rearranging import movedim
from nnkit.tensors import dtypes
from nnkit.tensors.creation import eye
from nnkit.tensors.methods import Dims, op
from nnkit.tensors.tensor import Tensor


def vector_norm(x: Tensor, ord: float = 2, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The norm of order ``ord`` over axes, or of all elements: see ``norm``."""
    e.check_float("vector_norm", x)
    return reductions.norm(x, ord, dim, keepdim, dtype=dtype)


def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: tuple[int, int] = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """A norm of matrices: 'fro', 'nuc', infinity and 1 (the greatest sum of a row, a column), 2, and negatives."""
    e.check_float("matrix_norm", A)
    x = A if dtype is None else A.to(dtype=dtype)
    rows, columns = (axis_of(x, d, "matrix_norm") for d in dim)
    if x.ndim < 2 or rows == columns:
        raise ShapeError(f"matrix_norm: expected two different axes, got {dim} of shape {x.shape}")
    if ord == "fro":
        return reductions.norm(x, 2, (rows, columns), keepdim)
    laid = movedim(x, (rows, columns), (-2, -1))
    out = _matrix_norm(laid, ord)
    if keepdim:
        for axis in sorted((rows, columns)):
            out = shape.unsqueeze(out, axis)
    return out


def _matrix_norm(x: Tensor, ord: Any) -> Tensor:
    if ord == "nuc":
        return svdvals(x).sum(-1)
    order = float(ord)
    if abs(order) == 2:
        values = svdvals(x)
        return values.amax(-1) if order > 0 else values.amin(-1)
    if abs(order) not in (1, math.inf):
        raise ShapeError(f"ord: expected 'fro', 'nuc', or 1, 2, infinity or their negatives, got {ord!r}")
    sums = e.abs(x).sum(-2 if abs(order) == 1 else -1)
    return sums.amax(-1) if order > 0 else sums.amin(-1)


def norm(A: Tensor, ord: Any = None, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """A norm of vectors (one axis, or none named and no order) or of matrices (two axes), as ``torch.linalg.norm``."""
    e.check_float("norm", A)
    if ord is None:
        return reductions.norm(A, 2, dim, keepdim, dtype=dtype)
    axes = tuple(range(A.ndim)) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    if len(axes) == 1 and not isinstance(ord, str):
        return vector_norm(A, ord, axes, keepdim, dtype=dtype)
    if len(axes) != 2:
        raise ShapeError(
            f"norm: of order {ord!r} there are those of one axis or of two, got shape {A.shape}, dim {dim}"
        )
    return matrix_norm(A, ord, (axes[0], axes[1]), keepdim, dtype=dtype)


@op
def pinv(A: Tensor, atol: float | None = None, rtol: float | None = None, hermitian: bool = False) -> Tensor:
    """The pseudo-inverse: singular values up to max(atol, rtol times the greatest) count as 0.

    rtol is max(M, N) times the distance from 1 to the next number, unless given. Gradient: Golub and Pereyra, 1973.
    """
    require_floats("pinv", A)
    a = A.detach()
    u, s, vh = svd_factors(a, False)
    inverse = where(s > _bound(a, s, atol, rtol), 1.0 / s, 0.0)
    x = matmul(mT(vh) * shape.unsqueeze(inverse, -2), mT(u))

    return on_tape("pinv", x, (A,), _of_pinv, (a, x), lambda y: (A, y))


def _of_pinv(dx: Tensor, a: Tensor, x: Tensor) -> Sequence[Tensor]:
    g = mT(dx)
    if a.shape[-2] <= a.shape[-1]:
        k = matmul(g, x)
        kx = matmul(k, mT(x))
        return (-mT(matmul(x, k)) + kx - matmul(matmul(a, x), kx) + matmul(matmul(mT(x), x), g - matmul(k, a)),)
    k = matmul(x, g)
    xk = matmul(mT(x), k)
    return (-mT(matmul(k, x)) + matmul(matmul(g - matmul(a, k), x), mT(x)) + xk - matmul(matmul(xk, x), a),)


def _bound(a: Tensor, s: Tensor, atol: float | None, rtol: float | None) -> Tensor:
    """Up to where singular values count as 0."""
    epsilon = 2.0**-23 if a.dtype == dtypes.float32 else 2.0**-52
    relative = rtol if rtol is not None else (0.0 if atol else max(a.shape[-2:]) * epsilon)
    greatest = s.amax(-1, keepdim=True) if s.shape[-1] else s.sum(-1, keepdim=True)
    return (greatest * relative).clamp(min=0.0 if atol is None else atol)


@op
def matrix_rank(A: Tensor, atol: float | None = None, rtol: float | None = None, hermitian: bool = False) -> Tensor:
    """How many singular values do not count as 0, int64: see ``pinv``."""
    require_floats("matrix_rank", A)
    _, s, _ = svd_factors(A.detach(), False)
    return (s > _bound(A, s, atol, rtol)).sum(-1)


@op
def cond(A: Tensor, p: Any = None) -> Tensor:
    """The condition number: the norm of a matrix times that of its inverse."""
    if p is None or abs(p if not isinstance(p, str) else 0) == 2:
        values = svdvals(A)
        ratio = values.amax(-1) / values.amin(-1)
        return ratio if p != -2 else 1.0 / ratio
    return matrix_norm(A, p) * matrix_norm(inv(A), p)


class LeastSquares(NamedTuple):
    """What ``lstsq`` finds."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> LeastSquares:
    """The X for which |A X - B| is least, of several the shortest; squared distances where A has full column rank."""
    require_floats("lstsq", A)
    columns = shape.unsqueeze(B, -1) if B.ndim == 1 or (A.ndim > 2 and B.shape == A.shape[:-1]) else B
    if columns.shape[-2] != A.shape[-2]:
        raise ShapeError(f"lstsq: A of shape {A.shape} takes {A.shape[-2]} rows, B has shape {B.shape}")
    found = matmul(pinv(A, rtol=rcond), columns)
    rank = matrix_rank(A, rtol=rcond)
    distance = A.new_empty((0,))
    if A.shape[-2] > A.shape[-1] and bool((rank == A.shape[-1]).all()):
        distance = e.square(matmul(A, found) - columns).sum(-2)
    return LeastSquares(found if columns is B else shape.squeeze(found, -1), distance, rank, A.new_empty((0,)))


@op
def matrix_exp(A: Tensor) -> Tensor:
    """The exponential of square matrices: its series for a part of the matrix small enough, squared again and again."""
    require_floats("matrix_exp", A)
    greatest = e.abs(A.detach()).sum(-1).amax() if A.numel() else A.new_zeros(())
    one = eye(A.shape[-1], dtype=A.dtype, device=A.device)
    if recorder() is not None:
        return _recorded_exp(A, one, greatest)
    size = float(greatest)
    squarings = min(max(0, math.ceil(math.log2(size)) + 4), SQUARINGS) if 0 < size < math.inf else 0
    total = _exp_series(A / 2.0**squarings, one)
    for _ in range(squarings):
        total = matmul(total, total)
    return total


#: As often may a matrix be halved for its exponential: enough for rotations by 2**20.
SQUARINGS = 24


def _recorded_exp(x: Tensor, one: Tensor, greatest: Tensor) -> Tensor:
    """The same where the size may be another in each replay: all squarings, of which those count that it asks for."""
    asked = [greatest > 2.0 ** (k - 4) for k in range(SQUARINGS)]
    for again in asked:
        x = where(again, x / 2.0, x)
    total = _exp_series(x, one)
    for again in asked:
        total = where(again, matmul(total, total), total)
    return total


def _exp_series(x: Tensor, one: Tensor) -> Tensor:
    """The exponential of a small matrix by Horner's rule."""
    total = one
    for k in range(12, 0, -1):
        total = one + matmul(x, total) / k
    return total


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The sums of products along an axis."""
    return (x * y).sum(dim)
