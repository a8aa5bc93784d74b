"""Inverses, solutions and factors of matrices (..., M, N), and their gradients. PyTorch's names.

Computed by the device's own LAPACK; MatrixError says where there is no result. Formulas of the gradients: M. Giles,
Collected matrix derivative results for forward and reverse mode algorithmic differentiation, 2008.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nnkit.errors import DtypeError, ShapeError
from nnkit.ops import shape
from nnkit.ops.choice import where
from nnkit.ops.indexing import getitem
from nnkit.ops.products import matmul
from nnkit.ops.rearranging import diag_embed, diagonal, tril, triu
from nnkit.tensors import dtypes
from nnkit.tensors.creation import eye
from nnkit.tensors.memory import Gradient
from nnkit.tensors.methods import op
from nnkit.tensors.results import OUTPUT, Asked, result
from nnkit.tensors.tensor import Tensor

Pulled = Callable[..., Sequence[Tensor]]
Again = Callable[[Tensor], Sequence[Tensor]]


def require_floats(name: str, *matrices: Tensor) -> None:
    for x in matrices:
        if x.dtype not in (dtypes.float32, dtypes.float64):
            raise DtypeError(f"{name}: expected float32 or float64, got {x.dtype}; convert it with .float()")
        if x.ndim < 2:
            raise ShapeError(f"{name}: expected matrices, of at least two axes, got shape {x.shape}")


def require_square(name: str, x: Tensor) -> None:
    require_floats(name, x)
    if x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{name}: expected square matrices, got shape {x.shape}")


def factors_of(kind: str, inputs: Sequence[Tensor], shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """What the primitive writes, off the tape."""
    backend, dtype = inputs[0].backend, inputs[0].dtype
    arrays = [backend.empty(size, dtype) for size in shapes]
    if all(x.numel() for x in inputs):
        backend.factorize(kind, [x.array for x in inputs], arrays)
    else:
        for array in arrays:
            backend.fill(1 if kind == "det" else 0, array)
    return [Tensor(array, backend) for array in arrays]


def on_tape(
    name: str, out: Tensor, inputs: Sequence[Tensor], pulled: Pulled, kept: Sequence[Tensor], again: Again,
    reads_inputs: bool = True,
) -> Tensor:  # fmt: skip
    """An output whose gradients ``pulled(dy, *kept)`` tells as tensors, one for each input.

    ``again(output)`` gives what was kept as tensors on the tape, so that these gradients have gradients.
    """
    backend = out.backend

    def pullback(dy: Any, into: Sequence[Gradient | None]) -> list[Any]:
        return [dx.array for dx in pulled(Tensor(dy, backend), *kept)]

    def rule(dy: Tensor, asked: Asked) -> Sequence[Tensor]:
        return pulled(dy, *again(asked.output(out.array)))

    reads = (*inputs, OUTPUT) if reads_inputs else (OUTPUT,)
    return result(name, out.array, backend, inputs, pullback, (reads,) * len(inputs), rule)


def mT(x: Tensor) -> Tensor:
    return shape.transpose(x, -2, -1)


# ---- inverses and solutions -----------------------------------------------------------------------------------------


@op
def inv(A: Tensor) -> Tensor:
    """The inverse of square matrices.

    Raises MatrixError for a singular one.

    >>> from nnkit import tensor
    >>> inv(tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5 , 0.  ],
            [0.  , 0.25]])
    """
    require_square("inv", A)
    (x,) = factors_of("inv", [A.detach()], [A.shape])
    return on_tape("inv", x, (A,), _of_inv, (x,), lambda y: (y,), reads_inputs=False)


def _of_inv(dx: Tensor, x: Tensor) -> Sequence[Tensor]:
    return (-matmul(mT(x), matmul(dx, mT(x))),)


@op
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """The X of A X = B (of X A = B where not ``left``); B holds columns, or is one vector for each matrix."""
    require_square("solve", A)
    if A.dtype != B.dtype:
        raise DtypeError(f"solve: expected A and B of one type, got {A.dtype} and {B.dtype}")
    if left and (B.ndim == 1 or (A.ndim > 2 and B.shape == A.shape[:-1])):
        return shape.squeeze(solve(A, shape.unsqueeze(B, -1)), -1)
    if not left:
        return mT(solve(mT(A), mT(B)))
    if B.shape[-2] != A.shape[-1]:
        raise ShapeError(f"solve: A of shape {A.shape} takes {A.shape[-1]} rows, B has shape {B.shape}")
    batch = _batch("solve", A, B)
    a, b = shape.expand(A, (*batch, *A.shape[-2:])), shape.expand(B, (*batch, *B.shape[-2:]))
    return _solve(a, b)


def _batch(name: str, x: Tensor, y: Tensor) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except ValueError:
        raise ShapeError(f"{name}: batch axes of {x.shape} and {y.shape} do not broadcast") from None


def _solve(A: Tensor, B: Tensor) -> Tensor:
    a = A.detach()
    (x,) = factors_of("solve", [a, B.detach()], [B.shape])

    return on_tape("solve", x, (A, B), _of_solve, (a, x), lambda y: (A, y))


def _of_solve(dx: Tensor, a: Tensor, x: Tensor) -> Sequence[Tensor]:
    db = _solve(mT(a), dx)
    return -matmul(db, mT(x)), db


@op
def solve_triangular(A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    """``solve`` for matrices of which only one triangle counts; with ones on the diagonal where ``unitriangular``."""
    whole = triu(A, int(unitriangular)) if upper else tril(A, -int(unitriangular))
    if unitriangular:
        whole = whole + eye(A.shape[-1], dtype=A.dtype, device=A.device)
    return solve(whole, B, left=left)


@op
def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """The X of A X = B, for A given by its ``cholesky`` factor.

    B has shape (N, K), L (N, N), float32 or float64. Raises ShapeError where sizes do not fit, DtypeError for whole
    numbers. As ``torch.cholesky_solve``.
    """
    factor = mT(L) if upper else L
    return solve_triangular(mT(factor), solve_triangular(factor, B, upper=False), upper=True)


@op
def matrix_power(A: Tensor, n: int) -> Tensor:
    """The product of n copies of a square matrix; of its inverse for n below 0.

    Raises MatrixError where that has none.
    """
    require_square("matrix_power", A)
    if n < 0:
        return matrix_power(inv(A), -n)
    out = shape.expand(eye(A.shape[-1], dtype=A.dtype, device=A.device), A.shape) if n == 0 else None
    square = A
    while n:
        if n & 1:
            out = square if out is None else matmul(out, square)
        n >>= 1
        square = matmul(square, square) if n else square
    assert out is not None
    return shape.clone(out) if out is A or out.ndim == 0 else out


# ---- determinants ---------------------------------------------------------------------------------------------------


# ---- factors --------------------------------------------------------------------------------------------------------


@op
def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """The lower triangle L with A = L L^T of symmetric positive definite matrices; L^T where ``upper``.

    Raises MatrixError where A is not positive definite.
    """
    require_square("cholesky", A)
    (lower,) = factors_of("cholesky", [A.detach()], [A.shape])

    factor = on_tape("cholesky", lower, (A,), _of_cholesky, (lower,), lambda y: (y,), reads_inputs=False)
    return mT(factor) if upper else factor


def _of_cholesky(dl: Tensor, lower: Tensor) -> Sequence[Tensor]:
    inner = tril(matmul(mT(lower), tril(dl)))
    inner = inner - diag_embed(diagonal(inner, 0, -2, -1)) * 0.5
    inverse = inv(lower)
    whole = matmul(matmul(mT(inverse), inner), inverse)
    return ((whole + mT(whole)) * 0.5,)


class Eigen(NamedTuple):
    """Eigenvalues in ascending order, and the eigenvectors as columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


@op
def eigh(A: Tensor, UPLO: str = "L") -> Eigen:
    """The eigenvalues, ascending, and eigenvectors of symmetric matrices, of which one triangle is read.

    The gradient of the vectors is infinite where two values are equal.
    """
    require_square("eigh", A)
    a = A.detach()
    lower = tril(a) if UPLO == "L" else mT(triu(a))
    symmetric = lower + mT(tril(lower, -1))
    w, v = factors_of("eigh", [symmetric], [A.shape[:-1], A.shape])

    again: Again = lambda y: eigh(A, UPLO)  # noqa: E731
    values = on_tape("eigh", w, (A,), _of_eigenvalues, (w, v), again)
    return Eigen(values, on_tape("eigh", v, (A,), _of_eigenvectors, (w, v), again))


def _of_eigenvalues(dw: Tensor, w: Tensor, v: Tensor) -> Sequence[Tensor]:
    return (matmul(v * shape.unsqueeze(dw, -2), mT(v)),)


def _of_eigenvectors(dv: Tensor, w: Tensor, v: Tensor) -> Sequence[Tensor]:
    inner = matmul(mT(v), dv) / _gaps(w)
    whole = matmul(v, matmul(inner, mT(v)))
    return ((whole + mT(whole)) * 0.5,)


def _gaps(w: Tensor) -> Tensor:
    """How much each value is above each other one; infinite on the diagonal."""
    one = eye(w.shape[-1], dtype=dtypes.bool_, device=w.device)
    return where(one, float("inf"), shape.unsqueeze(w, -2) - shape.unsqueeze(w, -1))


@op
def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of symmetric matrices, ascending: see ``eigh``."""
    return eigh(A, UPLO).eigenvalues


class Orthogonal(NamedTuple):
    """Orthonormal columns, and an upper triangle."""

    Q: Tensor
    R: Tensor


@op
def qr(A: Tensor, mode: str = "reduced") -> Orthogonal:
    """Orthonormal columns Q and an upper triangle R with A = Q R. mode is reduced, complete, or r (no Q).

    There is a gradient where mode is reduced and A has no fewer rows than columns, or is complete and A square.
    """
    require_floats("qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise ShapeError(f"mode: expected 'reduced', 'complete' or 'r', got {mode!r}")
    batch, (m, n) = A.shape[:-2], A.shape[-2:]
    k = m if mode == "complete" else min(m, n)
    kind = "qr_complete" if mode == "complete" else "qr"
    q, r = factors_of(kind, [A.detach()], [(*batch, m, k), (*batch, k, n)])
    if m < n or (mode == "complete" and m != n):
        return Orthogonal(q, r)
    again: Again = lambda y: qr(A, "reduced")  # noqa: E731
    triangle = on_tape("qr", r, (A,), lambda dr, q, r: _of_qr(q, r, None, dr), (q, r), again)
    if mode == "r":
        return Orthogonal(A.new_empty((0,)), triangle)
    return Orthogonal(on_tape("qr", q, (A,), lambda dq, q, r: _of_qr(q, r, dq, None), (q, r), again), triangle)


def _of_qr(q: Tensor, r: Tensor, dq: Tensor | None, dr: Tensor | None) -> Sequence[Tensor]:
    """S. Walter and L. Lehmann, Algorithmic differentiation of linear algebra functions, 2010."""
    inner = -matmul(mT(dq), q) if dq is not None else matmul(r, mT(dr))  # type: ignore[arg-type]
    lower = tril(inner, -1)
    symmetric = lower + mT(lower) + diag_embed(diagonal(inner, 0, -2, -1))
    left = matmul(q, symmetric) if dq is None else dq + matmul(q, symmetric)
    return (mT(_solve(r, mT(left))),)


class Singular(NamedTuple):
    """Orthonormal columns, the singular values in descending order, and orthonormal rows."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def svd_factors(a: Tensor, full: bool) -> list[Tensor]:
    batch, (m, n) = a.shape[:-2], a.shape[-2:]
    k = min(m, n)
    shapes = [(*batch, m, m if full else k), (*batch, k), (*batch, n if full else k, n)]
    return factors_of("svd_full" if full else "svd", [a.detach()], shapes)


@op
def svd(A: Tensor, full_matrices: bool = True) -> Singular:
    """U, the singular values S in descending order, and Vh with A = U diag(S) Vh.

    The gradient of U and Vh is that of the first min(M, N) columns and rows; infinite where two values are equal.
    """
    require_floats("svd", A)
    U, s, Vh = svd_factors(A, full_matrices)
    kept = _first(U, s, Vh)
    again: Again = lambda y: _first(*svd(A, full_matrices))  # noqa: E731
    return Singular(
        on_tape("svd", U, (A,), _of_left, kept, again), on_tape("svd", s, (A,), _of_singular_values, kept, again),
        on_tape("svd", Vh, (A,), _of_right, kept, again),
    )  # fmt: skip


def _first(u: Tensor, s: Tensor, vh: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The columns and rows that belong to a singular value."""
    k = s.shape[-1]
    return getitem(u, (Ellipsis, slice(0, k))), s, getitem(vh, (Ellipsis, slice(0, k), slice(None)))


def _of_singular_values(ds: Tensor, u: Tensor, s: Tensor, vh: Tensor) -> Sequence[Tensor]:
    return (matmul(u * shape.unsqueeze(ds, -2), vh),)


def _of_left(du: Tensor, u: Tensor, s: Tensor, vh: Tensor) -> Sequence[Tensor]:
    k = s.shape[-1]
    du = getitem(du, (Ellipsis, slice(0, k)))
    inner = matmul(mT(u), du) / _gaps(s * s)
    dx = matmul(matmul(u, (inner + mT(inner)) * shape.unsqueeze(s, -2)), vh)
    if u.shape[-2] > k:
        rest = du - matmul(u, matmul(mT(u), du))
        dx = dx + matmul(rest / shape.unsqueeze(s, -2), vh)
    return (dx,)


def _of_right(dvh: Tensor, u: Tensor, s: Tensor, vh: Tensor) -> Sequence[Tensor]:
    k = s.shape[-1]
    dvh = getitem(dvh, (Ellipsis, slice(0, k), slice(None)))
    inner = matmul(vh, mT(dvh)) / _gaps(s * s)
    dx = matmul(matmul(u, shape.unsqueeze(s, -1) * (inner + mT(inner))), vh)
    if vh.shape[-1] > k:
        rest = dvh - matmul(matmul(dvh, mT(vh)), vh)
        dx = dx + matmul(u / shape.unsqueeze(s, -2), rest)
    return (dx,)


@op
def svdvals(A: Tensor) -> Tensor:
    """The singular values, in descending order: see ``svd``."""
    return svd(A, False).S
