"""Activation functions of Keras's that are seldom asked for, under its names and defaults: ``keras.activations``."""

from __future__ import annotations

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.keras.taking import of_anything
from nnkit.tensors import creation, dtypes
from nnkit.tensors.tensor import Tensor

__all__ = [
    "celu", "glu", "hard_shrink", "hard_tanh", "log_sigmoid", "soft_shrink", "sparse_plus", "sparse_sigmoid",
    "sparsemax", "squareplus", "tanh_shrink", "threshold",
]  # fmt: skip


@of_anything
def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where it is above 0, else ``alpha (exp(x / alpha) - 1)`` (Barron, 2017).

    >>> import nnkit
    >>> celu(nnkit.tensor([-100.0, 2.0])).tolist()
    [-1.0, 2.0]
    """
    return ops.activation(x, "celu", alpha=alpha)


@of_anything
def glu(x: Tensor, axis: int = -1) -> Tensor:
    """The first half along an axis times the sigmoid of the second: (..., 2 n) to (..., n) (Dauphin and others, 2017).

    Raises ShapeError for an odd size.

    >>> import nnkit
    >>> glu(nnkit.tensor([4.0, 0.0])).tolist()
    [2.0]
    """
    if x.shape[axis] % 2:
        raise ShapeError(f"glu: axis {axis} must have an even size; x has shape {tuple(x.shape)}")
    first, second = ops.split(x, x.shape[axis] // 2, axis)
    return first * ops.sigmoid(second)


@of_anything
def log_sigmoid(x: Tensor) -> Tensor:
    """log(sigmoid(x)).

    >>> import nnkit
    >>> log_sigmoid(nnkit.tensor([100.0, -100.0])).tolist()
    [0.0, -100.0]
    """
    return ops.activation(x, "log_sigmoid")


@of_anything
def hard_shrink(x: Tensor, threshold: float = 0.5) -> Tensor:
    """x where it is farther than the threshold from 0, else 0.

    >>> import nnkit
    >>> hard_shrink(nnkit.tensor([-1.0, 0.25, 1.0])).tolist()
    [-1.0, 0.0, 1.0]
    """
    return ops.activation(x, "hardshrink", lambd=threshold)


@of_anything
def soft_shrink(x: Tensor, threshold: float = 0.5) -> Tensor:
    """x moved towards 0 by the threshold, but not beyond.

    >>> import nnkit
    >>> soft_shrink(nnkit.tensor([-1.0, 0.25, 1.0])).tolist()
    [-0.5, 0.0, 0.5]
    """
    return ops.activation(x, "softshrink", lambd=threshold)


@of_anything
def hard_tanh(x: Tensor) -> Tensor:
    """x, not below -1 and not above 1.

    >>> import nnkit
    >>> hard_tanh(nnkit.tensor([-3.0, 0.5, 3.0])).tolist()
    [-1.0, 0.5, 1.0]
    """
    return ops.activation(x, "hardtanh")


@of_anything
def tanh_shrink(x: Tensor) -> Tensor:
    """x - tanh(x).

    >>> import nnkit
    >>> tanh_shrink(nnkit.tensor([0.0, 100.0])).tolist()
    [0.0, 99.0]
    """
    return ops.activation(x, "tanhshrink")


@of_anything
def threshold(x: Tensor, threshold: float, default_value: float) -> Tensor:
    """x where it is above the threshold, else ``default_value``.

    >>> import nnkit
    >>> threshold(nnkit.tensor([0.5, 2.0]), 1.0, 0.0).tolist()
    [0.0, 2.0]
    """
    return ops.activation(x, "threshold", threshold=threshold, value=default_value)


@of_anything
def squareplus(x: Tensor, b: float = 4) -> Tensor:
    """(x + sqrt(x² + b)) / 2 (Barron, Squareplus, 2021).

    >>> import nnkit
    >>> squareplus(nnkit.tensor([0.0])).tolist()
    [1.0]
    """
    return 0.5 * (x + ops.sqrt(x * x + b))


@of_anything
def sparse_plus(x: Tensor) -> Tensor:
    """0 below -1, x above 1, and (x + 1)² / 4 between.

    >>> import nnkit
    >>> sparse_plus(nnkit.tensor([-2.0, 0.0, 2.0])).tolist()
    [0.0, 0.25, 2.0]
    """
    between = (x + 1.0) * (x + 1.0) * 0.25
    return ops.where(x <= -1.0, 0.0, ops.where(x >= 1.0, x, between))


@of_anything
def sparse_sigmoid(x: Tensor) -> Tensor:
    """0 below -1, 1 above 1, and (x + 1) / 2 between.

    >>> import nnkit
    >>> sparse_sigmoid(nnkit.tensor([-2.0, 0.0, 2.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    return ops.clamp(0.5 * (x + 1.0), 0.0, 1.0)


@of_anything
def sparsemax(x: Tensor, axis: int = -1) -> Tensor:
    """The nearest shares that add up to 1, many of them 0 (Martins and Astudillo, From Softmax to Sparsemax, 2016).

    >>> import nnkit
    >>> sparsemax(nnkit.tensor([0.5, 0.0, -3.0])).tolist()
    [0.75, 0.25, 0.0]
    """
    x = ops.movedim(x, axis, -1)
    ordered = ops.sort(x.detach(), -1, True)[0]
    counted = creation.arange(1, x.shape[-1] + 1, dtype=x.dtype, device=x.device)
    inside = ordered * counted > ops.cumsum(ordered, -1) - 1.0
    size = ops.sum(ops.to(inside, dtype=x.dtype), -1, True)
    # The smallest element inside: those of x that are not below it make up the threshold, on the tape.
    least = ops.gather(ordered, -1, ops.to(size, dtype=dtypes.int64) - 1)
    kept = ops.sum(ops.where(x >= least, x, 0.0), -1, True)
    return ops.movedim(ops.clamp(x - (kept - 1.0) / size, min=0.0), -1, axis)
