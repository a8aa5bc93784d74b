"""Products of vectors and matrices, and matrices taken apart. Definitions: ``numpy``, ``keras.ops.linalg``."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.keras.ops.elementwise import as_tensors
from nnkit.keras.ops.reducing import max as greatest
from nnkit.keras.ops.reducing import min as least
from nnkit.keras.ops.reducing import sum as total
from nnkit.keras.ops.types import axes_of, convert_to_tensor, floats, together
from nnkit.tensors import dtypes
from nnkit.tensors.tensor import Tensor


def _numbers(x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    """Two tensors of one type; of small whole numbers sums are int32."""
    x, y = as_tensors(x1, x2)
    if x.dtype == dtypes.bool_:
        return ops.to(x, dtype=dtypes.int32), ops.to(y, dtype=dtypes.int32)
    return x, y


def _as_bool(x1: Any, x2: Any, y: Tensor) -> Tensor:
    """Of booleans the product is one."""
    both = as_tensors(x1, x2)
    return ops.ne(y, 0) if both[0].dtype == dtypes.bool_ else y


def matmul(x1: Any, x2: Any) -> Tensor:
    """The matrix product, over axes in front that are broadcast; of int8 as int32.

    >>> matmul([[1, 2]], [[3], [4]]).tolist()
    [[11]]
    """
    x, y = (convert_to_tensor(part) for part in (x1, x2))
    if x.dtype == y.dtype == dtypes.int8:
        x, y = ops.to(x, dtype=dtypes.int32), ops.to(y, dtype=dtypes.int32)
    a, b = _numbers(x, y)
    return _as_bool(x, y, ops.matmul(a, b))


def dot(x1: Any, x2: Any) -> Tensor:
    """The sum over the last axis of x1 and the last but one (or only) of x2; with a number, the product."""
    x, y = _numbers(x1, x2)
    if x.ndim == 0 or y.ndim == 0:
        return _as_bool(x1, x2, x * y)
    if y.ndim == 1:
        return _as_bool(x1, x2, ops.tensordot(x, y, ([x.ndim - 1], [0])))
    return _as_bool(x1, x2, ops.tensordot(x, y, ([x.ndim - 1], [y.ndim - 2])))


def inner(x1: Any, x2: Any) -> Tensor:
    """The sum over the last axes of both; with a number, the product."""
    x, y = _numbers(x1, x2)
    if x.ndim == 0 or y.ndim == 0:
        return _as_bool(x1, x2, x * y)
    return _as_bool(x1, x2, ops.tensordot(x, y, ([x.ndim - 1], [y.ndim - 1])))


def outer(x1: Any, x2: Any) -> Tensor:
    """Each element of x1 times each of x2: (n, m)."""
    x, y = _numbers(x1, x2)
    return _as_bool(x1, x2, ops.reshape(x, (-1, 1)) * ops.reshape(y, (1, -1)))


def vdot(x1: Any, x2: Any) -> Tensor:
    """The sum of the products of all elements in their order."""
    x, y = _numbers(x1, x2)
    return _as_bool(x1, x2, ops.dot(ops.reshape(x, (-1,)), ops.reshape(y, (-1,))))


def tensordot(x1: Any, x2: Any, axes: Any = 2) -> Tensor:
    """The sum over axes of both: over the last of x1 and the first of x2, or over those that two lists name."""
    x, y = _numbers(x1, x2)
    if not isinstance(axes, int):
        axes = [list(axes_of(part, t.ndim)) for part, t in zip(axes, (x, y), strict=True)]
    return _as_bool(x1, x2, ops.tensordot(x, y, axes))


def einsum(subscripts: str, *operands: Any, **kwargs: Any) -> Tensor:
    """Sums of products by Einstein's notation, with "..." for axes that are broadcast.

    >>> einsum("ij,kj->ik", [[1, 2]], [[3, 4]]).tolist()
    [[11]]
    """
    parts = [convert_to_tensor(part) for part in operands]
    if builtins.all(part.dtype == dtypes.int8 for part in parts):
        parts = [ops.to(part, dtype=dtypes.int32) for part in parts]
    return ops.einsum(subscripts, *together(*parts))


def kron(x1: Any, x2: Any) -> Tensor:
    """Kronecker's product: each element of x1 times the whole of x2."""
    return ops.kron(*_numbers(x1, x2))


def cross(x1: Any, x2: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Tensor:
    """The vector product along axes of size 3; of vectors of 2 numbers their third one is 0."""
    a, b, c = (axisa, axisb, axisc) if axis is None else (axis, axis, axis)
    x, y = _numbers(x1, x2)
    x, y = ops.movedim(x, a, -1), ops.movedim(y, b, -1)
    flat = x.shape[-1] == y.shape[-1] == 2
    x, y = (ops.pad_with(t, [(0, 0)] * (t.ndim - 1) + [(0, 3 - t.shape[-1])]) for t in (x, y))
    if flat:
        return x[..., 0] * y[..., 1] - x[..., 1] * y[..., 0]
    x, y = ops.broadcast_tensors(x, y)
    found = ops.cross(x, y, -1)
    return found if c in (-1, found.ndim - 1) else ops.movedim(found, -1, c)


def corrcoef(x: Any) -> Tensor:
    """How the rows of (n, m) go together: (n, n), 1 on the diagonal."""
    return ops.corrcoef(floats(x))


def correlate(x1: Any, x2: Any, mode: str = "valid") -> Tensor:
    """The sums of products of one vector with the other shifted along it: "valid", "same" or "full"."""
    if mode not in ("valid", "same", "full"):
        raise ValueError(f"correlate: mode must be 'valid', 'same' or 'full'; got {mode!r}")
    x, y = (floats(part) for part in as_tensors(x1, x2))
    n, m = x.shape[0], y.shape[0]
    if n < m:  # The shorter one is shifted: the sums come in the other order.
        return ops.flip(correlate(y, x, mode), (0,))
    spare = m - 1
    before = {"valid": 0, "full": spare, "same": spare - spare // 2}[mode]
    behind = {"valid": 0, "full": spare, "same": spare // 2}[mode]
    windows = ops.unfold(ops.pad_with(x, [(before, behind)]), 0, m, 1)
    return ops.matmul(windows, y)


# ---- matrices -------------------------------------------------------------------------------------------------------


def cholesky(x: Any, upper: bool = False) -> Tensor:
    """L with x = L L^T; with ``upper`` its transpose."""
    return ops.cholesky(floats(x), upper=upper)


def cholesky_inverse(x: Any, upper: bool = False) -> Tensor:
    """The inverse of the matrix whose Cholesky factor x is."""
    x = floats(x)
    root = ops.inv(x)
    turned = ops.transpose(root, -2, -1)
    return ops.matmul(root, turned) if upper else ops.matmul(turned, root)


def det(x: Any) -> Tensor:
    """The determinant."""
    return ops.det(floats(x))


def logdet(x: Any) -> Tensor:
    """The logarithm of the determinant of positive definite matrices."""
    return ops.logdet(floats(x))


def slogdet(x: Any) -> tuple[Tensor, Tensor]:
    """The determinant's sign and the logarithm of its absolute value."""
    sign, logarithm = ops.slogdet(floats(x))
    return sign, logarithm


def inv(x: Any) -> Tensor:
    """The inverse."""
    return ops.inv(floats(x))


def pinv(x: Any, rcond: Any = None) -> Tensor:
    """The pseudo-inverse (Moore and Penrose); singular values below ``rcond`` times the greatest are taken for 0."""
    x = floats(x)
    if rcond is None:
        rcond = 10.0 * builtins.max(x.shape[-2:]) * float(np.finfo(x.dtype).eps)
    return ops.pinv(x, rtol=float(rcond))


def eigh(x: Any) -> tuple[Tensor, Tensor]:
    """Eigenvalues of symmetric matrices from the least on, and eigenvectors as columns."""
    values, vectors = ops.eigh(floats(x))
    return values, vectors


def qr(x: Any, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    """Q with orthonormal columns and upper triangular R, x = Q R."""
    if mode not in ("reduced", "complete"):
        raise ValueError(f"qr: mode must be 'reduced' or 'complete'; got {mode!r}")
    q, r = ops.qr(floats(x), mode)
    return q, r


def svd(x: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """U, s and V^T with x = U diag(s) V^T; or the singular values s alone."""
    if not compute_uv:
        return ops.svdvals(floats(x))
    u, s, vh = ops.svd(floats(x), full_matrices)
    return u, s, vh


def solve(a: Any, b: Any) -> Tensor:
    """x with a x = b: a (..., n, n), b (..., n) or (..., n, m)."""
    x, y = (floats(part) for part in as_tensors(a, b))
    return ops.solve(x, y)


def solve_triangular(a: Any, b: Any, lower: bool = False) -> Tensor:
    """x with a x = b, a upper triangular (or lower)."""
    x, y = (floats(part) for part in as_tensors(a, b))
    if y.ndim == x.ndim - 1:
        return ops.squeeze(ops.solve_triangular(x, ops.unsqueeze(y, -1), upper=not lower), -1)
    return ops.solve_triangular(x, y, upper=not lower)


def lstsq(a: Any, b: Any, rcond: float | None = None) -> Tensor:
    """The x with the least |a x - b|, and of these the shortest: a (m, n), b (m,) or (m, k)."""
    x, y = (floats(part) for part in as_tensors(a, b))
    if rcond is None:
        rcond = float(np.finfo(x.dtype).eps) * builtins.max(x.shape)
    inverse = ops.pinv(x, rtol=float(rcond))
    return ops.matmul(inverse, y)


def matrix_rank(x: Any, tol: float | None = None) -> Tensor:
    """How many singular values are above ``tol``."""
    x = floats(x)
    found = ops.matrix_rank(x, atol=tol, rtol=0.0) if tol is not None else ops.matrix_rank(x)
    return ops.to(found, dtype=dtypes.int32)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The norm of vectors along an axis, of matrices along two, or of all elements.

    ``ord``: None for the root of the sum of squares; of vectors a number; of matrices "fro", "nuc", 1, 2, inf or minus
    these. As ``numpy.linalg.norm``.

    >>> norm([3.0, 4.0]).item(), norm([[3.0, 0.0], [0.0, 4.0]], ord="nuc").item()
    (5.0, 7.0)
    """
    x = floats(x)
    axes = axes_of(axis, x.ndim)
    if ord is None or (ord == "fro" and len(axes) == 2):
        return ops.sqrt(total(x * x, axes, keepdims))
    if len(axes) == 1:
        return _vector_norm(x, ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, axes, keepdims)
    raise ValueError(f"norm: ord={ord!r} takes one axis or two; x has shape {tuple(x.shape)}, axis={axis!r}")


def _vector_norm(x: Tensor, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    if isinstance(ord, str):
        raise ValueError(f"norm: ord={ord!r} is for matrices; got one axis")
    if ord == 2:
        return ops.sqrt(total(x * x, axes, keepdims))
    if ord in (math.inf, -math.inf):
        return (greatest if ord > 0 else least)(ops.abs(x), axes, keepdims)
    if ord == 0:
        return total(ops.to(ops.ne(x, 0), dtype=x.dtype), axes, keepdims)
    if ord == 1:
        return total(ops.abs(x), axes, keepdims)
    return ops.pow(total(ops.pow(ops.abs(x), float(ord)), axes, keepdims), 1.0 / ord)


def _matrix_norm(x: Tensor, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    if ord in ("nuc", 2, -2):
        values = ops.svdvals(ops.movedim(x, axes, (-2, -1)))
        kept = total(values, -1) if ord == "nuc" else (greatest if ord > 0 else least)(values, -1)
        return ops.reshape(kept, [1 if k in axes else n for k, n in enumerate(x.shape)]) if keepdims else kept
    if ord not in (1, -1, math.inf, -math.inf):
        raise ValueError(f"norm: ord must be 'fro', 'nuc', 1, 2, inf or minus these for matrices; got {ord!r}")
    rows, columns = axes
    summed, rest = (rows, columns) if builtins.abs(ord) == 1 else (columns, rows)
    sums = total(ops.abs(x), summed, True)
    found = (greatest if ord > 0 else least)(sums, rest, True)
    return found if keepdims else ops.reshape(found, [n for k, n in enumerate(x.shape) if k not in axes])


def cdist(x: Any, y: Any) -> Tensor:
    """The distances of the rows of x (..., n, d) from those of y (..., m, d): (..., n, m)."""
    a, b = (floats(part) for part in as_tensors(x, y))
    return ops.cdist(a, b)


def psnr(x1: Any, x2: Any, max_val: float) -> Tensor:
    """The peak signal-to-noise ratio in decibels: 20 log10(max_val) - 10 log10(mean squared error)."""
    x, y = (floats(part) for part in as_tensors(x1, x2))
    if x.shape != y.shape:
        raise ValueError(f"psnr: both images must have one shape; got {tuple(x.shape)} and {tuple(y.shape)}")
    apart = x - y
    return 20.0 * math.log10(max_val) - 10.0 * ops.log10(ops.mean(apart * apart))
