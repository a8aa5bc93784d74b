"""Comparisons and logic: what is true of each element."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from nnkit import ops
from nnkit.keras.ops.elementwise import as_tensors, named
from nnkit.keras.ops.types import convert_to_tensor, floats, together
from nnkit.tensors import dtypes
from nnkit.tensors.creation import ones, zeros
from nnkit.tensors.dtypes import is_float
from nnkit.tensors.tensor import Tensor


def _comparison(name: str, op: Callable[[Any, Any], Tensor], says: str) -> Callable[[Any, Any], Tensor]:
    def function(x1: Any, x2: Any) -> Tensor:
        return op(*together(x1, x2))

    return named(function, name, says)


equal = _comparison("equal", ops.eq, "Whether x1 and x2 are the same.")
not_equal = _comparison("not_equal", ops.ne, "Whether x1 and x2 are not the same.")
greater = _comparison("greater", ops.gt, "Whether x1 is above x2.")
greater_equal = _comparison("greater_equal", ops.ge, "Whether x1 is not below x2.")
less = _comparison("less", ops.lt, "Whether x1 is below x2.")
less_equal = _comparison("less_equal", ops.le, "Whether x1 is not above x2.")


def truth(x: Any) -> Tensor:
    """Whether an element is not 0."""
    x = convert_to_tensor(x)
    return x if x.dtype == dtypes.bool_ else ops.ne(x, 0)


def logical_and(x1: Any, x2: Any) -> Tensor:
    """Whether both are true (not 0)."""
    return ops.logical_and(truth(x1), truth(x2))


def logical_or(x1: Any, x2: Any) -> Tensor:
    """Whether one or both are true (not 0)."""
    return ops.logical_or(truth(x1), truth(x2))


def logical_xor(x1: Any, x2: Any) -> Tensor:
    """Whether just one is true (not 0)."""
    return ops.ne(truth(x1), truth(x2))


def logical_not(x: Any) -> Tensor:
    """Whether an element is 0."""
    return ops.logical_not(truth(x))


def _of_floats(name: str, op: Callable[[Tensor], Tensor], of_others: bool, says: str) -> Callable[[Any], Tensor]:
    """A question to floats whose answer is the same for all whole numbers."""

    def function(x: Any) -> Tensor:
        x = convert_to_tensor(x)
        if is_float(x.dtype):
            return op(x)
        return (ones if of_others else zeros)(*x.shape, dtype=dtypes.bool_, device=x.device)

    return named(function, name, says)


isnan = _of_floats("isnan", ops.isnan, False, "Whether an element is NaN.")
isinf = _of_floats("isinf", ops.isinf, False, "Whether an element is infinite.")
isfinite = _of_floats("isfinite", ops.isfinite, True, "Whether an element is neither NaN nor infinite.")
isposinf = _of_floats("isposinf", ops.isposinf, False, "Whether an element is infinite.")
isneginf = _of_floats("isneginf", ops.isneginf, False, "Whether an element is minus infinity.")
isreal = _of_floats("isreal", lambda x: ops.eq(x * 0 == 0, True) | True, True, "True: nnkit has no complex numbers.")


def signbit(x: Any) -> Tensor:
    """Whether an element is below 0, or -0.0."""
    x = convert_to_tensor(x)
    return zeros(*x.shape, dtype=dtypes.bool_, device=x.device) if x.dtype == dtypes.bool_ else ops.signbit(x)


def isclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Whether |x1 - x2| is at most ``atol + rtol |x2|``."""
    x, y = as_tensors(x1, x2)
    return ops.isclose(floats(x), floats(y), rtol, atol, equal_nan)


def allclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Whether :func:`isclose` holds everywhere: one boolean, as a tensor."""
    return ops.all(isclose(x1, x2, rtol, atol, equal_nan))


def isin(x1: Any, x2: Any, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether an element of x1 is among those of x2.

    >>> isin([0, 1, 2], [2, 0]).tolist()
    [True, False, True]
    """
    return ops.isin(*as_tensors(x1, x2), assume_unique=assume_unique, invert=invert)


def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    """x1 where the condition holds, else x2; of a condition alone, where it holds: :func:`nonzero`.

    >>> where([True, False], 1.0, 2).tolist()
    [1.0, 2.0]
    """
    if (x1 is None) != (x2 is None):
        raise ValueError("where: give both x1 and x2, or neither")
    if x1 is None:
        return nonzero(condition)
    return ops.where(truth(condition), *as_tensors(x1, x2))


def nonzero(x: Any) -> tuple[Tensor, ...]:
    """The places of what is not 0: for each axis the indices along it, as int32."""
    x = convert_to_tensor(x)
    return tuple(ops.to(places, dtype=dtypes.int32) for places in ops.nonzero(x, as_tuple=True))


def select(condlist: Any, choicelist: Any, default: Any = 0) -> Tensor:
    """For each element the first choice whose condition holds, or ``default``.

    >>> select([[True, False], [True, True]], [[1, 1], [2, 2]], 0).tolist()
    [1, 2]
    """
    found = default
    for condition, choice in builtins.reversed(list(zip(condlist, choicelist, strict=True))):
        found = where(condition, choice, found)
    return convert_to_tensor(found)
