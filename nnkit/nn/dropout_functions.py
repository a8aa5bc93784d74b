"""Dropout as functions: of elements, and of whole channels."""

from __future__ import annotations

from nnkit import ops
from nnkit.errors import ShapeError
from nnkit.tensors.creation import ones
from nnkit.tensors.tensor import Tensor


def check_probability(p: float) -> float:
    """``p``, if it is from 0 to 1."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"the dropout probability p must be from 0 to 1, got {p!r}")
    return p


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability ``p``, and multiply the rest by 1/(1-p); nothing unless
    ``training``.

    >>> import nnkit
    >>> dropout(nnkit.ones(2), p=1.0).tolist(), dropout(nnkit.ones(2), training=False).tolist()
    ([0.0, 0.0], [1.0, 1.0])
    """
    check_probability(p)
    if not training or p == 0.0:
        return input
    return ops.dropout(input, p) if p < 1.0 else input * 0.0


def _dropout_of_channels(axes: int, input: Tensor, p: float, training: bool) -> Tensor:
    check_probability(p)
    if input.ndim not in (axes + 1, axes + 2):
        raise ShapeError(f"dropout{axes}d: expected {axes + 2} axes, or {axes + 1} without samples, got {input.shape}")
    if not training or p == 0.0:
        return input
    kept = dropout(ones(*input.shape[:-axes], *(1,) * axes, dtype=input.dtype, device=input.device), p)
    return input * kept


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each channel of (B, C, L) with probability ``p``, and multiply the rest by 1/(1-p); see ``dropout``.

    >>> import nnkit
    >>> dropout1d(nnkit.ones(1, 2, 3), training=False).tolist()
    [[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]]
    """
    return _dropout_of_channels(1, input, p, training)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each channel of (B, C, H, W) with probability ``p``, and multiply the rest by 1/(1-p).

    >>> import nnkit
    >>> dropout2d(nnkit.ones(1, 1, 1, 2), p=1.0).tolist()
    [[[[0.0, 0.0]]]]
    """
    return _dropout_of_channels(2, input, p, training)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each channel of (B, C, D, H, W) with probability ``p``, and multiply the rest by 1/(1-p).

    >>> import nnkit
    >>> dropout3d(nnkit.ones(1, 2, 3, 3, 3)).shape
    (1, 2, 3, 3, 3)
    """
    return _dropout_of_channels(3, input, p, training)
