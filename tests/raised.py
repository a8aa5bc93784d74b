"""Wrong calls, and the error that each docstring says they raise.

A row: the module, the error, a call in which ``{}`` stands for a name of that module, and the names. Calls may use the
words of nnkit (``tensor``, ``ones``, …), those of the row's module, and ``nnkit`` itself.
"""

from __future__ import annotations

import importlib
from typing import Any

RAISED: tuple[tuple[str, str, str, str], ...] = (
    ("nnkit.linalg", "ShapeError", "{}(ones(3))", "cond matrix_rank pinv qr svd svdvals"),
    ("nnkit.linalg", "ShapeError", "{}(ones(2, 3))", "cholesky det eigh eigvalsh inv matrix_exp slogdet"),
    ("nnkit.linalg", "ShapeError", "{}(ones(2, 3), 2)", "matrix_power"),
    ("nnkit.linalg", "ShapeError", "{}(ones(2, 2), ones(3, 3), upper=True)", "solve_triangular"),
    ("nnkit.linalg", "ShapeError", "{}(ones(2, 2), ones(3, 3))", "cross lstsq matmul solve vecdot"),
    ("nnkit.linalg", "ShapeError", "{}((ones(2, 2), ones(3, 3)))", "multi_dot"),
    ("nnkit.linalg", "ShapeError", "{}((ones(2, 2),))", "multi_dot"),
    ("nnkit.linalg", "ShapeError", "{}(ones(2, 2), dim=(0, 2))", "matrix_norm norm vector_norm"),
    ("nnkit.linalg", "ShapeError", "{}(ones(3))", "diagonal"),
    ("nnkit.linalg", "ShapeError", "{}(ones(3, 3), dim1=1, dim2=1)", "diagonal"),
    ("nnkit.linalg", "DtypeError", "{}(ones(2, 2).long())", "cholesky cond det eigh eigvalsh inv matrix_exp matrix_norm"
     " matrix_rank norm pinv qr slogdet svd svdvals vector_norm"),
    ("nnkit.linalg", "DtypeError", "{}(ones(2, 2).long(), 2)", "matrix_power"),
    ("nnkit.linalg", "DtypeError", "{}(ones(2, 2).long(), ones(2, 2).long())", "lstsq solve"),
    ("nnkit.linalg", "DtypeError", "{}(ones(2, 2).long(), ones(2, 2).long(), upper=True)", "solve_triangular"),
    ("nnkit.linalg", "DtypeError", "{}(ones(3), 'a')", "cross matmul vecdot"),
    ("nnkit.linalg", "MatrixError", "{}(zeros(2, 2))", "cholesky inv"),
    ("nnkit.linalg", "MatrixError", "{}(zeros(2, 2), -1)", "matrix_power"),
    ("nnkit.linalg", "MatrixError", "{}(zeros(2, 2), ones(2))", "solve"),
    ("nnkit.linalg", "MatrixError", "{}(zeros(2, 2), ones(2, 2), upper=True)", "solve_triangular"),
    ("nnkit.linalg", "ValueError", "{}(ones(2, 2), ord='x')", "matrix_norm norm vector_norm"),
)  # fmt: skip


def calls() -> list[tuple[str, str, str, str]]:
    """Module, error, the call, and the name that it calls."""
    return [(module, error, call.format(name), name) for module, error, call, names in RAISED for name in names.split()]


def words(module: str) -> dict[str, Any]:
    """What a call may use."""
    whole, own = importlib.import_module("nnkit"), importlib.import_module(module)
    return {name: getattr(of, name) for of in (whole, own) for name in dir(of)} | {"nnkit": whole}
