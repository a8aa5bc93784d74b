"""Shares: numbers between 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnkit import ops
from nnkit.distributions.distribution import Distribution, parameters
from nnkit.distributions.gamma_draws import log_gamma_draw
from nnkit.tensors.tensor import Tensor

__all__ = ["Beta"]


class Beta(Distribution):
    """Density in proportion to x**(concentration1 - 1) (1 - x)**(concentration0 - 1).

    As ``torch.distributions.Beta``. Parameters are numbers, or float Tensors whose shapes broadcast. Raises ValueError
    for parameters out of range.

    >>> import nnkit
    >>> Beta(1.0, 3.0).mean
    tensor(0.25)
    """

    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        self.concentration1, self.concentration0 = parameters(concentration1, concentration0)
        super().__init__(self.concentration1.shape, (), validate_args)
        self._check("concentration1", self.concentration1, "positive")
        self._check("concentration0", self.concentration0, "positive")

    @property
    def mean(self) -> Tensor:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def variance(self) -> Tensor:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.square() * (total + 1.0))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self.extended(sample_shape)
        x, y = (log_gamma_draw(c.expand(shape)) for c in (self.concentration1, self.concentration0))
        return (x - y).sigmoid()

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value, "unit")
        a, b = self.concentration1, self.concentration0
        return ops.xlogy(a - 1.0, value) + ops.xlogy(b - 1.0, 1.0 - value) - self.log_normalizer()

    def log_normalizer(self) -> Tensor:
        """The logarithm of the beta function."""
        a, b = self.concentration1, self.concentration0
        return ops.lgamma(a) + ops.lgamma(b) - ops.lgamma(a + b)

    def entropy(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        total = a + b
        return (
            self.log_normalizer() - (a - 1.0) * ops.digamma(a) - (b - 1.0) * ops.digamma(b)
            + (total - 2.0) * ops.digamma(total)
        )  # fmt: skip
