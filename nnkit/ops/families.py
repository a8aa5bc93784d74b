"""What the ops of a family have in common: shapes, dtypes, errors and whose name it is; see ``nnkit.docstrings``."""

from __future__ import annotations

__all__ = ["LINALG"]

MATRICES = """
A has shape (..., M, N), float32 or float64, and every matrix of a batch is done alike. Raises ShapeError for fewer
than two axes, DtypeError for whole numbers. Source: ``torch.linalg.{name}``.
"""
SQUARE = """
A has shape (..., N, N), float32 or float64, and every matrix of a batch is done alike. Raises ShapeError for what is
not square, DtypeError for whole numbers. Source: ``torch.linalg.{name}``.
"""
SYSTEMS = """
A has shape (..., N, N), B (..., N, K) or (..., N), both float32 or both float64. Raises MatrixError for a singular
matrix, ShapeError where sizes do not fit, DtypeError for whole numbers. Source: ``torch.linalg.{name}``.
"""
NORMS = """
The tensor is of any shape, float32 or float64. Raises ShapeError for an axis that it does not have, DtypeError for
whole numbers, ValueError for an unknown order. Source: ``torch.linalg.{name}``.
"""
PAIRS = """
Both are of any dtype, which is promoted, and their shapes broadcast. Raises ShapeError where sizes do not fit,
DtypeError for what is neither a Tensor nor numbers. Source: ``torch.linalg.{name}``.
"""
CHAINS = """
Matrices (M, K) and (K, N), of any dtype. Raises ShapeError for fewer than two, and where sizes do not fit. Source:
``torch.linalg.{name}``.
"""
LEAST = """
A has shape (..., M, N), B (..., M, K), float32 or float64. Raises ShapeError where sizes do not fit, DtypeError for
whole numbers. Source: ``torch.linalg.{name}``.
"""
DIAGONALS = """
A has shape (..., M, N), of any dtype. Raises ShapeError for an axis that it does not have, and for the same one twice.
Source: ``torch.linalg.{name}``.
"""
#: Those of ``nnkit.linalg``.
LINALG = (
    (MATRICES, "cond matrix_rank pinv qr svd svdvals"),
    (SQUARE, "cholesky det eigh eigvalsh inv matrix_exp matrix_power slogdet"),
    (SYSTEMS, "solve solve_triangular"),
    (NORMS, "matrix_norm norm vector_norm"),
    (PAIRS, "cross matmul vecdot"),
    (CHAINS, "multi_dot"),
    (LEAST, "lstsq"),
    (DIAGONALS, "diagonal"),
)
