"""The exponential distribution, and that of a difference of two such numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nnkit.distributions.distribution import Distribution, parameters
from nnkit.tensors.random_tensors import rand
from nnkit.tensors.tensor import Tensor

__all__ = ["Exponential", "Laplace"]

#: Half of the distance between two uniform numbers: what stands for 0 where a logarithm is taken.
LEAST = 2.0**-25


class Exponential(Distribution):
    """Times between events that come ``rate`` times in a unit.

    As ``torch.distributions.Exponential``. Parameters are numbers, or float Tensors whose shapes broadcast. Raises
    ValueError for parameters out of range.

    >>> import nnkit
    >>> Exponential(2.0).mean
    tensor(0.5)
    """

    has_rsample = True

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = parameters(rate)
        super().__init__(self.rate.shape, (), validate_args)
        self._check("rate", self.rate, "positive")

    @property
    def mean(self) -> Tensor:
        return 1.0 / self.rate

    @property
    def variance(self) -> Tensor:
        return 1.0 / self.rate.square()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        u = rand(self.extended(sample_shape), dtype=self.rate.dtype, device=self.rate.device)
        return -(-u.clamp(min=LEAST)).log1p() / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value, "not negative")
        return self.rate.log() - self.rate * value

    def entropy(self) -> Tensor:
        return 1.0 - self.rate.log()

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value, "not negative")
        return -(-self.rate * value).expm1()


class Laplace(Distribution):
    """Mean ``loc``, mean distance from it ``scale`` > 0.

    As ``torch.distributions.Laplace``. Parameters are numbers, or float Tensors whose shapes broadcast. Raises
    ValueError for parameters out of range.

    >>> import nnkit
    >>> round(Laplace(0.0, 1.0).log_prob(nnkit.tensor(0.0)).item(), 4)
    -0.6931
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
    def variance(self) -> Tensor:
        return 2.0 * self.scale.square()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        u = rand(self.extended(sample_shape), dtype=self.loc.dtype, device=self.loc.device) - 0.5
        return self.loc - self.scale * u.sign() * (-2.0 * u.abs()).clamp(min=LEAST - 1.0).log1p()

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value, "real")
        return -(2.0 * self.scale).log() - (value - self.loc).abs() / self.scale

    def entropy(self) -> Tensor:
        return 1.0 + math.log(2.0) + self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value, "real")
        away = value - self.loc
        return 0.5 - 0.5 * away.sign() * (-away.abs() / self.scale).expm1()
