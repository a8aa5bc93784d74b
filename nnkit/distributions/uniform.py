"""The uniform distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.distributions.distribution import Distribution, parameters
from nnkit.tensors.random_tensors import rand
from nnkit.tensors.tensor import Tensor

__all__ = ["Uniform"]


class Uniform(Distribution):
    """From ``low`` to below ``high``: numbers or tensors that broadcast.

    As ``torch.distributions.Uniform``. Parameters are numbers, or float Tensors whose shapes broadcast. Raises
    ValueError for parameters out of range.

    >>> import nnkit
    >>> Uniform(0.0, 2.0).mean
    tensor(1.)
    """

    has_rsample = True

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = parameters(low, high)
        super().__init__(self.low.shape, (), validate_args)
        self._check("high - low", (self.high - self.low).detach(), "positive")

    @property
    def mean(self) -> Tensor:
        return (self.low + self.high) / 2

    @property
    def variance(self) -> Tensor:
        return (self.high - self.low).square() / 12

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        u = rand(self.extended(sample_shape), dtype=self.low.dtype, device=self.low.device)
        return self.low + u * (self.high - self.low)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value, "real")
        inside = (value >= self.low).logical_and(value < self.high)
        return ops.where(inside, -(self.high - self.low).log(), -np.inf)

    def entropy(self) -> Tensor:
        return (self.high - self.low).log()

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value, "real")
        return ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)

    def icdf(self, value: Tensor) -> Tensor:
        self._check("value", value, "unit")
        return self.low + value * (self.high - self.low)
