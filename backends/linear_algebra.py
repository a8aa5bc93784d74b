"""The primitive of linear algebra: factors, inverses and solutions of matrices, by the namespace's ``linalg``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nnkit.backends.errors import MatrixError
from nnkit.backends.memory import Memory
from nnkit.backends.recording import Array, primitive

#: What ``factorize`` computes: name -> the call, and how many arrays it writes.
FACTORS: dict[str, tuple[str, dict[str, Any]]] = {
    "inv": ("inv", {}), "solve": ("solve", {}), "cholesky": ("cholesky", {}), "det": ("det", {}),
    "slogdet": ("slogdet", {}), "eigh": ("eigh", {}), "qr": ("qr", {}), "qr_complete": ("qr", {"mode": "complete"}),
    "svd": ("svd", {"full_matrices": False}), "svd_full": ("svd", {"full_matrices": True}),
}  # fmt: skip


class LinearAlgebra(Memory):
    """What ``Backend`` can do with matrices, besides products."""

    if TYPE_CHECKING:
        _write: Callable[[Array, Array], None]

    @primitive
    def factorize(self, kind: str, inputs: Sequence[Array], out: Sequence[Array]) -> None:
        """kind is a name of ``FACTORS``: matrices (..., M, N) of floats to what the array-API standard returns for it.

        Raises MatrixError where it cannot be had, as the inverse of a singular matrix.
        """
        name, options = FACTORS[kind]
        try:
            with self.quietly():
                found = getattr(self.xp.linalg, name)(*inputs, **options)
        except np.linalg.LinAlgError as error:
            raise MatrixError(f"{kind}: the matrices of shape {tuple(inputs[0].shape)} have none: {error}") from None
        for target, value in zip(out, found if len(out) > 1 else (found,), strict=True):
            self._write(value, target)
