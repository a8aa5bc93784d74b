"""One of several classes, as a number or as a vector with a single 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.distributions.distribution import Distribution
from nnkit.errors import ShapeError
from nnkit.nn.functional import one_hot
from nnkit.tensors import dtypes
from nnkit.tensors.creation import tensor
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["Categorical", "OneHotCategorical"]


class Categorical(Distribution):
    """Class numbers, int64, with probabilities in proportion to ``probs`` or e**``logits``: (..., classes).

    As ``torch.distributions.Categorical``. Raises ValueError for probs that are negative or all 0.

    >>> import nnkit
    >>> Categorical(probs=nnkit.tensor([1.0, 3.0])).probs
    tensor([0.25, 0.75])
    """

    #: Whether a class is a vector.
    vectors = False

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        if (probs is None) == (logits is None):
            raise ValueError(f"{type(self).__name__}: expected either probs or logits, not both and not neither")
        given = probs if logits is None else logits
        given = given if isinstance(given, Tensor) else tensor(given, dtype=dtypes.get_default_dtype())
        if given.ndim < 1:
            raise ShapeError(f"{type(self).__name__}: expected at least one axis of classes, got a number")
        super().__init__(given.shape[:-1], given.shape[-1:] if self.vectors else (), validate_args)
        if logits is None:
            self._check("probs", given, "weights")
            self._probs: Tensor | None = given / given.sum(-1, keepdim=True)
            self._logits: Tensor | None = None
        else:
            self._check("logits", given, "real")
            self._probs, self._logits = None, ops.log_softmax(given, -1)
        self._num_events = given.shape[-1]

    @property
    def probs(self) -> Tensor:
        """The probability of each class."""
        return self._logits.exp() if self._probs is None else self._probs  # type: ignore[union-attr]

    @property
    def logits(self) -> Tensor:
        """The logarithms of the probabilities."""
        if self._logits is not None:
            return self._logits
        least = 2.0**-23 if str(self.probs.dtype) != "float64" else 2.0**-52
        return self.probs.clamp(least, 1.0 - least).log()

    @property
    def param_shape(self) -> tuple[int, ...]:
        """The shape of ``probs``."""
        return (*self.batch_shape, self._num_events)

    @property
    def mode(self) -> Tensor:
        """The likeliest class."""
        return self.probs.argmax(-1)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            rows = self.probs.detach().expand((*self._sizes(sample_shape), self._num_events))
            return ops.multinomial(rows.reshape(-1, self._num_events), 1).reshape(self._sizes(sample_shape))

    def _sizes(self, sample_shape: Sequence[int]) -> tuple[int, ...]:
        shape = (sample_shape,) if isinstance(sample_shape, int) else tuple(sample_shape)
        return (*shape, *self.batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        index = value.to(dtypes.int64).unsqueeze(-1)
        shape = np.broadcast_shapes(index.shape[:-1], self.batch_shape)
        rows = self.logits.expand((*shape, self._num_events))
        return ops.gather(rows, -1, index.expand((*shape, 1))).squeeze(-1)

    def entropy(self) -> Tensor:
        # A class of probability 0 adds nothing, also where its logarithm is minus infinity.
        least = -3e38 if str(self.logits.dtype) != "float64" else -1.7e308
        return -(self.logits.clamp(min=least) * self.probs).sum(-1)


class OneHotCategorical(Categorical):
    """As ``Categorical``, but a class is a vector with a 1 in its place.

    As ``torch.distributions.OneHotCategorical``. Parameters are numbers, or float Tensors whose shapes broadcast.
    Raises ValueError for parameters out of range.

    >>> import nnkit
    >>> OneHotCategorical(probs=nnkit.tensor([0.0, 3.0])).sample()
    tensor([0., 1.])
    """

    vectors = True

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def variance(self) -> Tensor:
        return self.probs * (1.0 - self.probs)

    def _of(self, classes: Tensor) -> Tensor:
        return one_hot(classes, self._num_events).to(self.probs.dtype)

    @property
    def mode(self) -> Tensor:
        return self._of(super().mode)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._of(super().sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value, "boolean")
        return super().log_prob(value.argmax(-1))
