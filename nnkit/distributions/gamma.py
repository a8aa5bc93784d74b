"""Times until several events, and sums of squares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnkit import ops
from nnkit.distributions.distribution import Distribution, parameters
from nnkit.distributions.gamma_draws import log_gamma_draw
from nnkit.tensors.tensor import Tensor

__all__ = ["Chi2", "Gamma"]

#: The least float32 above 0 with all its digits.
TINY = 2.0**-126


class Gamma(Distribution):
    """Density in proportion to x**(concentration - 1) e**(-rate x).

    As ``torch.distributions.Gamma``. Parameters are numbers, or float Tensors whose shapes broadcast. Raises ValueError
    for parameters out of range.

    >>> import nnkit
    >>> Gamma(2.0, 4.0).mean
    tensor(0.5)
    """

    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = parameters(concentration, rate)
        super().__init__(self.concentration.shape, (), validate_args)
        self._check("concentration", self.concentration, "positive")
        self._check("rate", self.rate, "positive")

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        """Where the density is greatest."""
        return ((self.concentration - 1.0) / self.rate).clamp(min=0.0)

    @property
    def variance(self) -> Tensor:
        return self.concentration / self.rate.square()

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self.extended(sample_shape)
        return (log_gamma_draw(self.concentration.expand(shape)).exp() / self.rate).clamp(min=TINY)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value, "not negative")
        a, rate = self.concentration, self.rate
        return ops.xlogy(a, rate) + ops.xlogy(a - 1.0, value) - rate * value - ops.lgamma(a)

    def entropy(self) -> Tensor:
        a = self.concentration
        return a - self.rate.log() + ops.lgamma(a) + (1.0 - a) * ops.digamma(a)


class Chi2(Gamma):
    """The sum of ``df`` squares of normal numbers.

    As ``torch.distributions.Chi2``. Parameters are numbers, or float Tensors whose shapes broadcast. Raises ValueError
    for parameters out of range.

    >>> import nnkit
    >>> Chi2(3.0).mean
    tensor(3.)
    """

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        (given,) = parameters(df)
        super().__init__(0.5 * given, 0.5, validate_args)

    @property
    def df(self) -> Tensor:
        """How many squares."""
        return 2.0 * self.concentration
