"""Linear algebra under the names of ``torch.linalg``: see the modules ``ops.linear_algebra`` and ``ops.matrices``."""

from __future__ import annotations

from typing import Any

from nnkit.ops import contracting, rearranging
from nnkit.ops.contracting import multi_dot
from nnkit.ops.determinants import det, slogdet
from nnkit.ops.docstrings import describe
from nnkit.ops.examples import OF_LINALG, show_examples
from nnkit.ops.families import LINALG
from nnkit.ops.linear_algebra import (
    cholesky,
    eigh,
    eigvalsh,
    inv,
    matrix_power,
    qr,
    solve,
    solve_triangular,
    svd,
    svdvals,
)
from nnkit.ops.matrices import cond, lstsq, matrix_exp, matrix_norm, matrix_rank, norm, pinv, vecdot, vector_norm
from nnkit.ops.products import matmul
from nnkit.tensors.methods import spoken
from nnkit.tensors.tensor import Tensor

__all__ = [
    "cholesky", "cond", "cross", "det", "diagonal", "eigh", "eigvalsh", "inv", "lstsq", "matmul", "matrix_exp",
    "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet", "solve",
    "solve_triangular", "svd", "svdvals", "vecdot", "vector_norm",
]  # fmt: skip


def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vector product along an axis of size 3."""
    return contracting.cross(input, other, dim)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of matrices; a view where the elements lie in order."""
    return rearranging.diagonal(A, offset, dim1, dim2)


describe(globals(), LINALG)
show_examples(globals(), "nnkit", OF_LINALG, prefix="linalg.")
_functions: dict[str, Any] = {name: spoken(globals()[name]) for name in __all__}


def __dir__() -> list[str]:
    return sorted(__all__)


globals().update(_functions)
