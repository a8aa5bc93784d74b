"""Yes or no."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnkit import ops
from nnkit.distributions.distribution import Distribution, parameters
from nnkit.nn.loss_functions import binary_cross_entropy_with_logits
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["Bernoulli"]


class Bernoulli(Distribution):
    """1 with probability ``probs``, or sigmoid(``logits``); else 0.

    As ``torch.distributions.Bernoulli``. Parameters are numbers, or float Tensors whose shapes broadcast. Raises
    ValueError for parameters out of range.

    >>> import nnkit
    >>> round(Bernoulli(0.25).log_prob(nnkit.tensor(1.0)).exp().item(), 4)
    0.25
    """

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        if (probs is None) == (logits is None):
            raise ValueError("Bernoulli: expected either probs or logits, not both and not neither")
        (given,) = parameters(logits if probs is None else probs)
        super().__init__(given.shape, (), validate_args)
        self._probs: Tensor | None = given if logits is None else None
        self._logits: Tensor | None = None if logits is None else given
        self._check("probs" if logits is None else "logits", given, "unit" if logits is None else "real")

    @property
    def probs(self) -> Tensor:
        """The probability of 1."""
        return self._logits.sigmoid() if self._probs is None else self._probs  # type: ignore[union-attr]

    @property
    def logits(self) -> Tensor:
        """The logarithm of the odds of 1."""
        if self._logits is not None:
            return self._logits
        least = 2.0**-23 if str(self.probs.dtype) != "float64" else 2.0**-52
        held = self.probs.clamp(least, 1.0 - least)
        return held.log() - (-held).log1p()

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The likelier of 0 and 1."""
        return (self.probs >= 0.5).to(self.probs.dtype)

    @property
    def variance(self) -> Tensor:
        return self.probs * (1.0 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            return ops.bernoulli(self.probs.expand(self.extended(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value, "boolean")
        logits, value = ops.broadcast_tensors(self.logits, value.to(self.logits.dtype))
        return -binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Tensor:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")
