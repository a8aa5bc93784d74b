"""Constraints on weights: what a weight may be, which it is made again after every update.

A module keeps them in ``constraints``, by the name of its parameter; ``Module.constrain`` applies them, and ``fit``
calls it after the optimizer's step. Any function of a Tensor that returns the nearest allowed one is one. Those
here are Keras's (``keras.constraints``); norms are, unless ``dim`` says otherwise, over all dimensions but the first:
the weights that one unit of a linear layer or a convolution takes its inputs by (Srebro and Shraibman 2005).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nnkit import ops
from nnkit.recording.observer import call
from nnkit.recording.state import Watched
from nnkit.tensors.tensor import Tensor

__all__ = ["Constraint", "MaxNorm", "MinMaxNorm", "NonNegative", "UnitNorm", "apply"]

Dims = int | Sequence[int] | None
#: Added to a norm that is divided by, as in Keras.
EPSILON = 1e-7


class Constraint(Watched):
    """The base of the constraints: ``constraint(weight)`` is the allowed Tensor of the same shape."""

    def __call__(self, weight: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, weight)")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class NonNegative(Constraint):
    """No weight below 0: those become 0.

    >>> import nnkit
    >>> NonNegative()(nnkit.tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __call__(self, weight: Tensor) -> Tensor:
        return ops.relu(weight)


class _Norm(Constraint):
    dim: Dims

    def _norms(self, weight: Tensor) -> Tensor:
        dims = tuple(range(1, weight.ndim)) or (0,) if self.dim is None else self.dim
        return ops.sqrt(ops.sum(weight * weight, dims, True))


class MaxNorm(_Norm):
    """Norms of at most ``max_value``: longer ones are scaled down to it.

    >>> import nnkit
    >>> MaxNorm(5.0)(nnkit.tensor([[6.0, 8.0], [0.0, 1.0]])).round(decimals=4).tolist()
    [[3.0, 4.0], [0.0, 1.0]]
    """

    def __init__(self, max_value: float = 2.0, dim: Dims = None) -> None:
        if not max_value >= 0.0:
            raise ValueError(f"max_value must be at least 0, got {max_value!r}")
        self.max_value, self.dim = max_value, dim

    def __call__(self, weight: Tensor) -> Tensor:
        norms = self._norms(weight)
        return weight * (ops.clamp(norms, 0.0, self.max_value) / (EPSILON + norms))


class UnitNorm(_Norm):
    """Norms of 1.

    >>> import nnkit
    >>> UnitNorm()(nnkit.tensor([[0.0, -2.0]])).round(decimals=4).tolist()
    [[0.0, -1.0]]
    """

    def __init__(self, dim: Dims = None) -> None:
        self.dim = dim

    def __call__(self, weight: Tensor) -> Tensor:
        return weight / (EPSILON + self._norms(weight))


class MinMaxNorm(_Norm):
    """Norms from ``min_value`` to ``max_value``: others go there by the share ``rate`` of the way.

    >>> import nnkit
    >>> MinMaxNorm(1.0, 5.0, rate=0.5)(nnkit.tensor([[6.0, 8.0]])).round(decimals=4).tolist()
    [[4.5, 6.0]]
    """

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, dim: Dims = None) -> None:
        if not 0.0 <= min_value <= max_value:
            raise ValueError(f"expected 0 <= min_value <= max_value, got {min_value!r} and {max_value!r}")
        if not 0.0 <= rate <= 1.0:
            raise ValueError(f"rate must be from 0 to 1, got {rate!r}")
        self.min_value, self.max_value, self.rate, self.dim = min_value, max_value, rate, dim

    def __call__(self, weight: Tensor) -> Tensor:
        norms = self._norms(weight)
        held = self.rate * ops.clamp(norms, self.min_value, self.max_value) + (1.0 - self.rate) * norms
        return weight * (held / (EPSILON + norms))


def apply(weight: Tensor, constraint: Callable[[Tensor], Tensor]) -> None:
    """Make a weight, in place and off the tape, what the constraint allows; a frozen one stays."""
    if weight.requires_grad:
        values = weight.detach()
        values.copy_(call(constraint, values))
