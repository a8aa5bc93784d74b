"""Normal numbers whose spread is not known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nnkit import ops
from nnkit.distributions.distribution import Distribution, parameters
from nnkit.distributions.gamma import Chi2
from nnkit.tensors.random_tensors import randn
from nnkit.tensors.tensor import Tensor

__all__ = ["StudentT"]


class StudentT(Distribution):
    """Student's distribution with ``df`` degrees of freedom, moved and stretched.

    As ``torch.distributions.StudentT``. Parameters are numbers, or float Tensors whose shapes broadcast. Raises
    ValueError for parameters out of range.

    >>> import nnkit
    >>> StudentT(4.0).variance
    tensor(2.)
    """

    has_rsample = True

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None) -> None:
        self.df, self.loc, self.scale = parameters(df, loc, scale)
        super().__init__(self.df.shape, (), validate_args)
        self._check("df", self.df, "positive")
        self._check("loc", self.loc, "real")
        self._check("scale", self.scale, "positive")

    @property
    def mean(self) -> Tensor:
        return ops.where(self.df <= 1.0, math.nan, self.loc)

    @property
    def mode(self) -> Tensor:
        """Where the density is greatest."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        known = ops.where(self.df > 2.0, self.df, 3.0)
        found = ops.where(self.df > 2.0, self.scale.square() * known / (known - 2.0), math.inf)
        return ops.where(self.df <= 1.0, math.nan, found)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self.extended(sample_shape)
        z = randn(shape, dtype=self.df.dtype, device=self.df.device)
        squares = Chi2(self.df, validate_args=False).rsample(sample_shape)
        return self.loc + self.scale * z * ops.rsqrt(squares / self.df)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value, "real")
        y = (value - self.loc) / self.scale
        return -0.5 * (self.df + 1.0) * (y.square() / self.df).log1p() - self.scale.log() - self._log_normalizer()

    def _log_normalizer(self) -> Tensor:
        half = 0.5 * self.df
        return 0.5 * (self.df.log() + math.log(math.pi)) + ops.lgamma(half) - ops.lgamma(half + 0.5)

    def entropy(self) -> Tensor:
        half = 0.5 * self.df
        return self.scale.log() + self._log_normalizer() + (half + 0.5) * (ops.digamma(half + 0.5) - ops.digamma(half))
