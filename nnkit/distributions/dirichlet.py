"""Shares of a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnkit import ops
from nnkit.distributions.distribution import Distribution
from nnkit.distributions.gamma_draws import log_gamma_draw
from nnkit.errors import ShapeError
from nnkit.nn.functional import one_hot
from nnkit.tensors import dtypes
from nnkit.tensors.creation import tensor
from nnkit.tensors.tensor import Tensor

__all__ = ["Dirichlet"]


class Dirichlet(Distribution):
    """Shares (..., K) that add up to 1, with density in proportion to the product of their powers concentration - 1.

    As ``torch.distributions.Dirichlet``. Raises ShapeError for a concentration without axes. It is of floats.

    >>> import nnkit
    >>> Dirichlet(nnkit.tensor([1.0, 3.0])).mean
    tensor([0.25, 0.75])
    """

    has_rsample = True

    def __init__(self, concentration: Any, validate_args: bool | None = None) -> None:
        given = concentration
        if not isinstance(given, Tensor):
            given = tensor(given, dtype=dtypes.get_default_dtype())
        if given.ndim < 1:
            raise ShapeError("Dirichlet: expected a concentration of at least one axis, got a number")
        self.concentration = given
        super().__init__(given.shape[:-1], given.shape[-1:], validate_args)
        self._check("concentration", given, "positive")

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    @property
    def mode(self) -> Tensor:
        """Where the density is greatest: a corner where no concentration is above 1."""
        above = (self.concentration - 1.0).clamp(min=0.0)
        total = above.sum(-1, keepdim=True)
        corner = one_hot(self.concentration.argmax(-1), self.event_shape[0]).to(above.dtype)
        return ops.where((self.concentration < 1.0).all(-1).unsqueeze(-1), corner, above / total)

    @property
    def variance(self) -> Tensor:
        total = self.concentration.sum(-1, keepdim=True)
        return self.concentration * (total - self.concentration) / (total.square() * (total + 1.0))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return ops.softmax(log_gamma_draw(self.concentration.expand(self.extended(sample_shape))), -1)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value, "shares")
        return ops.xlogy(self.concentration - 1.0, value).sum(-1) - self.log_normalizer()

    def log_normalizer(self) -> Tensor:
        """The logarithm of what the product of powers adds up to."""
        return ops.lgamma(self.concentration).sum(-1) - ops.lgamma(self.concentration.sum(-1))

    def entropy(self) -> Tensor:
        a = self.concentration
        total = a.sum(-1)
        return (
            self.log_normalizer() - (self.event_shape[0] - total) * ops.digamma(total)
            - ((a - 1.0) * ops.digamma(a)).sum(-1)
        )  # fmt: skip
