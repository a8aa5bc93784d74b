"""Shares: numbers between 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnkit import ops
from nnkit.creation import rand, randn, zeros
from nnkit.distributions.distribution import Distribution, parameters
from nnkit.tape import no_grad
from nnkit.tensor import Tensor

__all__ = ["Beta"]

#: Rounds of a rejection method of which one in twenty fails at most: all do so once in 10**20 draws.
ROUNDS = 16
LEAST = 2.0**-25


class Beta(Distribution):
    """Density in proportion to x**(concentration1 - 1) (1 - x)**(concentration0 - 1). As ``torch.distributions.Beta``.

    It has no ``rsample``: draw by ``sample``, and use ``log_prob``.

    >>> import nnkit
    >>> Beta(1.0, 3.0).mean
    tensor(0.25)
    """

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

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self.extended(sample_shape)
        with no_grad():
            x, y = (log_gamma_draw(c.detach().expand(shape)) for c in (self.concentration1, self.concentration0))
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


def log_gamma_draw(shape: Tensor) -> Tensor:
    """Logarithms of draws of gamma distributions.

    Marsaglia and Tsang, A Simple Method for Generating Gamma Variables, 2000. A shape below 1
    is drawn at one more, and brought back by a power of a uniform number.
    """
    raised = ops.where(shape < 1.0, shape + 1.0, shape)
    d = raised - 1.0 / 3.0
    c = 1.0 / (9.0 * d).sqrt()
    found, done = zeros(shape.shape, dtype=shape.dtype, device=shape.device), shape < 0.0
    for _ in range(ROUNDS):
        z = randn(shape.shape, dtype=shape.dtype, device=shape.device)
        u = rand(shape.shape, dtype=shape.dtype, device=shape.device).clamp(min=LEAST)
        v = (1.0 + c * z) ** 3
        log_v = v.clamp(min=1e-30).log()
        taken = (v > 0.0).logical_and(u.log() < 0.5 * z.square() + d - d * v + d * log_v)
        found = ops.where(taken.logical_and(done.logical_not()), d.log() + log_v, found)
        done = done.logical_or(taken)
    u = rand(shape.shape, dtype=shape.dtype, device=shape.device).clamp(min=LEAST)
    return ops.where(shape < 1.0, found + u.log() / shape, found)
