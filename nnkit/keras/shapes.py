"""How Keras pairs data with shapes: a last dimension of size 1 may be there or not.

``y`` of shape (n,) goes with an output of shape (n, 1), class numbers of shape (n, 1) with an output of (n,
C). nnkit's core is strict about shapes; these functions do the reshaping explicitly before the core sees
the data. They take NumPy arrays and Tensors alike.
"""

from __future__ import annotations

from typing import Any, TypeVar

__all__ = ["as_labels", "matched", "of_one_rank"]

Array = TypeVar("Array", bound=Any)


def matched(values: Array, shape: tuple[int | None, ...]) -> Array:
    """``values`` with a last dimension of size 1 added or dropped, if that gives it the rank of ``shape``.

    >>> import numpy as np
    >>> matched(np.zeros(4), (None, 1)).shape, matched(np.zeros((4, 1)), (None,)).shape
    ((4, 1), (4,))
    """
    if values.ndim == len(shape) - 1 and shape[-1] == 1:
        return values.reshape(*values.shape, 1)
    if values.ndim == len(shape) + 1 and values.shape[-1] == 1:
        return values.reshape(*values.shape[:-1])
    return values


def as_labels(y: Array, output_shape: tuple[int | None, ...]) -> Array:
    """Class numbers without a last dimension of size 1 beside an output (n, C).

    >>> import numpy as np
    >>> as_labels(np.zeros((4, 1)), (None, 10)).shape
    (4,)
    """
    if y.ndim == len(output_shape) and y.shape[-1] == 1:
        return y.reshape(*y.shape[:-1])
    return y


def of_one_rank(values: Array, weights: Array) -> tuple[Array, Array]:
    """Losses and their weights, one of them with a last dimension of size 1 added or dropped where that makes them fit.

    >>> import numpy as np
    >>> [a.shape for a in of_one_rank(np.zeros(4), np.zeros((4, 1)))]
    [(4, 1), (4, 1)]
    """
    if weights.ndim == values.ndim + 1 and weights.shape[-1] == 1:
        return (values.reshape(*values.shape, 1), weights) if values.ndim == 1 else (values, weights.squeeze(-1))
    if values.ndim == weights.ndim + 1 and values.shape[-1] == 1:
        return values, weights.reshape(*weights.shape, 1)
    return values, weights
