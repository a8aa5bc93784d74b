"""Matrices taken apart, solved and measured, of ``nnkit.keras.ops``, where Keras has them: ``keras.ops.linalg``."""

from nnkit.keras.ops import (
    cholesky,
    cholesky_inverse,
    det,
    eigh,
    inv,
    lstsq,
    matrix_rank,
    norm,
    pinv,
    qr,
    solve,
    solve_triangular,
    svd,
)  # fmt: skip

# fmt: off
__all__ = [
    "cholesky", "cholesky_inverse", "det", "eigh", "inv", "lstsq", "matrix_rank", "norm", "pinv", "qr", "solve",
    "solve_triangular", "svd",
]
# fmt: on
