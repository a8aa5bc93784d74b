"""Sums, products and shapes, by the names of older Keras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnkit.errors import ShapeError
from nnkit.keras import ops
from nnkit.keras.config import floatx
from nnkit.keras.ops.types import standardize_dtype

# ---- sums and means: of booleans as numbers -------------------------------------------------------------------------


def _reduction(name: str, floating: bool = False) -> Callable[..., Any]:
    core = getattr(ops, name)

    def function(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return core(ops.cast(x, floatx()) if floating and standardize_dtype(x.dtype) == "bool" else x, axis, keepdims)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = core.__doc__
    return function


sum, prod, max, min = (_reduction(name) for name in ("sum", "prod", "max", "min"))
mean, var, std = (_reduction(name, True) for name in ("mean", "var", "std"))
any, all = _reduction("any"), _reduction("all")


def pow(x: Any, a: Any) -> Any:
    """x to the power a.

    x, a: shapes that broadcast, any dtypes. Raises DtypeError for what are no numbers. Source: ``keras.backend.pow``.

    >>> pow([2.0, 3.0], 2)
    tensor([4., 9.])
    """
    return ops.power(x, a)


def dot(x: Any, y: Any) -> Any:
    """The product over the last axis of x and the last but one of y.

    Any dtypes; the result has the common one. Raises ShapeError where they do not fit, DtypeError for what are no
    numbers. Source: ``keras.backend.dot``.

    >>> dot([[1.0, 2.0]], [[3.0], [4.0]])
    tensor([[11.]])
    """
    return ops.dot(x, y)


def batch_dot(x: Any, y: Any, axes: Any = None) -> Any:
    """The product of each sample of x with that of y, over these axes (the batch's is 0).

    x (B, ...) and y (B, ...), any dtypes; the result has the common one. Raises ShapeError where the axes differ in
    size, DtypeError for what are no numbers. Source: ``keras.backend.batch_dot``.

    >>> batch_dot([[1.0, 2.0]], [[3.0, 4.0]], axes=1)
    tensor([[11.]])
    """
    x, y = ops.convert_to_tensor(x), ops.convert_to_tensor(y)
    axes = (x.ndim - 1, y.ndim - 2 if y.ndim > 2 else y.ndim - 1) if axes is None else axes
    a, b = (axes, axes) if isinstance(axes, int) else axes
    a, b = a % x.ndim, b % y.ndim
    if x.shape[a] != y.shape[b]:
        raise ShapeError(f"batch_dot: axis {a} of {tuple(x.shape)} and {b} of {tuple(y.shape)} differ in size")
    letters = "bcdefghijklmnopqrs"
    left, right = list(letters[: x.ndim]), ["b", *(c.upper() for c in letters[1 : y.ndim])]
    right[b] = left[a]
    kept = [c for k, c in enumerate(left) if k != a] + [c for k, c in enumerate(right) if k not in (0, b)]
    found = ops.einsum(f"{''.join(left)},{''.join(right)}->{''.join(kept)}", x, y)
    return ops.expand_dims(found, 1) if found.ndim == 1 else found


# ---- shapes ---------------------------------------------------------------------------------------------------------


def flatten(x: Any) -> Any:
    """All elements in one row: shape (n,), of x's dtype.

    Raises DtypeError for what are no numbers. Source: ``keras.backend.flatten``.

    >>> flatten([[1.0], [2.0]])
    tensor([1., 2.])
    """
    return ops.reshape(x, (-1,))


def batch_flatten(x: Any) -> Any:
    """Each sample as one row: (B, ...) to (B, features), of x's dtype.

    Raises AttributeError for what has no shape. Source: ``keras.backend.batch_flatten``.

    >>> batch_flatten(ops.ones((2, 3, 4))).shape
    (2, 12)
    """
    return ops.reshape(x, (x.shape[0] or -1, int(np.prod([n or -1 for n in x.shape[1:]]))))


def permute_dimensions(x: Any, pattern: Sequence[int]) -> Any:
    """The axes in another order; the dtype stays.

    Raises ShapeError where ``pattern`` does not name each axis once. Source: ``keras.backend.permute_dimensions``.

    >>> permute_dimensions(ops.ones((2, 3)), (1, 0)).shape
    (3, 2)
    """
    return ops.transpose(x, pattern)


def repeat_elements(x: Any, rep: int, axis: int) -> Any:
    """Each element along an axis several times; the dtype stays.

    Raises ShapeError for an axis that x has not. Source: ``keras.backend.repeat_elements``.

    >>> repeat_elements([1.0, 2.0], 2, 0)
    tensor([1., 1., 2., 2.])
    """
    return ops.repeat(x, rep, axis)


def repeat(x: Any, n: int) -> Any:
    """Each sample n times over: (B, features) -> (B, n, features), of x's dtype.

    Raises DtypeError for what are no numbers. Source: ``keras.backend.repeat``.

    >>> repeat(ops.ones((2, 3)), 4).shape
    (2, 4, 3)
    """
    return ops.repeat(ops.expand_dims(x, 1), n, 1)


def gather(reference: Any, indices: Any) -> Any:
    """The parts along axis 0 with these numbers, which are integers; the dtype stays.

    Raises IndexError for a number out of range, DtypeError for what are no numbers. Source: ``keras.backend.gather``.

    >>> gather([5.0, 6.0, 7.0], [2, 0])
    tensor([7., 5.])
    """
    return ops.take(reference, indices, 0)


def switch(condition: Any, then_expression: Any, else_expression: Any) -> Any:
    """One value or the other, by a condition; they may be functions, both of which are called.

    A condition of fewer axes goes for the whole of the others. Any dtypes; the result has the common one. Raises
    DtypeError for what are no numbers. Source: ``keras.backend.switch``.

    >>> switch([True, False], [1.0, 2.0], lambda: [3.0, 4.0])
    tensor([1., 4.])
    """
    first, second = (e() if callable(e) else e for e in (then_expression, else_expression))
    while ops.ndim(condition) < ops.ndim(first):
        condition = ops.expand_dims(condition, -1)
    return ops.where(condition, first, second)
