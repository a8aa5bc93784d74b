"""Normal vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nnkit.distributions.distribution import Distribution
from nnkit.errors import ShapeError
from nnkit.linalg import cholesky, inv, solve_triangular
from nnkit.tensors.random_tensors import randn
from nnkit.tensors.tensor import Tensor

__all__ = ["MultivariateNormal"]


class MultivariateNormal(Distribution):
    """Vectors of mean ``loc`` (..., N), and one of covariance, precision and scale_tril, each (..., N, N).

    The covariance is scale_tril scale_tril^T. As ``torch.distributions.MultivariateNormal``. Raises ValueError where
    not exactly one of the three is given, or it is not positive definite. They are of floats.

    >>> import nnkit
    >>> round(MultivariateNormal(nnkit.zeros(2), nnkit.eye(2)).log_prob(nnkit.zeros(2)).item(), 4)
    -1.8379
    """

    has_rsample = True

    def __init__(
        self, loc: Tensor, covariance_matrix: Tensor | None = None, precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None, validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        given = [m for m in (covariance_matrix, precision_matrix, scale_tril) if m is not None]
        if len(given) != 1:
            raise ValueError("MultivariateNormal: expected one of covariance_matrix, precision_matrix and scale_tril")
        matrix = given[0]
        if loc.ndim < 1 or matrix.ndim < 2 or matrix.shape[-2:] != (loc.shape[-1],) * 2:
            raise ShapeError(
                f"MultivariateNormal: expected loc (..., N) and a matrix (..., N, N), got {loc.shape} and "
                f"{matrix.shape}"
            )
        batch, N = np.broadcast_shapes(loc.shape[:-1], matrix.shape[:-2]), loc.shape[-1]
        super().__init__(batch, (N,), validate_args)
        self.loc = loc.expand((*batch, N))
        self.scale_tril = self._factor(covariance_matrix, precision_matrix, scale_tril).expand((*batch, N, N))

    def _factor(self, covariance: Tensor | None, precision: Tensor | None, triangle: Tensor | None) -> Tensor:
        if covariance is not None:
            return cholesky(covariance)
        if precision is not None:
            return cholesky(inv(precision))
        assert triangle is not None
        self._check("scale_tril", triangle, "lower triangle")
        return triangle

    @property
    def covariance_matrix(self) -> Tensor:
        """(..., N, N)."""
        return self.scale_tril @ self.scale_tril.transpose(-1, -2)

    @property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        return inv(self.covariance_matrix)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        """Where the density is greatest."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.scale_tril.square().sum(-1)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        z = randn(self.extended(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + (self.scale_tril @ z.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value, "real")
        away = value - self.loc
        rows = self.scale_tril.expand((*away.shape[:-1], *self.scale_tril.shape[-2:]))
        distance = solve_triangular(rows, away.unsqueeze(-1), upper=False).square().sum((-1, -2))
        return -0.5 * (away.shape[-1] * math.log(2.0 * math.pi) + distance) - self.half_log_det()

    def entropy(self) -> Tensor:
        return 0.5 * self.event_shape[0] * (1.0 + math.log(2.0 * math.pi)) + self.half_log_det()

    def half_log_det(self) -> Tensor:
        """Half the logarithm of the covariance's determinant."""
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
