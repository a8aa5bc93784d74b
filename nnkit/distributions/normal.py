"""The normal distribution, and that of its exponential."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nnkit import ops
from nnkit.distributions.distribution import Distribution, parameters
from nnkit.tensors.random_tensors import randn
from nnkit.tensors.tensor import Tensor

__all__ = ["LogNormal", "Normal"]

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class Normal(Distribution):
    """Mean ``loc``, standard deviation ``scale`` > 0: numbers or tensors that broadcast.

    As ``torch.distributions.Normal``. Parameters are numbers, or float Tensors whose shapes broadcast. Raises
    ValueError for parameters out of range.

    >>> import nnkit
    >>> round(Normal(0.0, 1.0).log_prob(nnkit.tensor(0.0)).item(), 4)
    -0.9189
    """

    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = parameters(loc, scale)
        super().__init__(self.loc.shape, (), validate_args)
        self._check("loc", self.loc, "real")
        self._check("scale", self.scale, "positive")

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        """Where the density is greatest."""
        return self.loc

    @property
    def stddev(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        return self.scale.square()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        z = randn(self.extended(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + z * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value, "real")
        return -0.5 * ((value - self.loc) / self.scale).square() - self.scale.log() - HALF_LOG_TWO_PI

    def entropy(self) -> Tensor:
        return self.scale.log() + (0.5 + HALF_LOG_TWO_PI)

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value, "real")
        return 0.5 * (1.0 + ops.erf((value - self.loc) / (self.scale * math.sqrt(2.0))))


class LogNormal(Distribution):
    """What has a logarithm of the distribution ``Normal(loc, scale)``.

    As ``torch.distributions.LogNormal``. Parameters are numbers, or float Tensors whose shapes broadcast. Raises
    ValueError for parameters out of range.

    >>> import nnkit
    >>> round(LogNormal(0.0, 1.0).mean.item(), 4)
    1.6487
    """

    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.base = Normal(loc, scale, validate_args)
        self.loc, self.scale = self.base.loc, self.base.scale
        super().__init__(self.base.batch_shape, (), validate_args)

    @property
    def mean(self) -> Tensor:
        return (self.loc + 0.5 * self.scale.square()).exp()

    @property
    def mode(self) -> Tensor:
        """Where the density is greatest."""
        return (self.loc - self.scale.square()).exp()

    @property
    def variance(self) -> Tensor:
        square = self.scale.square()
        return square.expm1() * (2.0 * self.loc + square).exp()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base.rsample(sample_shape).exp()

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value, "positive")
        logarithm = value.log()
        return self.base.log_prob(logarithm) - logarithm

    def entropy(self) -> Tensor:
        return self.base.entropy() + self.loc
