"""The base of the distributions: shapes, checks, and what follows from ``rsample``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit import ops
from nnkit.backends.recording import recorder
from nnkit.errors import ShapeError
from nnkit.tensors import dtypes
from nnkit.tensors.creation import tensor
from nnkit.tensors.tape import no_grad
from nnkit.tensors.tensor import Tensor

__all__ = ["Distribution", "parameters"]

Shape = tuple[int, ...]
#: What a parameter or a value must be -> the words for it, and the test of its values.
CONSTRAINTS: dict[str, tuple[str, Callable[[np.ndarray], bool]]] = {
    "real": ("a number", lambda x: bool(np.all(x == x))),
    "positive": ("above 0", lambda x: bool(np.all(x > 0))),
    "not negative": ("0 or more", lambda x: bool(np.all(x >= 0))),
    "unit": ("from 0 to 1", lambda x: bool(np.all((x >= 0) & (x <= 1)))),
    "boolean": ("0 or 1", lambda x: bool(np.all((x == 0) | (x == 1)))),
    "weights": (
        "0 or more, and not all 0", lambda x: bool(np.all(x >= 0) and np.all(x.sum(-1) > 0) and np.all(x < np.inf))
    ),
    "shares": (
        "0 or more, and to add up to 1", lambda x: bool(np.all(x >= 0) and np.all(np.abs(x.sum(-1) - 1.0) < 1e-6))
    ),
    "lower triangle": (
        "a lower triangle with a diagonal above 0",
        lambda x: bool(np.all(np.tril(x) == x) and np.all(np.diagonal(x, axis1=-2, axis2=-1) > 0)),
    ),
}  # fmt: skip


class Distribution:
    """A distribution of events of ``event_shape``; ``batch_shape`` of them, each with parameters of its own.

    What is set once stays: recorded steps may rely on it. Raises AttributeError where it is set anew. Source:
    ``torch.distributions.Distribution``.

    >>> from nnkit.distributions import Normal
    >>> isinstance(Normal(0.0, 1.0), Distribution), Normal(0.0, 1.0).batch_shape
    (True, ())
    """

    #: Whether ``rsample`` can be differentiated in the parameters.
    has_rsample = False
    _validate = __debug__

    def __init__(self, batch_shape: Shape, event_shape: Shape = (), validate_args: bool | None = None) -> None:
        self.batch_shape, self.event_shape = tuple(batch_shape), tuple(event_shape)
        if validate_args is not None:
            self._validate = validate_args

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions that do not say otherwise check parameters and values."""
        Distribution._validate = bool(value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__:
            raise AttributeError(f"{type(self).__name__}.{name} cannot be set anew: make another distribution")
        object.__setattr__(self, name, value)

    @property
    def mean(self) -> Tensor:
        """The mean of each distribution: batch_shape + event_shape."""
        raise NotImplementedError(f"{type(self).__name__} has no mean")

    @property
    def variance(self) -> Tensor:
        """The variance of each distribution: batch_shape + event_shape."""
        raise NotImplementedError(f"{type(self).__name__} has no variance")

    @property
    def stddev(self) -> Tensor:
        """The standard deviation: the root of ``variance``."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """``sample_shape`` draws of each: sample_shape + batch_shape + event_shape, off the tape."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """As ``sample``, on the tape: gradients reach the parameters. Raises NotImplementedError without a way back."""
        raise NotImplementedError(f"{type(self).__name__} has no rsample: draw by sample(), and use log_prob")

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or of the probability, of ``value``: the shape of value less event_shape."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob")

    def entropy(self) -> Tensor:
        """The entropy of each distribution in nats: batch_shape."""
        raise NotImplementedError(f"{type(self).__name__} has no entropy")

    def perplexity(self) -> Tensor:
        """e to the power of the entropy."""
        return self.entropy().exp()

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of less than ``value``, or as much."""
        raise NotImplementedError(f"{type(self).__name__} has no cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """What ``cdf`` is ``value`` of."""
        raise NotImplementedError(f"{type(self).__name__} has no icdf")

    def extended(self, sample_shape: Sequence[int]) -> Shape:
        """The shape of so many draws."""
        shape = (sample_shape,) if isinstance(sample_shape, int) else tuple(sample_shape)
        return (*shape, *self.batch_shape, *self.event_shape)

    def _check(self, what: str, value: Any, constraint: str) -> None:
        """Raise ValueError where values are not what they must be; in eager code, unless that is switched off."""
        if not self._validate or recorder() is not None or not isinstance(value, Tensor) or not value.numel():
            return
        words, test = CONSTRAINTS[constraint]
        host = value.backend.to_numpy(value.detach().array)
        if not test(host):
            raise ValueError(
                f"{type(self).__name__}: expected {what} to be {words}, got values from {host.min():.4g} to "
                f"{host.max():.4g}; validate_args=False leaves the check out"
            )

    def _check_value(self, value: Tensor, constraint: str) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"{type(self).__name__}: expected value to be a Tensor, got {type(value).__name__}")
        rank = len(self.event_shape)
        if rank and value.shape[value.ndim - rank :] != self.event_shape:
            raise ShapeError(
                f"{type(self).__name__}: expected value to end in the shape {self.event_shape}, got {value.shape}"
            )
        self._check("value", value, constraint)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(batch_shape: {self.batch_shape}, event_shape: {self.event_shape})"


def parameters(*values: Any) -> list[Tensor]:
    """Numbers and tensors as float tensors of one shape."""
    like = next((v for v in values if isinstance(v, Tensor)), None)
    made = []
    for value in values:
        if isinstance(value, Tensor):
            made.append(value if value.is_floating_point() else value.to(dtypes.get_default_dtype()))
        elif like is not None and like.is_floating_point():
            made.append(tensor(float(value), dtype=like.dtype, device=like.device))
        else:
            made.append(tensor(float(value), device=None if like is None else like.device))
    return list(ops.broadcast_tensors(*made)) if len(made) > 1 else made
